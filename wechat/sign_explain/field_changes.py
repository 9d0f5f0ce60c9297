"""Common mistakes in named fields that are signed, as variants to try."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from urllib.parse import quote, quote_plus

from wechat.sign_explain.search import Try
from wechat.sign_explain.slips import SlipCode
from wechat.sign_explain.variants import other_amounts

Fields = Mapping[str, str]
Change = Callable[[Fields], Fields]

SIGNATURES = ("sign", "paySign")
SIGN_TYPES = ("sign_type", "signType")
OPTIONAL = (
    "attach", "device_info", "detail", "goods_tag", "limit_pay", "time_start", "time_expire", "fee_type", "product_id",
    "openid", "receipt", "scene_info", "profit_sharing", "refund_desc", "transaction_id", "out_trade_no", "notify_url",
)  # fmt: skip
"""Fields that are often empty: they may have been signed, and removed before sending."""
AMOUNTS = ("total_fee", "refund_fee", "cash_fee")
SPELLINGS = {
    "appid": ("appId", "AppId", "APPID", "app_id"),
    "mch_id": ("mchid", "mchId", "MchId", "mch_Id"),
    "nonce_str": ("nonceStr", "noncestr", "nonce"),
    "out_trade_no": ("outTradeNo",),
    "total_fee": ("totalFee",),
    "notify_url": ("notifyUrl",),
    "trade_type": ("tradeType",),
    "openid": ("openId", "OpenId", "open_id"),
    "spbill_create_ip": ("spbillCreateIp",),
    "sign_type": ("signType", "signtype"),
    "appId": ("appid", "appID", "app_id", "AppId"),
    "timeStamp": ("timestamp", "time_stamp", "TimeStamp", "timestamps"),
    "nonceStr": ("noncestr", "nonce_str", "NonceStr"),
    "package": ("Package", "prepay_id", "prepayId", "prepayid", "packAge"),
    "signType": ("signtype", "sign_type", "SignType"),
}
"""The right names, with their usual misspellings."""


def present(fields: Fields) -> Fields:
    """Return the fields that are signed: non-empty ones except the signature."""
    return {name: value for name, value in fields.items() if value and name not in SIGNATURES}


def changes(fields: Fields) -> Iterator[Try]:
    """Yield the right fields first, then variants that may have been signed."""
    yield Try(None, present)
    yield from _empty(fields)
    yield from _signatures(fields)
    yield from _names(fields)
    yield from _drop_each_field(fields)
    yield from _values(fields)
    yield from _amounts(fields)


def _all(change: Callable[[str], str], fields: Fields) -> Fields:
    return {name: change(value) for name, value in present(fields).items()}


def _with(more: Fields, fields: Fields) -> Fields:
    return {**present(fields), **more}


def _without(name: str, fields: Fields) -> Fields:
    return {one: value for one, value in present(fields).items() if one != name}


def _rename(names: Mapping[str, str], fields: Fields) -> Fields:
    return {names.get(name, name): value for name, value in present(fields).items()}


def _empty(fields: Fields) -> Iterator[Try]:
    empty = {name: value for name, value in fields.items() if not value and name not in SIGNATURES}
    if empty:
        yield Try(SlipCode.EMPTY_VALUE_SIGNED, partial(_with, empty), ", ".join(empty))
        for text in ("null", "None", "undefined"):
            yield Try(SlipCode.EMPTY_VALUE_SIGNED, partial(_with, dict.fromkeys(empty, text)), text)
    for name in {*empty, *OPTIONAL} - set(present(fields)):
        yield Try(SlipCode.EMPTY_VALUE_SIGNED, partial(_with, {name: ""}), name, alone=True)


def _signatures(fields: Fields) -> Iterator[Try]:
    for name in SIGNATURES:
        yield Try(SlipCode.SIGN_FIELD_SIGNED, partial(_with, {name: ""}), f"{name}=")
        if fields.get(name):
            yield Try(SlipCode.SIGN_FIELD_SIGNED, partial(_with, {name: fields[name]}), name)


def _names(fields: Fields) -> Iterator[Try]:
    known = [name for name in present(fields) if name in SPELLINGS]
    for name in known:
        for other in SPELLINGS[name]:
            note = f"{other} → {name}"
            yield Try(SlipCode.WRONG_PARAMETER_CASE, partial(_rename, {name: other}), note, alone=True)
    lower = {name: name.lower() for name in present(fields)}
    snake = {name: "".join(f"_{x.lower()}" if x.isupper() else x for x in name) for name in present(fields)}
    camel = {name: _camel(name) for name in present(fields)}
    for names in (lower, snake, camel, {name: name.upper() for name in present(fields)}):
        if any(name != other for name, other in names.items()):
            first = next(f"{other} → {name}" for name, other in names.items() if name != other)
            yield Try(SlipCode.WRONG_PARAMETER_CASE, partial(_rename, names), first)
    first_two = {name: SPELLINGS[name][0] for name in known}
    yield Try(SlipCode.WRONG_PARAMETER_CASE, partial(_rename, first_two), ", ".join(first_two.values()))


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(part.capitalize() for part in rest)


def _drop_each_field(fields: Fields) -> Iterator[Try]:
    """Yield variants without a field that may have been added after signing."""
    for name in SIGN_TYPES:
        if fields.get(name):
            yield Try(SlipCode.SIGN_TYPE_MISSING, partial(_without, name), name)
        else:
            for value in ("MD5", "HMAC-SHA256"):
                yield Try(SlipCode.SIGN_TYPE_MISSING, partial(_with, {name: value}), name)
    for name in present(fields):
        if name not in SIGN_TYPES:
            yield Try(SlipCode.VALUE_CHANGED, partial(_without, name), name, alone=True)


def _values(fields: Fields) -> Iterator[Try]:
    encoders: tuple[Callable[[str], str], ...] = (
        partial(quote, safe=""), quote, quote_plus, partial(quote, safe="~()*!.'"), partial(quote, safe="/:=?&"),
        partial(quote_plus, safe="*-._"), lambda value: quote_plus(value, safe="*-._").lower(),
        lambda value: quote(value, safe="").lower(),
    )  # fmt: skip
    for encode in encoders:
        yield Try(SlipCode.URL_ENCODED_VALUES, partial(_all, encode))
    pages: tuple[Callable[[str], str], ...] = (partial(html.escape, quote=False), html.escape, html.unescape)
    for change in pages:
        yield Try(SlipCode.HTML_ENTITY, partial(_all, change))
    spaces: tuple[Callable[[str], str], ...] = (str.strip, lambda value: "".join(value.split()), str.lower)
    for change in spaces:
        yield Try(SlipCode.VALUE_CHANGED, partial(_all, change))
    for name, value in present(fields).items():
        for other in (f"{value} ", f" {value}", f"{value}\n", value.lower(), value.upper(), f"<![CDATA[{value}]]>"):
            if other != value:
                yield Try(SlipCode.VALUE_CHANGED, partial(_with, {name: other}), name, alone=True)
        if not value.isascii():
            yield Try(SlipCode.NOT_UTF8, partial(_with, {name: value.encode().decode("latin-1")}), name)
    yield Try(SlipCode.VALUE_CHANGED, partial(_all, lambda value: f"<![CDATA[{value}]]>"), "CDATA")


def _amounts(fields: Fields) -> Iterator[Try]:
    for name in AMOUNTS:
        number = fields.get(name, "")
        if number.isascii() and number.isdigit() and len(number) < 10:
            for other in other_amounts(number):
                note = f"{name}={other} → {name}={number}"
                yield Try(SlipCode.VALUE_CHANGED, partial(_with, {name: other}), note, alone=True)
        else:
            for whole in {number.partition(".")[0], number.replace(".", "")} - {"", number}:
                yield Try(SlipCode.VALUE_CHANGED, partial(_with, {name: whole}), f"{name}={whole} → {name}={number}")
