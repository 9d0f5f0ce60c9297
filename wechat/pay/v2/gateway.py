"""WeChat Pay v2: XML over HTTPS, signed with the API key (MD5 or HMAC-SHA256).

Sources: https://pay.weixin.qq.com/doc/v2/merchant/4011936530 (unifiedorder), .../4011937248 (orderquery),
.../4011939577 (closeorder), .../4011939779 (notification).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime

from wechat.domain.calls import VERIFIED
from wechat.domain.errors import GatewayRefused, Malformed, NotifyError, OutcomeUnknown, SignatureInvalid
from wechat.domain.facts import (
    Api,
    Notification,
    NotificationKind,
    RemoteState,
    Transaction,
    UnsignedRefundNotice,
    Verified,
)
from wechat.domain.orders import AppPayParams, Order, PayParams, Prepay, TradeType
from wechat.domain.times import to_v2
from wechat.pay import codes
from wechat.pay.gateway import ApiContext, Merchant, RefusedRequest, notification_id, remote_state, same_order
from wechat.pay.signing import APP_PACKAGE, SignType, v2_app_fields, v2_pay_fields, v2_sign, v2_verify
from wechat.pay.v2 import fields as v2_fields
from wechat.pay.v2 import xmlcodec
from wechat.support.connection import build_bare_status
from wechat.support.transport import Answer, Request

_HEADERS = {"Content-Type": "text/xml; charset=utf-8"}
RESULTS = {"SUCCESS": RemoteState.SUCCESS, "FAIL": RemoteState.PAYERROR}
"""The two values of ``result_code``, with their meaning for a payment."""
_BY_PREPAY_ID = (TradeType.JSAPI, TradeType.APP)  # other types get a prepay_id, too, which their payers cannot use
_ACK = b"<xml><return_code><![CDATA[%s]]></return_code><return_msg><![CDATA[%s]]></return_msg></xml>"


class V2Gateway:
    """v2 for one merchant number."""

    api = Api.V2

    def __init__(
        self,
        wire: ApiContext,
        merchant: Merchant,
        key: str,
        sign_type: SignType = SignType.HMAC_SHA256,
        other_key: str = "",
    ) -> None:
        """``other_key``: another key whose signatures are accepted, because a change of the key takes time."""
        self._wire = wire
        self._merchant = merchant
        self._key = key
        self._other_key = other_key
        self._sign_type = sign_type

    @property
    def proof(self) -> str:
        """The kind of signature that proves the answers, for the timeline."""
        return f"v2 {self._sign_type}"

    async def prepay(self, order: Order, at: datetime) -> Prepay:
        """POST /pay/unifiedorder."""
        fields = await self.ask("/pay/unifiedorder", self._order_fields(order), about=order.out_trade_no)
        prepay = Prepay(
            obtained_at=at,
            sign_type=self._sign_type.value,
            prepay_id=fields.get("prepay_id", "") if order.trade_type in _BY_PREPAY_ID else "",
            code_url=fields.get("code_url", ""),
            h5_url=fields.get("mweb_url", ""),
        )
        if not (prepay.prepay_id or prepay.code_url or prepay.h5_url):
            raise OutcomeUnknown("unifiedorder", wire_message="answer without prepay_id, code_url or mweb_url")
        return prepay

    async def query(self, order: Order, *, transaction_id: str = "") -> Verified[Transaction]:
        """POST /pay/orderquery."""
        number = {"transaction_id": transaction_id} if transaction_id else {"out_trade_no": order.out_trade_no}
        fields = await self.ask("/pay/orderquery", {"appid": order.appid, **number}, about=order.out_trade_no)
        try:
            found = v2_fields.transaction(fields, remote_state("orderquery", fields.get("trade_state")))
        except Malformed as error:
            raise OutcomeUnknown("orderquery", wire_message=error.reason) from None
        return Verified(same_order("orderquery", order, found), self.proof)

    async def close(self, order: Order) -> None:
        """POST /pay/closeorder; WeChat wants the order to be five minutes old."""
        fields = {"appid": order.appid, "out_trade_no": order.out_trade_no}
        await self.ask("/pay/closeorder", fields, about=order.out_trade_no)

    def pay_params(self, appid: str, prepay: Prepay) -> PayParams:
        """Sign with the sign type that the order was placed with, as WeChat demands."""
        kind = SignType(prepay.sign_type)
        timestamp = str(int(self._wire.clock.now().timestamp()))
        nonce, package = self._wire.nonce(), f"prepay_id={prepay.prepay_id}"
        sign = v2_sign(v2_pay_fields(appid, timestamp, nonce, package, kind), self._key, kind)
        return PayParams(appid, timestamp, nonce, package, kind.value, sign)

    def app_params(self, appid: str, prepay: Prepay) -> AppPayParams:
        """Sign with the sign type that the order was placed with; WeChat demands it without documenting it."""
        timestamp, nonce = str(int(self._wire.clock.now().timestamp())), self._wire.nonce()
        mchid, number = self._merchant.mchid, prepay.prepay_id
        fields = v2_app_fields(appid, mchid, number, timestamp, nonce)
        sign = v2_sign(fields, self._key, SignType(prepay.sign_type))
        return AppPayParams(appid, mchid, number, APP_PACKAGE, nonce, timestamp, sign)

    def receive(
        self, headers: Mapping[str, str], body: bytes, *, arrived_at: datetime | None = None
    ) -> Verified[Notification]:
        """Verify and parse a notification: strict XML, signature, then its fields. v2 does not use ``headers``.

        A refund notification has no signature: only the numbers in it are used, and a query follows. v2 signs no time,
        so ``arrived_at`` is not used.
        """
        fields = xmlcodec.parse(body)
        if "req_info" in fields:
            return Verified(self._refund_news(fields), "v2 req_info")
        kind = self._verify(fields)
        if fields.get("return_code") != "SUCCESS":
            raise Malformed("return_code")
        return Verified(_payment(fields), f"v2 {kind}")

    def claimed_order(self, body: bytes) -> str:
        """See Gateway."""
        try:
            fields = xmlcodec.parse(body)
            if "req_info" in fields:
                return self._read_notice(fields).out_trade_no
        except Malformed:
            return ""
        return fields.get("out_trade_no", "")

    def _refund_news(self, fields: Mapping[str, str]) -> Notification:
        """Build a refund's notification. It only triggers a query, so all notifications of a refund have one id."""
        mchid = v2_fields.require(fields, "mch_id")
        if mchid != self._merchant.mchid:
            raise SignatureInvalid("mchid")
        notice = self._read_notice(fields)
        event = f"{notice.out_trade_no}\n{notice.out_refund_no}"
        return Notification(
            notification_id(mchid, NotificationKind.REFUND, event),
            Api.V2,
            NotificationKind.REFUND,
            mchid,
            transaction=None,
            notice=notice,
        )

    def _verify(self, fields: Mapping[str, str]) -> SignType:
        """Check the signature with our keys and return its kind. Raises SignatureInvalid."""
        try:
            return v2_verify(fields, self._key)
        except SignatureInvalid:
            if not self._other_key:
                raise
            return v2_verify(fields, self._other_key)

    def _read_notice(self, fields: Mapping[str, str]) -> UnsignedRefundNotice:
        """Decrypt a refund notification with our keys. Raises Malformed."""
        try:
            return v2_fields.refund_notice(fields, self._key)
        except Malformed:
            if not self._other_key:
                raise
            return v2_fields.refund_notice(fields, self._other_key)

    def _order_fields(self, order: Order) -> dict[str, str]:
        """Build the fields of /pay/unifiedorder for ``order``.

        All fields that WeChat compares on a repetition come from the stored order, so that repetitions are equal.
        """
        fields = {
            "appid": order.appid,
            "body": order.description,
            "attach": order.attach,
            "out_trade_no": order.out_trade_no,
            "fee_type": order.currency,
            "total_fee": str(order.total),
            "spbill_create_ip": order.client_ip,
            "time_start": to_v2(order.created_at),
            "time_expire": to_v2(order.expires_at),
            "notify_url": order.notify_url,
            "trade_type": order.trade_type.value,
        }
        if order.trade_type is TradeType.JSAPI:
            fields["openid"] = order.openid
        elif order.trade_type is TradeType.NATIVE:
            fields["product_id"] = order.out_trade_no
        elif order.trade_type is TradeType.MWEB:
            fields["scene_info"] = self._scene()
        return fields

    def _scene(self) -> str:
        site = {"type": "Wap", "wap_url": self._merchant.url, "wap_name": self._merchant.name}
        return json.dumps({"h5_info": site}, ensure_ascii=False, separators=(",", ":"))

    async def ask(
        self,
        path: str,
        fields: dict[str, str],
        *,
        about: str = "",
        over: ApiContext | None = None,
        repeatable: bool = True,
    ) -> dict[str, str]:
        """Send signed ``fields``, which include ``appid``. Return the fields of a verified SUCCESS for that appid.

        ``about``: the out_trade_no of the order, for the recorded call. ``over`` is a context in place of the usual
        one; ``repeatable`` as in ``Request``. Raises GatewayRefused, NotSent, OutcomeUnknown.
        """
        wire = over or self._wire
        call = path.rpartition("/")[2]
        fields |= {"mch_id": self._merchant.mchid, "nonce_str": self._wire.nonce(), "sign_type": self._sign_type.value}
        fields = {name: value for name, value in fields.items() if value}
        fields["sign"] = v2_sign(fields, self._key, self._sign_type)
        request = Request(call, "POST", path, xmlcodec.build(fields), _HEADERS, repeatable, Api.V2, about)
        answer = await wire.transport.send(wire.hosts, request)
        if answer.status != 200:
            raise build_bare_status(call, answer.status, answer.host)
        try:
            return self._verify_answer(call, fields["appid"], answer)
        except GatewayRefused as error:
            said = error.wire_message
            raise self._wire.explain_refusal(error, lambda: RefusedRequest(Api.V2, said)) from None

    def _verify_answer(self, call: str, appid: str, answer: Answer) -> dict[str, str]:
        try:
            fields = xmlcodec.parse(answer.body)
            if fields.get("return_code") != "SUCCESS":
                raise _communication_failure(call, fields)
            self._verify(fields)
            answer.note_verdict(VERIFIED)
        except NotifyError as error:
            answer.note_verdict(error.reason)
            message = f"answer not verifiable: {error.reason}"
            raise OutcomeUnknown(call, wire_message=message, unverified=error.reason) from None
        ours = fields.get("mch_id") == self._merchant.mchid and fields.get("appid") == appid
        if not ours or not fields.get("nonce_str"):  # WeChat's nonce makes each signature different
            raise OutcomeUnknown(call, wire_message="the answer is for another merchant")
        result = fields.get("result_code")
        if result not in RESULTS or (result == "FAIL" and not fields.get("err_code")):
            raise OutcomeUnknown(call, wire_message="answer without a result_code, or without the err_code of a FAIL")
        if result == "FAIL":
            raise codes.failure(Api.V2, call, fields.get("err_code", ""), fields.get("err_code_des", ""))
        return fields


