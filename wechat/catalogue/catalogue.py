"""The catalogue of WeChat's errors: meaning, causes, in which console to look, what to do. It also has the reasons for
which this system refuses a notification.

The data is beside this file, a TOML file for each API; each entry names its source. The API's errors, logs, ``why``,
``explain`` and the documents all take their explanations from here.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from wechat.domain.errors import Advice, Bilingual

DATA = Path(__file__).with_name("data")
FILES = ("v3", "v3_own_side", "v2", "bridge", "jssdk", "oauth", "account", "notify", "network", "request_id")
NAMES: Mapping[str, Bilingual] = {
    "v3": Bilingual("微信支付 APIv3", "WeChat Pay APIv3"),
    "v2": Bilingual("微信支付 APIv2", "WeChat Pay APIv2"),
    "bridge": Bilingual(
        "调起支付（WeixinJSBridge、wx.chooseWXPay）", "Starting a payment (WeixinJSBridge, chooseWXPay)"
    ),
    "jssdk": Bilingual("JS-SDK", "JS-SDK"),
    "oauth": Bilingual("网页授权", "Web authorisation"),
    "account": Bilingual("服务号接口", "The service account's API"),
    "notify": Bilingual("被拒绝的通知（本系统的 reason）", "Refused notifications (reason, a word of this system)"),
    "network": Bilingual("网络、TLS、HTTP 状态", "Network, TLS, HTTP statuses"),
    "request-id": Bilingual("Request-ID 末尾的内部码", "Internal codes at the end of a Request-ID"),
}
"""The APIs, in the order in which they are searched and printed."""
MOST_FOUND = 5
MOST_TEXT = 64 * 1024


@dataclass(frozen=True, slots=True)
class Entry:
    """An error. ``code`` is WeChat's, or our own where WeChat gives only a text; ``texts`` are parts of its messages.

    ``where`` names the console or the side that fixes the error; ``next_step`` is a command.
    """

    api: str
    code: str
    meaning: Bilingual
    causes: tuple[Bilingual, ...]
    where: Bilingual
    fix: Bilingual
    source: str
    also: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()
    next_step: str = ""

    @property
    def advice(self) -> Advice:
        """The advice that an error carries."""
        zh, en = f"{self.where.zh}：{self.fix.zh}", f"{self.fix.en} ({self.where.en})"
        return Advice(self.causes, Bilingual(zh, en))

    def as_json(self, lang: str) -> dict[str, Any]:
        """Return the document of ``explain --json``, in one language."""
        return {
            "api": self.api,
            "code": self.code,
            "meaning": self.meaning.to(lang),
            "causes": [cause.to(lang) for cause in self.causes],
            "where": self.where.to(lang),
            "fix": self.fix.to(lang),
            "next": self.next_step or None,
            "source": self.source,
        }


@cache
def entries() -> tuple[Entry, ...]:
    """Return all entries, by API."""
    consoles = _read("consoles")["consoles"]
    rows = [(file, row) for file in map(_read, FILES) for row in file["entry"]]
    plain = {f"{file['api']}/{row['code']}": row for file, row in rows}
    return tuple(_entry(file, {**plain.get(row.get("same_as", ""), {}), **row}, consoles) for file, row in rows)


def find(text: str) -> list[Entry]:
    """Find the entries for a code, a message, a Request-ID, or a whole error answer, the likeliest first."""
    wanted = _Wanted(text[:MOST_TEXT].strip())
    ranked = [(wanted.rank(entry), at, entry) for at, entry in enumerate(entries())]
    best = sorted((rank, at, entry) for rank, at, entry in ranked if rank)
    return [entry for _, _, entry in best[:MOST_FOUND]]


def advise(api: str, code: str, message: str = "") -> Advice | None:
    """Return the advice for ``code`` of ``api``, as exact as ``message`` permits; None for an unknown code."""
    entry = explain_code(api, code, message)
    return entry.advice if entry else None


def advise_text(api: str, message: str) -> Advice | None:
    """Return the advice for a message without a code; None for an unknown message."""
    entry = explain_text((api,), message)
    return entry.advice if entry else None


def explain_text(apis: Sequence[str], message: str) -> Entry | None:
    """Return the entry of one of ``apis`` with the longest text in ``message``, which has no code."""
    squeezed = _squeeze(message)
    found = [(size, entry) for entry in entries() if entry.api in apis and (size := _longest(entry, squeezed))]
    return max(found, key=lambda pair: pair[0])[1] if found else None


def explain_code(api: str, code: str, message: str = "") -> Entry | None:
    """Return the entry for ``code`` of ``api``, the particular one if ``message`` tells which."""
    squeezed, starts = _squeeze(message), (f"{code}:", f"{code} ") if code else ""
    own = _by_api().get(api, ())
    for entry in own:
        if entry.code.startswith(starts) and _longest(entry, squeezed):
            return entry
    return next((entry for entry in own if code and (entry.code == code or code in entry.also)), None)


@cache
def _by_api() -> Mapping[str, Sequence[Entry]]:
    """Return all entries by API. One table, so that unknown names of APIs take no memory."""
    table: dict[str, list[Entry]] = {}
    for entry in entries():
        table.setdefault(entry.api, []).append(entry)
    return table


class _Wanted:
    """A text to search for: its codes, and the whole text."""

    def __init__(self, text: str) -> None:
        self._words = [word.lower() for word in _codes(text)]
        self._whole = text.lower()
        self._text = _squeeze(text)

    def rank(self, entry: Entry) -> tuple[int, int] | None:
        """Rank ``entry``; the smallest rank fits best: its own code, a long text, a code among others. None: no fit."""
        code = entry.code.lower()
        if self._whole == code or self._whole in (word.lower() for word in entry.also):
            return (0 if self._whole == code else 1, 0)
        size = _longest(entry, self._text)
        if size:
            return (2, -size)
        if code in self._words:
            return (3, 0)
        return (4, 0) if any(word.lower() in self._words for word in entry.also) else None


def _longest(entry: Entry, squeezed: str) -> int:
    """Return the length of the longest of an entry's texts that ``squeezed`` contains."""
    return max((len(text) for text in map(_squeeze, entry.texts) if text in squeezed), default=0)


