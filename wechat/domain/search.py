"""Search keys of orders: the keys that are stored with an order, and what a typed text may mean. Pure values.

A key is a number as it is, or one of these with a prefix that never occurs in a number: the last six characters of an
order's or a transaction's number (``~``), a payer's openid (``@``), the total in fen (``¥``), a word of the description
or of attach (``"``), a choice of channel, trade type and state (``#``), a large amount that the total reaches (``≥``).
Chinese has no spaces, so each two adjacent characters are a word.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

from wechat.domain.money import Fen
from wechat.domain.orders import DEFAULT_CHANNEL, Order, TradeState, TradeType

SIGNS = ("~", "@", "¥", '"', "#", "≥")
TAIL = 6
"""The number of last characters of a number that are a key; a person types at least as many."""
SHORTEST_OPENID = 6
"""WeChat's openids have 28 characters and begin with an o; those of the WeChat simulator are shorter."""
WORDS_OF_DESCRIPTION = 6
WORDS_OF_ATTACH = 4
LONGEST_WORD = 24
LONGEST_TEXT = 128
LARGE_AMOUNTS = (Fen(10_000), Fen(100_000), Fen(1_000_000))
"""Fen; an order has a key for each of these that its total reaches. Most orders therefore have none."""
_NUMBER = re.compile(r"[0-9A-Za-z_\-|*@]{1,64}", re.ASCII)
_AMOUNT = re.compile(r"([¥￥]?)\s*(\d{1,8})(?:\.(\d{1,2}))?\s*(元?)", re.ASCII)
_WORD = re.compile(r"[0-9a-z]{2,}|[\u3400-\u9fff]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class OrderOutline:
    """The fields of an order that a search needs.

    ``key`` is ``Order.key``, ``numbers`` the order's own and its transactions'.
    """

    key: str
    created_at: datetime
    trade_state: TradeState
    channel: str
    trade_type: TradeType
    total: Fen
    description: str
    attach: str
    numbers: tuple[str, ...]


def outline(order: Order) -> OrderOutline:
    return OrderOutline(
        key=order.key,
        created_at=order.created_at,
        trade_state=order.trade_state,
        channel=order.channel,
        trade_type=order.trade_type,
        total=order.total,
        description=order.description,
        attach=order.attach,
        numbers=(order.out_trade_no, *(payment.transaction_id for payment in order.payments)),
    )


@dataclass(frozen=True, slots=True)
class OrderFilter:
    """Conditions for orders: created from ``since`` to ``until``, both included, and equal in the other fields set.

    ``least`` and ``most`` bound the total, in fen, both included.
    """

    trade_state: TradeState | None = None
    channel: str = ""
    trade_type: TradeType | None = None
    since: datetime | None = None
    until: datetime | None = None
    least: Fen | None = None
    most: Fen | None = None

    def matches(self, order: OrderOutline) -> bool:
        return (
            (self.trade_state is None or order.trade_state is self.trade_state)
            and (not self.channel or order.channel == self.channel)
            and (self.trade_type is None or order.trade_type is self.trade_type)
            and (self.since is None or order.created_at >= self.since)
            and (self.until is None or order.created_at <= self.until)
            and (self.least is None or order.total >= self.least)
            and (self.most is None or order.total <= self.most)
        )

    @property
    def key(self) -> str:
        """The search key that all matching orders have, and as few others as possible; empty when there is none."""
        if self.least is not None and self.least >= LARGE_AMOUNTS[0]:
            return _large_amount_keys(self.least)[-1]
        channel = "" if self.channel == DEFAULT_CHANNEL else self.channel
        return _choice_key(channel, self.trade_type, self.trade_state) if channel or self.trade_type else ""

    @property
    def is_served_by_key(self) -> bool:
        """Whether all orders with ``key`` (without a key: all in ``trade_state``) match, apart from the dates."""
        return self.least is None and self.most is None and self.channel != DEFAULT_CHANNEL


@dataclass(frozen=True, slots=True)
class Meaning:
    """A possible meaning of a typed text: the key to look up, and a test for the orders found by that key."""

    key: str
    matches: Callable[[OrderOutline], bool]


def search_keys(order: Order) -> list[str]:
    """Return all search keys of ``order``, its numbers first."""
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
        *_choice_keys(order.channel, order.trade_type, order.trade_state),
        *_large_amount_keys(order.total),
    ]


