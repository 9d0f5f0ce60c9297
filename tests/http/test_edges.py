"""The strict edge: sizes, slowness, broken HTTP, health, domain files, and what must never come out."""

from __future__ import annotations

import asyncio
import json
import subprocess
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest

import server
from service.settings.sections import HttpSettings
from storage.embedded.servers import EmbeddedMongo
from tests.http.client import MERCHANT, Shop
from tests.support.platform import Message, Platform
from tests.support.service import API_KEY, SESSION_SECRET, ServiceProcess
from tests.support.simulator import SimulatorProcess
from tests.support.stored import everything


async def spoken(url: str, data: bytes, wait_s: float = 5) -> bytes:
    """Send raw bytes; return the response up to the end of the connection, or b"" if it ends without one.

    Raises TimeoutError after ``wait_s``.
    """
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    try:
        writer.write(data)
        async with asyncio.timeout(wait_s):
            return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.close()


def command_lines(pids: list[int]) -> str:
    """The command lines of the processes, which every user of the machine can read."""
    return subprocess.run(
        ["ps", "-o", "command=", "-p", ",".join(map(str, pids))], capture_output=True, text=True, check=True
    ).stdout


def test_the_limits_are_the_ones_decided() -> None:
    assert server.HTTP_LIMITS == {
        "max_body_size": 65_536,
        "max_buffer_size": 131_072,
        "max_header_size": 8_192,
        "idle_connection_timeout": 10,
        "body_timeout": 5,
        "decompress_request": False,
    }


