"""The simulator's front page: the picked user, the clock, scenarios and faults, and the newest orders and refunds."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, time, timedelta
from typing import Any, TypeVar

from tornado.web import HTTPError

from simulator.bills.faults import InjectedKind
from simulator.control.calls import order_json
from simulator.control.money_calls import refund_json
from simulator.control.presets import FAULT_NAMES, FAULT_PATHS, FORM_FAULTS, PRESETS
from simulator.control.scenarios import REFUND_SCENARIO_NAMES, SCENARIO_NAMES
from simulator.state.clock import moment
from simulator.web.pages import COOKIE, PageHandler
from wechat.domain.errors import Bilingual
from wechat.domain.times import BEIJING, beijing_day

SHOWN = 20
K = TypeVar("K")
BILLS_OUT = time(10, 5)
DIFFERENCE_KINDS: Mapping[InjectedKind, Bilingual] = {
    InjectedKind.MISSING_HERE: Bilingual("账单多一笔未支付订单的支付", "a payment of an unpaid order"),
    InjectedKind.MISSING_THERE: Bilingual("账单缺一笔支付", "a payment left out"),
    InjectedKind.AMOUNT: Bilingual("金额相差 1 分", "one fen more"),
    InjectedKind.STATE: Bilingual("状态不一致", "another state"),
    InjectedKind.REFUND_MISSING_HERE: Bilingual("账单多一笔退款", "a refund that was not requested"),
    InjectedKind.REFUND_MISSING_THERE: Bilingual("账单缺一笔退款", "a refund left out"),
    InjectedKind.DOUBLE_PAYMENT: Bilingual("重复支付", "a second payment"),
    InjectedKind.UNKNOWN_NUMBER: Bilingual("系统没有的订单号", "an unknown order number"),
}


class Index(PageHandler):
    """GET /simulator/."""

    def get(self) -> None:
        self.policy()
        simulator, now = self.simulator, moment(self.simulator.clock.now_s())
        simulator.refunds.end_due()
        today = beijing_day(moment(simulator.clock.calendar_s()))
        self.show(
            "index.html",
            users=simulator.identity.users,
            picked=self.find_user(),
            orders=[order_json(simulator, order) for order in simulator.orders.latest(SHOWN)],
            refunds=[refund_json(simulator, refund) for refund in simulator.refunds.latest(SHOWN)],
            refund_plans=self._translate(REFUND_SCENARIO_NAMES),
            balance=simulator.wallet.balance,
            today=today.isoformat(),
            injected=simulator.injected.by_day(),
            difference_kinds=self._translate(DIFFERENCE_KINDS),
            clock=simulator.clock,
            now=f"{now.astimezone(BEIJING):%Y-%m-%d %H:%M:%S}",
            to_bill_s=_until_bills_are_out(now),
            faults=simulator.faults.as_json(),
            fault_names=self._translate(FAULT_NAMES),
            form_faults=self._translate({kind: FAULT_NAMES[kind] for kind in FORM_FAULTS}),
            fault_paths=self._translate(FAULT_PATHS),
            presets=[(api, [(each.name.to(self.lang), each.rule) for each in rules]) for api, rules in PRESETS.items()],
            plans=self._translate(SCENARIO_NAMES),
            proposed=simulator.cashier.proposed,
            serial_no=simulator.keys.certificate.serial_no,
        )

    def _translate(self, names: Mapping[K, Bilingual]) -> dict[K, str]:
        return {key: name.to(self.lang) for key, name in names.items()}


class Pick(PageHandler):
    """POST /simulator/user: pick the user of the phone."""

    def post(self) -> None:
        user = self.simulator.identity.user(self.get_body_argument("user", ""))
        if user:
            self.pick(user)
        else:
            self.clear_cookie(COOKIE, path="/")
        self.redirect("/simulator/", status=303)


class Missing(PageHandler):
    """Answer 404 for every other address under /simulator/: a page with a link back."""

    def get(self) -> None:
        self.send_error(404)


class Elsewhere(PageHandler):
    """Answer 404 without a body to every path that is neither WeChat's nor the simulator's, as WeChat does; ``/``
    redirects browsers to the front page."""

    def prepare(self) -> None:
        if self.request.path == "/" and self._reads_pages:
            self.redirect("/simulator/")
            return
        raise HTTPError(404)

    @property
    def _reads_pages(self) -> bool:
        return "text/html" in self.request.headers.get("Accept", "")

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        if self._reads_pages:
            super().write_error(status_code, **kwargs)
        else:
            self.finish(b"")


def _until_bills_are_out(now: datetime) -> int:
    """Return the seconds until a service fetches the bill of the current day."""
    out = datetime.combine(beijing_day(now) + timedelta(days=1), BILLS_OUT, BEIJING)
    return int((out - now).total_seconds()) + 1
