"""WeChat Pay v2's protocol: XML, HMAC-SHA256. Independent of ``wechat`` and ``simulator``."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import ECB
from cryptography.hazmat.primitives.padding import PKCS7
from lxml import etree

from proof.wechat.payments import OrderRequest, Payment, Refund, Refused, WeChat
from wechat.support.transport import Answer, Request

BEIJING = timezone(timedelta(hours=8))
SPELLINGS = {
    "NOT_ENOUGH": "NOTENOUGH",
    "ORDER_CLOSED": "ORDERCLOSED",
    "ORDER_NOT_EXIST": "ORDERNOTEXIST",
    "RESOURCE_NOT_EXISTS": "REFUNDNOTEXIST",
    "SYSTEM_ERROR": "SYSTEMERROR",
    "SIGN_ERROR": "SIGNERROR",
    "NO_AUTH": "NOAUTH",
    "MCH_NOT_EXISTS": "MCHID_NOT_EXIST",
}
REFUND_STATES = {"CLOSED": "REFUNDCLOSE", "ABNORMAL": "CHANGE"}


class ProtocolV2:
    """Answers requests and writes notifications for one merchant."""

    def __init__(self, world: WeChat, appid: str, mchid: str, key: str) -> None:
        self._world = world
        self._appid = appid
        self._mchid = mchid
        self._key = key

    def answer(self, request: Request, now: datetime) -> Answer:
        """Carry out ``request`` and return WeChat's answer."""
        fields = read_xml(request.body)
        if not self.has_signature(fields):
            return self.communication_failure("签名错误")
        try:
            result = self._act(request.target, fields, now)
        except Refused as refused:
            return self.refusal(refused.code)
        return self._build_answer({"result_code": "SUCCESS", **result})

    def communication_failure(self, message: str) -> Answer:
        """Return the unsigned answer to a request that was not processed."""
        return Answer(200, {}, write_xml({"return_code": "FAIL", "return_msg": message}))

    def has_signature(self, fields: Mapping[str, str]) -> bool:
        """Whether ``fields`` have the merchant's signature."""
        return hmac.compare_digest(self._sign(fields), fields.get("sign", ""))

    def refusal(self, code: str) -> Answer:
        """Return a signed refusal."""
        code = SPELLINGS.get(code, code)
        return self._build_answer({"result_code": "FAIL", "err_code": code, "err_code_des": code})

    def payment_message(self, payment: Payment, total: int, now: datetime) -> tuple[dict[str, str], bytes]:
        """Return headers and body of a payment's notification."""
        fields = {"result_code": "SUCCESS", **self._payment(payment), "total_fee": str(total)}
        return {"Content-Type": "text/xml"}, self._build_answer(fields).body

    def refund_message(self, refund: Refund) -> tuple[dict[str, str], bytes]:
        """Return headers and body of a refund's notice: encrypted, not signed."""
        inside = {**_refund(refund, "", status=False), "refund_status": REFUND_STATES.get(refund.state, refund.state)}
        return self.notice(seal(write_xml(inside, "root"), self._key))

    def notice(self, sealed: bytes) -> tuple[dict[str, str], bytes]:
        """Return headers and body of a notice with the encrypted content ``sealed``, which anybody can make."""
        fields = {"return_code": "SUCCESS", "appid": self._appid, "mch_id": self._mchid, "nonce_str": "proof"}
        body = write_xml(fields | {"req_info": base64.b64encode(sealed).decode()})
        return {"Content-Type": "text/xml"}, body

    def _act(self, path: str, fields: Mapping[str, str], now: datetime) -> dict[str, str]:
        if path == "/pay/unifiedorder":
            request = OrderRequest(
                fields["out_trade_no"],
                int(fields["total_fee"]),
                fields.get("openid", ""),
                fields["body"],
                _from_beijing(fields["time_expire"]),
            )
            order = self._world.place(request, "v2", now)
            return {"trade_type": "JSAPI", "prepay_id": order.prepay_id}
        if path == "/pay/orderquery":
            return self._query(fields)
        if path == "/pay/closeorder":
            self._world.close(fields["out_trade_no"], "v2", now)
            return {}
        if path == "/secapi/pay/refund":
            amounts = int(fields["refund_fee"]), int(fields["total_fee"])
            return _refund(
                self._world.refund(fields["transaction_id"], fields["out_refund_no"], *amounts, now), "", status=False
            )
        if path == "/pay/refundquery":
            return _refund(self._world.find_refund(fields["out_refund_no"]), "_0", status=True)
        raise Refused("PARAM_ERROR")

    def _query(self, fields: Mapping[str, str]) -> dict[str, str]:
        if fields.get("transaction_id"):
            payment = self._world.find_payment(fields["transaction_id"])
            return {"trade_state": self._world.tell_payment(payment), **self._payment(payment)}
        order = self._world.find(fields["out_trade_no"])
        state = {"trade_state": self._world.tell_state(order), "out_trade_no": order.number}
        return state | (self._payment(self._world.tell_first_payment(order)) if order.payments else {})

    def _payment(self, payment: Payment) -> dict[str, str]:
        return {
            "out_trade_no": payment.number,
            "transaction_id": payment.transaction_id,
            "total_fee": str(payment.total),
            "cash_fee": str(payment.payer_total),
            "fee_type": "CNY",
            "openid": payment.openid,
            "trade_type": "JSAPI",
            "time_end": payment.at.astimezone(BEIJING).strftime("%Y%m%d%H%M%S"),
            **({"coupon_fee": str(payment.coupon), "coupon_count": "1"} if payment.coupon else {}),
        }

    def _build_answer(self, fields: Mapping[str, str]) -> Answer:
        whole = {"return_code": "SUCCESS", "appid": self._appid, "mch_id": self._mchid, "nonce_str": "proof", **fields}
        return Answer(200, {}, write_xml(whole | {"sign": self._sign(whole)}))

    def _sign(self, fields: Mapping[str, str]) -> str:
        pairs = sorted((name, value) for name, value in fields.items() if value and name != "sign")
        text = "&".join(f"{name}={value}" for name, value in [*pairs, ("key", self._key)])
        return hmac.new(self._key.encode(), text.encode(), hashlib.sha256).hexdigest().upper()


