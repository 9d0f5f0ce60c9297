"""Match a day's bill with our own entries on disk, during one reconciliation.

A million lines are too much for memory, and the matching would burden the orders' database. SQLite, which is part of
Python, stores both sides in a temporary file and joins them by number. The file is deleted after the run, so an
interrupted run leaves nothing that affects the next. Methods block; callers use a thread. See ADR 12.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, Self

from wechat.reconciliation.books import PAID, REVERSED, BookEntry

BATCH = 500

_SCHEMA = """
pragma journal_mode = off;
pragma synchronous = off;
pragma temp_store = file;
create table billed (
    line integer primary key, key text, out_trade_no text, transaction_id text, out_refund_no text, refund_id text,
    amount integer, currency text, state text, time text
);
create table recorded (
    of_day integer, key text primary key, out_trade_no text, transaction_id text, out_refund_no text, refund_id text,
    amount integer, currency text, state text, time text
) without rowid;
"""
_ADD_BILLED = "insert into billed values (null, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_ADD_RECORDED = "insert or ignore into recorded values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_INDEX = "create index billed_key on billed (key)"
_UNMATCHED_KEYS = """
select distinct key from billed where not exists (select 1 from recorded where recorded.key = billed.key) and key > ?
order by key limit ?
"""
_PAIRS = f"""
with repeated as materialized (select key from billed group by key having count(*) > 1)
select billed.*, recorded.*, billed.transaction_id in (select transaction_id from billed where state = '{REVERSED}')
from billed left join recorded on recorded.key = billed.key
where (
    billed.transaction_id = recorded.transaction_id and billed.amount = recorded.amount
    and billed.currency = recorded.currency and billed.state = '{PAID}' and recorded.state = '{PAID}'
    and billed.refund_id = '' and billed.out_refund_no = '' and billed.key not in repeated
) is not true
order by billed.key, billed.line
"""  # noqa: S608 - a constant
_MISSING_FROM_BILL = """
select * from recorded where of_day and not exists (
    select 1 from billed where billed.key = recorded.key
    and (recorded.out_refund_no > '' or billed.transaction_id = recorded.transaction_id)
)
"""
_KEY, _BILLED, _RECORDED, _TAKEN_BACK = 1, slice(2, 10), slice(12, 20), 20  # their positions in a row of _PAIRS


class Pair(NamedTuple):
    """A bill line and our entry with its number; the other fields are arguments of ``classify``."""

    billed: BookEntry
    recorded: BookEntry | None
    nth: int
    again: bool
    taken_back: bool


class MatchDatabase:
    """Both sides of a day, in the file ``path``, which must not exist yet."""

    def __init__(self, path: Path) -> None:
        self._database = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._database.executescript(_SCHEMA)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._database.close()

    def add_bill(self, entries: Iterable[BookEntry]) -> None:
        """Add the bill's lines. Call it once."""
        self._insert(_ADD_BILLED, ((_key(entry), *entry) for entry in entries))
        self._database.execute(_INDEX)

    def add_entries(self, entries: Iterable[BookEntry], *, of_day: bool) -> None:
        """Add recorded entries. Those ``of_day`` must be on the bill; others may be."""
        self._insert(_ADD_RECORDED, ((of_day, _key(entry), *entry) for entry in entries))

    def unmatched_keys(self, after: str) -> list[str]:
        """Return the next keys after ``after`` of bill lines without a recorded entry; empty at the end."""
        return [key for (key,) in self._database.execute(_UNMATCHED_KEYS, (after, BATCH))]

    def pairs(self) -> Iterator[Pair]:
        """Yield the bill's lines with their entries, by number.

        Payments on which both sides agree, with a number that occurs once, are left out: nearly all do, and
        ``classify`` finds no difference in them. The index provides the order, so nothing is sorted.
        """
        key, nth = "", 0
        seen: set[tuple[str, str]] = set()
        for row in self._database.execute(_PAIRS):
            if row[_KEY] != key:
                key, nth, seen = row[_KEY], 0, set()
            billed = BookEntry._make(row[_BILLED])
            recorded = None if row[_RECORDED.start] is None else BookEntry._make(row[_RECORDED])
            taken_back = bool(row[_TAKEN_BACK]) and not billed.is_refund
            nth += not taken_back
            numbers = (billed.transaction_id, billed.refund_id)
            yield Pair(billed, recorded, nth, numbers in seen, taken_back)
            seen.add(numbers)

    def missing_from_bill(self) -> Iterator[BookEntry]:
        """Yield recorded entries of the day that are not on the bill."""
        for _, _, *fields in self._database.execute(_MISSING_FROM_BILL):
            yield BookEntry(*fields)

    def _insert(self, statement: str, rows: Iterable[Sequence[object]]) -> None:
        self._database.execute("begin")
        self._database.executemany(statement, rows)
        self._database.execute("commit")


PAYMENT, REFUND = "p", "r"


def _key(entry: BookEntry) -> str:
    """Return an entry's key: a payment's out_trade_no, a refund's out_refund_no or else WeChat's number of the
    refund."""
    return f"{REFUND}{entry.out_refund_no or entry.refund_id}" if entry.is_refund else f"{PAYMENT}{entry.out_trade_no}"


def split_keys(keys: Iterable[str]) -> tuple[list[str], list[str]]:
    """Split ``keys`` into the out_trade_no and the out_refund_no."""
    payments: list[str] = []
    refunds: list[str] = []
    for key in keys:
        (refunds if key.startswith(REFUND) else payments).append(key[1:])
    return payments, refunds
