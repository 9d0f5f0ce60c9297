"""The simulator's front page: who holds the phone, the clock, what can be set going, and the newest of everything."""

from __future__ import annotations

from datetime import datetime, time, timedelta

from simulator.bills.faults import InjectedKind
from simulator.control.calls import order_json
from simulator.control.money_calls import refund_json
from simulator.state.clock import moment
from simulator.state.refund_outcomes import REFUND_PLANS
from simulator.web.pages import COOKIE, PageHandler
from wechat.domain.times import BEIJING, beijing_day, to_v3

SHOWN = 20
BILLS_OUT = time(10, 5)
PLANT_KINDS = {
    InjectedKind.MISSING_HERE: "账单多一笔未支付订单的支付 a payment of an unpaid order",
    InjectedKind.MISSING_THERE: "账单缺一笔支付 a payment left out",
    InjectedKind.AMOUNT: "金额相差 1 分 a fen more",
    InjectedKind.STATE: "状态不一致 another state",
    InjectedKind.REFUND_MISSING_HERE: "账单多一笔退款 a refund that was not requested",
    InjectedKind.REFUND_MISSING_THERE: "账单缺一笔退款 a refund left out",
    InjectedKind.DOUBLE_PAYMENT: "重复支付 a second payment",
    InjectedKind.UNKNOWN_NUMBER: "系统没有的订单号 an unknown order number",
}


class Index(PageHandler):
    """GET /simulator/."""

    def get(self) -> None:
        self.policy()
        simulator, now = self.simulator, moment(self.simulator.clock.now_s())
        simulator.refunds.end_due()
        today = beijing_day(moment(simulator.clock.calendar_s()))
        self.render(
            "index.html",
            users=simulator.identity.users,
            picked=self.find_user(),
            orders=[order_json(simulator, order) for order in simulator.orders.latest(SHOWN)],
            refunds=[refund_json(simulator, refund) for refund in simulator.refunds.latest(SHOWN)],
            refund_plans=REFUND_PLANS,
            balance=simulator.wallet.balance,
            today=today.isoformat(),
            injected=simulator.injected.by_day(),
            plant_kinds=PLANT_KINDS,
            clock=simulator.clock,
            now=to_v3(now),
            to_bill_s=_until_bills_are_out(now),
            faults=simulator.faults.as_json(),
        )


class Pick(PageHandler):
    """POST /simulator/user: another user takes the phone."""

    def post(self) -> None:
        user = self.simulator.identity.user(self.get_body_argument("user", ""))
        if user:
            self.pick(user)
        else:
            self.clear_cookie(COOKIE, path="/")
        self.redirect("/simulator/", status=303)


def _until_bills_are_out(now: datetime) -> int:
    """Seconds up to the hour at which a service fetches the bill of the day that it is."""
    out = datetime.combine(beijing_day(now) + timedelta(days=1), BILLS_OUT, BEIJING)
    return int((out - now).total_seconds()) + 1
