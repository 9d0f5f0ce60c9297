"""The trace of a run, line by line: equal for equal seeds."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable
from typing import NamedTuple

from proof.faults import Fault

ORDER = re.compile(r"order-\d+")
FAULT = "fault"
TOLD_BY_CALLER = frozenset(
    fault for fault in Fault if fault.name.startswith(("STORE_", "WIRE_", "BILL_CUT", "CREDENTIALS_"))
) - {
    Fault.STORE_SLOW,
    Fault.WIRE_SLOW,
}
"""Faults of calls, which the calling code traces itself, with the call."""


class Line(NamedTuple):
    """``about`` is the order that the line is about, if any."""

    at_s: float
    who: str
    what: str
    detail: str
    about: str

    @property
    def clock(self) -> str:
        days, rest = divmod(int(self.at_s), 86400)
        return f"day {days + 1} {rest // 3600:02}:{rest // 60 % 60:02}:{rest % 60:02}"

    def __str__(self) -> str:
        return f"{self.clock}  {self.who:10} {self.what:14} {self.detail} {self.about}".rstrip()


class Trace:
    """The lines of one run."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.lines: list[Line] = []

    def add(self, who: str, what: str, detail: str = "", about: str = "") -> None:
        self.lines.append(Line(self._loop.time(), who, what, detail, about))

    def add_for_each(self, who: str, what: str, detail: str, orders: Iterable[str]) -> None:
        """Add one line for each of ``orders``, or one about no order."""
        for about in orders or [""]:
            self.add(who, what, detail, about)

    def add_fault(self, whom: str, fault: Fault) -> None:
        """Add a fault of an order or of a process."""
        if fault not in TOLD_BY_CALLER:
            order = whom if ORDER.fullmatch(whom) else ""
            self.add("" if order else whom, FAULT, fault, order)


def orders_in(text: str | bytes) -> list[str]:
    """Return the orders that ``text`` names, in order."""
    if isinstance(text, bytes):
        text = text.decode("utf-8", "replace")
    return sorted(set(ORDER.findall(text)))


def first_order_in(text: str) -> str:
    """Return the order that ``text`` names first; empty if it names none."""
    found = ORDER.search(text)
    return found.group() if found else ""
