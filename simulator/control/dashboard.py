"""The simulator's front page: who holds the phone, the clock, what can be set going, and the newest of everything."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, time, timedelta
from typing import NamedTuple

from simulator.bills.faults import InjectedKind
from simulator.browser.cashier import PLANS
from simulator.control.calls import order_json
from simulator.control.faults import Fault
from simulator.control.money_calls import refund_json
from simulator.simulator import Simulator
from simulator.state.clock import moment
from simulator.state.refund_outcomes import REFUND_PLANS
from simulator.web.pages import COOKIE, PageHandler, origin_of
from wechat.domain.errors import Bilingual
from wechat.domain.times import BEIJING, beijing_day, to_v3

SHOWN = 20
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
FAULT_NAMES: Mapping[Fault, Bilingual] = {
    Fault.TIMEOUT_BEFORE: Bilingual("不应答，未生效", "no answer, no effect"),
    Fault.TIMEOUT_AFTER: Bilingual("不应答，但已生效", "no answer, but it took effect"),
    Fault.HTTP_500: Bilingual("空的 HTTP 500", "an empty HTTP 500"),
    Fault.SYSTEM_ERROR: Bilingual("系统错误 SYSTEM_ERROR", "SYSTEM_ERROR"),
    Fault.UNSIGNED: Bilingual("应答没有签名", "an answer without a signature"),
    Fault.WRONG_SIGNATURE: Bilingual("应答签名错误", "an answer with a wrong signature"),
    Fault.PROBE: Bilingual("探测签名 SIGNTEST", "a SIGNTEST probe"),
    Fault.OLD_SPELLING: Bilingual("旧的错误码写法", "old spelling of error codes"),
}
"""Those that a form can make; a refusal and a delay need more than a kind."""
FAULT_PATHS: Mapping[str, Bilingual] = {
    "/*": Bilingual("全部接口", "every call"),
    "/v3/pay/transactions/jsapi": Bilingual("APIv3 下单", "APIv3: place an order"),
    "/v3/pay/transactions/out-trade-no/*": Bilingual("APIv3 查单与关单", "APIv3: query and close"),
    "/v3/refund/*": Bilingual("APIv3 退款", "APIv3: refunds"),
    "/v3/bill/*": Bilingual("APIv3 账单", "APIv3: bills"),
    "/pay/unifiedorder": Bilingual("APIv2 下单", "APIv2: place an order"),
    "/pay/orderquery": Bilingual("APIv2 查单", "APIv2: query"),
    "/secapi/pay/refund": Bilingual("APIv2 退款", "APIv2: refunds"),
    "/cgi-bin/*": Bilingual("服务号接口（access_token、jsapi_ticket）", "service account: access_token, jsapi_ticket"),
    "/sns/*": Bilingual("网页授权", "authorisation by web page"),
}


class Preset(NamedTuple):
    """A fault that a button makes: what it is called, and the rule as the control call takes it."""

    name: Bilingual
    rule: Mapping[str, str | int]


FAULT_PRESETS = (
    Preset(
        Bilingual("下单不应答，但已生效", "an order is placed, the answer lost"),
        {"path": "/v3/pay/transactions/*", "fault": "timeout_after", "times": 1},
    ),
    Preset(
        Bilingual("查单三次 HTTP 500", "three queries answered with HTTP 500"),
        {"path": "/v3/pay/transactions/out-trade-no/*", "fault": "http_500", "times": 3},
    ),
    Preset(
        Bilingual("应答签名错误", "an answer with a wrong signature"),
        {"path": "/v3/pay/*", "fault": "wrong_signature", "times": 1},
    ),
    Preset(
        Bilingual("应答慢 3 秒", "answers 3 s late"),
        {"path": "/v3/*", "fault": "delay", "ms": 3000, "times": 5},
    ),
    Preset(
        Bilingual("频率限制", "too many requests"),
        {"path": "/v3/pay/*", "fault": "refuse", "code": "FREQUENCY_LIMITED", "message": "频率超限", "times": 2},
    ),
    Preset(
        Bilingual("退款余额不足", "too little balance for a refund"),
        {"path": "/v3/refund/*", "fault": "refuse", "code": "NOT_ENOUGH", "message": "基本账户余额不足", "times": 1},
    ),
    Preset(
        Bilingual("账单生成中", "the bill is not ready"),
        {"path": "/v3/bill/*", "fault": "refuse", "code": "STATEMENT_CREATING", "message": "账单生成中", "times": 1},
    ),
)


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
            refund_plans=REFUND_PLANS,
            balance=simulator.wallet.balance,
            today=today.isoformat(),
            injected=simulator.injected.by_day(),
            difference_kinds={kind: text.to(self.lang) for kind, text in DIFFERENCE_KINDS.items()},
            clock=simulator.clock,
            now=to_v3(now),
            to_bill_s=_until_bills_are_out(now),
            faults=simulator.faults.as_json(),
            fault_names={kind: text.to(self.lang) for kind, text in FAULT_NAMES.items()},
            fault_paths={path: text.to(self.lang) for path, text in FAULT_PATHS.items()},
            presets=[(preset.name.to(self.lang), preset.rule) for preset in FAULT_PRESETS],
            plans={name: plan.en if self.lang == "en" else plan.zh for name, plan in PLANS.items()},
            proposed=simulator.cashier.proposed,
            shop=_shop_of(simulator),
            serial_no=simulator.keys.certificate.serial_no,
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


class Missing(PageHandler):
    """Every other address under /simulator/: a page with a way back."""

    def get(self) -> None:
        self.send_error(404)


def _shop_of(simulator: Simulator) -> str:
    """Where the merchant's pages are, as far as its payment directories tell; empty otherwise."""
    directories = simulator.console.settings.pay_directories or [""]
    return origin_of(directories[0]) + "/" if directories and directories[0] else ""


def _until_bills_are_out(now: datetime) -> int:
    """Seconds up to the hour at which a service fetches the bill of the day that it is."""
    out = datetime.combine(beijing_day(now) + timedelta(days=1), BILLS_OUT, BEIJING)
    return int((out - now).total_seconds()) + 1
