"""A gateway that plays WeChat's side of one order: it stores what it receives, and can be told to lose answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from tests.support.core import CrashingProxy, CrashPoint
from tests.support.refund_fixture import raise_next
from wechat.domain.errors import FenpayError, GatewayRefused
from wechat.domain.facts import Api, Notification, RemoteState, Transaction, Verified
from wechat.domain.orders import AppPayParams, Order, PayParams, Prepay
from wechat.domain.ports import Clock
from wechat.pay.codes import ORDER_CLOSED, ORDER_NOT_EXIST, ORDER_PAID


@dataclass
class OneOrderGateway:
    """``Gateway``. It reports the first of ``payments``. ``before`` and ``after`` as in ``FakeRefundGateway``."""

    clock: Clock
    api: Api = Api.V3
    placed: Order | None = None
    closed: bool = False
    payments: list[str] = field(default_factory=list)
    before: list[FenpayError | None] = field(default_factory=list)
    after: list[FenpayError | None] = field(default_factory=list)

    async def prepay(self, order: Order, at: datetime) -> Prepay:
        raise_next(self.before)
        if self.payments or self.closed:
            raise GatewayRefused("prepay", code=ORDER_PAID if self.payments else ORDER_CLOSED)
        self.placed = order
        raise_next(self.after)
        return Prepay(at, "RSA", prepay_id="wx-1")

    async def query(self, order: Order, *, transaction_id: str = "") -> Verified[Transaction]:
        raise_next(self.before)
        if self.placed is None:
            raise GatewayRefused("query", code=ORDER_NOT_EXIST)
        if self.payments:
            return self.paid(self.payments[0], order.total)
        state = RemoteState.CLOSED if self.closed else RemoteState.NOTPAY
        return Verified(Transaction(order.appid, order.mchid, order.out_trade_no, state), "desk")

    async def close(self, order: Order) -> None:
        raise_next(self.before)
        if self.payments or self.placed is None:
            raise GatewayRefused("close", code=ORDER_PAID if self.payments else ORDER_NOT_EXIST)
        self.closed = True
        raise_next(self.after)

    def paid(self, transaction_id: str, total: int) -> Verified[Transaction]:
        """Return the verified transaction of a payment of its order."""
        order = self.placed
        assert order is not None
        numbers = (order.appid, order.mchid, order.out_trade_no)
        payload = Transaction(
            *numbers,
            RemoteState.SUCCESS,
            total,
            transaction_id=transaction_id,
            trade_type="JSAPI",
            openid=order.openid,
            success_time=self.clock.now(),
        )
        return Verified(payload, "desk")

    def pay_params(self, appid: str, prepay: Prepay) -> PayParams:
        return PayParams(appid, "1", "n", f"prepay_id={prepay.prepay_id}", prepay.sign_type, "s")

    def app_params(self, appid: str, prepay: Prepay) -> AppPayParams:
        return AppPayParams(appid, "m", prepay.prepay_id, "Sign=WXPay", "n", "1", "s")

    def receive(self, headers: Any, body: bytes, *, arrived_at: Any = None) -> Verified[Notification]:
        raise NotImplementedError

    def claimed_order(self, body: bytes) -> str:
        raise NotImplementedError


class CrashingGateway(CrashingProxy):
    """A gateway that works until the process has crashed. Signing is not a call to the outside."""

    def __init__(self, refund_gateway: OneOrderGateway, crash_point: CrashPoint) -> None:
        super().__init__(refund_gateway, crash_point)
        self.pay_params = refund_gateway.pay_params
