"""What orders are found by: the keys that are stored with an order, and what a typed text may mean. Pure values.

A key is a number as it is, or one of these with a sign in front that no number has: the last six characters of an
order's or a transaction's number (``~``), a payer's openid (``@``), the total in fen (``¥``), a word of the description
or of attach (``"``). Chinese has no spaces, so each two letters that stand side by side are a word.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

from wechat.domain.money import Fen
from wechat.domain.orders import Order, TradeState, TradeType

SIGNS = ("~", "@", "¥", '"')
TAIL = 6
"""So many last characters of a number are a key; a person types at least as many."""
SHORTEST_OPENID = 6
"""WeChat's have 28 characters and begin with an o; those of the WeChat simulator are shorter."""
WORDS_OF_DESCRIPTION = 6
WORDS_OF_ATTACH = 4
LONGEST_WORD = 24
LONGEST_TEXT = 128
_NUMBER = re.compile(r"[0-9A-Za-z_\-|*@]{1,64}", re.ASCII)
_AMOUNT = re.compile(r"([¥￥]?)\s*(\d{1,8})(?:\.(\d{1,2}))?\s*(元?)", re.ASCII)
_WORD = re.compile(r"[0-9a-z]{2,}|[\u3400-\u9fff]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class OrderFilter:
    """Which orders are wanted: created from ``since`` to ``until``, both included, and equal in what is set. Totals are
    fen."""

    trade_state: TradeState | None = None
    channel: str = ""
    trade_type: TradeType | None = None
    since: datetime | None = None
    until: datetime | None = None
    least: Fen | None = None
    most: Fen | None = None

    def matches(self, order: Order) -> bool:
        return (
            (self.trade_state is None or order.trade_state is self.trade_state)
            and (not self.channel or order.channel == self.channel)
            and (self.trade_type is None or order.trade_type is self.trade_type)
            and (self.since is None or order.created_at >= self.since)
            and (self.until is None or order.created_at <= self.until)
            and (self.least is None or order.total >= self.least)
            and (self.most is None or order.total <= self.most)
        )


@dataclass(frozen=True, slots=True)
class Meaning:
    """One thing that a typed text may mean: the key to look up, and which of the orders found by it are meant."""

    key: str
    matches: Callable[[Order], bool]


def search_keys(order: Order) -> list[str]:
    """All keys of ``order``, its numbers first."""
    own = [order.out_trade_no, *(payment.transaction_id for payment in order.payments)]
    numbers = list(own)
    for refund in order.refunds:
        numbers.append(refund.out_refund_no)
        if refund.refund_id:
            numbers.append(refund.refund_id)
    openids = {order.openid, *(payment.openid for payment in order.payments)} - {""}
    tails = {_tail(number) for number in own}
    return [
        *numbers,
        *sorted(tails),
        *(f"@{openid}" for openid in sorted(openids)),
        f"¥{order.total}",
        *_text_keys(order.description, order.attach),
    ]


def meanings(text: str) -> list[Meaning]:
    """What ``text`` may mean, the most exact first; empty for a text by which nothing can be found."""
    text = text.strip()[:LONGEST_TEXT]
    found = [*_as_number(text), *_as_amount(text)]
    if words := list(_words(text)):
        parts = text.lower().split()
        found.append(Meaning(f'"{words[0]}', lambda order: _contains(order, parts)))
    return found


def is_found(order: Order, text: str) -> bool:
    """Whether ``order`` is one of those that ``text`` may mean."""
    keys = search_keys(order)
    return any(meaning.key in keys and meaning.matches(order) for meaning in meanings(text))


def _as_number(text: str) -> Iterator[Meaning]:
    if not _NUMBER.fullmatch(text):
        return
    yield Meaning(text, lambda _: True)
    if text.startswith("o") and len(text) >= SHORTEST_OPENID:
        yield Meaning(f"@{text}", lambda _: True)
    if len(text) >= TAIL:
        end = text.lower()
        yield Meaning(_tail(text), lambda order: _ends_with(order, end))


def _as_amount(text: str) -> Iterator[Meaning]:
    """``18``, ``18.00``, ``¥18``, ``18 元``. A long bare number is no amount."""
    match = _AMOUNT.fullmatch(text)
    if match and (match[1] or match[3] or match[4] or len(match[2]) < TAIL):
        fen = int(match[2]) * 100 + int((match[3] or "0").ljust(2, "0"))
        yield Meaning(f"¥{fen}", lambda _: True)


def _tail(number: str) -> str:
    return f"~{number[-TAIL:].lower()}"


def _ends_with(order: Order, end: str) -> bool:
    numbers = (order.out_trade_no, *(payment.transaction_id for payment in order.payments))
    return any(number.lower().endswith(end) for number in numbers)


def _contains(order: Order, parts: list[str]) -> bool:
    text = f"{order.description}\n{order.attach}".lower()
    return all(part in text for part in parts)


@lru_cache(maxsize=1024)
def _text_keys(description: str, attach: str) -> tuple[str, ...]:
    """Remembered, because an order is written about five times, and a shop sells the same things again."""
    words: dict[str, None] = {}
    for text, most in ((description, WORDS_OF_DESCRIPTION), (attach, WORDS_OF_ATTACH)):
        own = dict.fromkeys(_words(text))
        words |= dict.fromkeys(list(own)[:most])
    return tuple(f'"{word}' for word in words)


def _words(text: str) -> Iterator[str]:
    for run in _WORD.findall(text.lower()):
        if run[0].isascii():
            yield run[:LONGEST_WORD]
        else:
            yield from (run[at : at + 2] for at in range(len(run) - 1)) if len(run) > 1 else (run,)