def read_xml(body: bytes) -> dict[str, str]:
    return {str(element.tag): element.text or "" for element in etree.fromstring(body)}


def write_xml(fields: Mapping[str, str], root: str = "xml") -> bytes:
    inside = "".join(f"<{name}><![CDATA[{value}]]></{name}>" for name, value in fields.items())
    return f"<{root}>{inside}</{root}>".encode()


def seal(content: bytes, key: str) -> bytes:
    """Encrypt with AES-256-ECB under the MD5 of the key in lower-case hex, as v2 does."""
    padder = PKCS7(128).padder()
    padded = padder.update(content) + padder.finalize()
    digest = hashlib.md5(key.encode(), usedforsecurity=False).hexdigest().encode()
    encryptor = Cipher(AES256(digest), ECB()).encryptor()  # noqa: S305 - what v2 sends
    return encryptor.update(padded) + encryptor.finalize()


def _refund(refund: Refund, row: str, *, status: bool) -> dict[str, str]:
    fields = {
        "transaction_id": refund.transaction_id,
        "out_trade_no": refund.number,
        "total_fee": str(refund.total),
        f"out_refund_no{row}": refund.out_refund_no,
        f"refund_id{row}": refund.refund_id,
        f"refund_fee{row}": str(refund.amount),
    }
    if refund.coupon:
        fields |= {
            f"coupon_refund_fee{row}": str(refund.coupon),
            f"settlement_refund_fee{row}": str(refund.amount - refund.coupon),
        }
    if status:
        fields[f"refund_status{row}"] = REFUND_STATES.get(refund.state, refund.state)
        if refund.success_at:
            fields[f"refund_success_time{row}"] = refund.success_at.astimezone(BEIJING).strftime("%Y-%m-%d %H:%M:%S")
    return fields


def _from_beijing(text: str) -> datetime:
    return datetime.strptime(text, "%Y%m%d%H%M%S").replace(tzinfo=BEIJING).astimezone(UTC)
