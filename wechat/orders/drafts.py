"""Build new orders, before they are stored."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta

from wechat.domain.errors import BadRequest, Bilingual
from wechat.domain.facts import Api
from wechat.domain.money import Fen, fen
from wechat.domain.orders import Order, TimelineEntry, TradeType
from wechat.domain.ports import Runtime
from wechat.domain.times import to_v2
from wechat.orders.requests import CreateOrderRequest

FIRST_CHECK = timedelta(seconds=30)
NUMBER_BYTES = 6


@dataclass(frozen=True, slots=True)
class OrderDefaults:
    """The values that all orders of this service share. ``lifetime`` is the time to pay.

    ``appid`` is the Official Account's, ``app_appid`` that of the merchant's own app, empty without one.
    """

    appid: str
    mchid: str
    api: Api
    notify_url: str
    lifetime: timedelta
    max_total: int
    max_quantity: int
    app_appid: str = ""


@dataclass(frozen=True, slots=True)
class Item:
    """A product of the shop; ``price`` in fen."""

    sku: str
    name: str
    price: Fen


class Drafts:
    """Builds orders from requests, each under a new number."""

    def __init__(self, defaults: OrderDefaults, runtime: Runtime) -> None:
        self._defaults = defaults
        self._clock = runtime.clock
        self._random = runtime.random

    def draft_checkout(self, item: Item, quantity: int, openid: str, client_ip: str) -> Order:
        """Build a payer's order of ``quantity`` of ``item``. Raises BadRequest when the total is too large."""
        description = item.name if quantity == 1 else f"{item.name} × {quantity}"
        draft = self._draft(TradeType.JSAPI, description, item.price * quantity, client_ip, ("payer", ""))
        return replace(draft, openid=openid, sku=item.sku, quantity=quantity)

    def draft_order(self, request: CreateOrderRequest, client_ip: str, merchant: str) -> Order:
        """Build a merchant's order; ``request`` may set number, API version and lifetime. Raises BadRequest."""
        draft = self._draft(request.trade_type, request.description, request.total, client_ip, ("merchant", merchant))
        life = timedelta(seconds=request.expires_in_s) if request.expires_in_s else self._defaults.lifetime
        return replace(
            draft,
            api=request.api or self._defaults.api,
            openid=request.openid or "",
            attach=request.attach or "",
            out_trade_no=request.out_trade_no or draft.out_trade_no,
            expires_at=draft.created_at + life,
            close_after=draft.created_at + life,
        )

    def _appid(self, trade_type: TradeType) -> str:
        """Return the AppID for ``trade_type``. Raises BadRequest for APP without a configured AppID."""
        if trade_type is not TradeType.APP:
            return self._defaults.appid
        if not self._defaults.app_appid:
            text = Bilingual(
                "没有配置 APP 支付：在 pay.app_appid 填写移动应用的 AppID（微信开放平台），并在商户平台关联",
                "APP payments are not configured: set pay.app_appid to the AppID of the mobile app (WeChat Open "
                "Platform), and bind it in the merchant console",
            )
            raise BadRequest(text, code="APP_OFF", field="trade_type")
        return self._defaults.app_appid

    def _draft(self, trade_type: TradeType, description: str, total: int, client_ip: str, by: tuple[str, str]) -> Order:
        """Build an order with the defaults. ``by`` is its author for the timeline: a source and a name."""
        now = self._clock.now().replace(microsecond=0)
        expires_at = now + self._defaults.lifetime
        return Order(
            out_trade_no=f"{to_v2(now)}{self._random.token(NUMBER_BYTES)}",
            api=self._defaults.api,
            appid=self._appid(trade_type),
            mchid=self._defaults.mchid,
            trade_type=trade_type,
            description=description,
            total=fen(total, most=self._defaults.max_total),
            created_at=now,
            expires_at=expires_at,
            close_after=expires_at,
            next_check_at=now + FIRST_CHECK,
            notify_url=self._defaults.notify_url,
            client_ip=client_ip,
            timeline=(TimelineEntry(now, "created", *by),),
        )
