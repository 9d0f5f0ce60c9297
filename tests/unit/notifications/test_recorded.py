"""What is recorded of the notifications that come: each that was verified, and few of those that were not."""

from __future__ import annotations

from contextlib import suppress

import pytest

from tests.contract.samples import HOUR, NOW
from tests.support.platform import Message, Platform
from tests.support.receiving import World
from wechat.calls.redaction import redact
from wechat.calls.texts import signed_request
from wechat.domain.calls import VERIFIED, Direction, Exchange
from wechat.domain.errors import Mismatch, NotifyError, SignatureInvalid
from wechat.domain.refused import OF_ORDER
from wechat.notifications.refusals import COPIES


class Recorded:
    """A receiver that is recorded."""

    def __init__(self, platform: Platform) -> None:
        self.world = World(platform)
        self.exchanges: list[Exchange] = []
        self.world.core.receiver.on_exchange = self.exchanges.append

    async def receive(self, message: Message) -> Exchange:
        with suppress(NotifyError):
            await self.world.receive(message)
        return self.exchanges[-1]


@pytest.fixture
def recorded(platform: Platform) -> Recorded:
    return Recorded(platform)


@pytest.mark.parametrize("api", ["v2", "v3"])
async def test_an_accepted_message_is_recorded_as_it_came_with_its_verdict(recorded: Recorded, api: str) -> None:
    message = recorded.world.write(api)
    exchange = await recorded.receive(message)
    assert (exchange.direction, exchange.api, exchange.status, exchange.verdict, exchange.error) == (
        Direction.IN,
        api,
        200,
        VERIFIED,
        "",
    )
    assert (exchange.out_trade_no, exchange.request_body) == (recorded.world.order.out_trade_no, message.body)
    kept = redact(exchange, "call-1", NOW, HOUR, 16_384)
    assert signed_request(kept).encode().find(message.body if api == "v3" else b"&key=APIv2") > 0
    assert not kept.request.cut


async def test_each_repetition_is_a_call(recorded: Recorded) -> None:
    message = recorded.world.write("v3")
    for _ in range(3):
        await recorded.receive(message)
    assert [exchange.status for exchange in recorded.exchanges] == [200, 200, 200]


async def test_a_genuine_message_that_does_not_fit_is_recorded_as_verified_and_refused(recorded: Recorded) -> None:
    exchange = await recorded.receive(recorded.world.write("v2", total_fee="99", cash_fee="99"))
    assert (exchange.verdict, exchange.status, exchange.error) == (VERIFIED, Mismatch.status, "total")


async def test_a_forged_message_is_recorded_with_the_reason_and_a_flood_of_them_is_not(recorded: Recorded) -> None:
    message = recorded.world.write("v2")
    forged = Message(message.body.replace(b"OTHERS", b"OTHERZ"), message.headers)
    for _ in range(COPIES + 5):
        exchange = await recorded.receive(forged)
    assert (exchange.verdict, exchange.status) == ("sign_wrong", SignatureInvalid.status)
    assert exchange.out_trade_no == recorded.world.order.out_trade_no
    assert len(recorded.exchanges) == COPIES + OF_ORDER  # it names an order of ours
