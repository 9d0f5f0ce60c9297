"""Mask a recorded exchange: listed fields stay as they are, signatures are shortened, everything else is masked.

The lists name what may be kept, so a field that WeChat adds, or a secret that a change of ours adds, is masked until it
is listed. Tokens, tickets, keys and codes are on no list; APIv3 ciphertext is stored encrypted, as received. A text
without masked parts is kept byte for byte, because signatures are computed over bytes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from functools import lru_cache
from itertools import islice
from typing import Any
from urllib.parse import urlsplit

import orjson

from wechat.domain.calls import Call, Exchange, Message
from wechat.domain.errors import Malformed
from wechat.domain.facts import Api
from wechat.pay.signing import SCHEME

MASK = "***"
MOST_PARSED = 64 * 1024
"""Bytes; a longer body is not parsed, and nothing of it is kept."""
MOST_HEADER = 1024
MOST_NAME = 64
MOST_HEADERS = 40
KNOWN_NAMES = 128
"""Names of headers whose rule is remembered. Anybody can send others, of up to 8 KB each."""

HEADERS = frozenset(
    {
        "accept", "connection", "content-encoding", "content-length", "content-type", "date", "request-id", "server",
        "transfer-encoding", "user-agent", "wechatpay-nonce", "wechatpay-serial", "wechatpay-signature-type",
        "wechatpay-timestamp",
    }
)  # fmt: skip
QUERY = frozenset(
    {"account_type", "appid", "bill_date", "bill_type", "grant_type", "lang", "mchid", "tar_type", "type"}
)
V2_FIELDS = frozenset(
    {
        "account_type", "appid", "attach", "bank_type", "bill_date", "bill_type", "body", "cash_fee", "cash_fee_type",
        "cash_refund_fee", "cash_refund_fee_type", "code_url", "coupon_count", "coupon_fee", "coupon_id",
        "coupon_refund_count", "coupon_refund_fee", "coupon_refund_id", "coupon_type", "detail", "device_info",
        "err_code", "err_code_des", "error_code", "fee_type", "goods_tag", "h5_url", "is_subscribe", "limit_pay",
        "mch_id", "mweb_url", "nonce_str", "notify_url", "openid", "out_refund_no", "out_trade_no", "prepay_id",
        "product_id", "receipt", "refund_account", "refund_channel", "refund_count", "refund_desc", "refund_fee",
        "refund_fee_type", "refund_id", "refund_status", "refund_success_time", "req_info", "result_code", "retmsg",
        "return_code", "return_msg", "scene_info", "settlement_refund_fee", "settlement_total_fee", "sign_type",
        "spbill_create_ip", "tar_type", "time_end", "time_expire", "time_start", "total_fee", "trade_state",
        "trade_state_desc", "trade_type", "transaction_id", "version",
    }
)  # fmt: skip
V3_FIELDS = frozenset(
    {
        "account", "algorithm", "amount", "app_name", "app_url", "appid", "associated_data", "attach", "bank_type",
        "cause", "channel", "ciphertext", "code", "code_url", "coupon_id", "create_time", "currency", "data",
        "description", "detail", "discount_amount", "discount_refund", "effective_time", "encrypt_certificate",
        "event_type", "expire_time", "field", "from", "funds_account", "goods_detail", "goods_id", "goods_name",
        "goods_tag", "h5_info", "h5_url", "hash_type", "hash_value", "id", "issue", "location", "mchid",
        "merchant_contribute", "message", "name", "nonce", "notify_url", "openid", "original_type",
        "other_contribute", "out_refund_no", "out_trade_no", "payer", "payer_client_ip", "payer_currency",
        "payer_refund", "payer_total", "prepay_id", "promotion_detail", "promotion_id", "quantity", "reason",
        "refund", "refund_amount", "refund_fee", "refund_id", "resource", "resource_type", "scene_info", "scope",
        "serial_no", "settlement_refund", "settlement_total", "status", "stock_id", "store_info", "success_time",
        "summary", "support_fapiao", "time_expire", "total", "trade_state", "trade_state_desc", "trade_type",
        "transaction_id", "type", "unit_price", "wechatpay_contribute",
    }
)  # fmt: skip
ACCOUNT_FIELDS = frozenset(
    {"appid", "errcode", "errmsg", "expires_in", "force_refresh", "grant_type", "is_snapshotuser", "openid", "scope"}
)
SIGNATURE = "wechatpay-signature"
SIGN = "sign"

_NUMBERED = re.compile(r"(_\d{1,3})+$", re.ASCII)
_OPEN, _CLOSE = "<xml>", "</xml>"
_ELEMENT = re.compile(
    r"\s*<([A-Za-z_][A-Za-z0-9_]{0,63})>(?:<!\[CDATA\[([^\]]*(?:\](?!\]>)[^\]]*)*)\]\]>|([^<]*))</\1>\s*", re.ASCII
)


def redact(exchange: Exchange, identity: str, at: datetime, keep: timedelta, most_body: int) -> Call:
    """Build the stored form of ``exchange``. ``most_body``: characters of each body; longer ones are cut."""
    request = _message(exchange.api, exchange.request_headers, exchange.request_body, most_body)
    answer = _message(exchange.api, exchange.answer_headers, exchange.answer_body, most_body)
    return Call(
        id=identity,
        at=at,
        direction=exchange.direction,
        api=exchange.api,
        call=exchange.call,
        out_trade_no=exchange.out_trade_no,
        method=exchange.method,
        url=mask_url(exchange.url),
        request=request,
        status=exchange.status,
        answer=answer,
        duration_ms=round(exchange.duration_s * 1000),
        verdict=exchange.verdict,
        error=exchange.error,
        expires_at=at + keep,
    )


def mask_url(url: str) -> str:
    """Mask the values of unknown query arguments in ``url``, which may be tokens."""
    if "?" not in url:
        return url
    parts = urlsplit(url)
    pairs = [pair.partition("=") for pair in parts.query.split("&")]
    query = "&".join(f"{name}={value if name in QUERY else MASK}" for name, _, value in pairs)
    return f"{url.partition('?')[0]}?{query}"


def mask_part(value: str) -> str:
    """Return a signature's beginning and end: enough to distinguish two, useless for anything else."""
    return f"{value[:6]}…{value[-4:]}" if len(value) > 24 else MASK


