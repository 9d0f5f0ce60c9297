"""Orders, moves and messages to store."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from wechat.models import (
    Api,
    Claim,
    Fen,
    Move,
    Notification,
    Order,
    OrderEvent,
    Prepay,
    RefundState,
    RemoteState,
    TradeState,
    TradeType,
    Transaction,
    Verified,
)
from wechat.refund_models import Refund, RefundMove

NOW = datetime(2026, 3, 1, 4, 5, 6, 789000, tzinfo=UTC)
HOUR = timedelta(hours=1)
CREATED = OrderEvent(NOW, "created", "payer")
PREPAID = OrderEvent(NOW, "prepay", "v3", "", {"attempt": 1})
PREPAY = Prepay(NOW, "RSA", prepay_id="wx201410272009395522657a690389285100")


def an_order(number: str = "20260301120506abc", **changes: Any) -> Order:
    order = Order(
        out_trade_no=number,
        api=Api.V3,
        appid="wxsim0123456789",
        mchid="sim1900000109",
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
        events=(CREATED,),
    )
    return replace(order, **changes)


def a_payment(transaction_id: str = "4200001234202603010000000001", target: TradeState = TradeState.SUCCESS) -> Move:
    event = OrderEvent(NOW, "paid", "notify", "v3 PUB_KEY_ID_1", {"transaction_id": transaction_id})
    return Move(
        target=target,
        event=event,
        match={"total": 3600, "mchid": "sim1900000109"},
        changes={"transaction_id": transaction_id, "paid_at": NOW, "payer_total": 3600},
        emits="order.paid",
    )


def a_close() -> Move:
    return Move(TradeState.CLOSED, OrderEvent(NOW, "closed", "worker"), emits="order.closed")


def a_claim(out_trade_no: str = "20260301120506abc", digest: str = "d1") -> Claim:
    return Claim("sale:shop:key-1", out_trade_no, digest, NOW + HOUR)


def a_message(event: str = "event-1", out_trade_no: str = "20260301120506abc") -> Verified[Notification]:
    transaction = Transaction("wxsim0123456789", "sim1900000109", out_trade_no, RemoteState.SUCCESS, 3600)
    return Verified(Notification(event, Api.V3, "TRANSACTION.SUCCESS", "sim1900000109", transaction), "v3 PUB_KEY_ID_1")


def a_refund(number: str = "R20260301120506abc", **changes: Any) -> Refund:
    refund = Refund(
        out_refund_no=number,
        out_trade_no="20260301120506abc",
        transaction_id="4200001234202603010000000001",
        api=Api.V3,
        appid="wxsim0123456789",
        mchid="sim1900000109",
        refund=Fen(60),
        total=Fen(100),
        reason="缺货",
        by="shop",
        notify_url="https://pay.example.com/notify",
        created_at=NOW,
        next_check_at=NOW + timedelta(minutes=1),
        events=(OrderEvent(NOW, "requested", "shop"),),
    )
    return replace(refund, **changes)


def a_refund_move(target: RefundState, **changes: Any) -> RefundMove:
    move = RefundMove(
        target=target,
        event=OrderEvent(NOW, target.lower(), "notify", "v3 PUB_KEY_ID_1"),
        next_check_at=NOW + HOUR,
        match={"mchid": "sim1900000109", "refund": 60, "total": 100},
        changes={"refund_id": "50300001", "success_at": NOW if target is RefundState.SUCCESS else None},
        emits="refund.succeeded" if target is RefundState.SUCCESS else "",
    )
    return replace(move, **changes)
