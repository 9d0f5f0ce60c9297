"""What happened, line by line: equal for equal seeds."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Line:
    """``about`` is the order that it is about, where it is about one."""

    at_s: float
    who: str
    what: str
    detail: str
    about: str

    def __str__(self) -> str:
        days, rest = divmod(int(self.at_s), 86400)
        clock = f"day {days + 1} {rest // 3600:02}:{rest // 60 % 60:02}:{rest % 60:02}"
        return f"{clock}  {self.who:10} {self.what:14} {self.detail} {self.about}".rstrip()


class Trace:
    """The lines of one run."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.lines: list[Line] = []

    def add(self, who: str, what: str, detail: str = "", about: str = "") -> None:
        self.lines.append(Line(self._loop.time(), who, what, detail, about))


def tail(lines: Sequence[Line], count: int) -> list[str]:
    return [str(line) for line in lines[-count:]]