def acknowledgement(success: bool, message: str) -> bytes:
    """Build the response to a notification: one line, as in WeChat's samples."""
    return _ACK % (b"SUCCESS" if success else b"FAIL", message.encode())


def _communication_failure(call: str, fields: Mapping[str, str]) -> GatewayRefused | OutcomeUnknown:
    """Build the error for ``return_code`` FAIL, which is unsigned: the request was not processed, or the outcome is
    unknown."""
    message = fields.get("return_msg", "")
    if "return_code" not in fields or "系统" in message or message.lower() in ("system error", "systemerror"):
        return OutcomeUnknown(call, wire_message=message)
    return codes.communication_failure(call, "FAIL", message)


def _payment(fields: Mapping[str, str]) -> Notification:
    """Build a payment notification, of success or (documented, but hardly ever sent) of failure."""
    state = RESULTS.get(fields.get("result_code", ""))
    if state is None:
        raise Malformed("result_code")
    transaction = v2_fields.transaction(fields, state)
    event = f"{transaction.out_trade_no}\n{transaction.transaction_id}\n{state}"
    return Notification(
        id=notification_id(transaction.mchid, NotificationKind.PAYMENT, event),
        api=Api.V2,
        kind=NotificationKind.PAYMENT,
        mchid=transaction.mchid,
        transaction=transaction,
        created_at=transaction.success_time,
    )
