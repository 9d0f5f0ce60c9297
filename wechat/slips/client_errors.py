"""Handle a page's report that WeChat's browser refused to start a payment: log, metric, the order's timeline, the
reason."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import structlog

from wechat.account.jssdk import JsSdk
from wechat.account.page_signature import page_url
from wechat.catalogue.catalogue import Entry, explain_text
from wechat.domain import transitions
from wechat.domain.errors import RemoteError
from wechat.domain.metrics import Metric
from wechat.domain.orders import Order, TimelineEntry
from wechat.domain.ports import Runtime
from wechat.orders.service import Orders
from wechat.orders.updates import OrderUpdates
from wechat.sign_explain.conclusion import slip
from wechat.sign_explain.model import Keys, Kind, Slip, Verdict
from wechat.sign_explain.signature import explain
from wechat.sign_explain.slips import SlipCode
from wechat.slips.finder import SlipFinder, name_codes
from wechat.slips.reports import Call, ClientError
from wechat.support.rate_limit import RateLimit

APIS = ("bridge", "jssdk")
OTHER = "other"
INVALID_SIGNATURE, PAY_SIGN = "config:invalid signature", "支付验证签名失败"
LINES, LINES_PER_S = 5, 1.0
RSA = b'"RSA"'

log = structlog.get_logger("wechat.slips")


@dataclass(frozen=True, slots=True)
class Consequence:
    """The result of a report. ``entry`` is the catalogue's entry; ``retry``: the page may call wx.config again now."""

    entry: Entry | None
    retry: bool = False


class ClientErrors:
    """Handles reports of pages about their own orders."""

    def __init__(
        self, orders: Orders, updates: OrderUpdates, jssdk: JsSdk, finder: SlipFinder, runtime: Runtime
    ) -> None:
        self._orders = orders
        self._updates = updates
        self._jssdk = jssdk
        self._finder = finder
        self._clock = runtime.clock
        self._telemetry = runtime.telemetry
        self._lines = RateLimit(runtime.clock, LINES, LINES_PER_S)

    async def report(self, error: ClientError, *, openid: str) -> Consequence:
        """Record ``error``. Raises NotFound for an order that is not this payer's, StoreUnavailable."""
        order = await self._orders.get(error.out_trade_no, openid=openid)
        entry = explain_text(APIS, error.said)
        code = entry.code if entry else OTHER
        cause, retry = "", False
        if code == INVALID_SIGNATURE:
            cause, retry = await self._judge_page(error)
        elif code == PAY_SIGN:
            self._explain_pay(order, error.known_params)
        self._telemetry.count(Metric.CLIENT_ERRORS, error.call, code)
        self._log(error, code, cause)
        await self._note(order, error, code, cause)
        return Consequence(entry, retry)

    async def _judge_page(self, error: ClientError) -> tuple[str, bool]:
        """Return the slip behind an invalid wx.config, if it is evident, and whether the page may try again."""
        url, given = page_url(error.url), error.known_params
        if error.real_url and page_url(error.real_url) != url:
            return SlipCode.URL_DIFFERS, False
        nonce, time, signed = (given.get(name, "") for name in ("nonceStr", "timestamp", "signature"))
        try:
            if await self._jssdk.signed_by_current_ticket(url, nonce, time, signed):
                return SlipCode.TICKET_DIFFERS, await self._jssdk.renew_ticket()
        except RemoteError as error_of_ticket:
            log.warning("ticket_not_checked", error=str(error_of_ticket))
            return "", False
        return "", True  # it was signed with our previous ticket, which has been replaced since

    def _explain_pay(self, order: Order, params: Mapping[str, str]) -> None:
        """Start to find out why paySign is refused; the result goes to the log and the timeline."""
        raw = json.dumps(params, ensure_ascii=False).encode("utf-8", "replace")

        async def note(slips: Sequence[Slip]) -> None:
            codes = name_codes(slips)
            log.warning("slip_found", reason=PAY_SIGN, slip=codes, out_trade_no=order.out_trade_no)
            entry = self._entry("page_slip", {"slip": codes})
            await self._updates.update(order.key, lambda current: transitions.note_page(current, entry))

        self._finder.start(PAY_SIGN, len(raw), lambda keys: find_pay_slips(raw, keys), note)

    def _log(self, error: ClientError, code: str, cause: str) -> None:
        if self._lines.take(code):
            log.warning(
                "page_refused",
                call=error.call,
                reason=code,
                error=error.said,
                slip=cause,
                url=error.url,
                real_url=error.real_url,
                out_trade_no=error.out_trade_no,
                suppressed=self._lines.refused_since(code),
            )

    async def _note(self, order: Order, error: ClientError, code: str, cause: str) -> None:
        api = {None: "", True: "yes", False: "no"}[error.js_api]
        detail = {
            "call": error.call.value,
            "code": code,
            "said": error.said,
            "slip": cause,
            "signed_url": error.url if error.call is Call.CONFIG else "",
            "real_url": error.real_url,
            "js_api": api,
        }
        entry = self._entry("page_refused", {name: value for name, value in detail.items() if value})
        await self._updates.update(order.key, lambda current: transitions.note_page(current, entry))

    def _entry(self, what: str, detail: dict[str, str]) -> TimelineEntry:
        return TimelineEntry(self._clock.now(), what, "payer", detail=detail)


def find_pay_slips(raw: bytes, keys: Keys) -> Sequence[Slip]:
    """Find the slips in the parameters in ``raw``, which this system has signed with its own key.

    If no key matches an APIv2 signature, a value was changed after signing. If the signature is correct, WeChat has
    another key for the merchant number.
    """
    found = explain(raw, keys, Kind.JSAPI)
    if found.verdict is Verdict.CORRECT:
        zh, en = "参数没有被改动，微信支付登记的密钥与本系统的不同", "nothing was changed; WeChat Pay has another key"
        return (slip(SlipCode.WRONG_KEY, zh, en),)
    is_rsa = RSA in raw
    changed = slip(SlipCode.VALUE_CHANGED)
    return [changed if one.code is SlipCode.WRONG_KEY and not is_rsa else one for one in found.slips]
