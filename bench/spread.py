"""Format the results of several rounds for a table's cell."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median


def format_spread(values: Sequence[float], form: str, aim: float | None = None) -> str:
    """Return the median; below it the least and the greatest of several, and whether it is at least ``aim``."""
    lines = [format(median(values), form)]
    if len(values) > 1:
        lines.append(f"{min(values):{form}}..{max(values):{form}}")
    if aim is not None:
        lines.append(f"≥ {aim:g}: {'met' if median(values) >= aim else 'missed'}")
    return "\n".join(lines)
