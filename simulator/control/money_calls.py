"""``/simulator/*`` for money: forced payments, sales at a till, refunds, the console, the balance, bills, the actual
sums."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import date
from enum import StrEnum
from typing import Any, TypeVar

from simulator.bills.days import read_day
from simulator.bills.faults import InjectedDifference, InjectedKind
from simulator.control.calls import attempt_json
from simulator.control.scenarios import RefundScenario
from simulator.simulator import Simulator
from simulator.state.clock import moment
from simulator.state.orders import RuleBroken
from simulator.state.refund_outcomes import Expected
from simulator.state.refunds import Denied, Refund, RefundDenied
from simulator.web.pages import ControlError, ControlHandler
from wechat.domain.errors import Bilingual
from wechat.domain.times import to_v3

MOST_PLANTS = 1000
MOST_FEN = 10**12
DENIALS: Mapping[Denied, Bilingual] = {
    Denied.ALL_BACK: Bilingual("该订单已全额退款", "this order is already fully refunded"),
    Denied.OVER_REST: Bilingual("退款金额超过可退金额", "this is more than the refundable amount"),
    Denied.TOO_SOON: Bilingual(
        "同一订单两笔退款要间隔一分钟，请把时钟前进 1 分钟后重试",
        "refunds of one order must be at least a minute apart; move the clock forward by one minute and try again",
    ),
    Denied.NOT_ENOUGH: Bilingual(
        "商户余额不足，请充值后重试", "the merchant's balance is too low; top it up and try again"
    ),
    Denied.NOT_ABNORMAL: Bilingual("该笔退款不是异常状态", "this refund is not abnormal"),
}
"""Refusals that a button of the pages can cause."""
E = TypeVar("E", bound=StrEnum)


class ForcedPayment(ControlHandler):
    """POST /simulator/orders/{out_trade_no}/payments ``{"user"}``: a payment that WeChat's own rules forbid."""

    async def post(self, out_trade_no: str) -> None:
        asked = self.body()
        try:
            order = self.simulator.orders.find(out_trade_no)
        except RuleBroken:
            raise ControlError("no such order", 404) from None
        user = self.user(asked["user"]) if asked.get("user") else self.simulator.cashier.payer_of(order)
        paid = await self.simulator.cashier.pay_anyway(order, user)
        self.set_status(201)
        self.tell({"out_trade_no": out_trade_no, "transaction_id": paid.transaction_id, "payer": paid.openid})


class Till(ControlHandler):
    """POST /simulator/till ``{"out_trade_no", "total"}``: a sale of another system of the merchant at its till.

    No notification is sent; the sale is on the bill, as all sales of the merchant number are.
    """

    async def post(self) -> None:
        asked = self.body()
        number, total = str(asked.get("out_trade_no") or ""), _fen(asked.get("total"))
        try:
            paid = await self.simulator.cashier.sell_at_till(number, total)
        except ValueError as error:
            raise ControlError(str(error), 409) from None
        self.set_status(201)
        self.tell({"out_trade_no": number, "transaction_id": paid.transaction_id})


class Refunds(ControlHandler):
    """GET ?limit=: the newest refunds."""

    def get(self) -> None:
        refunds = self.simulator.refunds.latest(self.limit())
        self.tell(
            {"count": len(self.simulator.refunds), "refunds": [refund_json(self.simulator, each) for each in refunds]}
        )


class OneRefund(ControlHandler):
    """GET: the actual data of a refund, and every attempt to notify the merchant."""

    def get(self, out_refund_no: str) -> None:
        try:
            self.tell(refund_json(self.simulator, self.simulator.refunds.find(out_refund_no)))
        except RefundDenied as denied:
            raise ControlError(str(denied), 404) from None


class RefundScenarios(ControlHandler):
    """POST ``{"scenario", "out_trade_no", "times"}``: set the scenario of the next refunds."""

    def post(self) -> None:
        asked = self.body()
        scenario = _member(RefundScenario, asked.get("scenario"), "scenario")
        times = asked.get("times", 1)
        if type(times) is not int or times < 1:
            raise ControlError("times is a whole number from 1")
        self.simulator.refund_desk.expect(Expected(scenario, str(asked.get("out_trade_no") or ""), times))
        self.set_status(201)
        self.tell({"scenario": scenario.value, "times": times})


class ConsoleRefund(ControlHandler):
    """POST /simulator/console/refunds ``{"out_trade_no", "refund", "reason"}``: a refund made by hand in the merchant's
    console."""

    async def post(self) -> None:
        asked = self.body()
        try:
            order, payment = self.simulator.payment("", str(asked.get("out_trade_no")))
            amount = _fen(asked.get("refund", order.placed.total - payment.refunded))
            refund = self.simulator.refund_desk.take_at_console(order, payment, amount, str(asked.get("reason") or ""))
        except RefundDenied as denied:
            raise ControlError(DENIALS.get(denied.denied, str(denied)), 409) from None
        await self.simulator.journal.durable()
        self.set_status(201)
        self.tell(refund_json(self.simulator, refund))


