"""WeChat Pay v3: transactions (JSAPI, Native, H5, APP), query by either number, close, certificates.

Checked in this order: Accept and User-Agent · Authorization (scheme, five items, timestamp, mchid, serial, signature) ·
JSON · the merchant number against Authorization's · fields · appid and openid · the order. 200 and 204 are signed,
refusals are not.

Sources: https://pay.weixin.qq.com/doc/v3/merchant/4012791897 (JSAPI), .../4013070356 (query), .../4012556398 (close),
.../4012365336 (Authorization), .../4012551764 (certificates).
"""

from __future__ import annotations

import json
from abc import abstractmethod
from typing import Any

from simulator.control.faults import Fault
from simulator.state.orders import DEFAULT_LIFE_S, Order, OrderRequest, Payment, Rule, RuleBroken
from simulator.web.base import Reply, WechatHandler
from simulator.web.bodies import read_json_object
from simulator.wechatpay.authorization import BAD_FORMAT, authorize
from simulator.wechatpay.fields import (
    V3_MCHID,
    V3_NUMBER,
    V3_ORDER,
    V3_TRANSACTION,
    Field,
    FieldError,
    check_json,
    check_value,
)
from simulator.wechatpay.keys import Mode, SignatureMode
from simulator.wechatpay.payloads import STATE_TEXT, v3_transaction
from simulator.wechatpay.v2 import NOT_PAIRED, code_url, h5_url
from simulator.wechatpay.v3_errors import V3Refusal, request_id
from wechat.domain.times import from_v3

WORDS = {
    Rule.PAID: ("ORDER_PAID", "该订单已支付"),
    Rule.CLOSED: ("ORDER_CLOSED", "订单已关闭"),
    Rule.DIFFERENT: ("INVALID_REQUEST", "请求重入时，参数与首次请求时不一致"),
    Rule.MISSING: ("ORDER_NOT_EXIST", "订单不存在"),
    Rule.OVER: ("INVALID_REQUEST", "交易有效截止时间非法"),
}
UNSIGNED = "签名信息错误，验签失败"
OTHER_MCHID = "http header中的mchid与post payload中的mchid不匹配"
NO_CERTIFICATE = "无可用的平台证书，请在商户平台-API安全申请使用微信支付公钥。可查看指引https://pay.weixin.qq.com/docs/merchant/products/platform-certificate/wxp-pub-key-guide.html"


class V3Handler(WechatHandler):
    """A call with JSON request and answer, both signed with RSA."""

    verb = "POST"
    unsigned_words = UNSIGNED

    @abstractmethod
    def business(self, body: dict[str, Any]) -> dict[str, Any] | None:
        """Carry out the request; None is answered by 204. Raises V3Refusal, FieldError, RuleBroken."""

    async def get(self, *_: str) -> None:
        await self._verb("GET")

    async def post(self, *_: str) -> None:
        await self._verb("POST")

    async def work(self) -> Reply:
        try:
            self._check_headers()
            authorize(self.request, self.simulator.identity, self.simulator.merchant, self.unsigned_words)
            document = self.business(self._json() if self.verb == "POST" else {})
        except V3Refusal as refused:
            return self._refusal(refused)
        except FieldError as error:
            detail = {"location": error.location, "value": error.value}
            return self._refusal(V3Refusal("PARAM_ERROR", error.message, detail))
        except RuleBroken as broken:
            return self.refusal(*WORDS[broken.rule])
        headers = {"Request-ID": request_id(0)}
        return Reply(
            204 if document is None else 200, _dump(document) if document else b"", headers=headers, signed=True
        )

    def refusal(self, code: str, message: str) -> Reply:
        return self._refusal(V3Refusal(code, message or code))

    def system_error(self) -> Reply:
        return self.refusal("SYSTEM_ERROR", "系统繁忙，请稍后重试")

    def sign(self, reply: Reply) -> Reply:
        if self.fault is Fault.UNSIGNED:
            return reply
        seals = {Fault.WRONG_SIGNATURE: SignatureMode.FORGED, Fault.PROBE: SignatureMode.PROBE}
        seal = seals.get(self.fault, SignatureMode.GENUINE) if self.fault else SignatureMode.GENUINE
        keys = self.simulator.keys
        signer = keys.answer_signer(self.request.headers.get("Wechatpay-Serial", ""))
        reply.headers = {**reply.headers, **keys.headers(signer, reply.body, seal)}
        return reply

    def check_mchid(self, mchid: Any, location: str) -> None:
        """Raise FieldError if it is missing, V3Refusal if it is not the one that signed."""
        check_value(V3_MCHID, "mchid", mchid, location)
        if mchid != self.simulator.identity.mchid:
            raise V3Refusal("PARAM_ERROR", OTHER_MCHID)

    async def _verb(self, verb: str) -> None:
        if verb != self.verb:
            self.send_error(405)
            return
        await self.answer()

    def _refusal(self, refused: V3Refusal) -> Reply:
        old = self.simulator.console.settings.old_spelling or self.fault is Fault.OLD_SPELLING
        headers = {"Request-ID": refused.request_id} if refused.request_id else {}
        return Reply(refused.status, _dump(refused.body(old_spelling=old)), headers=headers)

    def _check_headers(self) -> None:
        accept = self.request.headers.get("Accept", "")
        if not self.request.headers.get("User-Agent") or not accept:
            raise V3Refusal("INVALID_REQUEST", "Http头缺少Accept或User-Agent")

    def _json(self) -> dict[str, Any]:
        body = read_json_object(self.request.body)
        if body is None:
            raise V3Refusal("PARAM_ERROR", "请求体不是合法的 JSON 对象", {"location": "body", "value": ""})
        return body


