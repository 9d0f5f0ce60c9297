"""WeChat Pay v3: JSON over HTTPS, RSA signatures both ways.

Sources: https://pay.weixin.qq.com/doc/v3/merchant/4012791897 (JSAPI), .../4013070347 (APP), .../4012791899 (query by
number), .../4012556398 (close), .../4012365336 (signing), .../4013053249 (verification), .../4012791861 (notification).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import quote

import orjson

from wechat.domain.calls import VERIFIED
from wechat.domain.errors import KeysMissing, Malformed, NotifyError, OutcomeUnknown, RemoteError, SignatureInvalid
from wechat.domain.facts import (
    Api,
    Notification,
    NotificationKind,
    OtherNotice,
    RemoteRefund,
    RemoteState,
    Transaction,
    Verified,
)
from wechat.domain.orders import AppPayParams, Order, PayParams, Prepay, TradeType
from wechat.domain.times import to_v3
from wechat.pay import codes
from wechat.pay.certificates import KeyRing, Unverified
from wechat.pay.ciphers import AeadCipher
from wechat.pay.gateway import (
    ApiContext,
    Merchant,
    RefusedRequest,
    date_of,
    notification_id,
    remote_state,
    same_order,
)
from wechat.pay.signing import (
    APP_PACKAGE,
    SCHEME,
    Signer,
    check_window,
    rsa_verify,
    v3_answer_message,
    v3_pay_message,
    v3_request_message,
)
from wechat.pay.v3 import payloads as v3_payloads
from wechat.support.connection import build_bare_status
from wechat.support.transport import Answer, Request

HEADERS = ("Wechatpay-Signature", "Wechatpay-Timestamp", "Wechatpay-Nonce", "Wechatpay-Serial")
USER_AGENT = "fenpay"
MAX_HEADER = 1024
AUTHORIZED = re.compile(r'([a-z_]+)="([^"]*)"')

_PATHS = {TradeType.JSAPI: "jsapi", TradeType.NATIVE: "native", TradeType.MWEB: "h5", TradeType.APP: "app"}
_RESULTS = {
    TradeType.JSAPI: "prepay_id",
    TradeType.NATIVE: "code_url",
    TradeType.MWEB: "h5_url",
    TradeType.APP: "prepay_id",
}
_KINDS = {
    "TRANSACTION.SUCCESS": (NotificationKind.PAYMENT, "transaction"),
    "REFUND.SUCCESS": (NotificationKind.REFUND, "refund"),
    "REFUND.ABNORMAL": (NotificationKind.REFUND, "refund"),
    "REFUND.CLOSED": (NotificationKind.REFUND, "refund"),
    "SECURITY_ECHO.SUCCESS": (NotificationKind.ECHO, ""),
}
OURS = ("TRANSACTION.", "REFUND.")
"""Prefixes of events about money. An unknown event with one of them is refused, not acknowledged unread."""
OTHER = (NotificationKind.OTHER, "")
"""A genuine notification that this system does not use (of a coupon, a complaint): it is recorded and acknowledged,
because WeChat repeats an unacknowledged one for a day."""


class V3Gateway:
    """v3 for one merchant number."""

    api = Api.V3

    def __init__(self, wire: ApiContext, merchant: Merchant, signer: Signer, cipher: AeadCipher, ring: KeyRing) -> None:
        self._wire = wire
        self._merchant = merchant
        self._signer = signer
        self._cipher = cipher
        self._ring = ring

    @property
    def proof(self) -> str:
        """The key that proves the answers, for the timeline."""
        return f"v3 {self._ring.preferred_serial}"

    async def prepay(self, order: Order, at: datetime) -> Prepay:
        """POST /v3/pay/transactions/{jsapi,native,h5,app}."""
        name = _PATHS[order.trade_type]
        result = _RESULTS[order.trade_type]
        path, body = f"/v3/pay/transactions/{name}", self._order_body(order)
        data = await self.ask(name, "POST", path, body, about=order.out_trade_no)
        value = data.get(result)
        if not isinstance(value, str) or not value:
            raise OutcomeUnknown(name, wire_message=f"answer without {result}")
        return Prepay(obtained_at=at, sign_type="RSA", **{result: value})

    async def query(self, order: Order, *, transaction_id: str = "") -> Verified[Transaction]:
        """GET /v3/pay/transactions/{out-trade-no,id}/…."""
        way, number = ("id", transaction_id) if transaction_id else ("out-trade-no", order.out_trade_no)
        target = f"/v3/pay/transactions/{way}/{quote(number, safe='')}?mchid={order.mchid}"
        data = await self.ask("query", "GET", target, about=order.out_trade_no)
        try:
            found = v3_payloads.transaction(data, remote_state("query", data.get("trade_state")))
        except Malformed as error:
            raise OutcomeUnknown("query", wire_message=error.reason) from None
        return Verified(same_order("query", order, found), self.proof)

    async def close(self, order: Order) -> None:
        """POST /v3/pay/transactions/out-trade-no/{out_trade_no}/close, answered 204."""
        target = f"/v3/pay/transactions/out-trade-no/{quote(order.out_trade_no, safe='')}/close"
        await self.ask("close", "POST", target, {"mchid": order.mchid}, about=order.out_trade_no)

    def pay_params(self, appid: str, prepay: Prepay) -> PayParams:
        """Sign four lines with the merchant's key."""
        timestamp = str(int(self._wire.clock.now().timestamp()))
        nonce, package = self._wire.nonce(), f"prepay_id={prepay.prepay_id}"
        sign = self._signer.sign(v3_pay_message(appid, timestamp, nonce, package))
        return PayParams(appid, timestamp, nonce, package, "RSA", sign)

    def app_params(self, appid: str, prepay: Prepay) -> AppPayParams:
        """Sign four lines with the merchant's key; the last one is the prepay_id alone."""
        timestamp, nonce = str(int(self._wire.clock.now().timestamp())), self._wire.nonce()
        sign = self._signer.sign(v3_pay_message(appid, timestamp, nonce, prepay.prepay_id))
        return AppPayParams(appid, self._merchant.mchid, prepay.prepay_id, APP_PACKAGE, nonce, timestamp, sign)

    def receive(
        self, headers: Mapping[str, str], body: bytes, *, arrived_at: datetime | None = None
    ) -> Verified[Notification]:
        """Verify the raw body, then decrypt and parse it. Errors carry the serials of the keys that were tried."""
        try:
            return self._receive(headers, body, arrived_at)
        except NotifyError as error:
            error.known_serials = self._ring.serials
            raise

    def claimed_order(self, body: bytes) -> str:
        """See Gateway. Only content that was encrypted with our APIv3 key can be read; its signature is not checked."""
        try:
            envelope = v3_payloads.json_object(body)
            _, original = _KINDS.get(v3_payloads.optional(envelope, "event_type"), (None, ""))
            return v3_payloads.optional(self._open(envelope, original), "out_trade_no") if original else ""
        except Malformed:
            return ""

    def _receive(self, headers: Mapping[str, str], body: bytes, arrived_at: datetime | None) -> Verified[Notification]:
        serial = self._verify(headers, body, self._ring, arrived_at)
        envelope = v3_payloads.json_object(body)
        event_type = v3_payloads.require(envelope, "event_type")
        if event_type not in _KINDS and event_type.startswith(OURS):
            raise Malformed("event_type")
        kind, original = _KINDS.get(event_type, OTHER)
        content = self._open(envelope, original) if original else {}
        transaction = _payment(content) if kind is NotificationKind.PAYMENT else None
        refund = _refund(content, event_type) if kind is NotificationKind.REFUND else None
        other = self._other_notice(envelope, event_type) if kind is NotificationKind.OTHER else None
        about = transaction or refund
        mchid = about.mchid if about else self._merchant.mchid
        message = Notification(
            id=notification_id(mchid, kind, v3_payloads.require(envelope, "id")),
            api=Api.V3,
            kind=kind,
            mchid=mchid,
            transaction=transaction,
            created_at=v3_payloads.time(envelope, "create_time"),
            refund=refund,
            other=other,
        )
        return Verified(message, f"v3 {serial}")

    def _other_notice(self, envelope: Mapping[str, Any], event_type: str) -> OtherNotice:
        """Parse a notification of another kind. Its resource must decrypt, so that a wrong key is detected."""
        resource = v3_payloads.section(envelope, "resource")
        content = self._open(envelope, v3_payloads.optional(resource, "original_type")) if resource else {}
        return OtherNotice(
            v3_payloads.require(envelope, "id"), event_type, v3_payloads.optional(envelope, "summary"), content
        )

    async def certificates(self) -> Unverified:
        """GET /v3/certificates. The caller verifies the answer, because the first one contains its own key."""
        answer = await self._send("certificates", "GET", "/v3/certificates", b"")
        return Unverified(answer.body, lambda ring: self._verify_answer(answer, ring))

    def _order_body(self, order: Order) -> dict[str, Any]:
        """Build the body that places ``order``.

        All fields that WeChat compares on a repetition come from the stored order, so that repetitions are equal.
        """
        body: dict[str, Any] = {
            "appid": order.appid,
            "mchid": order.mchid,
            "description": order.description,
            "out_trade_no": order.out_trade_no,
            "time_expire": to_v3(order.expires_at),
            "notify_url": order.notify_url,
            "amount": {"total": order.total, "currency": order.currency},
            "scene_info": {"payer_client_ip": order.client_ip},
        }
        if order.attach:
            body["attach"] = order.attach
        if order.trade_type is TradeType.JSAPI:
            body["payer"] = {"openid": order.openid}
        if order.trade_type is TradeType.MWEB:
            body["scene_info"]["h5_info"] = {
                "type": "Wap",
                "app_name": self._merchant.name,
                "app_url": self._merchant.url,
            }
        return body

    async def ask(
        self,
        call: str,
        method: str,
        target: str,
        body: dict[str, Any] | None = None,
        *,
        about: str = "",
        repeatable: bool = True,
    ) -> dict[str, Any]:
        """Send a signed request, and verify and parse its answer; an empty object for 204.

        ``about``: the out_trade_no of the order, for the recorded call. ``repeatable`` as in ``Request``. Raises
        GatewayRefused, NotSent, OutcomeUnknown.
        """
        if not len(self._ring):
            self._ring.on_unknown()
            raise KeysMissing(call)
        payload = orjson.dumps(body) if body else b""
        answer = await self._send(call, method, target, payload, repeatable, about)
        try:
            self._verify_answer(answer, self._ring)
            return v3_payloads.json_object(answer.body) if answer.body else {}
        except NotifyError as error:
            raise OutcomeUnknown(
                call,
                wire_message=f"answer not verifiable: {error.reason}",
                unverified=error.reason,
                http_status=answer.status,
                request_id=answer.headers.get("Request-ID", ""),
            ) from None

    async def _send(
        self, call: str, method: str, target: str, body: bytes, repeatable: bool = True, about: str = ""
    ) -> Answer:
        """Send a signed request and return its unverified answer. Raises the error of any status but 200 and 204."""
        headers = self.sign(method, target, body)
        if body:
            headers["Content-Type"] = "application/json"
        if self._ring.preferred_serial:
            headers["Wechatpay-Serial"] = self._ring.preferred_serial
        request = Request(call, method, target, body, headers, repeatable, Api.V3, about)
        answer = await self._wire.transport.send(self._wire.hosts, request)
        if answer.status not in (200, 204):
            error = _failure(call, answer)
            raise self._wire.explain_refusal(error, lambda: _build_refused_request(error, request, answer))
        return answer

    def sign(self, method: str, target: str, body: bytes = b"") -> dict[str, str]:
        """Build the headers of a signed request; ``target`` is path and query as sent."""
        timestamp = str(int(self._wire.clock.now().timestamp()))
        authorization = self._signer.authorization(method, target, body, timestamp=timestamp, nonce=self._wire.nonce())
        return {"Accept": "application/json", "User-Agent": USER_AGENT, "Authorization": authorization}

    def _verify_answer(self, answer: Answer, ring: KeyRing) -> None:
        try:
            self._verify(answer.headers, answer.body, ring)
        except NotifyError as error:
            answer.note_verdict(error.reason)
            raise
        answer.note_verdict(VERIFIED)

    def _verify(
        self, headers: Mapping[str, str], body: bytes, ring: KeyRing, arrived_at: datetime | None = None
    ) -> str:
        """Check headers, time window, key, and the signature over the raw bytes. Return the serial of the key."""
        signature, timestamp, nonce, serial = (_header(headers, name) for name in HEADERS)
        if headers.get("Wechatpay-Signature-Type", SCHEME) != SCHEME:
            raise SignatureInvalid("signature_type")
        check_window(timestamp, (arrived_at or self._wire.clock.now()).timestamp())
        rsa_verify(ring.find(serial), v3_answer_message(timestamp, nonce, body), signature)
        return serial

    def _open(self, envelope: Mapping[str, Any], original: str) -> dict[str, Any]:
        """Decrypt and parse the content of ``resource``."""
        resource = envelope.get("resource")
        if not isinstance(resource, dict) or resource.get("algorithm") != "AEAD_AES_256_GCM":
            raise Malformed("resource")
        if resource.get("original_type", original) != original:
            raise Malformed("original_type")
        plain = self._cipher.open(
            nonce=v3_payloads.require(resource, "nonce"),
            associated_data=v3_payloads.optional(resource, "associated_data"),
            ciphertext=v3_payloads.require(resource, "ciphertext"),
        )
        return v3_payloads.json_object(plain)


