"""Sample events without a real order, to test a receiver. All have ``data.test``, which is true."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from wechat.domain.deliveries import Event, staged_events
from wechat.domain.events import EventType, OutgoingEvent
from wechat.domain.facts import Api, OtherNotice, RefundState
from wechat.domain.money import Fen
from wechat.domain.orders import Order, Payment, Refund, TradeState, TradeType
from wechat.events.notices import notice_data

TOTAL, REFUNDED = Fen(1800), Fen(500)
ORDER_STATES = {
    EventType.ORDER_PAID: TradeState.SUCCESS,
    EventType.ORDER_PAID_LATE: TradeState.PAID_LATE,
    EventType.ORDER_CLOSED: TradeState.CLOSED,
}
"""The order's state in each event about an order; in events about a refund it is REFUND."""
REFUND_STATES = {
    EventType.REFUND_SUCCEEDED: RefundState.SUCCESS,
    EventType.REFUND_FAILED: RefundState.CLOSED,
    EventType.REFUND_ABNORMAL: RefundState.ABNORMAL,
}
OTHER = OtherNotice(
    event_id="00000000-0000-0000-0000-000000000000",
    event_type="COMPLAINT.CREATE",
    summary="test",
    content={"complaint_id": "200000020211013000000000000"},
)


def build_sample(kind: EventType, event_id: str, mchid: str, now: datetime) -> Event:
    """Build a sample event with all fields of a real one, and ``test``."""
    if kind is EventType.WECHAT_NOTIFICATION:
        return Event(event_id, kind, now, "", notice_data(OTHER, Api.V3, now) | {"test": True})
    order = _sample_order(mchid, ORDER_STATES.get(kind, TradeState.REFUND), now)
    refund_no = f"test-refund-{event_id[:8]}" if kind in REFUND_STATES else ""
    if refund_no:
        order = replace(order, refunds=(_sample_refund(order, refund_no, REFUND_STATES[kind], now),))
    [(event, _)] = staged_events(replace(order, outbox=(OutgoingEvent(event_id, kind, now, 1, refund_no),)))
    return replace(event, data={**event.data, "test": True})


def _sample_order(mchid: str, state: TradeState, now: datetime) -> Order:
    paid = Payment("4200000000000000000000000000", TOTAL, now, int(TOTAL))
    return Order(
        out_trade_no="TEST-ORDER-0001",
        api=Api.V3,
        appid="",
        mchid=mchid,
        trade_type=TradeType.NATIVE,
        description="test",
        total=TOTAL,
        created_at=now - timedelta(minutes=1),
        expires_at=now + timedelta(minutes=29),
        notify_url="",
        client_ip="",
        trade_state=state,
        payments=() if state is TradeState.CLOSED else (paid,),
    )


def _sample_refund(order: Order, out_refund_no: str, state: RefundState, now: datetime) -> Refund:
    return Refund(
        out_refund_no=out_refund_no,
        out_trade_no=order.out_trade_no,
        transaction_id=order.transaction_id,
        api=order.api,
        appid=order.appid,
        mchid=order.mchid,
        refund=REFUNDED,
        total=order.total,
        reason="test",
        by="test",
        notify_url="",
        created_at=now,
        state=state,
        success_at=now if state is RefundState.SUCCESS else None,
    )
