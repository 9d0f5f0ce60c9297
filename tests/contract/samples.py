"""Orders, facts, messages and refunds to store."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from storage.mongo.driver import Driver
from storage.mongo.storage import MongoStorage
from tests.support.clock import ManualClock
from tests.support.runtime import RandomIds
from wechat.domain.facts import Api, RefundState, RemoteRefund, RemoteState, Transaction, Verified
from wechat.domain.messages import StoredNotification
from wechat.domain.money import Fen
from wechat.domain.numbers import Claim
from wechat.domain.orders import Order, Payment, Prepay, Refund, TimelineEntry, TradeType
from wechat.domain.payments import record_payment
from wechat.domain.ports import Clock
from wechat.domain.refused import RefusedNotification, hash_body

NOW = datetime(2026, 3, 1, 4, 5, 6, 789000, tzinfo=UTC)
HOUR = timedelta(hours=1)
CREATED = TimelineEntry(NOW, "created", "payer")
PREPAID = TimelineEntry(NOW, "prepay", "v3", "", {"attempt": 1})
PREPAY = Prepay(NOW, "RSA", prepay_id="wx201410272009395522657a690389285100")
NUMBER = "20260301120506abc"
APPID = "wxsim0123456789"
MCHID = "sim1900000109"
TRANSACTION = "4200001234202603010000000001"


def a_storage(url: str, database: str, driver: Driver = "pymongo", clock: Clock | None = None) -> MongoStorage:
    """The stores over a database of their own."""
    return MongoStorage(url, database, driver, clock=clock or ManualClock(NOW), random=RandomIds())


def an_order(number: str = NUMBER, **changes: Any) -> Order:
    order = Order(
        out_trade_no=number,
        api=Api.V3,
        appid=APPID,
        mchid=MCHID,
        trade_type=TradeType.JSAPI,
        description="拿铁咖啡 × 2",
        total=Fen(3600),
        created_at=NOW,
        expires_at=NOW + HOUR,
        notify_url="https://pay.example.com/notify",
        client_ip="203.0.113.7",
        openid="osim-a",
        sku="coffee",
        quantity=2,
        close_after=NOW + HOUR,
        next_check_at=NOW + timedelta(seconds=30),
        timeline=(CREATED,),
    )
    return replace(order, **changes)


def a_payment(transaction_id: str = TRANSACTION, total: int = 3600, paid_at: datetime = NOW) -> Payment:
    return Payment(transaction_id, Fen(total), paid_at, total, "osim-a")


def a_fact(order: Order, transaction_id: str = TRANSACTION, **changes: Any) -> Verified[Transaction]:
    """WeChat's verified message that ``order`` was paid; ``changes`` replace fields of it."""
    payload = Transaction(
        appid=order.appid,
        mchid=order.mchid,
        out_trade_no=order.out_trade_no,
        state=RemoteState.SUCCESS,
        total=order.total,
        transaction_id=transaction_id,
        trade_type=order.trade_type.value,
        openid=order.openid,
        payer_total=order.total,
        success_time=NOW,
    )
    return Verified(replace(payload, **changes), "v3 PUB_KEY_ID_1")


def paid(order: Order, transaction_id: str = TRANSACTION, at: datetime = NOW) -> Order:
    """``order`` after its payment was recorded."""
    return record_payment(order, a_fact(order, transaction_id, success_time=at), source="notify", now=at)


def a_claim(number: str = NUMBER, body_hash: str = "d1") -> Claim:
    return Claim("sale:shop:key-1", number, body_hash, NOW + HOUR)


def a_message(event: str = "event-1", number: str = NUMBER, **changes: Any) -> StoredNotification:
    message = StoredNotification(
        id=event,
        api=Api.V3,
        kind="payment",
        mchid=MCHID,
        out_trade_no=number,
        order_key=f"{MCHID}:{number}",
        proof="v3 PUB_KEY_ID_1",
        raw=b'{"id":"event-1"}',
        headers={"Wechatpay-Serial": "PUB_KEY_ID_1"},
        first_at=NOW,
        last_at=NOW,
        expires_at=NOW + HOUR,
    )
    return replace(message, **changes)


def a_refused(place: str = "stale-00", raw: bytes = b"{}", **changes: Any) -> RefusedNotification:
    message = RefusedNotification(
        place=place,
        reason=place.rpartition("-")[0],
        api="v3",
        serial="PUB_KEY_ID_2",
        known_serials=("PUB_KEY_ID_1",),
        age_s=361,
        out_trade_no=NUMBER,
        raw=raw,
        size=len(raw),
        headers={"Wechatpay-Serial": "PUB_KEY_ID_2"},
        body_hash=hash_body(raw),
        arrived_at=NOW,
        first_at=NOW,
        last_at=NOW,
        expires_at=NOW + HOUR,
    )
    return replace(message, **changes)


def a_refund(number: str = "R20260301120506abc", **changes: Any) -> Refund:
    refund = Refund(
        out_refund_no=number,
        out_trade_no=NUMBER,
        transaction_id=TRANSACTION,
        api=Api.V3,
        appid=APPID,
        mchid=MCHID,
        refund=Fen(60),
        total=Fen(3600),
        reason="缺货",
        by="shop",
        notify_url="https://pay.example.com/notify",
        created_at=NOW,
        next_check_at=NOW + timedelta(minutes=1),
        timeline=(TimelineEntry(NOW, "requested", "shop"),),
    )
    return replace(refund, **changes)


def a_refund_fact(refund: Refund, state: RefundState = RefundState.SUCCESS, **changes: Any) -> Verified[RemoteRefund]:
    """WeChat's verified message that ``refund`` is in ``state``; ``changes`` replace fields of it."""
    payload = RemoteRefund(
        mchid=refund.mchid,
        out_refund_no=refund.out_refund_no,
        out_trade_no=refund.out_trade_no,
        refund_id="50300001",
        state=state,
        refund=refund.refund,
        total=refund.total,
        success_time=NOW if state is RefundState.SUCCESS else None,
        transaction_id=refund.transaction_id,
    )
    return Verified(replace(payload, **changes), "v3 PUB_KEY_ID_1")
