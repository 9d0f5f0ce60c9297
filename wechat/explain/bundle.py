"""Parameters of a page: what is handed to WeixinJSBridge, ``wx.chooseWXPay`` or ``wx.config``, in any notation."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from wechat.explain.capture import objects, plain

NAMES = "appid|time_?stamp|nonce_?str|package|sign_?type|pay_?sign|signature|jsapi_?ticket|rawstring|string1|url"
PAIR = re.compile(
    rf"""["'\[]?(?<![A-Za-z0-9_])({NAMES})["'\]]?\s*(?::|=>|=)\s*(?:string\(\d+\)\s*)?"""
    r"""("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|[^\s,;}\)&"']+)""",
    re.IGNORECASE,
)
QUERY = re.compile(rf"(?:^|[?&\s])((?:{NAMES})=[^\s\"'{{}}]*&[^\s\"'{{}}]*)", re.IGNORECASE)
URL_LINE = re.compile(
    r"(?:^|[\s\"'{,\[])(?:url|page|href|link)[\"'\]]?\s*(?:=>|[=:])\s*[\"']?(https?://[^\s\"'<>]+)",
    re.IGNORECASE | re.MULTILINE,
)
REAL_URL = re.compile(r"realAuthUrl[^h]{1,10}(https?:[^\s\"'\]]+)", re.IGNORECASE)
EATEN = {"×tamp": "&timestamp", "¬ify": "&notify", "§ion": "&section", "&amp;": "&"}
"""What HTML makes of a query that is printed into a page, and what it was."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """Values by the names that they were written with; ``numbers`` are those written without quotes in JSON or JS."""

    values: Mapping[str, str]
    numbers: frozenset[str] = frozenset()
    url: str = ""
    real_url: str = ""
    eaten: str = ""
    call: str = ""

    def get(self, *names: str) -> str:
        """The value of the first of these names, in whatever letters it is written."""
        found = self.spelt(*names)
        return self.values[found] if found else ""

    def spelt(self, *names: str) -> str:
        """How the first of these names is written here."""
        for name in names:
            if name in self.values:
                return name
        low = {name.lower().replace("_", "") for name in names}
        return next((name for name in self.values if name.lower().replace("_", "") in low), "")


def read_bundle(text: str) -> Bundle | None:
    """The first bundle with a signature in ``text``."""
    eaten = next((mark for mark in ("×tamp", "¬ify") if mark in text), "") or ("&amp;" if _in_query(text) else "")
    clean = text
    for mark, right in EATEN.items():
        clean = clean.replace(mark, right) if mark == eaten else clean
    found = _from_json(clean) or _from_query(clean) or _from_script(clean)
    if found is None:
        return None
    values, numbers = {plain(name): plain(value) for name, value in found[0].items()}, found[1]
    line, real = URL_LINE.search(text), REAL_URL.search(text)
    url = str(values.get("url", "")) if str(values.get("url", "")).startswith("http") else ""
    return Bundle(
        values,
        frozenset(numbers),
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
    return "paysign" in low or {"signature", "noncestr", "timestamp"} <= low


def _from_json(text: str) -> tuple[dict[str, str], set[str]] | None:
    for document in objects(text):
        for one in _walk_objects(document, 0):
            if is_signed(one):
                values = {name: value for name, value in one.items() if isinstance(value, str | int | float)}
                numbers = {name for name, value in values.items() if type(value) in (int, float)}
                return {name: str(value) for name, value in values.items()}, numbers
    return None


def _walk_objects(document: Any, depth: int) -> Iterator[dict[str, Any]]:
    if isinstance(document, dict) and depth < 6:
        yield document
        for value in document.values():
            yield from _walk_objects(value, depth + 1)
    elif isinstance(document, list) and depth < 6:
        for value in document[:50]:
            yield from _walk_objects(value, depth + 1)
    elif isinstance(document, str) and document.startswith("{") and depth < 6:
        for inner in objects(document):
            yield from _walk_objects(inner, depth + 1)


def _from_query(text: str) -> tuple[dict[str, str], set[str]] | None:
    for match in QUERY.finditer(text):
        pairs = [part.partition("=") for part in match[1].split("&")]
        values = {name: unquote(value) for name, _, value in pairs if re.fullmatch(NAMES, name, re.IGNORECASE)}
        if is_signed(values):
            return values, set()
    return None


def _from_script(text: str) -> tuple[dict[str, str], set[str]] | None:
    values: dict[str, str] = {}
    numbers: set[str] = set()
    for name, value in PAIR.findall(text):
        if name.lower() == "url":  # an address may hold what ends a value here: see URL_LINE
            continue
        if name not in values:
            values[name] = _unquote(value)
            numbers |= {name} if value.isdigit() else set()
    return (values, numbers) if is_signed(values) else None


def _unquote(value: str) -> str:
    if value.startswith('"'):
        try:
            return str(json.loads(value))
        except ValueError:
            return value[1:-1]
    return value[1:-1].replace("\\'", "'").replace("\\/", "/") if value.startswith("'") else value
