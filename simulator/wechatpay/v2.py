"""WeChat Pay v2: unifiedorder, orderquery, closeorder.

Transport errors (method, XML, merchant, signature, format of fields, the appid) are answered by ``return_code`` FAIL
without a signature; business errors by a signed ``result_code`` FAIL. Checked in this order: method · body · UTF-8 ·
XML · mch_id · sign · presence and format of fields · appid · openid · the order.

Sources: https://pay.weixin.qq.com/doc/v2/merchant/4011936530, .../4011937248, .../4011939577; messages of real answers:
weixin-java-pay-demo issue 14, go-pay/gopay issue 306, pingpp-html5 issue 12; lists of them in public SDKs
(商户号mch_id与appid不匹配, ORDERPAID order paid, REFUNDNOTEXIST not exist). That closing within five minutes is refused
is documented, its code is not: TRADE_STATE_ERROR of the old page is used.
"""

from __future__ import annotations

import secrets
from abc import abstractmethod
from collections.abc import Mapping

from simulator.control.faults import Fault
from simulator.state.orders import DEFAULT_LIFE_S, MIN_LIFE_S, Order, OrderRequest, Payment, Rule, RuleBroken
from simulator.web.base import Reply, WechatHandler
from simulator.wechatpay.fields import V2_CLOSE, V2_NEEDS, V2_ORDER, V2_QUERY, Field, FieldError, check_texts
from simulator.wechatpay.payloads import STATE_TEXT, v2_transaction
from simulator.wechatpay.xml import write_xml
from wechat.domain.errors import Malformed, SignatureInvalid
from wechat.domain.times import from_v2
from wechat.pay.signing import SignType, v2_sign, v2_verify
from wechat.pay.v2 import xmlcodec

CLOSE_AGE_S = 300.0
NOT_COMPARED = ("nonce_str", "sign", "sign_type", "time_start", "time_expire")
NOT_PAIRED = "商户号mch_id与appid不匹配"
INVALID = ("spbill_create_ip", "notify_url", "openid", "bill_type")
WORDS = {
    Rule.PAID: ("ORDERPAID", "该订单已支付"),
    Rule.CLOSED: ("ORDERCLOSED", "订单已关闭"),
    Rule.DIFFERENT: ("INVALID_REQUEST", "201 商户订单号重复"),
    Rule.MISSING: ("ORDERNOTEXIST", "订单不存在"),
    Rule.OVER: ("INVALID_REQUEST", "交易有效截止时间非法"),
    Rule.YOUNG: ("TRADE_STATE_ERROR", "订单状态错误"),
}


class CommunicationError(Exception):
    """A transport error: ``return_code`` FAIL with ``words``."""

    def __init__(self, words: str) -> None:
        super().__init__(words)
        self.words = words


class BusinessRefusal(Exception):
    """A business error: ``result_code`` FAIL with WeChat's code and message."""

    def __init__(self, err_code: str, words: str) -> None:
        super().__init__(err_code)
        self.err_code = err_code
        self.words = words


class V2Request(WechatHandler):
    """A call whose request is signed XML. ``kind`` is the signature's type."""

    table: tuple[Field, ...] = ()
    kind = SignType.MD5

    async def post(self) -> None:
        await self.answer()

    async def get(self) -> None:
        await self.answer()

    def admit(self) -> dict[str, str]:
        """Check the request and return its fields. Raises CommunicationError."""
        fields = self._parse()
        if fields.get("mch_id") != self.simulator.identity.mchid:
            raise CommunicationError("商户号mch_id或sub_mch_id不存在" if fields.get("mch_id") else "mch_id参数格式错误")
        try:
            self.kind = v2_verify(fields, self.simulator.identity.api_v2_key)
        except SignatureInvalid:
            raise CommunicationError("签名错误") from None
        try:
            check_texts(fields, self.table)
        except FieldError as error:
            raise _refusal_of(error) from None
        self._check_appid(fields["appid"])
        return fields

    def _parse(self) -> dict[str, str]:
        if self.request.method != "POST":
            raise CommunicationError("请使用post方法")
        if not self.request.body:
            raise CommunicationError("post数据为空")
        try:
            self.request.body.decode("utf-8")
            return xmlcodec.parse(self.request.body.strip())
        except UnicodeDecodeError:
            raise CommunicationError("编码格式错误") from None
        except Malformed:
            raise CommunicationError("XML格式错误") from None

    def _check_appid(self, appid: str) -> None:
        if not appid.startswith("wx"):
            raise CommunicationError("AppID不存在")
        if not self.simulator.identity.is_bound(appid):
            raise CommunicationError(NOT_PAIRED)


