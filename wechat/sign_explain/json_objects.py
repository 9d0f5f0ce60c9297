"""Find JSON objects anywhere in a text."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from typing import Any

MOST_MISSES = 200
LONGEST_LITERAL = 20_000


def objects(text: str) -> Iterator[dict[str, Any]]:
    """Yield the outermost JSON objects in ``text``, or the Python dictionary that the whole text is."""
    found = False
    for start, end in spans(text):
        found = True
        yield json.loads(text[start:end], strict=False)
    if not found and text.strip().startswith("{") and len(text) < LONGEST_LITERAL:
        try:
            value = ast.literal_eval(text.strip())
        except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
            return
        if isinstance(value, dict) and all(isinstance(name, str) for name in value):
            yield value


def spans(text: str) -> Iterator[tuple[int, int]]:
    """Yield the start and the end of each outermost JSON object."""
    decoder, at, misses = json.JSONDecoder(strict=False), 0, 0
    while misses < MOST_MISSES and (at := text.find("{", at)) >= 0:
        try:
            _, end = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            misses, at = misses + 1, at + 1
            continue
        yield at, end
        at = end
