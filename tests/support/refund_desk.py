"""WeChat's side of refunds, as a gateway without a wire: it keeps what it took, and can be told to behave badly."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from wechat.errors import FenpayError, GatewayRefused, OutcomeUnknown
from wechat.models import Api, RefundFact, RefundState, Verified
from wechat.pay.codes import REFUND_NOT_EXIST
from wechat.refund_models import Refund


class Died(Exception):
    """The process ended here."""


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
        _raise_next(self.before)
        if refund.out_refund_no not in self.taken:
            if error := self.judge(refund):
                raise error
            self.taken[refund.out_refund_no] = fact(refund, self.answers_as)
        _raise_next(self.after)
        return Verified(self.taken[refund.out_refund_no], "desk")

    async def query_refund(self, refund: Refund) -> Verified[RefundFact]:
        self.calls.append(f"query {refund.out_refund_no}")
        _raise_next(self.before)
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
    )


def _raise_next(errors: list[FenpayError | None]) -> None:
    error = errors.pop(0) if errors else None
    if error:
        raise error
