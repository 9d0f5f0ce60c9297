"""Requests that no client of ours writes, over a plain socket: refused in words, with no defect and no effect.

And the simulator's control calls, which people and their tests use: whatever is sent, it says what is expected.
"""

from __future__ import annotations

import asyncio
import gzip
import json
from urllib.parse import quote, urlsplit

import pytest

from tests.http.client import MERCHANT, Shop
from tests.support.simulator import SimulatorProcess, ask

ORDER = b'{"description":"x","total":1,"trade_type":"NATIVE"}'
AUTH = f"Authorization: {MERCHANT['Authorization']}\r\n".encode()


async def speak(url: str, request: bytes) -> tuple[int, bytes]:
    """The status and body of the answer to ``request``, byte for byte; 0 where the connection is just closed."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    writer.write(request)
    async with asyncio.timeout(20):
        answer = await reader.read()
    writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]) if head else 0, body


def post(headers: bytes, body: bytes, path: bytes = b"/api/orders", method: bytes = b"POST") -> bytes:
    return b"%s %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n%s%s\r\n%s" % (method, path, AUTH, headers, body)


def sized(headers: bytes, body: bytes) -> bytes:
    return post(b"Content-Length: %d\r\n" % len(body) + headers, body)


REQUESTS = {
    "the key twice, alike": sized(b"Idempotency-Key: k1\r\nIdempotency-Key: k1\r\n", ORDER),
    "the key twice, unlike": sized(b"Idempotency-Key: k1\r\nidempotency-key: k2\r\n", ORDER),
    "a key of blanks": sized(b"Idempotency-Key: a b\r\n", ORDER),
    "a body that is zipped": sized(b"Content-Encoding: gzip\r\n", gzip.compress(ORDER)),
    "a body in UTF-16": sized(b"Content-Type: application/json; charset=utf-16\r\n", ORDER.decode().encode("utf-16")),
    "a body in GBK": sized(b"", '{"description":"咖啡","total":1,"trade_type":"NATIVE"}'.encode("gbk")),
    "a byte order mark": sized(b"", b"\xef\xbb\xbf" + ORDER),
    "a key in it twice": sized(b"", ORDER.replace(b'"total":1', b'"total":1,"total":100')),
    "a total beyond numbers": sized(b"", ORDER.replace(b":1", b":1e400")),
    "a total of many digits": sized(b"", ORDER.replace(b":1", b":" + b"9" * 5000)),
    "a total that is true": sized(b"", ORDER.replace(b":1", b":true")),
    "a total with a dot": sized(b"", ORDER.replace(b":1", b":1.0")),
    "a total below zero": sized(b"", ORDER.replace(b":1", b":-0")),
    "a deep body": sized(b"", b'{"description":' + b"[" * 30_000 + b"]" * 30_000 + b"}"),
    "half a character": sized(b"", ORDER.replace(b'"x"', b'"\\ud83d"')),
    "a NUL in a text": sized(b"", ORDER.replace(b'"x"', b'"a\\u0000b"')),
    "a separator of lines": sized(b"", ORDER.replace(b'"x"', '"a\u2028b"'.encode())),
    "two documents": sized(b"", ORDER + ORDER),
    "a body that is shorter than told": post(b"Content-Length: 200\r\n", ORDER)[:-1],
    "two lengths": post(b"Content-Length: 5\r\nContent-Length: 52\r\n", ORDER),
    "a length with a sign": post(b"Content-Length: +52\r\n", ORDER),
    "length and pieces": post(b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n"),
    "pieces of no size": post(b"Transfer-Encoding: chunked\r\n", b"zz\r\n\r\n"),
    "pieces, of a bad order": post(b"Transfer-Encoding: chunked\r\n", b"2\r\n{}\r\n0\r\n\r\n"),
    "a folded header": sized(b"X-A: 1\r\n Idempotency-Key: k\r\n", b"{}"),
    "no version": b"POST /api/orders\r\n\r\n",
    "no host": b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n",
}


@pytest.mark.parametrize("name", REQUESTS)
async def test_i1_a_request_that_cannot_be_meant_is_refused(shop: Shop, name: str) -> None:
    request = REQUESTS[name]
    if name.startswith("a body that is shorter"):
        parts = urlsplit(shop.url)
        _, writer = await asyncio.open_connection(parts.hostname, parts.port)
        writer.write(request)
        writer.close()  # whoever hangs up has asked for nothing
        return
    status, body = await speak(shop.url, request)
    assert status == 0 or 400 <= status < 500
    assert b"Traceback" not in body


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "TRACE", "PATCH", "DELETE", "PUT", "CONNECT", "BREW"])
@pytest.mark.parametrize("path", ["/api/orders", "/notify", "/", "/readyz", "/orders", "/static/css/fenpay.css"])
async def test_i1_a_method_that_is_not_there_does_nothing(shop: Shop, method: str, path: str) -> None:
    status, _ = await speak(shop.url, post(b"Content-Length: 0\r\n", b"", path.encode(), method.encode()))
    assert status in (302, 400, 401, 403, 404, 405) or (method == "HEAD" and path.startswith("/static/"))


CONTROL: tuple[tuple[str, str, object], ...] = (
    ("POST", "clock", "[" * 30_000),
    ("POST", "clock", '{"advance_s":1e400}'),
    ("POST", "clock", '{"speed":NaN}'),
    ("POST", "faults", '{"path":"/\\ud800","fault":"http_500"}'),
    ("POST", "faults", {"path": "/v3/*", "fault": "refuse", "code": 5}),
    ("POST", "faults", {"path": "/v3/*", "fault": "http_500", "probability": True}),
    ("POST", "faults", {"path": "/v3/*", "fault": "http_500", "after": "yes"}),
    ("POST", "keys", {"rotate": "yes"}),
    ("POST", "keys", {"rotate": True, "leading_zero": 1}),
    ("POST", "balance", {"transfer": 10**24}),
    ("POST", "till", {"out_trade_no": "TILL-huge", "total": 10**24}),
    ("POST", "settings", '{"js_domains":["\\udfff"]}'),
    ("POST", "bills/faults", {"date": "0001-01-01", "kind": "amount"}),
    ("POST", "bills/faults", {"date": "9999-12-31", "kind": "amount"}),
    ("POST", "bills/faults", {"date": "2026-W01-1", "kind": "amount"}),
    ("GET", "books/9999-12-31", None),
    ("GET", "books/0001-01-01", None),
    ("GET", "books/20260101", None),
    ("GET", "orders/%ED%A0%80", None),
    ("GET", "stories/%ff", None),
)


@pytest.mark.parametrize(("method", "path", "body"), CONTROL, ids=lambda value: ascii(value)[:40])
def test_i2_a_control_call_says_what_is_expected(
    simulator: SimulatorProcess, method: str, path: str, body: object
) -> None:
    text = body if isinstance(body, str) else "" if body is None else json.dumps(body)
    answer = ask(
        method, f"{simulator.url}/simulator/{quote(path, safe='/%')}", text, {"Content-Type": "application/json"}
    )
    assert answer.status in (400, 404, 409)
    assert b"could not do this" not in answer.body or "%" in path


async def test_i2_a_payer_who_scans_no_address_hears_that_the_order_is_over(simulator: SimulatorProcess) -> None:
    heard = simulator.control("POST", "scan", {"code_url": "http://["})
    assert heard["err_msg"] == "scan:fail"


@pytest.mark.parametrize("day", ["9999-12-31", "0001-01-01", "2026-W01-1", "20260101", "2026-02-30"])
async def test_i2_a_day_that_is_none_has_no_bill_here(shop: Shop, day: str) -> None:
    assert (await shop.ask("POST", f"/api/reconciliations/{day}", headers=MERCHANT)).status in (400, 404, 409)