def meanings(text: str) -> list[Meaning]:
    """Return the possible meanings of ``text``, the most exact first; empty when nothing can be found by it."""
    text = text.strip()[:LONGEST_TEXT]
    found = [*_as_number(text), *_as_number(_close_up(text)), *_as_amount(text)]
    if words := list(_words(text)):
        parts = text.lower().split()
        found.append(Meaning(f'"{words[0]}', lambda order: _contains(order, parts)))
    return found


def is_too_short(text: str) -> bool:
    """Whether ``text`` looks like the end of a number but has fewer than ``TAIL`` characters."""
    bare = "".join(text.split())
    return len(bare) < TAIL and bare.isascii() and bare.isalnum() and any(map(str.isdigit, bare))


def is_found(order: Order, text: str) -> bool:
    """Whether a search for ``text`` finds ``order``."""
    keys, outlined = search_keys(order), outline(order)
    return any(meaning.key in keys and meaning.matches(outlined) for meaning in meanings(text))


@lru_cache(maxsize=1024)
def _choice_keys(channel: str, trade_type: TradeType, trade_state: TradeState) -> tuple[str, ...]:
    """Return a key for each combination of channel, trade type and state.

    A state alone needs no key, because it has an index. The default channel has no key, because nearly all orders are
    in that channel.
    """
    channels = ("",) if channel == DEFAULT_CHANNEL else ("", channel)
    choices = [(one, kind) for one in channels for kind in (None, trade_type) if one or kind]
    return tuple(_choice_key(one, kind, state) for one, kind in choices for state in (None, trade_state))


def _choice_key(channel: str, trade_type: TradeType | None, trade_state: TradeState | None) -> str:
    return f"#{channel}|{trade_type or ''}|{trade_state or ''}"


def _large_amount_keys(total: int) -> list[str]:
    return [f"≥{amount}" for amount in LARGE_AMOUNTS if total >= amount]


def _as_number(text: str) -> Iterator[Meaning]:
    if not _NUMBER.fullmatch(text):
        return
    yield Meaning(text, lambda _: True)
    if text.startswith("o") and len(text) >= SHORTEST_OPENID:
        yield Meaning(f"@{text}", lambda _: True)
    if len(text) >= TAIL:
        end = text.lower()
        yield Meaning(_tail(text), lambda order: _ends_with(order, end))


def _close_up(text: str) -> str:
    """Remove the blanks of a number that was copied with them, as "4200 0012 3456"; empty for any other text."""
    bare = "".join(text.split())
    return bare if bare != text and sum(map(str.isdigit, bare)) >= TAIL else ""


def _as_amount(text: str) -> Iterator[Meaning]:
    """Parse ``18``, ``18.00``, ``¥18``, ``18 元``. A long number without a sign is no amount."""
    match = _AMOUNT.fullmatch(text)
    if match and (match[1] or match[3] or match[4] or len(match[2]) < TAIL):
        fen = int(match[2]) * 100 + int((match[3] or "0").ljust(2, "0"))
        yield Meaning(f"¥{fen}", lambda _: True)


def _tail(number: str) -> str:
    return f"~{number[-TAIL:].lower()}"


def _ends_with(order: OrderOutline, end: str) -> bool:
    return any(number.lower().endswith(end) for number in order.numbers)


def _contains(order: OrderOutline, parts: list[str]) -> bool:
    text = f"{order.description}\n{order.attach}".lower()
    return all(part in text for part in parts)


@lru_cache(maxsize=1024)
def _text_keys(description: str, attach: str) -> tuple[str, ...]:
    """Return the keys of the words in both texts.

    Cached, because an order is written about five times, and a shop sells the same goods again.
    """
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
