"""WeChat Pay v2: XML over HTTPS, signed with the API key (MD5 or HMAC-SHA256).

Sources: https://pay.weixin.qq.com/doc/v2/merchant/4011936530 (unifiedorder), .../4011937248 (orderquery),
.../4011939577 (closeorder), .../4011939779 (notification).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import datetime

from wechat.errors import GatewayRefused, Malformed, NotifyError, OutcomeUnknown
from wechat.models import (
    Api,
    Notification,
    Order,
    PayParams,
    Prepay,
    RemoteState,
    TradeType,
    Transaction,
    Verified,
)
from wechat.pay import codes, xmlcodec
from wechat.pay.gateway import Merchant, Wire, notification_id, remote_state, same_order
from wechat.pay.signing import SignType, v2_pay_fields, v2_sign, v2_verify
from wechat.times import from_v2, to_v2
from wechat.transport import Request

_TOTAL = re.compile(r"[1-9][0-9]{0,8}", re.ASCII)
_HEADERS = {"Content-Type": "text/xml; charset=utf-8"}
_ACK = b"<xml><return_code><![CDATA[%s]]></return_code><return_msg><![CDATA[%s]]></return_msg></xml>"


class V2Gateway:
    """v2 for one merchant."""

    api = Api.V2

    def __init__(self, wire: Wire, merchant: Merchant, key: str, sign_type: SignType = SignType.HMAC_SHA256) -> None:
        self._wire = wire
        self._merchant = merchant
        self._key = key
        self._sign_type = sign_type

    async def prepay(self, order: Order) -> Prepay:
        """POST /pay/unifiedorder."""
        fields = await self._ask("/pay/unifiedorder", self._order_fields(order))
        prepay = Prepay(
            obtained_at=self._wire.clock.now(),
            sign_type=self._sign_type.value,
            prepay_id=fields.get("prepay_id", "") if order.trade_type is TradeType.JSAPI else "",
            code_url=fields.get("code_url", ""),
            h5_url=fields.get("mweb_url", ""),
        )
        if not (prepay.prepay_id or prepay.code_url or prepay.h5_url):
            raise OutcomeUnknown("unifiedorder", wire_message="answer without prepay_id, code_url or mweb_url")
        return prepay

    async def query(self, order: Order, *, transaction_id: str = "") -> Verified[Transaction]:
        """POST /pay/orderquery."""
        number = {"transaction_id": transaction_id} if transaction_id else {"out_trade_no": order.out_trade_no}
        fields = await self._ask("/pay/orderquery", {"appid": order.appid, **number})
        try:
            found = _transaction(fields, remote_state("orderquery", fields.get("trade_state")))
        except Malformed as error:
            raise OutcomeUnknown("orderquery", wire_message=error.reason) from None
        return Verified(same_order("orderquery", order, found), f"v2 {self._sign_type}")

    async def close(self, order: Order) -> None:
        """POST /pay/closeorder; WeChat wants the order to be five minutes old."""
        await self._ask("/pay/closeorder", {"appid": order.appid, "out_trade_no": order.out_trade_no})

    def pay_params(self, appid: str, prepay: Prepay) -> PayParams:
        """Signed with the sign type that the order was placed with, which WeChat demands."""
        kind = SignType(prepay.sign_type)
        timestamp = str(int(self._wire.clock.now().timestamp()))
        nonce, package = self._wire.nonce(), f"prepay_id={prepay.prepay_id}"
        sign = v2_sign(v2_pay_fields(appid, timestamp, nonce, package, kind), self._key, kind)
        return PayParams(appid, timestamp, nonce, package, kind.value, sign)

    def receive(self, headers: Mapping[str, str], body: bytes) -> Verified[Notification]:
        """A payment result: strict XML, signature, then who and what. ``headers`` carry nothing on v2."""
        fields = xmlcodec.parse(body)
        kind = v2_verify(fields, self._key)
        if fields.get("return_code") != "SUCCESS":
            raise Malformed("return_code")
        return Verified(_payment(fields), f"v2 {kind}")

    def _order_fields(self, order: Order) -> dict[str, str]:
        """Everything that WeChat compares on a repetition comes from the stored order, so repetitions are equal."""
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
        else:
            fields["scene_info"] = self._scene()
        return fields

    def _scene(self) -> str:
        site = {"type": "Wap", "wap_url": self._merchant.url, "wap_name": self._merchant.name}
        return json.dumps({"h5_info": site}, ensure_ascii=False, separators=(",", ":"))

    async def _ask(self, path: str, fields: dict[str, str]) -> dict[str, str]:
        """Send signed fields; the fields of a verified SUCCESS, or the error that the answer means."""
        call = path.rpartition("/")[2]
        fields |= {"mch_id": self._merchant.mchid, "nonce_str": self._wire.nonce(), "sign_type": self._sign_type.value}
        fields = {name: value for name, value in fields.items() if value}
        fields["sign"] = v2_sign(fields, self._key, self._sign_type)
        answer = await self._wire.transport.send(
            self._wire.hosts, Request(call, "POST", path, xmlcodec.build(fields), _HEADERS)
        )
        if answer.status != 200:
            raise OutcomeUnknown(call, http_status=answer.status)
        return self._verified(call, answer.body)

    def _verified(self, call: str, body: bytes) -> dict[str, str]:
        try:
            fields = xmlcodec.parse(body)
            if fields.get("return_code") != "SUCCESS":
                raise _communication_failure(call, fields)
            v2_verify(fields, self._key)
        except NotifyError as error:
            raise OutcomeUnknown(call, wire_message=f"answer not verifiable: {error.reason}") from None
        ours = fields.get("mch_id") == self._merchant.mchid and fields.get("appid") == self._merchant.appid
        if not ours or not fields.get("nonce_str"):  # the nonce is WeChat's own; without one the signature repeats
            raise OutcomeUnknown(call, wire_message="the answer is for another merchant")
        if fields.get("result_code") != "SUCCESS":
            raise codes.failure(call, fields.get("err_code", ""), fields.get("err_code_des", ""))
        return fields


def acknowledgement(success: bool, message: str) -> bytes:
    """What a notification is answered: the one line that WeChat's own samples show."""
    return _ACK % (b"SUCCESS" if success else b"FAIL", message.encode())