def _codes(text: str) -> Iterator[str]:
    """Yield the codes in an error answer (JSON or XML), and in plain text: words in capitals and numbers."""
    for document in _documents(text):
        for name in ("code", "errcode", "err_code", "error_code"):
            if name in document:
                yield str(document[name])
    yield from re.findall(r"<(?:err_code|error_code)>(?:<!\[CDATA\[)?([^<\]]+)", text)
    yield from re.findall(r"(?<![A-Za-z0-9])[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)*(?![A-Za-z0-9])", text)
    yield from re.findall(r"(?<![A-Za-z0-9.])-?\d{1,9}(?![A-Za-z0-9.])", text)
    yield from (f"HTTP {status}" for status in re.findall(r"(?:^|HTTP\S*\s+|status\D{0,3})([1-5]\d\d)(?!\d)", text))


def _documents(text: str) -> Iterable[dict[str, Any]]:
    at = text.find("{")
    try:
        value = json.JSONDecoder(strict=False).raw_decode(text, at)[0] if at >= 0 else None
    except (ValueError, RecursionError):
        return []
    return [value] if isinstance(value, dict) else []


def _squeeze(text: str) -> str:
    """Remove differences of spelling from ``text``: blanks, case, Chinese punctuation."""
    return "".join(text.split()).lower().translate(_ASCII)


_ASCII = str.maketrans("：，（）。", ":,().")


def _read(name: str) -> dict[str, Any]:
    return tomllib.loads((DATA / f"{name}.toml").read_text(encoding="utf-8"))


def _entry(file: Mapping[str, Any], row: Mapping[str, Any], consoles: Mapping[str, list[str]]) -> Entry:
    return Entry(
        api=file["api"],
        code=row["code"],
        meaning=Bilingual(*row["meaning"]),
        causes=tuple(Bilingual(*cause) for cause in row["causes"]),
        where=Bilingual(*consoles[row["where"]]),
        fix=Bilingual(*row["fix"]),
        source=row.get("source") or file["source"],
        also=tuple(row.get("also", ())),
        texts=tuple(row.get("texts", ())),
        next_step=row.get("next", ""),
    )
