"""Payment notifications as v2 and v3 write them.

Sources: https://pay.weixin.qq.com/doc/v2/merchant/4011939779 and https://pay.weixin.qq.com/doc/v3/merchant/4012791861.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from simulator.clock import moment
from simulator.keys import PlatformKeys, Seal
from simulator.orders import Order, Paid
from simulator.pki import Identity
from wechat.pay import xmlcodec
from wechat.pay.signing import SignType, v2_sign
from wechat.times import to_v2, to_v3

STATE_TEXT = {"SUCCESS": "支付成功", "NOTPAY": "订单未支付", "CLOSED": "订单已关闭"}
BANK = "OTHERS"


@dataclass(frozen=True, slots=True)
class Message:
    headers: Mapping[str, str]
    body: bytes


class Writer:
    """Writes notifications; each call signs anew."""

    def __init__(self, identity: Identity, keys: PlatformKeys) -> None:
        self._key = identity.api_v2_key
        self._keys = keys

    def write(self, order: Order, paid: Paid, notification_id: str, seal: Seal, skew_s: int, over: int) -> Message:
        """The message that ``order`` was paid; ``over`` fen are added to the total, ``skew_s`` to v3's timestamp."""
        if order.placed.api == "v2":
            return self._v2(order, paid, notification_id, seal, over)
        return self._v3(order, paid, notification_id, seal, skew_s, over)

    def _v2(self, order: Order, paid: Paid, notification_id: str, seal: Seal, over: int) -> Message:
        """Repetitions are equal to the byte: the nonce is the notification's, and v2 dates nothing."""
        fields = {
            "return_code": "SUCCESS",
            "result_code": "SUCCESS",
            "appid": order.placed.appid,
            "mch_id": order.placed.mchid,
            "nonce_str": notification_id.replace("-", ""),
            **v2_transaction(order, paid, over),
        }
        key = self._key if seal is Seal.GENUINE else secrets.token_hex(16)
        fields["sign"] = v2_sign(fields, key, SignType(order.placed.sign_type))
        return Message({"Content-Type": "text/xml"}, xmlcodec.build(fields))

    def _v3(self, order: Order, paid: Paid, notification_id: str, seal: Seal, skew_s: int, over: int) -> Message:
        plaintext = _dump(v3_transaction(order, paid, over))
        body = _dump(
            {
                "id": notification_id,
                "create_time": to_v3(moment(paid.wall_s)),
                "resource_type": "encrypt-resource",
                "event_type": "TRANSACTION.SUCCESS",
                "summary": "支付成功",
                "resource": {"original_type": "transaction", **self._keys.seal(plaintext, "transaction")},
            }
        )
        headers = self._keys.headers(self._keys.notification_signer(), body, seal, skew_s)
        return Message({"Content-Type": "application/json", "Request-ID": secrets.token_hex(16), **headers}, body)


def v2_transaction(order: Order, paid: Paid, over: int = 0) -> dict[str, str]:
    """What v2's notification and its orderquery tell of a paid order."""
    placed = order.placed
    total = str(placed.total + over)
    told = {
        "device_info": placed.device_info,
        "openid": paid.openid,
        "is_subscribe": "N",
        "trade_type": placed.trade_type,
        "bank_type": BANK,
        "total_fee": total,
        "fee_type": placed.currency,
        "cash_fee": total,
        "cash_fee_type": placed.currency,
        "transaction_id": paid.transaction_id,
        "out_trade_no": placed.out_trade_no,
        "attach": placed.attach,
        "time_end": to_v2(moment(paid.wall_s)),
    }
    return {name: value for name, value in told.items() if value}


def v3_transaction(order: Order, paid: Paid, over: int = 0) -> dict[str, Any]:
    """What v3's notification and its query tell of a paid order."""
    placed = order.placed
    total = placed.total + over
    return {
        "mchid": placed.mchid,
        "appid": placed.appid,
        "out_trade_no": placed.out_trade_no,
        "transaction_id": paid.transaction_id,
        "trade_type": placed.trade_type,
        "trade_state": "SUCCESS",
        "trade_state_desc": STATE_TEXT["SUCCESS"],
        "bank_type": BANK,
        "attach": placed.attach,
        "success_time": to_v3(moment(paid.wall_s)),
        "payer": {"openid": paid.openid},
        "amount": {
            "total": total,
            "payer_total": total,
            "currency": placed.currency,
            "payer_currency": placed.currency,
        },
    }


def _dump(data: dict[str, Any]) -> bytes:
    return json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode()