def _communication_failure(call: str, fields: Mapping[str, str]) -> GatewayRefused | OutcomeUnknown:
    """``return_code`` FAIL: unsigned, and the request went no further than the door."""
    message = fields.get("return_msg", "")
    if "return_code" not in fields or "系统" in message or message.lower() in ("system error", "systemerror"):
        return OutcomeUnknown(call, wire_message=message)
    sign = "签名" in message
    return GatewayRefused(
        call,
        code="SIGN_ERROR" if sign else "COMMUNICATION_FAIL",
        wire_code="FAIL",
        wire_message=message,
        advice=codes.V2_SIGN if sign else codes.ADVICE["PARAM_ERROR"],
    )


def _payment(fields: Mapping[str, str]) -> Notification:
    """A payment notification, of success or (documented, though hardly ever sent) of failure."""
    state = RemoteState.SUCCESS if fields.get("result_code") == "SUCCESS" else RemoteState.PAYERROR
    transaction = _transaction(fields, state)
    event = f"{transaction.out_trade_no}\n{transaction.transaction_id}\n{state}"
    return Notification(
        id=notification_id(transaction.mchid, "payment", event),
        api=Api.V2,
        kind="payment",
        mchid=transaction.mchid,
        transaction=transaction,
        created_at=transaction.success_time,
    )


def _transaction(fields: Mapping[str, str], state: RemoteState) -> Transaction:
    """The transaction in verified fields; money fields are demanded once it is paid. Raises Malformed."""
    return Transaction(
        appid=_need(fields, "appid"),
        mchid=_need(fields, "mch_id"),
        out_trade_no=_need(fields, "out_trade_no"),
        state=state,
        total=_total(fields) if state.paid else None,
        currency=fields.get("fee_type") or "CNY",
        transaction_id=_need(fields, "transaction_id") if state.paid else fields.get("transaction_id", ""),
        trade_type=fields.get("trade_type", ""),
        openid=fields.get("openid", ""),
        payer_total=_cash_fee(fields),
        success_time=_time_end(fields) if state.paid else None,
        bank_type=fields.get("bank_type", ""),
        attach=fields.get("attach", ""),
    )


def _need(fields: Mapping[str, str], name: str) -> str:
    value = fields.get(name, "")
    if not value:
        raise Malformed(name)
    return value


def _total(fields: Mapping[str, str]) -> int:
    value = fields.get("total_fee", "")
    if not _TOTAL.fullmatch(value):
        raise Malformed("total_fee")
    return int(value)


def _cash_fee(fields: Mapping[str, str]) -> int | None:
    """What the payer parted with, less coupons; told for information, never compared."""
    value = fields.get("cash_fee", "")
    return int(value) if _TOTAL.fullmatch(value) else None


def _time_end(fields: Mapping[str, str]) -> datetime:
    try:
        return from_v2(fields.get("time_end", ""))
    except ValueError:
        raise Malformed("time_end") from None
