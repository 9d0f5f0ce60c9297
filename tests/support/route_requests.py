"""Generate requests for any route from its declaration: its path pattern, its methods, the fields of its body.

Each part is sometimes right, sometimes of another type or length, sometimes not valid in HTTP or JSON.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from hypothesis import strategies as st
from pydantic import BaseModel

from handlers.web.numbers import NUMBER, REFUND_NUMBER
from wechat.orders.requests import CheckoutRequest, CreateOrderRequest
from wechat.refunds.requests import RefundRequest
from wechat.slips.reports import ClientError

PLAIN_NUMBER, PLAIN_REFUND_NUMBER = r"([0-9A-Za-z_\-|*]{6,32})", r"([0-9A-Za-z_\-|*@]{6,64})"
"""The numbers in paths without their encoded forms: what is sent is encoded here."""

TABLE = Path(__file__).parents[1] / "routes.txt"
"""The output of ``server.py --routes``; another test compares it with the service."""


@dataclass(frozen=True)
class Endpoint:
    """A method of a route."""

    access: str
    pattern: str
    method: str
    name: str

    def __str__(self) -> str:
        return f"{self.method} {self.name}"


@dataclass(frozen=True)
class Draft:
    """A request: ``target`` is percent-encoded."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes | None

    @property
    def head_bytes(self) -> int:
        """Return about how long the request line and the headers are."""
        return len(self.target) + sum(len(name) + len(value) + 4 for name, value in self.headers.items())


def endpoints() -> list[Endpoint]:
    """Return every method of every route."""
    rows = [re.split(r"\s{2,}", line) for line in TABLE.read_text(encoding="utf-8").splitlines()]
    return [
        Endpoint(access, pattern, method, name)
        for access, pattern, methods, name, _ in rows
        for method in methods.split()
    ]


MODELS: Mapping[str, type[BaseModel]] = {
    "orders": CheckoutRequest,
    "client_errors": ClientError,
    "api_orders": CreateOrderRequest,
    "api_order_refunds": RefundRequest,
}
FIELDS: Mapping[str, tuple[str, ...]] = {"jssdk_config": ("url",), "api_repair": ("action",)}
ARGUMENTS = (
    "limit", "cursor", "state", "trade_state", "next", "code", "url", "sku", "quantity", "by", "verbose", "format",
    "target", "kind", "out_trade_no", "created_after",
)  # fmt: skip
HEADERS = (
    "Idempotency-Key", "X-Real-IP", "X-Forwarded-For", "Accept-Language", "Content-Type", "Content-Encoding", "Range",
    "If-None-Match", "If-Modified-Since", "Wechatpay-Serial", "Wechatpay-Signature", "Wechatpay-Timestamp",
    "Wechatpay-Nonce", "Accept", "Authorization", "Cookie", "X-Xsrftoken", "User-Agent",
)  # fmt: skip

TEXTS = st.one_of(
    st.sampled_from(
        ["", " ", "coffee", "JSAPI", "NATIVE", "MWEB", "v2", "v3", "2024-02-30", "0001-01-01", "9999-12-31", "\0", "a\0b",
         "$gt", "../..", "%00", "💰" * 43, "好" * 129, "x" * 5000, "1" * 400, "=cmd|'", "127.0.0.1", "::1%lo", "json",
         "SUCCESS", "2024-01-01T00:00:00Z", "\u202eabc", "１２３", "true", "-1", "1e9"]
    ),
    st.text(max_size=40),
    st.text(st.characters(min_codepoint=0xD800, max_codepoint=0xDFFF), min_size=1, max_size=3),
)  # fmt: skip
NUMBERS = st.one_of(
    st.integers(-(2**65), 2**65), st.sampled_from([0, 1, 99, 1800, 10**30, -1]), st.floats(), st.just(10**4000)
)
JUNK = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, TEXTS),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXTS, inner, max_size=3)),
    max_leaves=6,
)
RAW = st.one_of(
    st.binary(max_size=200),
    st.sampled_from(
        [b"", b"[]", b"null", b'"x"', b"NaN", b'{"a":1e400}', b'{"a":1,"a":2}', b"[" * 5000, b'{"a":' * 3000,
         '{"sku":"coffee"}'.encode("utf-16"), b"\x1f\x8b\x08\x00", b"<xml>" + b"<a>" * 500, b"<xml><a>1</a></xml>",
         b"\xef\xbb\xbf{}", b'{"sku":"\\ud800"}', b"sku=coffee&quantity=2", b"x" * 60_000]
    ),
)  # fmt: skip


