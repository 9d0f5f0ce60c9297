"""Randomness from a seed: a stream of its own for each use, so that one more draw in one changes nothing in another."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


class Chance:
    """The random streams of one seed."""

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def stream(self, name: str) -> random.Random:
        """Return the stream called ``name``: the same numbers in every run, process and ``PYTHONHASHSEED``."""
        return random.Random(f"{self._seed}/{name}")


class SeededRandom:
    """``Random`` over one stream."""

    def __init__(self, stream: random.Random) -> None:
        self._stream = stream

    def token(self, size: int) -> str:
        return self._stream.randbytes(size).hex()

    def uniform(self, low: float, high: float) -> float:
        return self._stream.uniform(low, high)

    def shuffle(self, items: Sequence[T]) -> list[T]:
        return self._stream.sample(items, len(items))