def _header(headers: Mapping[str, str], name: str) -> str:
    value = headers.get(name, "")
    if not value or len(value) > MAX_HEADER:
        raise SignatureInvalid("header")
    return value


def _failure(call: str, answer: Answer) -> RemoteError:
    """Build the error for a status that is no success. WeChat does not sign these answers; TLS protects them."""
    try:
        data = v3_payloads.json_object(answer.body)
    except Malformed:
        data = {}
    trace = answer.headers.get("Request-ID", "")
    if not data.get("code"):
        return build_bare_status(call, answer.status, answer.host, trace)
    return codes.failure(
        Api.V3,
        call,
        str(data["code"]),
        str(data.get("message", "")),
        http_status=500 if answer.status in (202, 429) else answer.status,
        request_id=trace,
    )


def _build_refused_request(error: RemoteError, request: Request, answer: Answer) -> RefusedRequest:
    """Collect the text that we signed, and the part that WeChat shows of the text that it expected."""
    values = dict(AUTHORIZED.findall(request.headers["Authorization"]))
    time, nonce = values["timestamp"], values["nonce_str"]
    try:
        detail = v3_payloads.json_object(answer.body).get("detail")
    except Malformed:
        detail = None
    shown = detail.get("sign_information") if isinstance(detail, dict) else None
    shown = shown if isinstance(shown, dict) else {}
    length = shown.get("sign_message_length")
    return RefusedRequest(
        Api.V3,
        error.wire_message,
        float(time),
        date_of(answer.headers),
        v3_request_message(request.method, request.target, time, nonce, request.body),
        str(shown.get("truncated_sign_message", "")),
        length if type(length) is int else 0,
    )


def _payment(content: Mapping[str, Any]) -> Transaction:
    try:
        return v3_payloads.transaction(content, RemoteState(str(content.get("trade_state"))))
    except ValueError:
        raise Malformed("trade_state") from None


def _refund(content: Mapping[str, Any], event_type: str) -> RemoteRefund:
    """Parse a refund's result, whose state must agree with the event type."""
    fact = v3_payloads.refund_fact(content, v3_payloads.require(content, "mchid"), "refund_status")
    if event_type != f"REFUND.{fact.state}":
        raise Malformed("refund_status")
    return fact
