"""Notifications as v2 and v3 write them.

Sources: https://pay.weixin.qq.com/doc/v2/merchant/4011939779 and https://pay.weixin.qq.com/doc/v3/merchant/4012791861
(payments), https://pay.weixin.qq.com/wiki/doc/api/jsapi.php?chapter=9_16 and
https://pay.weixin.qq.com/doc/v3/merchant/4012791865 (refunds).
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from simulator.state.clock import moment
from simulator.state.orders import Order, Paid
from simulator.state.pki import Identity
from simulator.state.refunds import Refund, RefundEnded, State
from simulator.wechatpay.keys import PlatformKeys, SignatureMode
from simulator.wechatpay.payloads import v2_transaction, v3_transaction
from simulator.wechatpay.refund_payloads import REFUND_TEXT, v2_refund_news, v3_refund_news
from simulator.wechatpay.xml import write_xml
from wechat.domain.times import to_v3
from wechat.pay.ciphers import seal_req_info
from wechat.pay.signing import SignType, v2_sign


@dataclass(frozen=True, slots=True)
class Message:
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class NotificationSpec:
    """A message about a payment or a refund. ``kind`` is its name in the order's attempts.

    ``after_s`` simulated seconds after the event; ``ladder``: repeated until the answer is right; ``skew_s``: the
    difference of v3's timestamp from the wall clock; ``over``: fen by which the message overstates the total.
    """

    kind: str = "genuine"
    after_s: float = 0.0
    ladder: bool = True
    skew_s: int = 0
    seal: SignatureMode = SignatureMode.GENUINE
    over: int = 0


class NotificationBuilder:
    """Build notifications; each call signs anew, in the form of the API that the merchant used."""

    def __init__(self, identity: Identity, keys: PlatformKeys) -> None:
        self._identity = identity
        self._keys = keys

    def payment(self, order: Order, paid: Paid, notification_id: str, shot: NotificationSpec) -> Message:
        """Return the message that ``order`` was paid, with the faults of ``shot``."""
        if order.placed.api == "v2":
            return self._v2_payment(order, paid, notification_id, shot)
        fields = v3_transaction(order, paid, shot.over)
        return self._v3("TRANSACTION.SUCCESS", "支付成功", "transaction", fields, notification_id, paid.wall_s, shot)

    def refund(
        self, order: Order, refund: Refund, end: RefundEnded, notification_id: str, shot: NotificationSpec
    ) -> Message:
        """Return the message that ``refund`` ended as ``end``."""
        if refund.taken.notify_api == "v2":
            return self._v2_refund(order, v2_refund_news(order, refund, end), notification_id, shot)
        fields = v3_refund_news(self._identity.mchid, order, refund, end)
        event, summary = f"REFUND.{end.state}", REFUND_TEXT[State(end.state)]
        return self._v3(event, summary, "refund", fields, notification_id, end.wall_s, shot)

    def _v2_payment(self, order: Order, paid: Paid, notification_id: str, shot: NotificationSpec) -> Message:
        """Return the message. Repetitions are equal to the byte: the nonce belongs to the notification, and v2 has no
        date."""
        fields = {
            **self._v2_head(order, notification_id),
            "result_code": "SUCCESS",
            **v2_transaction(order, paid, shot.over),
        }
        key = self._v2_key(shot)
        fields["sign"] = v2_sign(fields, key, SignType(order.placed.sign_type))
        return Message({"Content-Type": "text/xml"}, write_xml(fields))

    def _v2_refund(self, order: Order, fields: dict[str, str], notification_id: str, shot: NotificationSpec) -> Message:
        """Return the message. It is not signed; its content is encrypted under the API key."""
        sealed = seal_req_info(write_xml(fields, root="root"), self._v2_key(shot))
        fields = self._v2_head(order, notification_id) | {"req_info": sealed}
        return Message({"Content-Type": "text/xml"}, write_xml(fields))

    def _v2_head(self, order: Order, notification_id: str) -> dict[str, str]:
        return {
            "return_code": "SUCCESS",
            "appid": order.placed.appid,
            "mch_id": self._identity.mchid,
            "nonce_str": notification_id.replace("-", ""),
        }

    def _v2_key(self, shot: NotificationSpec) -> str:
        return self._identity.api_v2_key if shot.seal is SignatureMode.GENUINE else secrets.token_hex(16)

    def _v3(
        self,
        event: str,
        summary: str,
        kind: str,
        fields: dict[str, Any],
        notification_id: str,
        at_s: float,
        shot: NotificationSpec,
    ) -> Message:
        body = _dump(
            {
                "id": notification_id,
                "create_time": to_v3(moment(at_s)),
                "resource_type": "encrypt-resource",
                "event_type": event,
                "summary": summary,
                "resource": {"original_type": kind, **self._keys.seal(_dump(fields), kind)},
            }
        )
        headers = self._keys.headers(self._keys.notification_signer(), body, shot.seal, shot.skew_s)
        return Message({"Content-Type": "application/json", "Request-ID": secrets.token_hex(16), **headers}, body)


def _dump(data: dict[str, Any]) -> bytes:
    return json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode()
