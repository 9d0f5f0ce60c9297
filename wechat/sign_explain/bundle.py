"""Parse a page's parameters of WeixinJSBridge, ``wx.chooseWXPay`` or ``wx.config``, in any notation."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from wechat.sign_explain.messages import plain
from wechat.sign_explain.pairs import Pairs, find_pairs

NAMES = "appid|time_?stamp|nonce_?str|package|sign_?type|pay_?sign|signature|jsapi_?ticket|rawstring|string1|url"
PAIR = re.compile(
    rf"""["'\[]?(?<![A-Za-z0-9_])({NAMES})["'\]]?\s*(?::|=>|=)\s*(?:string\(\d+\)\s*)?"""
    r"""("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|[^\s,;}\)&"']+)""",
    re.IGNORECASE,
)
URL_LINE = re.compile(
    r"(?:^|[\s\"'{,\[])(?:url|page|href|link)[\"'\]]?\s*(?:=>|[=:])\s*[\"']?(https?://[^\s\"'<>]+)",
    re.IGNORECASE | re.MULTILINE,
)
REAL_URL = re.compile(r"realAuthUrl[^h]{1,10}(https?:[^\s\"'\]]+)", re.IGNORECASE)
EATEN = {"×tamp": "&timestamp", "¬ify": "&notify", "§ion": "&section", "&amp;": "&"}
"""Parts of a query that HTML changes when the query is printed into a page, with their original text."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """A page's parameters, by their names in the text. ``numbers`` are those written without quotes in a literal.

    ``url`` is the signed address and ``real_url`` the one that WeChat reported; ``eaten`` is the mark of a change by
    HTML; ``call`` is ``bridge``, ``choose`` or empty.
    """

    values: Mapping[str, str]
    numbers: frozenset[str] = frozenset()
    url: str = ""
    real_url: str = ""
    eaten: str = ""
    call: str = ""

    def get(self, *names: str) -> str:
        """Return the value of the first of these names, in any case of letters; empty without one."""
        found = self.spelt(*names)
        return self.values[found] if found else ""

    def spelt(self, *names: str) -> str:
        """Return the spelling of the first of these names in the text; empty without one."""
        for name in names:
            if name in self.values:
                return name
        low = {name.lower().replace("_", "") for name in names}
        return next((name for name in self.values if name.lower().replace("_", "") in low), "")


def read_bundle(text: str) -> Bundle | None:
    """Parse the first bundle with a signature in ``text``; None without one."""
    eaten = next((mark for mark in ("×tamp", "¬ify") if mark in text), "") or ("&amp;" if _in_query(text) else "")
    clean = text
    for mark, right in EATEN.items():
        clean = clean.replace(mark, right) if mark == eaten else clean
    found = find_pairs(clean, _is_whole) or _anywhere(clean)
    if found is None:
        return None
    values = {plain(name): plain(value) for name, value in found.values.items()}
    line, real = URL_LINE.search(text), REAL_URL.search(text)
    url = str(values.get("url", "")) if str(values.get("url", "")).startswith("http") else ""
    return Bundle(
        values,
        found.numbers,
        url or (line[1] if line else ""),
        real[1].replace("\\/", "/") if real else "",
        eaten,
        _call(text),
    )


def _in_query(text: str) -> bool:
    return bool(re.search(rf"&amp;(?:{NAMES})=", text, re.IGNORECASE))


def _call(text: str) -> str:
    if "getBrandWCPayRequest" in text or "WeixinJSBridge" in text:
        return "bridge"
    return "choose" if "chooseWXPay" in text else ""


def is_signed(names: Mapping[str, Any]) -> bool:
    """Whether these are the names of a bundle."""
    low = {str(name).lower().replace("_", "") for name in names}
    return "paysign" in low or ({"signature", "noncestr", "timestamp"} <= low and "serialno" not in low)


def _is_whole(names: Mapping[str, Any]) -> bool:
    low = {str(name).lower().replace("_", "") for name in names}
    return is_signed(names) and {"noncestr", "timestamp"} <= low


def _anywhere(text: str) -> Pairs | None:
    """Return the first value of each known name, anywhere in ``text``; None if they are no bundle."""
    values: dict[str, str] = {}
    numbers: set[str] = set()
    is_quoted = False
    for name, value in PAIR.findall(text):
        if name.lower() == "url":  # an address may hold what ends a value here: see URL_LINE
            continue
        if name not in values:
            values[name] = _unquote(value)
            is_quoted |= values[name] != value
            numbers |= {name} if value.isdigit() else set()
    is_bundle = is_signed(values) and "serial_no" not in text  # the token of an APIv3 request has a signature, too
    return Pairs(values, frozenset(numbers if is_quoted else ())) if is_bundle else None


def _unquote(value: str) -> str:
    if value.startswith('"'):
        try:
            return str(json.loads(value))
        except ValueError:
            return value[1:-1]
    return value[1:-1].replace("\\'", "'").replace("\\/", "/") if value.startswith("'") else value
