"""The notification receiver over stores in memory, and messages that WeChat posts to it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from multidict import CIMultiDict

from tests.contract.samples import an_order
from tests.support.clock import ManualClock
from tests.support.core import Backend, Core
from tests.support.keys import key
from tests.support.platform import Message, Platform
from tests.support.refund_fixture import FakeRefundGateway
from wechat.domain.errors import (
    FenpayError,
    NotSent,
)
from wechat.domain.facts import Api, Transaction, Verified
from wechat.domain.orders import Order, TradeState
from wechat.pay.certificates import KeyRing, PlatformKey
from wechat.pay.ciphers import AeadCipher
from wechat.pay.gateway import ApiContext, Gateway, Merchant, RefundGateway
from wechat.pay.signing import Signer
from wechat.pay.v2.gateway import V2Gateway
from wechat.pay.v3.gateway import V3Gateway
from wechat.refunds.late_payments import LatePolicy
from wechat.support.transport import Transport

KNOWN: dict[str, Any] = {
    "appid": "wxsim0123456789",
    "mchid": "sim1900000109",
    "api_v2_key": "0123456789abcdefghijklmnopqrstuv",
    "api_v3_key": "0123456789abcdef0123456789ABCDEF",
    "public_key_id": "PUB_KEY_ID_01",
    "users": [{"openid": "osim-a"}],
}


class NowClock(ManualClock):
    """The real time, at which messages are signed."""

    def __init__(self) -> None:
        now = datetime.now(UTC)
        super().__init__(now.replace(microsecond=now.microsecond // 1000 * 1000))


class Queried(V3Gateway):
    """A gateway with a set answer to queries."""

    answer: Transaction | FenpayError = NotSent("query")

    async def query(self, order: Order, *, transaction_id: str = "") -> Verified[Transaction]:
        if isinstance(self.answer, FenpayError):
            raise self.answer
        return Verified(self.answer, "test")


class World:
    """A receiver for both APIs over stores in memory, and a WeChat that sends to it."""

    def __init__(self, platform: Platform, late_policy: LatePolicy = LatePolicy.ASK) -> None:
        self.platform = platform
        self.clock = NowClock()
        self.backend = Backend(self.clock)
        merchant = Merchant(KNOWN["mchid"], KNOWN["appid"])
        wire = ApiContext(Transport(self.backend.telemetry), (), self.clock)
        ring = KeyRing(self.clock, PlatformKey("PUB_KEY_ID_01", key("platform").public_key()))
        ring.replace_certificates(
            [PlatformKey("AB01", key("certificate").public_key(), self.clock.now() - timedelta(1), None)]
        )
        self.v3 = v3 = Queried(wire, merchant, Signer("", "", key("ours")), AeadCipher(KNOWN["api_v3_key"]), ring)
        gateways: dict[Api, Gateway] = {Api.V2: V2Gateway(wire, merchant, KNOWN["api_v2_key"]), Api.V3: v3}
        self.refund_gateway = FakeRefundGateway()
        refund_gateways: dict[Api, RefundGateway] = dict.fromkeys(Api, self.refund_gateway)
        self.core = Core(self.backend, gateways, refund_gateways, policy=late_policy)
        self.order = self.place(an_order(total=100))

    def place(self, order: Order) -> Order:
        return self.backend.put(order)

    @property
    def wanted(self) -> dict[str, Any]:
        return {"out_trade_no": self.order.out_trade_no, "total": 100, "openid": "osim-a"}

    def write(self, api: str, **changed: Any) -> Message:
        return self.platform.v2(self.wanted, **changed) if api == "v2" else self.platform.v3(self.wanted, **changed)

    async def receive(self, message: Message) -> None:
        await self.core.receiver.receive(CIMultiDict(message.headers), message.body)

    @property
    def stored(self) -> Order:
        return self.backend.orders[self.order.out_trade_no]

    @property
    def seen(self) -> list[int]:
        """The number of arrivals of each message."""
        return [message.seen for message in self.backend.messages]

    @property
    def verdicts(self) -> list[str]:
        return [message.verdict for message in self.backend.messages if message.verdict]

    def alarms(self, kind: str) -> int:
        return self.backend.telemetry.alarms(kind)

    @property
    def state(self) -> TradeState:
        return self.stored.trade_state

    @property
    def events(self) -> list[str]:
        return [entry.what for entry in self.stored.timeline]


COUPON_V3 = {"total": 100, "payer_total": 80, "currency": "CNY", "payer_currency": "CNY"}


def v3_amount(**changed: Any) -> dict[str, Any]:
    return {"amount": COUPON_V3 | {"payer_total": 100} | changed}


MISMATCHES: list[tuple[str, str, dict[str, Any]]] = [
    ("v2", "total", {"total_fee": "1"}),
    ("v2", "total", {"total_fee": "99"}),
    ("v2", "total", {"total_fee": "101"}),
    ("v2", "total", {"total_fee": "80", "cash_fee": "80"}),
    ("v2", "total", {"total_fee": "999999999"}),
    ("v2", "appid", {"appid": "wx9999999999999999"}),
    ("v2", "mchid", {"mch_id": "1900000999"}),
    ("v2", "currency", {"fee_type": "USD"}),
    ("v2", "trade_type", {"trade_type": "NATIVE"}),
    ("v2", "unknown_order", {"out_trade_no": "20260301999999zzz"}),
    ("v3", "total", v3_amount(total=1)),
    ("v3", "total", v3_amount(total=101)),
    ("v3", "total", v3_amount(total=80, payer_total=100)),
    ("v3", "appid", {"appid": "wx9999999999999999"}),
    ("v3", "mchid", {"mchid": "1900000999"}),
    ("v3", "currency", v3_amount(currency="USD")),
    ("v3", "trade_type", {"trade_type": "NATIVE"}),
    ("v3", "trade_state", {"trade_state": "NOTPAY"}),
    ("v3", "trade_state", {"trade_state": "CLOSED"}),
    ("v3", "trade_state", {"trade_state": "USERPAYING"}),
    ("v3", "unknown_order", {"out_trade_no": "20260301999999zzz"}),
]
MALFORMED: list[tuple[str, dict[str, Any]]] = [
    *[
        ("v2", {"total_fee": value})
        for value in (
            "0",
            "-100",
            "null",
            "",
            "1.00",
            "1e2",
            "0100",
            "１００",
            "+100",
            " 100",
            "100 ",
            "1_00",
            "1" * 10,
        )
    ],
    ("v2", {"return_code": "FAIL"}),
    ("v2", {"return_code": ""}),
    ("v2", {"out_trade_no": ""}),
    ("v2", {"transaction_id": ""}),
    ("v2", {"appid": ""}),
    ("v2", {"mch_id": ""}),
    ("v2", {"time_end": ""}),
    ("v2", {"time_end": "20260231000000"}),
    ("v2", {"time_end": "00010101000000"}),
    *[
        ("v3", v3_amount(total=value))
        for value in (0, -100, None, "", "100", 1.0, 100.0, True, 2**63, 10**400, [100], {"$gt": 0})
    ],
    ("v3", {"amount": None}),
    ("v3", {"amount": 100}),
    ("v3", {"out_trade_no": {"$gt": ""}}),
    ("v3", {"out_trade_no": "\ud800"}),
    ("v3", {"transaction_id": None}),
    ("v3", {"transaction_id": 1}),
    ("v3", {"appid": ""}),
    ("v3", {"mchid": None}),
    ("v3", {"trade_state": "PAID"}),
    ("v3", {"trade_state": None}),
    ("v3", {"success_time": "yesterday"}),
    ("v3", {"success_time": "9999-12-31T23:59:59-08:00"}),
    ("v3", {"success_time": None}),
    ("v3", {"payer": {"openid": 1}}),
]
