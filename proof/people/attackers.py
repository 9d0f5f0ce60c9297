"""Send messages that must be refused: without WeChat's keys, or genuine and about another merchant."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta

from proof.wechat.forger import STRANGE_SERIAL
from proof.wechat.merchant import Account
from proof.wechat.payments import ANY_ORDER, UNVERIFIED, Payment, WeChat
from proof.wechat.platform_keys import OneKey, make_key
from proof.wechat.protocol_v2 import ProtocolV2, read_xml, write_xml
from proof.wechat.protocol_v3 import ProtocolV3
from wechat.domain.ports import Clock

Message = tuple[dict[str, str], bytes]
Send = Callable[[Message, str, str], Awaitable[bool]]
"""Sends a message about an order, with a note for the trace; returns whether it was acknowledged."""

FORGE_PAUSES_S = (0.1, 3 * 3600, 6 * 3600)
FLOOD, FLOOD_PAUSE_S = 24, 15.0
OTHERS_TIMES = 4
OTHERS_PAUSE_S = 60.0
SHORTLY = timedelta(minutes=1)
SURELY_ENDED = timedelta(minutes=10)
OTHER = {"appid": "wxother", "mchid": "1900000002"}
PROBE = {"Wechatpay-Signature": "WECHATPAY/SIGNTEST/x"}


class Attackers:
    """Senders of messages made from a payment's. ``wrong`` lists those that were acknowledged by mistake."""

    def __init__(self, world: WeChat, account: Account, send: Send, clock: Clock, wrong: list[str]) -> None:
        self._world = world
        self._account = account
        self._send = send
        self._clock = clock
        self._wrong = wrong
        begin = clock.now()
        self._strange = account.v3_with(OneKey(STRANGE_SERIAL, make_key("forger"), begin))
        self._ended = {key.serial: account.v3_with(OneKey(key.serial, key.key, begin)) for key in account.keys.all()}
        self._v2 = {what: account.v2_of(**{what: value}) for what, value in OTHER.items()}
        self._v3 = {what: account.v3_with(account.keys, **{what: value}) for what, value in OTHER.items()}

    async def send_wrong(self, message: Message, name: str, note: str) -> None:
        """Send a message that must be refused."""
        if await self._send(message, name, note):
            self._wrong.append(f"a notification of {name}, {note}, was accepted")

    async def probe(self, message: Message, name: str) -> None:
        """Send ``message`` with WeChat's v3 signature probe, which is wrong on purpose; a v2 message too, which must
        not be accepted instead."""
        now = self._clock.now()
        stamp = {
            "Wechatpay-Timestamp": str(int(now.timestamp())),
            "Wechatpay-Nonce": "probe",
            "Wechatpay-Serial": self._account.keys.for_answer("", now).serial,
        }
        headers, body = message
        await self.send_wrong(({**stamp, **headers, **PROBE}, body), name, "a probe")

    async def forge(self, payment: Payment) -> None:
        """Send messages without WeChat's keys, for hours; those with an unknown key in succession."""
        self._world.disputed.add((ANY_ORDER, UNVERIFIED))
        for pause in FORGE_PAUSES_S:
            await asyncio.sleep(pause)
            for message, note in self._forgeries(payment, self._clock.now()):
                await self.send_wrong(message, payment.number, note)
        for _ in range(FLOOD):
            strange = self._strange.payment_message(payment, payment.total, self._clock.now())
            await self.send_wrong(strange, payment.number, "strange")
            await asyncio.sleep(FLOOD_PAUSE_S)

    async def follow_rotations(self, payment: Payment) -> None:
        """Send a message with an unknown key shortly before each new key of WeChat's is listed."""
        for key in self._account.keys.all():
            pause_s = (key.listed_at - SHORTLY - self._clock.now()).total_seconds()
            if pause_s > 0:
                await asyncio.sleep(pause_s)
                strange = self._strange.payment_message(payment, payment.total, self._clock.now())
                await self.send_wrong(strange, payment.number, "strange")

    async def report_others(self, payment: Payment, api: str) -> None:
        """Send genuine messages about another merchant's payment repeatedly, so that most arrive whatever the stores
        do."""
        self._world.disputed.update((payment.number, what) for what in OTHER)
        for _ in range(OTHERS_TIMES):
            await asyncio.sleep(OTHERS_PAUSE_S)
            for message, note in self._of_others(payment, api, self._clock.now()):
                await self.send_wrong(message, payment.number, note)

    async def report_second_order(
        self, payment: Payment, protocol: ProtocolV2 | ProtocolV3, stream: random.Random
    ) -> None:
        """Send the transaction for another order, after it has paid its own."""
        number = stream.choice(sorted(self._world.orders))
        if number == payment.number:
            return
        self._world.disputed.add((number, "transaction_used"))
        for _ in range(OTHERS_TIMES):
            await asyncio.sleep(OTHERS_PAUSE_S)
            total = self._world.orders[number].request.total
            message = protocol.payment_message(replace(payment, number=number, total=total), total, self._clock.now())
            await self.send_wrong(message, number, "with another order's transaction")

    def _forgeries(self, payment: Payment, now: datetime) -> Iterator[tuple[Message, str]]:
        """Yield forged messages of both API versions, each with a name."""
        for serial in self._account.keys.past_serials(now - SURELY_ENDED):
            yield self._ended[serial].payment_message(payment, payment.total, now), "under a key that has ended"
        headers, body = self._account.v2.payment_message(payment, payment.total, now)
        fields = read_xml(body)
        for sign in ("", "0" * 64, fields["sign"].lower()):
            yield (headers, write_xml(fields | {"sign": sign})), f"signed {sign[:4]!r}"
        yield (headers, write_xml({name: value for name, value in fields.items() if name != "sign"})), "unsigned"

    def _of_others(self, payment: Payment, api: str, now: datetime) -> Iterator[tuple[Message, str]]:
        """Yield genuine messages about the same payment at another account or merchant."""
        protocols: dict[str, ProtocolV2] | dict[str, ProtocolV3] = self._v2 if api == "v2" else self._v3
        for what, protocol in protocols.items():
            yield protocol.payment_message(payment, payment.total, now), f"of another {what}"
