"""The payer's side: the checks before WeChat shows the pay sheet, and the effect of each scenario on a payment.

Messages: https://pay.weixin.qq.com/doc/v3/merchant/4012791898 (JSAPI调起支付) and its FAQ, as users quote them; an
app's parameters: .../4013070351 (APP调起支付) and v2's chapter=9_12. An app receives a number instead of a message.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

from simulator.control.console import Console
from simulator.control.scenarios import Scenario
from simulator.notify.messages import NotificationSpec
from simulator.notify.sender import ANSWER_S, NotificationSender
from simulator.state.clock import Clock, wait
from simulator.state.coupons import Coupon
from simulator.state.journal import Journal
from simulator.state.orders import (
    H5_LIFE_S,
    MIN_LIFE_S,
    PAID_STATES,
    PREPAY_LIFE_S,
    Order,
    OrderRegistry,
    OrderRequest,
    Paid,
    Prepaid,
    Rule,
)
from simulator.state.pki import Certified, Identity, User
from simulator.wechatpay.keys import SignatureMode
from wechat.domain.errors import SignatureInvalid
from wechat.pay.signing import SignType, rsa_verify, v2_pay_fields, v2_verify, v3_pay_message

PARAMETERS = ("appId", "timeStamp", "nonceStr", "package", "signType", "paySign")
APP_PARAMETERS = ("appid", "partnerid", "prepayid", "package", "noncestr", "timestamp", "sign")
APP_PACKAGE = "Sign=WXPay"
TILL_NUMBER = re.compile(r"[0-9A-Za-z_|*-]{6,32}", re.ASCII)
UNREGISTERED = "当前页面的URL未注册："
LACKING = "调用支付JSAPI缺少参数: "
WRONG_SIGN = "支付验证签名失败"
OTHER_PAYER = "下单账号与支付账号不一致，请核实后再支付"
NOT_ENOUGH = "余额不足"
OVER = "订单已过期失效，请重新下单再发起支付"
STATE_WORDS = {Rule.PAID: "该订单已支付", Rule.CLOSED: "订单已关闭"}


@dataclass(frozen=True, slots=True)
class Plan:
    """``result`` is what the page receives: ok, cancel or fail, with ``words``. Only ``ok`` pays.

    ``first``: the page receives it only after the first notification was delivered.
    """

    result: str = "ok"
    words: str = ""
    shots: tuple[NotificationSpec, ...] = (NotificationSpec(),)
    first: bool = False


PLANS = {
    Scenario.SUCCESS: Plan(),
    Scenario.CANCEL: Plan("cancel", shots=()),
    Scenario.NOT_ENOUGH: Plan("fail", NOT_ENOUGH, shots=()),
    Scenario.LOST_NOTIFICATION: Plan(shots=()),
    Scenario.DUPLICATE: Plan(shots=(NotificationSpec(), *2 * (NotificationSpec("duplicate", ladder=False),))),
    Scenario.LATE: Plan(shots=(NotificationSpec("late", after_s=6),)),
    Scenario.FORGED: Plan("cancel", shots=(NotificationSpec("forged", ladder=False, seal=SignatureMode.FORGED),)),
    Scenario.WRONG_AMOUNT: Plan(shots=(NotificationSpec("wrong_amount", over=1),)),
    Scenario.STALE: Plan(shots=(NotificationSpec("stale", ladder=False, skew_s=-600), NotificationSpec(after_s=15))),
    Scenario.PROBE: Plan(
        shots=(NotificationSpec("probe", ladder=False, seal=SignatureMode.PROBE), NotificationSpec(after_s=1))
    ),
    Scenario.OUT_OF_ORDER: Plan(
        shots=(NotificationSpec("second"), NotificationSpec("first", after_s=2, ladder=False, skew_s=-15)), first=True
    ),
}


class BridgeRefusal(Exception):
    """WeChat refuses to start the payment; ``words`` is the message of the dialog."""

    def __init__(self, words: str) -> None:
        super().__init__(words)
        self.words = words


class Cashier:
    """``proposed`` is the preselected scenario of the pay sheet; a restart forgets it."""

    proposed = Scenario.SUCCESS

    def __init__(
        self,
        identity: Identity,
        merchant: Certified,
        console: Console,
        orders: OrderRegistry,
        sender: NotificationSender,
        journal: Journal,
        clock: Clock,
    ) -> None:
        self._identity = identity
        self._merchant = merchant
        self._console = console
        self._orders = orders
        self._sender = sender
        self._journal = journal
        self._clock = clock

    def check_page(self, params: Mapping[str, Any], url: str | None) -> Order:
        """Return the order that getBrandWCPayRequest's ``params`` name. Raises BridgeRefusal.

        ``url`` is the page's; None means a page in a payment directory.
        """
        if url is not None and not self._console.takes_pay(url):
            raise BridgeRefusal(UNREGISTERED + url.partition("#")[0].partition("?")[0])
        for name in PARAMETERS:
            if not isinstance(params.get(name), str) or not params[name]:
                raise BridgeRefusal(LACKING + name)
        label, _, prepay_id = params["package"].partition("=")
        found = self._orders.find_prepay(prepay_id) if label == "prepay_id" else None
        if found is None or found[0].placed.appid != params["appId"] or found[0].placed.trade_type != "JSAPI":
            raise BridgeRefusal(LACKING + "total_fee")
        order, prepaid = found
        self._check_sign(params, order, prepaid)
        return order

    def check_app(self, params: Mapping[str, Any]) -> Order:
        """Return the order that an app's ``params`` name. Raises BridgeRefusal."""
        for name in APP_PARAMETERS:
            if not isinstance(params.get(name), str) or not params[name]:
                raise BridgeRefusal(LACKING + name)
        found = self._orders.find_prepay(params["prepayid"])
        if found is None or found[0].placed.trade_type != "APP":
            raise BridgeRefusal(OVER)
        order, prepaid = found
        if (params["appid"], params["partnerid"]) != (order.placed.appid, order.placed.mchid):
            raise BridgeRefusal(WRONG_SIGN)
        self._check_app_sign(params, order, prepaid)
        return order

    def check_scan(self, url: str) -> Order:
        """Return the order of a code_url or h5_url. Raises BridgeRefusal."""
        try:
            parts = urlsplit(url)
        except ValueError:
            raise BridgeRefusal(OVER) from None
        native = parts.scheme == "weixin"
        values = parse_qs(parts.query).get("pr" if native else "prepay_id", [""])
        found = self._orders.find_prepay(values[0], PREPAY_LIFE_S if native else H5_LIFE_S)
        if found is None or found[0].placed.trade_type != ("NATIVE" if native else "MWEB"):
            raise BridgeRefusal(OVER)
        return found[0]

    def check_payer(self, order: Order, user: User) -> None:
        """Raise BridgeRefusal unless ``user`` may pay ``order`` now."""
        if order.placed.openid and order.placed.openid != user.openid:
            raise BridgeRefusal(OTHER_PAYER)
        state = self._orders.state(order)
        if state in PAID_STATES:
            raise BridgeRefusal(STATE_WORDS[Rule.PAID])
        if state == "CLOSED":
            raise BridgeRefusal(OVER if self._orders.has_timed_out(order) else STATE_WORDS[Rule.CLOSED])

    def payer_of(self, order: Order) -> User:
        """Return the order's payer; any user may pay a Native or H5 order."""
        return self._identity.payer(order.placed.openid) or self._identity.users[0]

    async def play(self, order: Order, user: User, scenario: Scenario, coupons: tuple[Coupon, ...] = ()) -> Plan:
        """Pay as ``user`` by ``scenario``, partly with ``coupons``; return once the payment is on disk.

        Raises BridgeRefusal.
        """
        self.check_payer(order, user)
        plan = PLANS[scenario]
        if plan.result == "ok":
            paid = self._orders.pay(order, user.openid, scenario.value, coupons)
        else:
            paid = self._invent_payment(order, user, scenario)
        delivered = self._sender.plan(paid, plan.shots)
        await self._journal.durable()
        if plan.first:
            await wait(delivered[0], ANSWER_S + 1)
        return plan

    async def pay_anyway(self, order: Order, user: User) -> Paid:
        """Make a payment that WeChat's own rules forbid: of a closed or paid order, or by another payer. It is notified
        once."""
        paid = self._orders.pay_anyway(order, user.openid, "anyway")
        self._sender.plan(paid, (NotificationSpec(),))
        await self._journal.durable()
        return paid

    async def sell_at_till(self, out_trade_no: str, total: int) -> Paid:
        """Make a sale of another system under the same merchant number, paid by a payment code. Raises ValueError.

        Source of the trade type: https://pay.weixin.qq.com/doc/v3/merchant/4013070356 (trade_type MICROPAY).
        """
        if not TILL_NUMBER.fullmatch(out_trade_no):
            raise ValueError("out_trade_no has 6 to 32 letters, digits, _ - | *")
        payer, identity = self._identity.users[0], self._identity
        request = OrderRequest(
            out_trade_no=out_trade_no,
            api="v2",
            trade_type="MICROPAY",
            appid=identity.appid,
            mchid=identity.mchid,
            description="门店收银",
            attach="",
            total=total,
            currency="CNY",
            openid=payer.openid,
            notify_url="",
            device_info="till",
            sign_type="MD5",
            digest="",
            life_s=MIN_LIFE_S,
        )
        paid = self._orders.sell(request, payer.openid)
        await self._journal.durable()
        return paid

    def _invent_payment(self, order: Order, user: User, scenario: Scenario) -> Paid:
        """Return a payment that never took place, for a forged notification."""
        forged = f"simforged{secrets.token_hex(8)}"
        return Paid(order.placed.out_trade_no, forged, user.openid, scenario.value, self._clock.calendar_s())

    def _check_app_sign(self, params: Mapping[str, Any], order: Order, prepaid: Prepaid) -> None:
        """Check an app's signature: v2's over its six fields, v3's over four lines. Raises BridgeRefusal."""
        fields = {name: params[name] for name in APP_PARAMETERS}
        try:
            if fields["package"] != APP_PACKAGE:
                raise SignatureInvalid("package")
            if order.placed.api == "v2":
                kind = v2_verify(fields, self._identity.api_v2_key)
                if kind.value != prepaid.sign_type:
                    raise SignatureInvalid("sign_type")
            else:
                message = v3_pay_message(*(fields[name] for name in ("appid", "timestamp", "noncestr", "prepayid")))
                rsa_verify(self._merchant.key.public_key(), message, fields["sign"])
        except SignatureInvalid:
            raise BridgeRefusal(WRONG_SIGN) from None

    def _check_sign(self, params: Mapping[str, Any], order: Order, prepaid: Prepaid) -> None:
        """Check paySign, with the API and the sign type that the order was placed with. Raises BridgeRefusal."""
        appid, timestamp, nonce, package = (params[name] for name in PARAMETERS[:4])
        try:
            if params["signType"] != prepaid.sign_type:
                raise SignatureInvalid("sign_type")
            if order.placed.api == "v2":
                fields = v2_pay_fields(appid, timestamp, nonce, package, SignType(prepaid.sign_type))
                kind = v2_verify({**fields, "sign": params["paySign"]}, self._identity.api_v2_key)
                if kind.value != prepaid.sign_type:
                    raise SignatureInvalid("sign_type")
            else:
                message = v3_pay_message(appid, timestamp, nonce, package)
                rsa_verify(self._merchant.key.public_key(), message, params["paySign"])
        except SignatureInvalid:
            raise BridgeRefusal(WRONG_SIGN) from None
