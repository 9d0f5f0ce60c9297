"""The merchant's account at WeChat Pay: its numbers and keys on both sides of the wire."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from functools import cache
from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key

from proof.bill_wire import HOST, QUESTION, BillDesk
from proof.bills import Bills
from proof.faults import Faults
from proof.protocol_v2 import ProtocolV2, read_xml, write_xml
from proof.protocol_v3 import ProtocolV3
from proof.trace import orders_in
from proof.wechat import WeChat
from service.compose import Terms
from wechat.domain.facts import Api
from wechat.domain.ports import Clock, Random
from wechat.orders.drafts import OrderDefaults
from wechat.pay.bills.gateways import BillGateway, V2Bills, V3Bills
from wechat.pay.certificates import KeyRing, PlatformKey
from wechat.pay.ciphers import AeadCipher
from wechat.pay.gateway import ApiContext, Gateway, Merchant, RefundGateway
from wechat.pay.signing import Signer
from wechat.pay.v2.gateway import V2Gateway
from wechat.pay.v2.refunds import V2Refunds
from wechat.pay.v3.gateway import V3Gateway
from wechat.pay.v3.refunds import V3Refunds
from wechat.refunds.late_payments import LatePolicy
from wechat.refunds.service import RefundDefaults
from wechat.support.transport import Answer, Request, Transport

KEY_BITS = 1024
"""Short, because a run signs ten thousand times. No signature is part of a trace."""
NUMBERS = re.compile(r"[0-9A-Za-z]{20,64}")
V2_KEY = "2" * 32
V3_KEY = "3" * 32
SERIAL = "PUB_KEY_ID_0"


@cache
def _key(owner: str) -> RSAPrivateKey:
    return generate_private_key(65537, KEY_BITS)


class Gateways(NamedTuple):
    """The service's gateways to one account."""

    orders: Mapping[Api, Gateway]
    refunds: Mapping[Api, RefundGateway]
    bills: BillGateway


class Account:
    """One merchant at ``world``."""

    appid = "wxproof"
    mchid = "1900000001"
    notify_url = "https://pay.example.com/notify"

    def __init__(self, world: WeChat, faults: Faults, stream: random.Random) -> None:
        self._world = world
        self.v2 = ProtocolV2(world, self.appid, self.mchid, V2_KEY)
        self.v3 = ProtocolV3(world, self.appid, self.mchid, V3_KEY, SERIAL, _key("platform"))
        self.bills = Bills(world, faults, stream, self.appid, self.mchid)
        self.bill_desk = BillDesk(self.bills, self.v2, self.v3)
        self.bill_api = stream.choice(list(Api))
        self.forger = ProtocolV3(world, self.appid, self.mchid, V3_KEY, SERIAL, _key("forger"))

    def answer(self, api: Api, request: Request, now: datetime) -> Answer:
        """What WeChat answers to ``request``."""
        if request.call == QUESTION:
            return self.bill_desk.announce(request, now)
        return self.v2.answer(request, now) if api is Api.V2 else self.v3.answer(request, now)

    def orders_of(self, request: Request) -> list[str]:
        """Which order a request is about, by its own number or by that of its payment or refund."""
        text = f"{request.target} {request.body.decode('utf-8', 'replace')}"
        known = [
            self._world.payments.get(number) or self._world.refunds.get(number) for number in NUMBERS.findall(text)
        ]
        return orders_in(text) or sorted({each.number for each in known if each})

    def refusal(self, api: Api, code: str) -> Answer:
        return self.v2.refusal(code) if api is Api.V2 else self.v3.refusal(code)

    def break_signature(self, api: Api, answer: Answer, *, unsigned: bool) -> Answer:
        """``answer`` without its signature, or with a wrong one."""
        if api is Api.V3:
            if "Wechatpay-Signature" not in answer.headers:
                return answer
            wrong = "" if unsigned else "AAAA"
            return replace(answer, headers={**answer.headers, "Wechatpay-Signature": wrong})
        fields = read_xml(answer.body)
        return replace(answer, body=write_xml(fields | {"sign": "" if unsigned else "0" * 64}))

    def terms(self, late_policy: LatePolicy) -> Terms:
        """What the settings of its service would say."""
        lifetime = timedelta(minutes=30)
        orders = OrderDefaults(self.appid, self.mchid, Api.V3, self.notify_url, lifetime, 10_000_000, 9)
        refunds = RefundDefaults(self.mchid, {api: api for api in Api}, self.notify_url)
        return Terms(orders, {}, refunds, late_policy)

    def gateways(self, wires: Mapping[Api, Transport], clock: Clock, random: Random) -> Gateways:
        """The service's own gateways to this account."""
        merchant = Merchant(self.mchid, self.appid)
        wire = {api: ApiContext(wires[api], (HOST,), clock, lambda: random.token(16)) for api in Api}
        signer = Signer(self.mchid, "1", _key("merchant"))
        ring = KeyRing(clock, PlatformKey(SERIAL, _key("platform").public_key()))
        v2 = V2Gateway(wire[Api.V2], merchant, V2_KEY)
        v3 = V3Gateway(wire[Api.V3], merchant, signer, AeadCipher(V3_KEY), ring)
        refunds: dict[Api, RefundGateway] = {Api.V2: V2Refunds(v2, wire[Api.V2]), Api.V3: V3Refunds(v3)}
        bills: dict[Api, BillGateway] = {
            Api.V2: V2Bills(wire[Api.V2], merchant, V2_KEY),
            Api.V3: V3Bills(wire[Api.V3], v3),
        }
        return Gateways({Api.V2: v2, Api.V3: v3}, refunds, bills[self.bill_api])
