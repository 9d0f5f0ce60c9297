"""v2's refund notifications: encrypted notices without a signature; genuine ones, and attackers' variants."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Awaitable, Callable

from proof.faults import Fault, Faults
from proof.runtime.chance import Chance
from proof.wechat.forger import FORGED_KEY
from proof.wechat.payments import Refund
from proof.wechat.protocol_v2 import ProtocolV2, read_xml, seal, write_xml

Message = tuple[dict[str, str], bytes]
Send = Callable[[Message, str, str], Awaitable[bool]]
"""Sends a message about an order, with a note for the trace; returns whether it was acknowledged."""

BLOCK = 16
SCHEDULE_S = (15, 15, 30, 180, 600, 1200, 1800, 3600, 10800, 21600)
ENDED = ("SUCCESS", "CLOSED")


class RefundNotices:
    """Send notices of refunds of v2 orders. ``is_applied`` returns whether the service has a refund as WeChat has it
    now.

    An acknowledged notice causes a query, so the state that WeChat had before must then be known.
    """

    def __init__(
        self,
        protocol: ProtocolV2,
        send: Send,
        is_applied: Callable[[Refund], bool],
        faults: Faults,
        chance: Chance,
        wrong: list[str],
        on_splice: Callable[[], None],
    ) -> None:
        self._protocol = protocol
        self._send = send
        self._is_applied = is_applied
        self._faults = faults
        self._chance = chance
        self._wrong = wrong
        self._on_splice = on_splice
        self._sent: list[bytes] = []

    async def report(self, refund: Refund) -> None:
        """Send a notice until it is acknowledged, among others that are not WeChat's."""
        faults = self._faults.of(refund.number, f"notices of {refund.number}")
        await self._forge(refund, faults)
        if faults.happens(Fault.NOTICE_LOST):
            return
        for pause in SCHEDULE_S:
            headers, body = self._protocol.refund_message(refund)
            self._sent.append(_sealed_in(body))
            has_ended = refund.state in ENDED
            if await self._send((headers, body), refund.number, "a refund's notice"):
                if has_ended and not self._is_applied(refund):
                    self._wrong.append(f"a notice of {refund.out_refund_no} was acknowledged, and nobody queried it")
                return
            await asyncio.sleep(pause)

    async def _forge(self, refund: Refund, faults: Faults) -> None:
        if faults.happens(Fault.NOTICE_SPLICED):
            self._on_splice()
            await self._send(self._protocol.notice(self._splice(refund)), refund.number, "a spliced notice")
        if faults.happens(Fault.NOTICE_FORGED):
            inside = {"out_refund_no": refund.out_refund_no, "out_trade_no": refund.number, "refund_status": "SUCCESS"}
            forged = self._protocol.notice(seal(write_xml(inside, "root"), FORGED_KEY))
            if await self._send(forged, refund.number, "a forged notice"):
                self._wrong.append(f"a forged notice of {refund.out_refund_no} was accepted")

    def _splice(self, refund: Refund) -> bytes:
        """Join the first blocks of a genuine notice with the last ones of another, which ECB does not detect.

        The attacker knows that every refund of this merchant succeeds, and claims so of one that has not ended.
        """
        own = _sealed_in(self._protocol.refund_message(refund)[1])
        stream = self._chance.stream(f"notices of {refund.out_refund_no}")
        other = stream.choice(self._sent) if self._sent else own
        cut = stream.randrange(0, len(own) // BLOCK + 1) * BLOCK
        return own[:cut] + other[cut:]


def _sealed_in(body: bytes) -> bytes:
    return base64.b64decode(read_xml(body)["req_info"])
