"""A call that got no answer says which host, what happened and what to do: over real sockets."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from storage.embedded.servers import free_port
from tests.support.keys import certificate_pem, private_pem
from tests.support.runtime import RecordedTelemetry
from wechat.domain.errors import OutcomeUnknown, RemoteError
from wechat.support.connection import build_bare_status, diagnose
from wechat.support.transport import Request, Transport

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def listening(serve: Serve, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


def tls_server(tmp_path: Path) -> ssl.SSLContext:
    pair = tmp_path / "pair.pem"
    pair.write_text(certificate_pem() + private_pem())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair)
    return context


async def fault(url: str, transport: Transport) -> RemoteError:
    with pytest.raises(RemoteError) as raised:
        await transport.send([url], Request("orderquery", "GET", "/x"))
    error = raised.value
    host = url.partition("//")[2]
    assert error.wire_code
    assert host in error.wire_message
    [cause] = error.advice.causes
    assert host in cause.zh
    assert host in cause.en
    assert error.advice.next_step.zh
    assert "{" not in cause.en + error.advice.next_step.en
    return error


async def close_at_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readline()
    writer.close()


async def never_answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


async def test_a_refused_connection(transport: Transport) -> None:
    error = await fault(f"http://127.0.0.1:{free_port()}", transport)
    assert (error.wire_code, error.public_code) == ("CONNECTION_REFUSED", "NOT_SENT")


async def test_a_name_that_cannot_be_looked_up(transport: Transport) -> None:
    error = await fault("https://wechat.invalid", transport)
    assert error.wire_code == "DNS_FAILED"
    assert "getent hosts wechat.invalid" in error.advice.next_step.en


async def test_a_certificate_that_nobody_vouches_for(transport: Transport, tmp_path: Path) -> None:
    async with listening(close_at_once, tls_server(tmp_path)) as port:
        error = await fault(f"https://127.0.0.1:{port}", transport)
    assert error.wire_code == "TLS_CERTIFICATE"
    assert "self-signed certificate" in error.wire_message


async def refuse_handshake(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """TLS 1.2's fatal alert 40, handshake_failure (RFC 5246, 7.2): what a certificate that is not taken gets."""
    await reader.read(1)
    writer.write(bytes.fromhex("15030300020228"))
    await reader.read()


async def test_a_tls_alert(transport: Transport) -> None:
    async with listening(refuse_handshake) as port:
        error = await fault(f"https://127.0.0.1:{port}", transport)
    assert (error.wire_code, error.public_code) == ("TLS_ALERT", "NOT_SENT")
    assert "alert handshake failure" in error.wire_message
    assert "pay.v2.client_cert" in error.advice.next_step.en


async def test_a_connection_that_is_closed_instead_of_answered(transport: Transport) -> None:
    async with listening(close_at_once) as port:
        error = await fault(f"http://127.0.0.1:{port}", transport)
    assert (error.wire_code, type(error)) == ("CONNECTION_RESET", OutcomeUnknown)


async def test_an_answer_that_does_not_come() -> None:
    transport = Transport(RecordedTelemetry(), connect_s=0.2, total_s=0.3)
    async with listening(never_answer) as port:
        error = await fault(f"http://127.0.0.1:{port}", transport)
    await transport.close()
    assert (error.wire_code, type(error)) == ("NO_ANSWER_IN_TIME", OutcomeUnknown)


@pytest.mark.parametrize(
    ("error", "connecting", "code"),
    [
        (TimeoutError(), True, "CONNECT_TIMEOUT"),
        (OSError(101, "Network is unreachable"), True, "NETWORK_UNREACHABLE"),
        (socket.gaierror(-2, "Name or service not known"), True, "DNS_FAILED"),
        (ConnectionResetError(104, "reset"), False, "CONNECTION_RESET"),
    ],
)
def test_what_cannot_be_induced_here(error: BaseException, connecting: bool, code: str) -> None:
    assert diagnose(error, "https://api.mch.weixin.qq.com", connecting=connecting).code == code


@pytest.mark.parametrize("status", [302, 403, 404, 429, 500, 502, 504])
def test_a_bare_status_has_a_code_a_host_and_a_cure(status: int) -> None:
    error = build_bare_status("orderquery", status, "https://api.mch.weixin.qq.com")
    assert error.wire_code == f"HTTP_{status}"
    assert error.wire_message == "api.mch.weixin.qq.com"
    assert error.http_status == status
    assert "Look the code up" not in str(error)
