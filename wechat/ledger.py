"""Where a fact about money becomes the state of an order.

``apply`` takes only what a gateway has verified. State, timeline and outgoing event move in one conditional update;
when that does not match, the order is read again and the reason found: applied before, late, or not our sale.
"""

from __future__ import annotations

from datetime import datetime

import structlog
from prometheus_client import Counter

from wechat.domain.errors import Conflict, Mismatch, Text
from wechat.models import Move, Order, OrderEvent, RemoteState, TradeState, TradeType, Transaction, Verified
from wechat.ports import Clock, OrderStore

CLOSING = frozenset({RemoteState.CLOSED, RemoteState.REVOKED})
SECOND_PAYMENT = "second_payment"
TRIES = 3

log = structlog.get_logger("wechat.ledger")
ORDERS = Counter("fenpay_orders_total", "Orders that reached a state", ["state"])
PAID_FEN = Counter("fenpay_paid_fen_total", "Fen received")
ALARMS = Counter("fenpay_alarms_total", "Things an operator must look at", ["kind"])


def alarm(kind: str, out_trade_no: str) -> None:
    """Tell the operator, in the log and in the metrics."""
    ALARMS.labels(kind).inc()
    log.error("alarm", kind=kind, out_trade_no=out_trade_no)


class Ledger:
    """Applies facts to orders."""

    def __init__(self, store: OrderStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def apply(self, fact: Verified[Transaction], *, source: str) -> Order:
        """The order after ``fact``, which may come any number of times and in any order.

        Raises Mismatch when the fact is genuine but not about this sale; the order is then as it was.
        """
        transaction = fact.value
        if transaction.state.paid:
            return await self._paid(transaction, source, fact.proof)
        order = await self._stored(transaction)
        if transaction.state in CLOSING and order.trade_state is TradeState.NOTPAY:
            return await self.closed(order, OrderEvent(self._clock.now(), "closed", source, fact.proof))
        return order

    async def closed(self, order: Order, event: OrderEvent) -> Order:
        """``order`` after WeChat said that it is closed. Raises Conflict when a payment came in between."""
        moved = await self._store.move(order.out_trade_no, Move(TradeState.CLOSED, event, emits="order.closed"))
        if moved:
            ORDERS.labels(TradeState.CLOSED).inc()
            return moved
        current = await self._store.get(order.out_trade_no)
        if current is None or current.trade_state is not TradeState.CLOSED:
            raise Conflict(Text("订单状态已变", "The order has moved on"), code="ORDER_MOVED")
        return current

    async def _paid(self, transaction: Transaction, source: str, proof: str) -> Order:
        """Towards SUCCESS, or PAID_LATE where goods are not to be released: we had closed it, or another payer paid."""
        target = TradeState.SUCCESS
        for _ in range(TRIES):
            move = _payment(transaction, target, self._event(transaction, target, source, proof))
            moved = await self._store.move(transaction.out_trade_no, move)
            if moved:
                return self._received(moved, transaction)
            order = await self._stored(transaction)
            _must_match(order, transaction)
            if order.paid:
                return order
            target = TradeState.SUCCESS if _expected(order, transaction) else TradeState.PAID_LATE
        raise Mismatch("contended")

    def _received(self, order: Order, transaction: Transaction) -> Order:
        ORDERS.labels(order.trade_state).inc()
        PAID_FEN.inc(order.total)
        log.info("order_paid", out_trade_no=order.out_trade_no, total=order.total, state=order.trade_state)
        if order.trade_state is TradeState.PAID_LATE:
            alarm("openid_differs" if _foreign(order, transaction) else "paid_late", order.out_trade_no)
        return order

    async def _stored(self, transaction: Transaction) -> Order:
        order = await self._store.get(transaction.out_trade_no)
        if order is None:
            raise Mismatch("unknown_order")
        return order

    def _event(self, transaction: Transaction, target: TradeState, source: str, proof: str) -> OrderEvent:
        what = "paid" if target is TradeState.SUCCESS else "paid_late"
        return OrderEvent(self._clock.now(), what, source, proof, {"transaction_id": transaction.transaction_id})


def _payment(transaction: Transaction, target: TradeState, event: OrderEvent) -> Move:
    """The conditional update: every field that must agree stands in its match."""
    match: dict[str, str | int] = {
        "appid": transaction.appid,
        "mchid": transaction.mchid,
        "total": transaction.total or 0,
        "currency": transaction.currency,
    }
    changes: dict[str, str | int | datetime | None] = {
        "transaction_id": transaction.transaction_id,
        "paid_at": transaction.success_time,
        "payer_total": transaction.payer_total,
    }
    if transaction.trade_type:
        match["trade_type"] = transaction.trade_type
    if target is TradeState.PAID_LATE:
        changes["next_check_at"] = event.at  # somebody has to see to the money
    elif transaction.trade_type == TradeType.JSAPI and transaction.openid:
        match["openid"] = transaction.openid
    return Move(
        target=target,
        event=event,
        match=match,
        changes=changes,
        emits="order.paid" if target is TradeState.SUCCESS else "order.paid_late",
    )


def _expected(order: Order, transaction: Transaction) -> bool:
    """Whether goods may be released for this payment."""
    return order.trade_state is TradeState.NOTPAY and not _foreign(order, transaction)


def _foreign(order: Order, transaction: Transaction) -> bool:
    """Whether somebody else paid than the order was made for."""
    return bool(order.openid and transaction.openid and order.openid != transaction.openid)


def _must_match(order: Order, transaction: Transaction) -> None:
    """Raise Mismatch with the first thing that differs."""
    pairs = {
        "appid": (order.appid, transaction.appid),
        "mchid": (order.mchid, transaction.mchid),
        "total": (order.total, transaction.total),
        "currency": (order.currency, transaction.currency),
        "trade_type": (order.trade_type.value, transaction.trade_type or order.trade_type.value),
        SECOND_PAYMENT: (order.transaction_id or transaction.transaction_id, transaction.transaction_id),
    }
    for reason, (ours, theirs) in pairs.items():
        if ours != theirs:
            raise Mismatch(reason)
