"""WeChat's side of refunds, as a gateway without a wire: it keeps what it took, and can be told to behave badly."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, cast

from tests.support.stores import MemoryClaims, MemoryOrders, MemoryRefunds
from wechat.domain.errors import FenpayError, GatewayRefused, OutcomeUnknown
from wechat.late import LateMoney, LatePolicy
from wechat.models import Api, RefundFact, RefundState, Verified
from wechat.pay.codes import REFUND_NOT_EXIST
from wechat.pay.gateway import RefundGateway
from wechat.ports import ClaimStore, Clock, OrderStore, RefundStore
from wechat.refund_models import Refund
from wechat.refunds import Refunds, RefundTerms
from wechat.workers import RefundWorker

SAME = MappingProxyType({api: api for api in Api})


class Died(Exception):
    """The process ended here."""


@dataclass
class Fuse:
    """Counts calls to the world outside; the process ends at call ``at``, before it or with its effect done."""

    at: int = 0
    after: bool = False
    calls: int = 0


class Mortal:
    """Anything with async methods, for as long as the fuse burns."""

    def __init__(self, inner: object, fuse: Fuse) -> None:
        self._inner, self._fuse = inner, fuse

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        method = getattr(self._inner, name)

        async def call(*args: Any, **kwargs: Any) -> Any:
            self._fuse.calls += 1
            ends = self._fuse.calls == self._fuse.at
            if ends and not self._fuse.after:
                raise Died
            result = await method(*args, **kwargs)
            if ends:
                raise Died
            return result

        return call


class Till:
    """Refunds over memory and one desk, which stands for both APIs."""

    def __init__(self, orders: MemoryOrders, clock: Clock, policy: LatePolicy = LatePolicy.ASK) -> None:
        self.orders, self.clock = orders, clock
        self.store, self.claims, self.desk = MemoryRefunds(), MemoryClaims(), RefundDesk()
        self.refunds = self.process()
        self.late = LateMoney(policy, self.refunds, orders, clock)
        self.worker = RefundWorker(self.refunds, self.store, clock)

    def mortal(self, fuse: Fuse) -> Refunds:
        """One more process over the same stores, which dies when ``fuse`` burns down."""
        terms = RefundTerms(SAME, "https://pay.example.com/notify")
        desk = cast(RefundGateway, Mortal(self.desk, fuse))
        return Refunds(
            terms,
            dict.fromkeys(Api, desk),
            cast(OrderStore, Mortal(self.orders, fuse)),
            cast(RefundStore, Mortal(self.store, fuse)),
            cast(ClaimStore, Mortal(self.claims, fuse)),
            self.clock,
        )

    def process(self, *, route: Mapping[Api, Api] = SAME) -> Refunds:
        """One more process over the same stores."""
        terms = RefundTerms(route, "https://pay.example.com/notify")
        desks = {Api.V2: self.desk, Api.V3: self.desk}
        return Refunds(terms, desks, self.orders, self.store, self.claims, self.clock)


def lost(call: str = "refund") -> OutcomeUnknown:
    return OutcomeUnknown(call, wire_message="TimeoutError")


def refused(code: str = "NOT_ENOUGH", call: str = "refund") -> GatewayRefused:
    return GatewayRefused(call, code=code, wire_code=code, wire_message="基本账户余额不足")


@dataclass
class RefundDesk:
    """``RefundGateway``. Each call consumes one entry of ``before`` (raised, nothing happens) and ``after`` (raised
    although it happened); None in either lets the call pass."""

    api: Api = Api.V3
    taken: dict[str, RefundFact] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    before: list[FenpayError | None] = field(default_factory=list)
    after: list[FenpayError | None] = field(default_factory=list)
    judge: Callable[[Refund], FenpayError | None] = lambda refund: None
    answers_as: RefundState = RefundState.PROCESSING

    async def refund(self, refund: Refund) -> Verified[RefundFact]:
        self.calls.append(f"refund {refund.out_refund_no}")
        raise_next(self.before)
        if refund.out_refund_no not in self.taken:
            if error := self.judge(refund):
                raise error
            self.taken[refund.out_refund_no] = fact(refund, self.answers_as)
        raise_next(self.after)
        return Verified(self.taken[refund.out_refund_no], "desk")

    async def query_refund(self, refund: Refund) -> Verified[RefundFact]:
        self.calls.append(f"query {refund.out_refund_no}")
        raise_next(self.before)
        if refund.out_refund_no not in self.taken:
            raise refused(REFUND_NOT_EXIST, "refund_query")
        return Verified(self.taken[refund.out_refund_no], "desk")

    def turns_out(self, refund: Refund, state: RefundState) -> Verified[RefundFact]:
        """Bring a refund it took to ``state``; what it would tell about it."""
        self.taken[refund.out_refund_no] = fact(refund, state)
        return Verified(self.taken[refund.out_refund_no], "desk")


def fact(refund: Refund, state: RefundState) -> RefundFact:
    """What is said of ``refund`` in ``state``."""
    return RefundFact(
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
    """The next call's fate."""
    error = errors.pop(0) if errors else None
    if error:
        raise error
