"""Convert the settings of orders, refunds and bills to the use cases' own types."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import time, timedelta
from pathlib import Path

from service.parts import gateways
from service.parts.slip_keys import find_slip_keys
from service.settings.model import Settings
from wechat.domain.facts import Funds
from wechat.domain.money import Fen
from wechat.orders.drafts import Item, OrderDefaults
from wechat.refunds.drafts import RefundDefaults
from wechat.refunds.late_payments import LatePolicy
from wechat.sign_explain.model import Keys


@dataclass(frozen=True, slots=True)
class CoreSettings:
    """The settings of orders and refunds. Without ``slip_keys`` wrong signatures are not explained."""

    orders: OrderDefaults
    catalogue: Mapping[str, Item]
    refunds: RefundDefaults
    late_policy: LatePolicy
    slip_keys: Keys | None = None


@dataclass(frozen=True, slots=True)
class BillCacheSettings:
    """The settings of bills: the folder, the time from which yesterday's bill is available, and how long files are
    kept.

    ``foreign_numbers`` are patterns of order numbers that other systems use at the same merchant number.
    """

    directory: Path
    after: time
    keep: timedelta
    foreign_numbers: tuple[str, ...] = ()


def read_core_settings(settings: Settings) -> CoreSettings:
    pay = settings.pay
    funds = None if pay.refund_funds == "default" else Funds(pay.refund_funds)
    refunds = RefundDefaults(pay.mchid, gateways.refund_route(pay), settings.notify_url, funds)
    keys = find_slip_keys(settings)
    return CoreSettings(_read_defaults(settings), read_catalogue(settings), refunds, settings.pay.late_policy, keys)


def read_bill_settings(settings: Settings) -> BillCacheSettings:
    books = settings.books
    keep = timedelta(days=books.keep_days)
    return BillCacheSettings(books.directory, books.after_time, keep, books.foreign_numbers)


def read_catalogue(settings: Settings) -> Mapping[str, Item]:
    return {product.sku: Item(product.sku, product.name, Fen(product.price)) for product in settings.shop.products}


def _read_defaults(settings: Settings) -> OrderDefaults:
    return OrderDefaults(
        appid=settings.account.appid,
        app_appid=settings.pay.app_appid,
        mchid=settings.pay.mchid,
        api=settings.pay.api,
        notify_url=settings.notify_url,
        lifetime=timedelta(minutes=settings.pay.order_minutes),
        max_total=settings.pay.max_total,
        max_quantity=settings.shop.max_quantity,
    )
