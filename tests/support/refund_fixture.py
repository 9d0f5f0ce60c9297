"""A gateway that plays WeChat's side of refunds: it stores what it receives, and can be told to fail."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, cast

from tests.contract.samples import NOW, an_order, paid
from tests.support.clock import ManualClock
from tests.support.core import SAME, Backend, Core, CrashingProxy, CrashPoint
from wechat.domain.errors import FenpayError, GatewayRefused, OutcomeUnknown
from wechat.domain.facts import Api, RefundState, RemoteRefund, Verified
from wechat.domain.money import Fen
from wechat.domain.orders import MIN_REFUND_INTERVAL, Order, Refund
from wechat.pay.codes import REFUND_NOT_EXIST
from wechat.pay.gateway import RefundGateway
from wechat.refunds.late_payments import LatePolicy
from wechat.refunds.requests import RefundRequest

TURN_S = MIN_REFUND_INTERVAL.total_seconds()


class RefundFixture:
    """Refunds over memory and one gateway, which stands for both APIs."""

    def __init__(self, backend: Backend, policy: LatePolicy = LatePolicy.ASK) -> None:
        self.backend = backend
        self.refund_gateway = FakeRefundGateway()
        self._policy = policy
        self.core = self.process()
        self.refunds = self.core.refunds

    def process(self, *, route: Mapping[Api, Api] = SAME, crash_point: CrashPoint | None = None) -> Core:
        """Return another process over the same stores; with a ``crash_point`` it dies there."""
        refund_gateway = cast(
            RefundGateway, CrashingProxy(self.refund_gateway, crash_point) if crash_point else self.refund_gateway
        )
        return Core(
            self.backend,
            refund_gateways=dict.fromkeys(Api, refund_gateway),
            policy=self._policy,
            route=route,
            crash_point=crash_point,
        )


class Shop:
    """An order paid with 100 fen, and the requests to refund it."""

    def __init__(self) -> None:
        self.clock = ManualClock(NOW)
        self.backend = Backend(self.clock)
        self.fixture = RefundFixture(self.backend)
        self.refund_gateway = self.fixture.refund_gateway
        self.order = self.place()

    def place(self, number: str = "20260301120506abc", **changes: Any) -> Order:
        """Store a paid order whose event was handed out, unless told otherwise."""
        order = paid(an_order(number, total=Fen(100)), f"4200{number}")
        return self.backend.put(replace(order, outbox=(), **changes))

    def place_unpaid(self, number: str, **changes: Any) -> Order:
        return self.backend.put(an_order(number, total=Fen(100), **changes))

    async def ask(
        self, refund: int = 60, *, order: Order | None = None, key: str = "", process: Core | None = None, **more: Any
    ) -> Refund:
        """Request a refund at a process, by default the first one."""
        wanted = RefundRequest.parse({"refund": refund, "reason": "缺货", **more})
        refunds = process.refunds if process else self.fixture.refunds
        number = (order or self.order).out_trade_no
        named = key or ("" if wanted.out_refund_no else f"key-{secrets.token_hex(6)}")
        return await refunds.request(number, wanted, by="shop", idempotency_key=named)

    async def work(self, minutes: float = TURN_S / 60, *, process: Core | None = None) -> None:
        """Advance the clock, by default to an order's next check, and do the work that is then due."""
        self.clock.advance(minutes * 60)
        while await (process or self.fixture.core).work_once():
            pass

    def stored(self, refund: Refund) -> Refund:
        return self.backend.refunds[refund.out_refund_no]

    @property
    def stored_order(self) -> Order:
        return self.backend.orders[self.order.out_trade_no]

    @property
    def reserved(self) -> int:
        return self.stored_order.refund_reserved

    @property
    def calls(self) -> list[str]:
        return [call.split()[0] for call in self.refund_gateway.calls]

    def alarms(self, kind: str) -> int:
        return self.backend.telemetry.alarms(kind)


def lost(call: str = "refund") -> OutcomeUnknown:
    return OutcomeUnknown(call, wire_message="TimeoutError")


SURE_NO = "USER_ACCOUNT_ABNORMAL"


def refused(code: str = SURE_NO, call: str = "refund") -> GatewayRefused:
    """Return a refusal, by default one that ends a refund."""
    return GatewayRefused(call, code=code, wire_code=code, wire_message="用户账户异常")


@dataclass
class FakeRefundGateway:
    """``RefundGateway``. Each call consumes one entry of ``before`` (raised without an effect) and ``after`` (raised
    although it had an effect); None in either lets the call pass."""

    api: Api = Api.V3
    taken: dict[str, RemoteRefund] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    before: list[FenpayError | None] = field(default_factory=list)
    after: list[FenpayError | None] = field(default_factory=list)
    judge: Callable[[Refund], FenpayError | None] = lambda refund: None
    answers_as: RefundState = RefundState.PROCESSING

    async def refund(self, refund: Refund) -> Verified[RemoteRefund]:
        self.calls.append(f"refund {refund.out_refund_no}")
        raise_next(self.before)
        if refund.out_refund_no not in self.taken:
            if error := self.judge(refund):
                raise error
            self.taken[refund.out_refund_no] = fact(refund, self.answers_as)
        raise_next(self.after)
        return Verified(self.taken[refund.out_refund_no], "desk")

    async def query_refund(self, refund: Refund) -> Verified[RemoteRefund]:
        self.calls.append(f"query {refund.out_refund_no}")
        raise_next(self.before)
        if refund.out_refund_no not in self.taken:
            raise refused(REFUND_NOT_EXIST, "refund_query")
        return Verified(self.taken[refund.out_refund_no], "desk")

    def turns_out(self, refund: Refund, state: RefundState) -> Verified[RemoteRefund]:
        """Set an accepted refund to ``state``; return what a query would report."""
        self.taken[refund.out_refund_no] = fact(refund, state)
        return Verified(self.taken[refund.out_refund_no], "desk")


def fact(refund: Refund, state: RefundState) -> RemoteRefund:
    """Return WeChat's report of ``refund`` in ``state``."""
    return RemoteRefund(
        mchid=refund.mchid,
        out_refund_no=refund.out_refund_no,
        out_trade_no=refund.out_trade_no,
        refund_id=f"5030{refund.out_refund_no[-8:]}",
        state=state,
        refund=refund.refund,
        total=refund.total,
        success_time=refund.created_at if state is RefundState.SUCCESS else None,
        transaction_id=refund.transaction_id,
    )


def raise_next(errors: list[FenpayError | None]) -> None:
    """Remove the first entry, and raise it unless it is None."""
    error = errors.pop(0) if errors else None
    if error:
        raise error
