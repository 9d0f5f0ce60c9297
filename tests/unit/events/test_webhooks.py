"""Webhooks over real sockets: what is sent, what counts as delivered, and which addresses are never dialled."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from tests.simulator.sink import Sink
from tests.support.addresses import FORBIDDEN
from tests.support.clock import ManualClock
from tests.support.webhooks import AT, KEY, OTHER_KEY, Names, a_webhook, an_event, secret_of
from wechat.domain.deliveries import (
    Answer,
    Attempt,
    Delivery,
    DeliveryState,
    Outcome,
    finish_delivery,
    retry_delivery,
)
from wechat.events import answers
from wechat.events.signature import parse_secret, sign
from wechat.events.webhooks import Webhook, is_public

VECTOR_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@pytest.fixture
def sink() -> Iterator[Sink]:
    sink = Sink()
    sink.answer = lambda _: (204, b"")
    yield sink
    sink.close()


@asynccontextmanager
async def webhook(url: str, **options: Any) -> AsyncIterator[Webhook]:
    target = a_webhook(url, **options)
    yield target
    await target.close()


async def outcome(url: str, **options: Any) -> Outcome:
    """The outcome of one delivery, without its timestamp and answer."""
    async with webhook(url, **options) as target:
        found = await target.deliver(an_event())
        return Outcome(found.ok, found.result)


def test_the_signature_is_that_of_the_published_vector() -> None:
    """Source: the test suites of github.com/standard-webhooks/standard-webhooks (libraries/python)."""
    made = sign(parse_secret(VECTOR_SECRET), "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert made == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize(
    "text",
    [
        "",
        "whsec_",
        "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "whsec_short",
        secret_of(b"k" * 23),
        secret_of(b"k" * 65),
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n",
        "whsec_密钥",
        "whsk_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS",
    ],
)
def test_a_secret_that_is_not_one_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_secret(text)


async def test_an_event_is_posted_with_type_time_and_data(sink: Sink) -> None:
    assert await outcome(sink.url) == Outcome(True, "204")
    [message] = sink.received
    assert json.loads(message.body) == {
        "type": "order.paid",
        "timestamp": "2026-03-01T12:05:06+08:00",
        "data": {
            "out_trade_no": "20260301120506abc",
            "total": 3600,
            "description": "拿铁咖啡 × 2",
            "attach": None,
        },
    }
    assert message.headers["Content-Type"] == "application/json"
    assert message.headers["webhook-id"] == an_event().id
    assert message.headers["webhook-timestamp"] == str(int(AT.timestamp()))
    assert message.headers["webhook-signature"] == sign(KEY, an_event().id, int(AT.timestamp()), message.body)


async def test_while_secrets_change_each_of_them_signs(sink: Sink) -> None:
    await outcome(sink.url, keys=(OTHER_KEY, KEY))
    [message] = sink.received
    assert message.headers["webhook-signature"].split(" ") == [
        sign(key, an_event().id, int(AT.timestamp()), message.body) for key in (OTHER_KEY, KEY)
    ]


async def test_a_repetition_has_the_same_id_and_body_and_a_fresh_time(sink: Sink) -> None:
    clock = ManualClock(AT)
    async with webhook(sink.url, clock=clock) as target:
        await target.deliver(an_event())
        clock.advance(3600)
        await target.deliver(an_event())
    first, second = sink.received
    assert (first.headers["webhook-id"], first.body) == (second.headers["webhook-id"], second.body)
    assert int(second.headers["webhook-timestamp"]) - int(first.headers["webhook-timestamp"]) == 3600


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
async def test_any_2xx_is_delivered(sink: Sink, status: int) -> None:
    sink.answer = lambda _: (status, b"")
    assert await outcome(sink.url) == Outcome(True, str(status))


@pytest.mark.parametrize("status", [400, 401, 404, 410, 429, 500, 502, 503])
async def test_any_other_status_is_not(sink: Sink, status: int) -> None:
    sink.answer = lambda _: (status, b"no")
    assert await outcome(sink.url) == Outcome(False, str(status))


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_a_failure_and_not_followed(sink: Sink, status: int) -> None:
    sink.answer = lambda _: (status, b"")
    assert await outcome(sink.url) == Outcome(False, str(status))
    assert [message.path for message in sink.received] == ["/notify"]


@pytest.mark.alone
async def test_a_slow_receiver_is_left_in_time() -> None:
    async def ponder(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(ponder, "127.0.0.1", 0)
    async with server:
        started = time.monotonic()
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        assert await outcome(url, total_s=0.2) == Outcome(False, "timeout")
        assert time.monotonic() - started < 0.8


async def test_nobody_listening_is_unreachable() -> None:
    assert await outcome("http://127.0.0.1:1/") == Outcome(False, "unreachable")


async def test_a_receiver_without_tls_at_an_https_address_is_a_tls_failure(sink: Sink) -> None:
    assert await outcome(sink.url.replace("http:", "https:")) == Outcome(False, "tls")


async def test_a_connection_that_breaks_off_is_a_failure() -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        assert await outcome(f"http://127.0.0.1:{port}/") == Outcome(False, "broken_off")


async def test_an_endless_answer_is_not_read() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n")
        await writer.drain()
        await reader.read()
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        assert await outcome(f"http://127.0.0.1:{port}/") == Outcome(True, "200")


# -- what a refusal says -------------------------------------------------------------------------------------------


@asynccontextmanager
async def talker(head: bytes, body: bytes, *, endless: bool = False) -> AsyncIterator[tuple[str, list[int]]]:
    """A receiver that sends these bytes, again and again if ``endless``; its address, and how many it could send."""
    sent = [0]

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 500 Internal Server Error\r\n" + head + b"\r\n")
        with suppress(ConnectionError):
            while True:
                writer.write(body)
                await writer.drain()
                sent[0] += len(body)
                if not endless:
                    await reader.read()
                    break
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/", sent


async def refusal(url: str) -> Outcome:
    async with webhook(url) as target:
        return await target.deliver(an_event())


async def test_a_refusal_keeps_the_beginning_of_the_answer_and_the_time_that_was_signed(sink: Sink) -> None:
    sink.answer = lambda _: (500, "库存不足".encode() + b"\x00\x1b[31m\r\n" + b"x" * 5000)
    found = await refusal(sink.url)
    assert found.result == "500" and found.answer
    assert found.answer.text == ("库存不足[31m\n" + "x" * 1000)[:1000]
    assert sink.received[0].headers["webhook-timestamp"] == str(found.timestamp)
    assert "x" not in repr(found.answer)


async def test_an_acceptance_keeps_no_answer(sink: Sink) -> None:
    sink.answer = lambda _: (200, b"thank you")
    assert (await refusal(sink.url)).answer is None


async def test_of_an_endless_refusal_only_the_beginning_is_read() -> None:
    async with talker(b"Content-Length: 1000000000000\r\n", b"y" * 65536, endless=True) as (url, sent):
        found = await refusal(url)
        assert (found.result, found.answer) == ("500", Answer("y" * 1000))
        assert sent[0] < 50_000_000


@pytest.mark.parametrize(
    ("head", "body", "text"),
    [
        (b"Content-Length: 100\r\n", b"stalls", "stalls"),
        (b"Content-Length: 100\r\n", b"", ""),
        (b"Content-Length: 4\r\nContent-Encoding: gzip\r\n", b"\x1f\x8b\x08\x00", ""),
    ],
)
async def test_a_body_that_stalls_or_breaks_does_not_change_the_result(
    monkeypatch: pytest.MonkeyPatch, head: bytes, body: bytes, text: str
) -> None:
    monkeypatch.setattr(answers, "WAIT_S", 0.1)
    async with talker(head, body) as (url, _):
        found = await refusal(url)
        assert (found.result, found.answer.text if found.answer else "") == ("500", text)


@pytest.mark.parametrize(
    ("raw", "content_type", "text"),
    [
        ("密钥不对".encode(), "text/plain", "密钥不对"),
        ("密钥不对".encode("gbk"), "text/html; charset=GBK", "密钥不对"),
        ("密钥不对".encode("gbk"), "text/html; charset=idna", "��Կ����"),
        (b"a\xed\xa0\x80b", "", "a���b"),  # a surrogate in UTF-8
        ("a\u202eb\u0085c\td".encode(), "", "ab c d"),
        (b"\x00\x07\x7f", "", ""),
        (b"got v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4= of you", "", "got v1,… of you"),
    ],
)
def test_what_is_kept_is_plain_text_without_signatures(raw: bytes, content_type: str, text: str) -> None:
    assert answers.plain_text(raw, content_type) == text


async def test_nothing_was_signed_for_a_receiver_that_was_not_reached() -> None:
    assert (await refusal("http://127.0.0.1:1/")).timestamp == 0


def test_a_delivery_keeps_its_latest_answer_until_it_is_accepted() -> None:
    delivery = Delivery(an_event(), "erp", "m:n", 1, AT)

    def kept(held: Delivery) -> list[str]:
        return [attempt.answer.text if attempt.answer else "" for attempt in held.attempts]

    for attempt in (Attempt(AT, "500", 0, 1, Answer("one")), Attempt(AT, "500", 0, 2, Answer("two"))):
        delivery = retry_delivery(delivery, "", attempt, AT)
    delivery = retry_delivery(delivery, "", Attempt(AT, "timeout", 0, 3), AT)
    assert kept(delivery) == ["", "two", ""]
    dead = finish_delivery(delivery, "", DeliveryState.DEAD, Attempt(AT, "500", 0, 4, Answer("last")))
    assert kept(dead) == ["", "", "", "last"]
    accepted = finish_delivery(delivery, "", DeliveryState.DELIVERED, Attempt(AT, "200", 0, 4))
    assert kept(accepted) == [""] * 4
    assert [attempt.timestamp for attempt in accepted.attempts] == [1, 2, 3, 4]


# -- addresses that are never dialled -----------------------------------------------------------------------------


@pytest.mark.parametrize("url", FORBIDDEN)
async def test_a_private_address_is_not_dialled_however_it_is_written(url: str) -> None:
    assert await outcome(url, allow_private=False) == Outcome(False, "forbidden")


async def test_nothing_reaches_a_listener_behind_a_forbidden_address(sink: Sink) -> None:
    assert await outcome(sink.url, allow_private=False) == Outcome(False, "forbidden")
    assert sink.received == []


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "10.1.2.3", "169.254.169.254", "64:ff9b::a00:1"])
async def test_a_name_that_means_a_private_address_is_not_dialled(sink: Sink, address: str) -> None:
    url = sink.url.replace("127.0.0.1", "hooks.example.com")
    assert await outcome(url, allow_private=False, resolver=Names([address])) == Outcome(False, "forbidden")
    assert sink.received == []


async def test_a_name_that_changes_its_mind_is_judged_by_the_address_that_is_dialled(sink: Sink) -> None:
    """DNS rebinding: a public answer first, a private one for the connection that counts."""
    names = Names(["127.0.0.1", "127.0.0.1"])
    async with webhook(
        sink.url.replace("127.0.0.1", "hooks.example.com"), allow_private=False, resolver=names
    ) as target:
        assert await target.deliver(an_event()) == Outcome(False, "forbidden")
        assert await target.deliver(an_event()) == Outcome(False, "forbidden")
    assert sink.received == []


async def test_a_receiver_in_our_own_network_is_reached_when_it_is_allowed_by_name(sink: Sink) -> None:
    url = sink.url.replace("127.0.0.1", "hooks.example.com")
    assert await outcome(url, allow_private=True, resolver=Names(["127.0.0.1"])) == Outcome(True, "204")


@pytest.mark.parametrize("address", ["fec0::1", "192.88.99.1", "192.0.0.192", "3fff::1"])
def test_special_addresses_that_python_calls_global_are_not_public(address: str) -> None:
    assert not is_public(address)


async def test_a_host_that_is_no_name_cannot_be_reached(sink: Sink) -> None:
    assert await outcome("https://a..b.example/", allow_private=False) == Outcome(False, "unreachable")


@pytest.mark.parametrize("address", ["8.8.8.8", "114.114.114.114", "2606:4700::1111", "64:ff9b::808:808"])
def test_a_public_address_is_public(address: str) -> None:
    assert is_public(address)