class ResendRefund(ControlHandler):
    """POST /simulator/console/refunds/{out_refund_no}/resend: send the money of an abnormal refund to another
    account."""

    async def post(self, out_refund_no: str) -> None:
        try:
            refund = self.simulator.refund_desk.resend(out_refund_no)
        except RefundDenied as denied:
            raise ControlError(DENIALS.get(denied.denied, str(denied)), 409) from None
        await self.simulator.journal.durable()
        self.tell(refund_json(self.simulator, refund))


class Balance(ControlHandler):
    """GET; POST ``{"transfer": -5000}``: fen that the merchant pays in, or takes out if negative."""

    def get(self) -> None:
        self.simulator.refunds.end_due()
        self.tell({"balance": self.simulator.wallet.balance})

    async def post(self) -> None:
        amount = self.body().get("transfer")
        if type(amount) is not int or abs(amount) > MOST_FEN:
            raise ControlError(f"transfer is a whole number of fen, {MOST_FEN} at most")
        self.simulator.refunds.end_due()
        try:
            self.simulator.wallet.transfer(amount)
        except ValueError as error:
            raise ControlError(Bilingual("余额不足，无法提现", str(error)), 409) from None
        await self.simulator.journal.durable()
        self.get()


class BillFaults(ControlHandler):
    """GET ?date= lists, POST ``{"date", "kind", "number", "times"}`` injects, DELETE ?date= restores the bill."""

    def get(self) -> None:
        self._show(self.simulator.injected.of_day(self._date()))

    async def post(self) -> None:
        asked = self.body()
        day = _day(asked.get("date"))
        kind = _member(InjectedKind, asked.get("kind"), "kind")
        times = asked.get("times", 1)
        if type(times) is not int or not 1 <= times <= MOST_PLANTS:
            raise ControlError(f"times is a whole number from 1 to {MOST_PLANTS}")
        try:
            planted = [self.simulator.bills.plant(day, kind, str(asked.get("number") or "")) for _ in range(times)]
        except ValueError as error:
            nothing = Bilingual("该日账单中没有可以注入这种差异的记录，请先付款一笔或换一种差异", str(error))
            raise ControlError(nothing, 409) from None
        await self.simulator.journal.durable()
        self.set_status(201)
        self._show(planted)

    async def delete(self) -> None:
        self.simulator.injected.clear(self._date())
        await self.simulator.journal.durable()
        self.get()

    def _date(self) -> date:
        return _day(self.get_query_argument("date", ""))

    def _show(self, planted: Iterable[InjectedDifference]) -> None:
        self.tell({"faults": [asdict(plant) for plant in planted]})


class Truth(ControlHandler):
    """GET /simulator/books/{date}: the actual sums of a Beijing day, whatever its bill says."""

    def get(self, text: str) -> None:
        day = _day(text)
        self.tell({"date": day.isoformat(), **asdict(self.simulator.bills.truth(day))})


def refund_json(simulator: Simulator, refund: Refund) -> dict[str, Any]:
    """Return the actual data of ``refund``; times by the calendar, in RFC 3339."""
    taken, order = refund.taken, simulator.orders.find(refund.taken.out_trade_no)
    return {
        "out_refund_no": taken.out_refund_no,
        "refund_id": taken.refund_id,
        "out_trade_no": taken.out_trade_no,
        "transaction_id": taken.transaction_id,
        "api": taken.api,
        "refund": taken.refund,
        "total": taken.total,
        "payer_refund": refund.share.cash,
        "settled_refund": refund.settled,
        "fee": refund.fee,
        "reason": taken.reason,
        "notify_url": taken.notify_url or None,
        "scenario": taken.scenario,
        "state": refund.state.value,
        "taken_at": to_v3(moment(taken.wall_s)),
        "ended_at": to_v3(moment(refund.ended.wall_s)) if refund.ended else None,
        "attempts": [attempt_json(each) for each in order.attempts if each.out_refund_no == taken.out_refund_no],
    }


def _member(kind: type[E], value: object, name: str) -> E:
    try:
        return kind(str(value))
    except ValueError:
        raise ControlError(f"{name} is one of: {', '.join(kind)}") from None


def _day(text: object) -> date:
    try:
        return read_day(str(text))
    except ValueError:
        raise ControlError("date is YYYY-MM-DD") from None


def _fen(amount: object) -> int:
    if type(amount) is not int or not 1 <= amount <= MOST_FEN:
        raise ControlError(f"an amount is a whole number of fen from 1 to {MOST_FEN}")
    return amount
