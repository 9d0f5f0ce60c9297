"""Advice is the advice of the API that failed, and no failure goes without a code, a reason and a cure."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing

import pytest

from tests.support.runtime import RecordedTelemetry
from wechat.account.client import AccountClient
from wechat.domain.errors import AccountRefused, GatewayRefused, NotSent, OutcomeUnknown, RemoteError
from wechat.pay import codes
from wechat.support.transport import Request, Transport

REQUEST = Request("query", "GET", "/v3/pay")


@asynccontextmanager
async def answering(answer: bytes, *, at_once: bool = False) -> AsyncIterator[str]:
    """A server that gives every request the same answer; its address. ``at_once``: without reading it."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1) if at_once else await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


@asynccontextmanager
async def transport() -> AsyncIterator[Transport]:
    made = Transport(RecordedTelemetry(), connect_s=1, total_s=5)
    try:
        yield made
    finally:
        await made.close()


def json_answer(body: str, status: str = "200 OK") -> bytes:
    data = body.encode()
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(data)}\r\nConnection: close\r\n\r\n".encode() + data


@pytest.mark.parametrize(
    ("errcode", "wanted"),
    [
        (40243, "frozen"),
        (89503, "administrator"),
        (41004, "account.appsecret"),
        (40164, "IP allow-list"),
        (45009, "quota"),
    ],
)
async def test_b11_an_error_of_the_official_account_gets_its_own_advice(errcode: int, wanted: str) -> None:
    body = f'{{"errcode":{errcode},"errmsg":"no"}}'
    async with answering(json_answer(body)) as url, transport() as wire:
        with pytest.raises(AccountRefused) as refused:
            await AccountClient(wire, url).get("/cgi-bin/token")
    advice = refused.value.advice
    said = " ".join([advice.next_step.en, *(cause.en for cause in advice.causes)])
    assert wanted.lower() in said.lower() or (wanted == "frozen" and "Unfreeze" in said)


@pytest.mark.parametrize("errcode", [40029, 40163])
async def test_b11_an_error_of_the_authorisation_tells_to_authorise_again(errcode: int) -> None:
    async with answering(json_answer(f'{{"errcode":{errcode},"errmsg":"no"}}')) as url, transport() as wire:
        with pytest.raises(AccountRefused) as refused:
            await AccountClient(wire, url).get("/sns/oauth2/access_token")
    assert "Authorise again" in refused.value.advice.next_step.en


@pytest.mark.parametrize(
    ("message", "code", "wanted"),
    [
        ("签名错误", "SIGN_ERROR", "pay.v2.key"),
        ("商户号mch_id或sub_mch_id不存在", "COMMUNICATION_FAIL", "pay.mchid"),
        ("invalid refund_fee", "COMMUNICATION_FAIL", "in fen"),
        ("invalid spbill_create_ip", "COMMUNICATION_FAIL", "X-Real-IP"),
        ("XML格式错误", "COMMUNICATION_FAIL", "XML"),
        ("一句没人见过的话", "COMMUNICATION_FAIL", "what the message names"),
    ],
)
def test_b11_a_v2_transport_error_is_advised_by_its_text(message: str, code: str, wanted: str) -> None:
    error = codes.communication_failure("unifiedorder", "FAIL", message)
    assert isinstance(error, GatewayRefused)
    assert (error.public_code, wanted in error.advice.next_step.en) == (code, True)


@pytest.mark.parametrize("status", ["404 Not Found", "502 Bad Gateway", "418 Odd"])
async def test_c8_a_bare_status_is_a_code_with_a_cure(status: str) -> None:
    async with answering(json_answer("<html>", status)) as url, transport() as wire:
        with pytest.raises(OutcomeUnknown) as unknown:
            await AccountClient(wire, url).get("/cgi-bin/token")
    assert unknown.value.wire_code == f"HTTP_{status[:3]}"
    tells(unknown.value)


async def test_c8_a_name_that_cannot_be_looked_up_is_told_with_host_and_cure() -> None:
    async with transport() as wire:
        with pytest.raises(NotSent) as not_sent:
            await wire.send(["https://no-such-host.invalid"], REQUEST)
    assert not_sent.value.wire_code == "DNS_FAILED"
    assert "no-such-host.invalid" in not_sent.value.wire_message
    tells(not_sent.value)


async def test_c8_a_refused_connection_is_told_with_host_and_cure() -> None:
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    async with transport() as wire:
        with pytest.raises(NotSent) as not_sent:
            await wire.send([f"http://127.0.0.1:{port}"], REQUEST)
    assert not_sent.value.wire_code == "CONNECTION_REFUSED"
    assert f"127.0.0.1:{port}" in not_sent.value.wire_message
    tells(not_sent.value)


async def test_c8_a_failed_handshake_is_told_as_tls() -> None:
    """A server that speaks no TLS on an https address."""
    async with answering(b"HTTP/1.1 400 Bad Request\r\n\r\n", at_once=True) as url, transport() as wire:
        with pytest.raises(RemoteError) as failed:
            await wire.send([url.replace("http:", "https:")], REQUEST)
    assert failed.value.wire_code == "TLS_ALERT"
    tells(failed.value)


async def test_c8_a_broken_connection_is_told_with_its_cure() -> None:
    async with answering(b"") as url, transport() as wire:
        with pytest.raises(OutcomeUnknown) as unknown:
            await wire.send([url], REQUEST)
    assert unknown.value.wire_code == "CONNECTION_RESET"
    tells(unknown.value)


def tells(error: RemoteError) -> None:
    """A code, causes and a cure, and nowhere "look it up"."""
    assert error.wire_code
    assert error.advice.causes
    assert error.advice.next_step.zh
    assert "look" not in str(error).lower()
