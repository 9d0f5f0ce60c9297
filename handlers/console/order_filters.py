"""The filters of the list of orders, read from its address."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import TypeVar
from urllib.parse import urlencode

from wechat.domain.money import Fen, parse_yuan
from wechat.domain.orders import TradeState, TradeType
from wechat.domain.search import LONGEST_TEXT, OrderFilter
from wechat.domain.times import day_span

NAMES = ("q", "state", "type", "from", "to", "least", "most", "channel")
MOST_OF_CHANNEL = 64
MOST_YUAN = 10_000_000

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Query:
    """The filters of a request: ``values`` as they were written, by ``NAMES``; ``errors``: names of texts, by the field
    that they belong to."""

    values: Mapping[str, str]
    wanted: OrderFilter
    errors: Mapping[str, str]

    @property
    def text(self) -> str:
        return self.values["q"]

    @property
    def narrows(self) -> bool:
        """Whether any filter is set."""
        return any(self.values.values())

    def address(self, path: str, **more: str) -> str:
        """Return ``path`` with the filters and ``more`` as its query string."""
        query = {name: value for name, value in (dict(self.values) | more).items() if value}
        return f"{path}?{urlencode(query)}" if query else path


def read_query(argument: Callable[[str], str]) -> Query:
    """Read the filters; ``argument`` returns a request's argument, or an empty text. A value that cannot be read
    becomes an error and does not narrow the list."""
    values = {name: argument(name).strip()[:LONGEST_TEXT] for name in NAMES}
    errors: dict[str, str] = {}

    def read(name: str, parse: Callable[[str], T], error: str) -> T | None:
        try:
            return parse(values[name]) if values[name] else None
        except (ValueError, OverflowError):
            errors[name] = error
            return None

    first, last = read("from", _day, "bad_date"), read("to", _day, "bad_date")
    least, most = read("least", _amount, "bad_amount"), read("most", _amount, "bad_amount")
    if first and last and last < first:
        errors["to"] = "turned_round"
    if least is not None and most is not None and most < least:
        errors["most"] = "turned_round"
    wanted = OrderFilter(
        trade_state=read("state", TradeState, "bad_choice"),
        channel=values["channel"][:MOST_OF_CHANNEL],
        trade_type=read("type", TradeType, "bad_choice"),
        since=day_span(first)[0] if first else None,
        until=_end(last) if last else None,
        least=least,
        most=most,
    )
    return Query(values, wanted, errors)


def _end(day: date) -> datetime:
    """The last millisecond of a day in Beijing."""
    return day_span(day)[1] - timedelta(milliseconds=1)


def _day(text: str) -> date:
    day = date.fromisoformat(text)
    if not 2000 <= day.year <= 2999:
        raise ValueError(text)
    return day


def _amount(text: str) -> Fen:
    amount = parse_yuan(text.lstrip("¥￥"))
    if not 0 <= amount <= MOST_YUAN * 100:
        raise ValueError(text)
    return Fen(amount)