class V2Handler(V2Request):
    """A call whose answer is XML too, signed with the request's signature type."""

    _answer_fields: Mapping[str, str]

    @abstractmethod
    def business(self, fields: dict[str, str]) -> dict[str, str]:
        """Carry out the request of the checked fields; return the fields of the answer.

        Raises CommunicationError, BusinessRefusal, RuleBroken.
        """

    async def work(self) -> Reply:
        try:
            fields = self.admit()
            return self._answer({"result_code": "SUCCESS", **self.business(fields)})
        except CommunicationError as refused:
            return at_the_door(refused.words)
        except BusinessRefusal as refused:
            return self.refusal(refused.err_code, refused.words)
        except RuleBroken as broken:
            return self.refusal(*WORDS[broken.rule])

    def refusal(self, code: str, message: str) -> Reply:
        return self._answer({"result_code": "FAIL", "err_code": code, "err_code_des": message or code})

    def system_error(self) -> Reply:
        return self.refusal("SYSTEMERROR", "系统错误")

    def sign(self, reply: Reply) -> Reply:
        fields = self._answer_fields
        if self.fault is not Fault.UNSIGNED:
            honest = self.fault not in (Fault.WRONG_SIGNATURE, Fault.PROBE)
            key = self.simulator.identity.api_v2_key if honest else secrets.token_hex(16)
            fields = {**fields, "sign": v2_sign(fields, key, self.kind)}
        reply.body = write_xml(fields)
        return reply

    def _answer(self, fields: dict[str, str]) -> Reply:
        """Return the answer; the signature is part of the body, so ``sign`` writes it."""
        identity = self.simulator.identity
        head = {
            "return_code": "SUCCESS",
            "return_msg": "OK",
            "appid": self._asked_appid(),
            "mch_id": identity.mchid,
            "nonce_str": secrets.token_hex(8),
        }
        if self.kind is SignType.HMAC_SHA256:  # "sometimes", SDKs say; always then, here
            head["sign_type"] = self.kind.value
        self._answer_fields = {name: value for name, value in (head | fields).items() if value}
        return Reply(200, b"", "text/plain", signed=True)

    def _asked_appid(self) -> str:
        """The appid of the request, which the answer repeats, also the answer of a fault."""
        identity = self.simulator.identity
        try:
            asked = self._parse().get("appid", "")
        except CommunicationError:
            asked = ""
        return asked if identity.is_bound(asked) else identity.appid