class Transactions(V3Handler):
    """POST /v3/pay/transactions/{jsapi,native,h5,app}."""

    trade_type: str
    result: str

    @abstractmethod
    def result_of(self, prepay_id: str) -> str:
        """Return the value that the call returns for a prepay_id."""

    def business(self, body: dict[str, Any]) -> dict[str, Any]:
        self.check_mchid(body.get("mchid"), "body")
        check_json(body, V3_ORDER[self.trade_type])
        self._check_pairing(body)
        prepaid = self.simulator.orders.place(self._order_request(body))
        return {self.result: self.result_of(prepaid.prepay_id)}

    def _check_pairing(self, body: dict[str, Any]) -> None:
        identity = self.simulator.identity
        if not identity.is_bound(body["appid"]):
            raise V3Refusal("INVALID_REQUEST", NOT_PAIRED)
        if self.trade_type != "JSAPI":
            return
        if body["appid"] != identity.appid or not identity.payer(body["payer"]["openid"]):
            raise V3Refusal("PARAM_ERROR", "appid和openid不匹配", {"location": "body", "value": "/body/payer/openid"})

    def _order_request(self, body: dict[str, Any]) -> OrderRequest:
        asked = {name: value for name, value in body.items() if name != "time_expire"}
        return OrderRequest(
            out_trade_no=body["out_trade_no"],
            api="v3",
            trade_type=self.trade_type,
            appid=body["appid"],
            mchid=body["mchid"],
            description=body["description"],
            attach=body.get("attach") or "",
            total=body["amount"]["total"],
            currency=body["amount"].get("currency") or "CNY",
            openid=body["payer"]["openid"] if self.trade_type == "JSAPI" else "",
            notify_url=body["notify_url"],
            device_info=(body.get("scene_info") or {}).get("device_id") or "",
            sign_type="RSA",
            digest=OrderRequest.digest_of("v3", self.trade_type, asked),
            life_s=self._life_s(body.get("time_expire")),
        )

    def _life_s(self, time_expire: str | None) -> float:
        """Return the time until time_expire, in seconds; ``OrderRegistry`` raises a positive one to a minute at least.
        Raises V3Refusal."""
        if not time_expire:
            return DEFAULT_LIFE_S
        try:
            return from_v3(time_expire).timestamp() - self.simulator.clock.calendar_s()
        except ValueError:
            raise V3Refusal("PARAM_ERROR", "交易有效截止时间非法", {"location": "body", "value": time_expire}) from None


class Jsapi(Transactions):
    trade_type, result = "JSAPI", "prepay_id"

    def result_of(self, prepay_id: str) -> str:
        return prepay_id


class App(Jsapi):
    trade_type = "APP"


class Native(Transactions):
    trade_type, result = "NATIVE", "code_url"

    def result_of(self, prepay_id: str) -> str:
        return code_url(prepay_id)


class H5(Transactions):
    trade_type, result = "MWEB", "h5_url"

    def result_of(self, prepay_id: str) -> str:
        return h5_url(self.origin(), prepay_id)


class Query(V3Handler):
    """GET /v3/pay/transactions/{out-trade-no,id}/{number}?mchid=."""

    verb = "GET"
    number: Field

    @abstractmethod
    def find(self, number: str) -> tuple[Order, Payment | None]:
        """Return the order and, if it is paid, the queried payment. Raises RuleBroken MISSING."""

    def business(self, body: dict[str, Any]) -> dict[str, Any]:
        self.check_mchid(self.get_query_argument("mchid", None), "query")
        number = self.path_args[0]
        check_value(self.number, self.number.path, number, "uri_template")
        return self._build_payload(*self.find(number))

    def _build_payload(self, order: Order, payment: Payment | None) -> dict[str, Any]:
        placed, state = order.placed, self.simulator.orders.state(order, payment)
        if payment:
            return v3_transaction(order, payment.paid, state=state)
        return {
            "amount": {"currency": placed.currency, "total": placed.total},
            "appid": placed.appid,
            "attach": placed.attach,
            "mchid": placed.mchid,
            "out_trade_no": placed.out_trade_no,
            "promotion_detail": [],
            "trade_state": state,
            "trade_state_desc": STATE_TEXT[state],
        }


class QueryByNumber(Query):
    number = V3_NUMBER

    def find(self, number: str) -> tuple[Order, Payment | None]:
        order = self.simulator.orders.find(number)
        return order, order.payment


class QueryById(Query):
    number = V3_TRANSACTION

    def find(self, number: str) -> tuple[Order, Payment | None]:
        return self.simulator.orders.find_payment(number)


class Close(V3Handler):
    """POST /v3/pay/transactions/out-trade-no/{out_trade_no}/close; closing twice succeeds."""

    def business(self, body: dict[str, Any]) -> None:
        self.check_mchid(body.get("mchid"), "uri_template")
        check_json(body, (V3_MCHID,))
        number = self.path_args[0]
        check_value(V3_NUMBER, "out_trade_no", number, "uri_template")
        try:
            self.simulator.orders.close(number)
        except RuleBroken as broken:
            if broken.rule is not Rule.CLOSED:
                raise


class Certificates(V3Handler):
    """GET /v3/certificates; a merchant with only the public key has none."""

    verb = "GET"
    unsigned_words = BAD_FORMAT

    def business(self, body: dict[str, Any]) -> dict[str, Any]:
        if self.get_query_argument("algorithm_type", "RSA") not in ("RSA", "ALL"):
            raise V3Refusal("PARAM_ERROR", "algorithm_type 仅支持 RSA")
        if self.simulator.keys.mode is Mode.PUBLIC_KEY:
            raise V3Refusal("RESOURCE_NOT_EXISTS", NO_CERTIFICATE)
        return {"data": self.simulator.keys.certificates()}


def _dump(data: dict[str, Any]) -> bytes:
    return json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode()
