"""A mutant: a build with one deliberate fault."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Mutant:
    """``old`` occurs in ``file`` exactly once. ``elsewhere``: the test that finds the mutant, as ``file::test``, and
    after a semicolon, why no simulation can."""

    name: str
    file: str
    old: str
    new: str
    elsewhere: str = ""

    @property
    def test(self) -> str:
        """The test that finds the mutant; empty if seeds do."""
        return self.elsewhere.partition("; ")[0]

    @property
    def reason(self) -> str:
        """Why no simulation finds the mutant."""
        return self.elsewhere.partition("; ")[2]
