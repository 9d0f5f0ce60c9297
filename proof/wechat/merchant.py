"""The merchant's account at WeChat Pay: its numbers and keys on both sides."""

from __future__ import annotations

import random
import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import NamedTuple, TypeVar, cast

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from proof.checks.key_watch import WatchedRing
from proof.faults import Faults
from proof.runtime.outage import Outage
from proof.runtime.trace import orders_in
from proof.wechat.bill_wire import HOST, QUESTION, BillDesk
from proof.wechat.bills import Bills
from proof.wechat.forger import Forger
from proof.wechat.payments import WeChat
from proof.wechat.platform_keys import OneKey, PlatformKeys, QuickKey, make_key
from proof.wechat.protocol_v2 import ProtocolV2, read_xml, write_xml
from proof.wechat.protocol_v3 import ProtocolV3
from service.parts.core_settings import CoreSettings
from wechat.domain.facts import Api
from wechat.domain.ports import Runtime
from wechat.orders.drafts import OrderDefaults
from wechat.pay.bills.gateways import BillGateway, V2Bills, V3Bills
from wechat.pay.certificates import Certificates, PlatformKey
from wechat.pay.ciphers import AeadCipher
from wechat.pay.gateway import ApiContext, Gateway, Merchant, RefundGateway
from wechat.pay.signing import Signer
from wechat.pay.v2.gateway import V2Gateway
from wechat.pay.v2.refunds import V2Refunds
from wechat.pay.v3.gateway import V3Gateway
from wechat.pay.v3.refunds import V3Refunds
from wechat.refunds.drafts import RefundDefaults
from wechat.refunds.late_payments import LatePolicy
from wechat.support.transport import Answer, Request, Transport

MCHID = "1900000001"
NUMBERS = re.compile(r"[0-9A-Za-z]{20,64}")
V2_KEY = "2" * 32
V3_KEY = "3" * 32
CODES_OF_500 = ("", "SYSTEM_ERROR", "UNDOCUMENTED_CODE")
"""What v3 says in an answer with status 500: nothing, the documented code, or a code that nobody knows."""
CREDENTIALS = ("SIGN_ERROR", "NO_AUTH", "CERT_ERROR", "MCH_NOT_EXISTS")
NOT_NOW_CODES = (*CREDENTIALS, "FREQUENCY_LIMITED", "INVALID_REQ_TOO_MUCH")
"""Reasons of credentials and rate, for which WeChat refuses any request."""
UNPROCESSED = ("签名错误", "商户号mch_id与appid不匹配")
"""v2's texts about a request that it did not process, without a signature or a code."""
BUSY = ("系统繁忙，请稍后再试", "SYSTEMERROR")
"""v2's texts, also unsigned, that leave the outcome open."""
OPEN_CODES = ("SYSTEM_ERROR", "BIZERR_NEED_RETRY")
"""v2's signed codes that leave the outcome open."""
WRONG_SIGNATURES = ("AAAA", "WECHATPAY/SIGNTEST/AAAA")
"""WeChat probes with the second whether answers are verified."""


T = TypeVar("T")


def _choose(choices: Sequence[T], request: Request) -> T:
    """Return one of ``choices``, by the bytes of ``request``: its nonce differs from those of others."""
    text = f"{request.target} {request.headers.get('Authorization', '')}".encode()
    return choices[zlib.crc32(text + request.body) % len(choices)]


class Gateways(NamedTuple):
    """The service's own gateways to one account. ``certificates`` refresh the key ring, if there are any."""

    orders: Mapping[Api, Gateway]
    refunds: Mapping[Api, RefundGateway]
    bills: BillGateway
    ring: WatchedRing
    certificates: Certificates | None


