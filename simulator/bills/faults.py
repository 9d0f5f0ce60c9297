"""Inject differences into a day's trade bill, for practice: the actual data stay unchanged, the bill differs.

Kinds are named as the merchant will see them. A difference names its payment or refund; if none is requested, one
without another difference is chosen.
"""

from __future__ import annotations

import random
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from enum import StrEnum

from simulator.bills.lines import Line
from simulator.state.journal import Journal


class InjectedKind(StrEnum):
    MISSING_HERE = "missing_here"  # a payment of an order that nobody has paid
    MISSING_THERE = "missing_there"  # a payment is left out
    AMOUNT = "amount"  # a payment or refund of a fen more
    STATE = "state"  # a payment that was revoked, a refund that failed
    REFUND_MISSING_HERE = "refund_missing_here"  # a refund that nobody has asked for
    REFUND_MISSING_THERE = "refund_missing_there"  # a refund is left out
    DOUBLE_PAYMENT = "double_payment"  # one more payment of a paid order
    UNKNOWN_NUMBER = "unknown_number"  # a payment of an order that nobody has placed


@dataclass(frozen=True, slots=True)
class InjectedDifference:
    """A difference injected into the bill of ``day``. The numbers are those that the bill shows, or shows no longer.

    An added line is modelled on the line that the order ``like`` has, or would have.
    """

    day: str
    kind: str
    out_trade_no: str
    transaction_id: str
    out_refund_no: str
    refund_id: str
    like: str


@dataclass(frozen=True, slots=True)
class DifferencesCleared:
    """The bill of ``day`` was restored."""

    day: str


ADDED = (
    InjectedKind.MISSING_HERE,
    InjectedKind.REFUND_MISSING_HERE,
    InjectedKind.DOUBLE_PAYMENT,
    InjectedKind.UNKNOWN_NUMBER,
)
LEFT_OUT = (InjectedKind.MISSING_THERE, InjectedKind.REFUND_MISSING_THERE)


class InjectedDifferences:
    """The injected differences of every day, stored in the truth log."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._by_day: dict[str, list[InjectedDifference]] = {}
        journal.on(InjectedDifference, self._apply_plant)
        journal.on(DifferencesCleared, self._apply_clear)

    def of_day(self, day: date) -> list[InjectedDifference]:
        return list(self._by_day.get(day.isoformat(), ()))

    def by_day(self) -> dict[str, list[InjectedDifference]]:
        """Return the differences of every day that has any, the newest day first."""
        return {day: list(self._by_day[day]) for day in sorted(self._by_day, reverse=True)}

    def clear(self, day: date) -> None:
        self._journal.write(DifferencesCleared(day.isoformat()))

    def plant(
        self, day: date, kind: InjectedKind, lines: Sequence[Line], unpaid: Sequence[Line], number: str
    ) -> InjectedDifference:
        """Inject a difference among ``lines``; ``unpaid`` are the lines that payments of unpaid orders would have.

        ``number`` is the wanted out_trade_no or out_refund_no, empty for any. Raises ValueError if no line fits.
        """
        taken = {_key(plant) for plant in self.of_day(day)}
        suited = [
            line
            for line in (unpaid if kind is InjectedKind.MISSING_HERE else lines)
            if _suits(kind, line)
            and number in ("", line.out_refund_no or line.out_trade_no)
            and _key(line) not in taken
        ]
        if not suited:
            raise ValueError(f"nothing on the bill of {day} that {kind} could be planted on")
        fact = _fact(day, kind, random.choice(suited))
        self._journal.write(fact)
        return fact

    def apply(self, day: date, lines: Sequence[Line], model: Callable[[str], Line]) -> list[Line]:
        """Return ``lines`` with the day's differences; ``model`` returns the line that an order would have, by its
        number."""
        changed = list(lines)
        for plant in self.of_day(day):
            changed = _apply_difference(plant, changed, model)
        return changed

    def _apply_plant(self, fact: InjectedDifference) -> None:
        self._by_day.setdefault(fact.day, []).append(fact)

    def _apply_clear(self, fact: DifferencesCleared) -> None:
        self._by_day.pop(fact.day, None)


def _key(about: Line | InjectedDifference) -> tuple[str, str]:
    return about.out_trade_no, about.out_refund_no


def _suits(kind: InjectedKind, line: Line) -> bool:
    """Whether a difference of this kind can be about ``line``."""
    if kind is InjectedKind.REFUND_MISSING_THERE:
        return line.is_refund
    if kind is InjectedKind.STATE and line.is_refund:
        return line.refund_status == "SUCCESS"
    return kind is InjectedKind.AMOUNT or not line.is_refund


def _fact(day: date, kind: InjectedKind, line: Line) -> InjectedDifference:
    """Return the numbers that the bill will show; numbers of nonexistent orders are generated."""
    out_trade_no, transaction_id = line.out_trade_no, line.transaction_id
    out_refund_no, refund_id = line.out_refund_no, line.refund_id
    if kind is InjectedKind.UNKNOWN_NUMBER:
        out_trade_no = f"unknown{secrets.token_hex(8)}"
    if kind in (InjectedKind.UNKNOWN_NUMBER, InjectedKind.DOUBLE_PAYMENT, InjectedKind.MISSING_HERE):
        transaction_id = f"simplant{secrets.token_hex(10)}"
    if kind is InjectedKind.REFUND_MISSING_HERE:
        out_refund_no, refund_id = f"unknown{secrets.token_hex(8)}", f"simplant{secrets.token_hex(10)}"
    numbers = (out_trade_no, transaction_id, out_refund_no, refund_id)
    return InjectedDifference(day.isoformat(), kind.value, *numbers, like=line.out_trade_no)


def _apply_difference(plant: InjectedDifference, lines: list[Line], model: Callable[[str], Line]) -> list[Line]:
    kind = InjectedKind(plant.kind)
    if kind in ADDED:
        return [*lines, _add(plant, kind, model(plant.like))]
    about = (plant.transaction_id, plant.refund_id)
    changed = [_alter(kind, line) if (line.transaction_id, line.refund_id) == about else [line] for line in lines]
    return [line for changed in changed for line in changed]


def _alter(kind: InjectedKind, line: Line) -> list[Line]:
    """Return the lines that the bill shows in place of ``line``."""
    if kind in LEFT_OUT:
        return []
    if kind is InjectedKind.AMOUNT:
        return [_a_fen_more(line)]
    return [replace(line, refund_status="FAIL")] if line.is_refund else [line, _taken_back(line)]


def _taken_back(line: Line) -> Line:
    """Return the line of a reversal at the till, beside that of the payment."""
    back = replace(line, trade_state="REVOKED", refund=line.total, settled_refund=line.settled)
    return replace(back, total=0, coupons=0, settled=0, fee=-line.fee)


def _a_fen_more(line: Line) -> Line:
    if line.is_refund:
        return replace(line, refund=line.refund + 1, settled_refund=line.settled_refund + 1)
    return replace(line, total=line.total + 1, settled=line.settled + 1)


def _add(plant: InjectedDifference, kind: InjectedKind, line: Line) -> Line:
    line = replace(line, out_trade_no=plant.out_trade_no, transaction_id=plant.transaction_id)
    if kind is not InjectedKind.REFUND_MISSING_HERE:
        return line
    return replace(
        line,
        trade_state="REFUND",
        fee=0,
        total=0,
        coupons=0,
        settled=0,
        out_refund_no=plant.out_refund_no,
        refund_id=plant.refund_id,
        refund=1,
        settled_refund=1,
        refund_status="SUCCESS",
    )
