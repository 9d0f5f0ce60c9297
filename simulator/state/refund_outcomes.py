"""The outcome of a refund and its notifications: by scenario, which is set before the refund."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace

from simulator.control.console import Console
from simulator.control.scenarios import RefundScenario
from simulator.notify.messages import NotificationSpec
from simulator.notify.sender import NotificationSender
from simulator.state.orders import Order, Payment
from simulator.state.refunds import Refund, RefundAsked, RefundOutcome, Refunds, State
from simulator.wechatpay.keys import SignatureMode

DONE_S = 2.0
SLOW_S = 2 * 3600.0
STUCK_S = 7 * 86400.0


@dataclass(frozen=True, slots=True)
class RefundPlan:
    """``outcome`` after ``lasts_s`` simulated seconds; the times of ``shots`` are counted from then."""

    outcome: State = State.SUCCESS
    lasts_s: float = DONE_S
    shots: tuple[NotificationSpec, ...] = (NotificationSpec(),)


REFUND_PLANS = {
    RefundScenario.SUCCESS: RefundPlan(),
    RefundScenario.SLOW: RefundPlan(lasts_s=SLOW_S),
    RefundScenario.STUCK: RefundPlan(State.CLOSED, STUCK_S),
    RefundScenario.ABNORMAL: RefundPlan(State.ABNORMAL),
    RefundScenario.CLOSED: RefundPlan(State.CLOSED),
    RefundScenario.LOST_NOTIFICATION: RefundPlan(shots=()),
    RefundScenario.DUPLICATE: RefundPlan(
        shots=(NotificationSpec(), *2 * (NotificationSpec("duplicate", ladder=False),))
    ),
    RefundScenario.LATE: RefundPlan(shots=(NotificationSpec("late", after_s=6),)),
    RefundScenario.FORGED: RefundPlan(
        shots=(NotificationSpec("forged", ladder=False, seal=SignatureMode.FORGED), NotificationSpec(after_s=1))
    ),
    RefundScenario.PROBE: RefundPlan(
        shots=(NotificationSpec("probe", ladder=False, seal=SignatureMode.PROBE), NotificationSpec(after_s=1))
    ),
}


@dataclass(slots=True)
class Expected:
    """The next ``times`` refunds, of one order if it is named, follow ``scenario``. A restart forgets it."""

    scenario: RefundScenario
    out_trade_no: str = ""
    times: int = 1


class RefundDesk:
    def __init__(self, console: Console, refunds: Refunds, sender: NotificationSender) -> None:
        self._console = console
        self._refunds = refunds
        self._sender = sender
        self._expected: list[Expected] = []

    def expect(self, expected: Expected) -> None:
        self._expected.append(expected)

    def take(self, asked: RefundAsked, order: Order, payment: Payment) -> Refund:
        """Accept a refund of ``payment``, or return the existing one with this number. Raises RefundDenied."""
        existing = self._refunds.find_known(asked, payment.paid.transaction_id)
        if existing:
            return existing
        self._refunds.check(asked, order, payment)
        scenario = self._take_scenario(order)
        plan = REFUND_PLANS[scenario]
        fate = RefundOutcome(scenario.value, plan.outcome, plan.lasts_s)
        refund = self._refunds.take(self._add_address(asked), order, payment, fate)
        self._tell(refund, plan.shots)
        return refund

    def take_at_console(self, order: Order, payment: Payment, refund: int, reason: str) -> Refund:
        """Accept a refund made by hand in the merchant's console; WeChat gives it a number. Raises RefundDenied."""
        number = f"simconsole{secrets.token_hex(10)}"
        return self.take(RefundAsked(number, "console", refund, order.placed.total, reason), order, payment)

    def resend(self, out_refund_no: str) -> Refund:
        """Send the money of an ABNORMAL refund to another account, and notify the merchant. Raises RefundDenied."""
        refund = self._refunds.resend(out_refund_no)
        self._tell(refund, (NotificationSpec(),))
        return refund

    def _add_address(self, asked: RefundAsked) -> RefundAsked:
        """Return ``asked`` with the notify URL of the console, in v2's form, if it names none."""
        if asked.notify_url:
            return asked
        return replace(asked, notify_url=self._console.settings.refund_notify_url or "", notify_api="v2")

    def _take_scenario(self, order: Order) -> RefundScenario:
        for expected in self._expected:
            if expected.out_trade_no in ("", order.placed.out_trade_no):
                expected.times -= 1
                if not expected.times:
                    self._expected.remove(expected)
                return expected.scenario
        return RefundScenario.SUCCESS

    def _tell(self, refund: Refund, shots: tuple[NotificationSpec, ...]) -> None:
        if refund.taken.notify_url:
            self._sender.plan_refund(refund, shots)
