"""One broken build."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Mutant:
    """``old`` stands in ``file`` exactly once. ``elsewhere``: which test finds it, and why no simulation can."""

    name: str
    file: str
    old: str
    new: str
    elsewhere: str = ""