class UnifiedOrder(V2Handler):
    table = V2_ORDER

    def business(self, fields: dict[str, str]) -> dict[str, str]:
        trade_type = fields["trade_type"]
        self._check_needs(trade_type, fields)
        prepaid = self.simulator.orders.place(self._order_request(fields))
        answer = {"trade_type": trade_type, "prepay_id": prepaid.prepay_id}
        if trade_type == "NATIVE":
            answer["code_url"] = code_url(prepaid.prepay_id)
        elif trade_type == "MWEB":
            answer["mweb_url"] = h5_url(self.origin(), prepaid.prepay_id)
        return answer

    def _check_needs(self, trade_type: str, fields: dict[str, str]) -> None:
        needed = V2_NEEDS.get(trade_type, "")
        if needed and not fields.get(needed):
            raise CommunicationError(
                "JSAPI支付必须传openid" if needed == "openid" else f"{trade_type}支付必须传{needed}"
            )
        identity = self.simulator.identity
        own = fields["appid"] == identity.appid  # an openid belongs to the Official Account
        if trade_type == "JSAPI" and not (own and identity.payer(fields["openid"])):
            raise BusinessRefusal("PARAM_ERROR", "appid和openid不匹配")

    def _order_request(self, fields: dict[str, str]) -> OrderRequest:
        asked = {name: value for name, value in fields.items() if value and name not in NOT_COMPARED}
        return OrderRequest(
            out_trade_no=fields["out_trade_no"],
            api="v2",
            trade_type=fields["trade_type"],
            appid=fields["appid"],
            mchid=fields["mch_id"],
            description=fields["body"],
            attach=fields.get("attach", ""),
            total=int(fields["total_fee"]),
            currency=fields.get("fee_type") or "CNY",
            openid=fields["openid"] if fields["trade_type"] == "JSAPI" else "",
            notify_url=fields["notify_url"],
            device_info=fields.get("device_info", ""),
            sign_type=self.kind.value,
            digest=OrderRequest.digest_of("v2", fields["trade_type"], asked),
            life_s=self._life_s(fields),
        )

    def _life_s(self, fields: dict[str, str]) -> float:
        """Return the time until time_expire; v2 requires a minute at least, so less counts as none."""
        if not fields.get("time_expire"):
            return DEFAULT_LIFE_S
        try:
            span_s = from_v2(fields["time_expire"]).timestamp() - self.simulator.clock.calendar_s()
        except ValueError:
            raise CommunicationError("time_expire参数格式错误") from None
        return span_s if span_s >= MIN_LIFE_S else 0.0


class OrderQuery(V2Handler):
    table = V2_QUERY

    def business(self, fields: dict[str, str]) -> dict[str, str]:
        order, payment = self._find(fields)
        state = self.simulator.orders.state(order, payment)
        if payment:
            return {"trade_state": state, "trade_state_desc": STATE_TEXT[state], **v2_transaction(order, payment.paid)}
        return {
            "trade_state": state,
            "trade_state_desc": STATE_TEXT[state],
            "out_trade_no": order.placed.out_trade_no,
            "attach": order.placed.attach,
            "device_info": order.placed.device_info,
            "total_fee": str(order.placed.total),
        }

    def _find(self, fields: dict[str, str]) -> tuple[Order, Payment | None]:
        if fields.get("transaction_id"):
            return self.simulator.orders.find_payment(fields["transaction_id"])
        if not fields.get("out_trade_no"):
            raise BusinessRefusal("LACK_PARAMS", "缺少参数out_trade_no")
        order = self.simulator.orders.find(fields["out_trade_no"])
        return order, order.payment


class CloseOrder(V2Handler):
    table = V2_CLOSE

    def business(self, fields: dict[str, str]) -> dict[str, str]:
        try:
            self.simulator.orders.close(fields["out_trade_no"], min_age_s=CLOSE_AGE_S)
        except RuleBroken as broken:
            if broken.rule is Rule.PAID:
                raise BusinessRefusal("ORDERPAID", "order paid") from None
            raise
        return {"result_msg": "OK"}


def code_url(prepay_id: str) -> str:
    """Return the content of a Native order's QR code, 64 characters at most."""
    return f"weixin://wxpay/bizpayurl?pr={prepay_id}"


def h5_url(origin: str, prepay_id: str) -> str:
    """Return the address where a phone's browser pays; in reality on WeChat's own host."""
    package = secrets.randbelow(9_000_000_000) + 1_000_000_000
    return f"{origin}/cgi-bin/mmpayweb-bin/checkmweb?prepay_id={prepay_id}&package={package}"


def _refusal_of(error: FieldError) -> CommunicationError | BusinessRefusal:
    """Return v2's message for a field that breaks its rule."""
    name = error.pointer.removeprefix("xml/")
    if error.fault == "missing":
        return BusinessRefusal("LACK_PARAMS", f"缺少参数{name}")
    if name in INVALID:
        return CommunicationError(f"invalid {name}")
    return CommunicationError(f"{name}参数格式错误" if error.fault == "choice" else error.message)


def at_the_door(words: str) -> Reply:
    return Reply(200, write_xml({"return_code": "FAIL", "return_msg": words}), "text/plain")
