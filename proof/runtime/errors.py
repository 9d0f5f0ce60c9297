"""Errors in words, on one line: what was raised, and the last lines of its traceback."""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
FRAMES = 3


def describe(error: BaseException) -> str:
    """Return the error and the places that it came through, the last one first."""
    frames = traceback.extract_tb(error.__traceback__)[: -FRAMES - 1 : -1]
    places = ", ".join(f"{_shorten(frame.filename)}:{frame.lineno} in {frame.name}" for frame in frames)
    return f"{error!r}, from {places}" if places else repr(error)


def describe_unhandled(context: dict[str, Any]) -> str:
    """Return what a loop tells its exception handler. Its message may hold addresses, so the error stands for it."""
    error = context.get("exception")
    return describe(error) if error else str(context["message"])


def _shorten(name: str) -> str:
    """Return a path that is the same on each machine."""
    path = Path(name)
    return str(path.relative_to(ROOT) if path.is_relative_to(ROOT) else path.name)