def post(body: bytes, *headers: str) -> bytes:
    lines = ["POST /notify HTTP/1.1", "Host: x", "Connection: close", *headers, f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode() + body


async def test_a_body_over_the_limit_is_a_400_and_one_below_is_read(service: ServiceProcess) -> None:
    assert (await spoken(service.url, post(b"x" * 65_536))).startswith(b"HTTP/1.1 400")
    for size in (65_537, 100 * 1024 * 1024):
        promise = f"POST /notify HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\n\r\n".encode()
        assert (await spoken(service.url, promise + b"x" * 70_000)).partition(b"\r\n")[0] in (
            b"",
            b"HTTP/1.1 400 Bad Request",
        )


async def test_an_endless_chunked_body_is_cut(service: ServiceProcess) -> None:
    head = b"POST /notify HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunks = (b"4000\r\n" + b"x" * 0x4000 + b"\r\n") * 8
    assert b" 200 " not in await spoken(service.url, head + chunks)


async def test_headers_over_the_limit_are_cut(service: ServiceProcess) -> None:
    assert b" 200 " not in await spoken(
        service.url, b"GET /livez HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 9000 + b"\r\n\r\n"
    )


@pytest.mark.parametrize(
    "data",
    [
        b"POST /notify HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /notify HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
        b"POST /notify HTTP/1.1\r\nHost: x\r\nContent-Length: +5\r\n\r\nhello",
        b"POST /notify HTTP/1.1\r\nHost: x\r\nContent-Length: 0x5\r\n\r\nhello",
        b"POST /notify HTTP/1.1\r\nHost: x\r\nContent-Length: 5_0\r\n\r\nhello",
        b"POST /notify HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\nhello",
        b"POST /notify HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"POST /notify HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
        b"GET /livez HTTP/1.1\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nHost: x\r\n folded\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nHost x\r\n\r\n",
        b"GET  /livez  HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /livez HTTP/9.9\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200) + b"\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
)
async def test_broken_http_is_never_a_success(service: ServiceProcess, data: bytes) -> None:
    answer = await spoken(service.url, data)
    assert answer.partition(b"\r\n")[0] in (b"", b"HTTP/1.1 400 Bad Request"), answer[:200]


@pytest.mark.alone
async def test_half_open_connections_keep_nobody_waiting_and_are_cut(
    service: ServiceProcess, shop: Shop, platform: Platform
) -> None:
    parts = urlsplit(service.url)
    opened = [await asyncio.open_connection(parts.hostname, parts.port) for _ in range(200)]
    started = time.monotonic()
    for i, (_, writer) in enumerate(opened):
        writer.write(
            b"POST /notify HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n<x" if i % 2 else b"POST /notify HT"
        )
    order = await shop.sold()
    sent = time.monotonic()
    assert (await shop.notify(platform.v3(order))).status == 200
    assert time.monotonic() - sent < 1
    await asyncio.wait_for(asyncio.gather(*(reader.read() for reader, _ in opened), return_exceptions=True), 12)
    assert time.monotonic() - started < 11.5
    for _, writer in opened:
        writer.close()


def test_the_service_listens_on_loopback_unless_told_otherwise() -> None:
    assert HttpSettings(public_base_url="https://pay.example.com").host == "127.0.0.1"


async def test_alive_and_ready_say_so(shop: Shop) -> None:
    assert (await shop.get("/livez")).body == b"ok\n"
    assert (await shop.get("/readyz")).body == b"ok\n"
    assert b"[+]mongo ok" in (await shop.get("/readyz?verbose")).body


async def test_the_metrics_name_no_order_and_nobody(shop: Shop) -> None:
    order = await shop.sold()
    text = (await shop.get("/metrics")).body.decode()
    assert "fenpay_notify_total" in text
    assert order["out_trade_no"] not in text
    assert order["openid"] not in text


async def test_a_domain_file_is_served_from_its_folder_and_nothing_else(shop: Shop, directory: Path) -> None:
    (directory / "verify" / "MP_verify_AbC123.txt").write_text("AbC123")
    (directory / "verify" / "secret.txt").write_text("CANARY")
    response = await shop.get("/MP_verify_AbC123.txt")
    assert (response.status, response.body, response.headers["Content-Type"]) == (
        200,
        b"AbC123",
        "text/plain; charset=utf-8",
    )
    for path in (
        "/MP_verify_other.txt",
        "/secret.txt",
        "/MP_verify_..%2fsecret.txt",
        "/MP_verify_a.txt/../secret.txt",
        "/MP_verify_%2e%2e.txt",
        "/MP_verify_.txt",
    ):
        response = await shop.get(path)
        assert response.status == 404
        assert b"CANARY" not in response.body


@pytest.mark.parametrize("value", ["a\\r\\nX: y", "\x1b[31m", "%0d%0aX:%20y", '","level":"fatal', "é"])
async def test_nothing_that_is_sent_makes_a_second_line_in_the_log(
    shop: Shop, service: ServiceProcess, value: str
) -> None:
    await shop.ask(
        "GET", "/nothing/" + value.replace("\x1b", "%1b").replace(" ", "%20"), headers={"Accept-Language": "zh"}
    )
    await shop.notify(Message(f"<xml><out_trade_no>{value}</out_trade_no></xml>".encode()))
    for line in service.log.splitlines():
        record = json.loads(line)
        assert record["level"] != "fatal"


async def test_no_secret_comes_out_anywhere(
    shop: Shop,
    platform: Platform,
    simulator: SimulatorProcess,
    pair: tuple[ServiceProcess, ServiceProcess],
    mongo: EmbeddedMongo,
) -> None:
    """After journeys, payments, refusals and faults: logs, answers, metrics and the database, all at debug level."""
    known = simulator.credentials
    response = [
        await shop.log_in(),
        await shop.post("/orders", {"sku": "coffee"}),
        await shop.get(f"/jssdk/config?url={shop.url}/"),
    ]
    order = await shop.sold(api="v2")
    response += [
        await shop.notify(platform.v2(order)),
        await shop.notify(platform.v2_signed(platform.v2_fields(order), key="0" * 32)),
    ]
    for fault in ("http_500", "system_error", "wrong_signature", "unsigned"):
        simulator.control("POST", "faults", {"path": "/*/*", "fault": fault, "times": 2})
        response += [await shop.sell(shop.sale(api=api)) for api in ("v2", "v3")]
        simulator.control("DELETE", "faults")
    response += [
        await shop.get("/metrics"),
        await shop.get("/readyz?verbose"),
        await shop.get("/orders/nothing"),
        await shop.get("/"),
    ]
    response += [await shop.ask("GET", "/api/orders", headers=MERCHANT)]
    key_body = known["merchant_private_key_pem"].splitlines()[2]
    secrets = [known["api_v2_key"], known["api_v3_key"], known["appsecret"], SESSION_SECRET, API_KEY, key_body]
    cookie = shop.cookies()["fenpay_session"]
    places = {
        "answers": "\n".join(answer.body.decode("utf-8", "replace") + str(answer.headers) for answer in response[1:]),
        "logs": "\n".join(process.log for process in pair),
        "database": everything(mongo.url),
        "processes": await asyncio.to_thread(command_lines, [process.pid for process in pair]),
    }
    found = [(place, secret[:6]) for place, text in places.items() for secret in [*secrets, cookie] if secret in text]
    assert found == []
    assert shop.users[0]["openid"] not in places["logs"]
    assert "access_token=" not in places["logs"]