class Account:
    """A merchant at ``world``, which signs with ``keys``. ``faults`` and ``stream`` are those of its bills."""

    appid = "wxproof"
    mchid = MCHID
    notify_url = "https://pay.example.com/notify"

    def __init__(
        self,
        world: WeChat,
        keys: PlatformKeys,
        begins: datetime,
        faults: Faults,
        stream: random.Random,
        outage: Outage,
    ) -> None:
        self._world = world
        self.outage = outage
        self.keys = keys
        serial = keys.for_answer("", begins).serial
        self.v2 = self.v2_of()
        self.v3 = self.v3_with(keys)
        self.bills = Bills(world, faults, stream, self.appid, self.mchid)
        self.bill_desk = BillDesk(self.bills, self.v2, self.v3)
        self.bill_api = stream.choice(list(Api))
        self.forger = self.v3_with(OneKey(serial, make_key("forger"), begins))
        self._forged_answers = Forger(world, self.appid, self.mchid, serial, begins)

    def answer(self, api: Api, request: Request, now: datetime) -> Answer:
        """Return WeChat's answer to ``request``."""
        if request.call == QUESTION:
            return self.bill_desk.announce(request, now)
        return self.v2.answer(request, now) if api is Api.V2 else self.v3.answer(request, now)

    def v2_of(self, appid: str = appid, mchid: str = mchid) -> ProtocolV2:
        """Return v2 under the merchant's key, also for other merchants that share it."""
        return ProtocolV2(self._world, appid, mchid, V2_KEY)

    def v3_with(self, keys: PlatformKeys | OneKey, appid: str = appid, mchid: str = mchid) -> ProtocolV3:
        """Return v3 with the merchant's key and signatures by ``keys``."""
        return ProtocolV3(self._world, appid, mchid, V3_KEY, keys)

    def forge_answer(self, api: Api, request: Request, now: datetime) -> Answer:
        """Return the answer of an attacker without WeChat's keys to ``request``."""
        return self._forged_answers.answer(api, request, now)

    def orders_of(self, request: Request) -> list[str]:
        """Return the orders that a request is about, by their own number or by that of a payment or refund."""
        text = f"{request.target} {request.body.decode('utf-8', 'replace')}"
        orders = [
            self._world.payments.get(number) or self._world.refunds.get(number) for number in NUMBERS.findall(text)
        ]
        return orders_in(text) or sorted({each.number for each in orders if each})

    def refusal(self, api: Api, code: str) -> Answer:
        return self.v2.refusal(code) if api is Api.V2 else self.v3.refusal(code)

    def refuse_for_now(self, api: Api, request: Request, codes: Sequence[str] = NOT_NOW_CODES) -> Answer:
        """Return a refusal that says nothing of what ``request`` wants: one of ``codes``, or one of v2's texts."""
        refusals = [self.refusal(api, code) for code in codes]
        if api is Api.V2:
            refusals += [self.v2.communication_failure(text) for text in UNPROCESSED]
        return _choose(refusals, request)

    def server_error(self, api: Api, request: Request) -> Answer:
        """Return an answer that leaves open whether ``request`` had an effect: v3 says so with status 500, v2 also in
        its body."""
        if api is Api.V3:
            code = _choose(CODES_OF_500, request)
            return replace(self.v3.refusal(code), status=500) if code else Answer(500, {}, b"")
        unsigned = [self.v2.communication_failure(text) for text in BUSY]
        return _choose([Answer(500, {}, b""), *unsigned, *map(self.v2.refusal, OPEN_CODES)], request)

    def break_signature(self, api: Api, request: Request, answer: Answer, *, unsigned: bool) -> Answer:
        """Return ``answer`` without its signature, or with a wrong one."""
        if api is Api.V3:
            if "Wechatpay-Signature" not in answer.headers:
                return answer
            wrong = "" if unsigned else _choose(WRONG_SIGNATURES, request)
            return replace(answer, headers={**answer.headers, "Wechatpay-Signature": wrong})
        fields = read_xml(answer.body)
        return replace(answer, body=write_xml(fields | {"sign": "" if unsigned else "0" * 64}))

    def terms(self, late_policy: LatePolicy) -> CoreSettings:
        """Return the settings of the account's service."""
        lifetime = timedelta(minutes=30)
        orders = OrderDefaults(self.appid, self.mchid, Api.V3, self.notify_url, lifetime, 10_000_000, 9)
        refunds = RefundDefaults(self.mchid, {api: api for api in Api}, self.notify_url)
        return CoreSettings(orders, {}, refunds, late_policy)

    def gateways(self, wires: Mapping[Api, Transport], runtime: Runtime, background: Runtime) -> Gateways:
        """Return the service's own gateways to this account. ``background`` runs downloads of certificates."""
        clock, random = runtime.clock, runtime.random
        merchant = Merchant(self.mchid, self.appid)
        wire = {api: ApiContext(wires[api], (HOST,), clock, lambda: random.token(16)) for api in Api}
        signer, cipher = Signer(self.mchid, "1", cast(RSAPrivateKey, QuickKey())), AeadCipher(V3_KEY)
        public = self.keys.public_key
        ring = WatchedRing(clock, PlatformKey(public.serial, public.key.public_key()) if public else None)
        v2 = V2Gateway(wire[Api.V2], merchant, V2_KEY)
        v3 = V3Gateway(wire[Api.V3], merchant, signer, cipher, ring)
        refunds: dict[Api, RefundGateway] = {Api.V2: V2Refunds(v2, wire[Api.V2]), Api.V3: V3Refunds(v3)}
        bills: dict[Api, BillGateway] = {
            Api.V2: V2Bills(wire[Api.V2], merchant, V2_KEY),
            Api.V3: V3Bills(wire[Api.V3], v3),
        }
        certificates = Certificates(ring, cipher, v3.certificates, background) if self.keys.all() else None
        return Gateways({Api.V2: v2, Api.V3: v3}, refunds, bills[self.bill_api], ring, certificates)