def _message(api: str, headers: Mapping[str, str], body: bytes, most_body: int) -> Message:
    kept = {}
    for name, value in islice(headers.items(), MOST_HEADERS):
        kept_name, mask = _header_rule(name)
        kept[kept_name] = _cut(mask(value) if mask else value, MOST_HEADER)
    if not body:
        return Message(kept)
    read = _READERS.get(api, _mask_account)
    try:
        text, cut = read(body) if len(body) <= MOST_PARSED else ("", True)
    except (Malformed, UnicodeDecodeError, orjson.JSONDecodeError, RecursionError):
        text, cut = "", True
    return Message(kept, text[:most_body], len(body), cut or len(text) > most_body)


@lru_cache(KNOWN_NAMES)
def _header_rule(name: str) -> tuple[str, Callable[[str], str] | None]:
    """Return the name under which a header is kept, and what masks its value; None where the value is kept."""
    lower = name.lower()
    masks = {SIGNATURE: mask_part, "authorization": _mask_authorization}
    return _cut(name, MOST_NAME), None if lower in HEADERS else masks.get(lower, _mask_all)


def _mask_all(value: str) -> str:
    return MASK


def _mask_authorization(value: str) -> str:
    """Shorten the signature in v3's scheme. Any other value, such as a proxy's password, is masked as a whole."""
    before, mark, rest = value.partition('signature="')
    if not mark or not value.startswith(f"{SCHEME} "):
        return MASK
    signature, end, after = rest.partition('"')
    return f"{before}{mark}{mask_part(signature)}{end}{after}"


def _cut(text: str, most: int) -> str:
    """Return the beginning of ``text``, with surrogates as question marks.

    The HTTP client passes bytes that are not UTF-8 as surrogates, which a database cannot store.
    """
    return text[:most] if text.isascii() else text[:most].encode(errors="replace").decode()


def _mask_v2(body: bytes) -> tuple[str, bool]:
    """Mask v2's XML; return it, and whether more than its signature was masked. Raises Malformed.

    Elements are masked in place, so the other text stays byte for byte. A text with more than ``<xml>`` around plain
    elements is not v2's. Each element is matched where the previous one ends: a search would try every position, which
    takes seconds for 64 KB of spaces, and anybody can post those.
    """
    text = body.decode().strip()
    if not text.startswith(_OPEN) or not text.endswith(_CLOSE):
        raise Malformed("xml_root")
    parts, end, cut = [_OPEN], len(_OPEN), False
    while element := _ELEMENT.match(text, end):
        end, name = element.end(), element[1]
        if name == SIGN:
            value = element[2] or element[3]
            parts.append(element[0].replace(value, mask_part(value)) if value else element[0])
        elif name in V2_FIELDS or _NUMBERED.sub("", name) in V2_FIELDS:
            parts.append(element[0])
        else:
            parts.append(f"<{name}>{MASK}</{name}>")
            cut = True
    if end != len(text) - len(_CLOSE):
        raise Malformed("xml_nested")
    return "".join([*parts, _CLOSE]), cut


def _mask_v3(body: bytes) -> tuple[str, bool]:
    return _mask_json(body, V3_FIELDS)


def _mask_account(body: bytes) -> tuple[str, bool]:
    return _mask_json(body, ACCOUNT_FIELDS)


def _mask_json(body: bytes, allowed: frozenset[str]) -> tuple[str, bool]:
    """Mask JSON; return it, and whether anything was masked. Unmasked JSON stays byte for byte."""
    value = orjson.loads(body)
    if _has_only(value, allowed):
        return body.decode(), False
    return orjson.dumps(_mask_others(value, allowed)).decode(), True


def _has_only(value: Any, allowed: frozenset[str]) -> bool:
    """Whether every field in ``value``, at any depth, is one of ``allowed``."""
    if isinstance(value, dict):
        return allowed.issuperset(value) and all(
            _has_only(each, allowed) for each in value.values() if isinstance(each, dict | list)
        )
    return not isinstance(value, list) or all(_has_only(each, allowed) for each in value)


def _mask_others(value: Any, allowed: frozenset[str]) -> Any:
    if isinstance(value, dict):
        return {name: _mask_others(each, allowed) if name in allowed else MASK for name, each in value.items()}
    return [_mask_others(each, allowed) for each in value] if isinstance(value, list) else value


_READERS: Mapping[str, Callable[[bytes], tuple[str, bool]]] = {Api.V2: _mask_v2, Api.V3: _mask_v3}