def drafts(endpoint: Endpoint, known: Mapping[str, Any], numbers: list[str]) -> st.SearchStrategy[Draft]:
    """Generate requests for ``endpoint``. ``known`` are headers that authorize it, ``numbers`` are orders that
    exist."""
    target = st.builds(_target, _path(endpoint.pattern, numbers), _query())
    headers = st.builds(
        lambda more: {**known, **more}, st.dictionaries(st.sampled_from(HEADERS), _header(), max_size=3)
    )
    body = _body(endpoint.name) if endpoint.method == "POST" else st.none()
    return st.builds(Draft, st.just(endpoint.method), target, headers, body)


def _path(pattern: str, numbers: list[str]) -> st.SearchStrategy[str]:
    """Generate a path that fits ``pattern``, with an order that exists or any text in its variable parts."""
    pattern = pattern.replace(NUMBER, PLAIN_NUMBER).replace(REFUND_NUMBER, PLAIN_REFUND_NUMBER)
    if "(" not in pattern:
        return st.just(pattern)
    head, _, rest = pattern.partition("(")
    tail = re.sub(r"\\(.)", r"\1", rest.partition(")")[2]) if rest.count("(") == 0 else ""
    fitting = st.from_regex(re.compile(pattern, re.ASCII), fullmatch=True)
    existing = st.sampled_from(numbers).map(lambda number: f"{head}{number}{tail}")
    strange = TEXTS.map(lambda text: f"{head}{text}{tail}")
    return st.one_of(fitting, existing, strange)


def _query() -> st.SearchStrategy[dict[str, str]]:
    return st.dictionaries(st.one_of(st.sampled_from(ARGUMENTS), TEXTS), TEXTS, max_size=3)


def _target(path: str, query: Mapping[str, str]) -> str:
    pairs = "&".join(f"{_encode(name)}={_encode(value)}" for name, value in query.items())
    return quote(path.encode("utf-8", "surrogatepass"), safe="/") + (f"?{pairs}" if pairs else "")


def _encode(text: str) -> str:
    return quote(text.encode("utf-8", "surrogatepass"), safe="")


def _header() -> st.SearchStrategy[str]:
    """Generate text that http.client sends unchanged: Latin-1 on one line, short enough for the service to read."""
    return st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"), max_size=300)


def _body(name: str) -> st.SearchStrategy[bytes]:
    model = MODELS.get(name)
    fields = tuple(model.model_fields) if model else FIELDS.get(name, ())
    values = st.dictionaries(st.one_of(st.sampled_from(fields), TEXTS) if fields else TEXTS, JUNK, max_size=4)
    base = st.sampled_from([SAMPLES.get(name, {}), {}])
    written = st.builds(lambda some, junk: json.dumps(some | junk).encode(), base, values)
    return st.one_of(written, RAW)


SAMPLES: Mapping[str, dict[str, Any]] = {
    "orders": {"sku": "coffee", "quantity": 1},
    "api_orders": {"description": "咖啡", "total": 1800, "trade_type": "NATIVE"},
    "api_order_refunds": {"refund": 1, "reason": "x"},
    "api_repair": {"action": "query"},
    "jssdk_config": {"url": "http://127.0.0.1/"},
}
