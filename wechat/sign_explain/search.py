"""Find out how a signature was made, by trying all usual ways to make it.

A signature has a few *dimensions* (the key, the body, the address …). Each has its right value first and then the
values of usual slips. Combinations are tried by their number of slips, up to two.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import combinations, product
from typing import Any, NamedTuple

from wechat.sign_explain.slips import SlipCode

MOST_SLIPS = 2
MOST_TRIES = 200_000


class Try(NamedTuple):
    """A value of a dimension. ``slip`` is None for a right value. ``alone``: not combined with other slips."""

    slip: SlipCode | None
    value: Any
    note: str = ""
    alone: bool = False


class Found(NamedTuple):
    """The combination that fits: the values in the order of the dimensions, and its slips."""

    values: tuple[Any, ...]
    slips: tuple[Try, ...]


Dimension = Sequence[Try]


def dimension(right: Any, *others: Try, also_right: Iterable[Any] = ()) -> list[Try]:
    """Build a dimension: ``right``, other values without a slip, then those of ``others`` that are new."""
    found: dict[Any, Try] = {}
    for each in (Try(None, right), *(Try(None, value) for value in also_right), *others):
        found.setdefault(each.value, each)
    return list(found.values())


def search(dimensions: Sequence[Dimension], fits: Callable[..., bool]) -> Found | None:
    """Return the combination with the fewest slips that ``fits`` accepts; None without one within MOST_TRIES."""
    tries = 0
    for count in range(MOST_SLIPS + 1):
        for chosen in _choices(dimensions, count):
            tries += 1
            if tries > MOST_TRIES:
                return None
            if fits(*(each.value for each in chosen)):
                return Found(tuple(each.value for each in chosen), tuple(each for each in chosen if each.slip))
    return None


def _choices(dimensions: Sequence[Dimension], count: int) -> Iterator[tuple[Try, ...]]:
    """Yield every combination with exactly ``count`` slips."""
    right = [[each for each in values if each.slip is None] for values in dimensions]
    wrong = [[each for each in values if each.slip and (count == 1 or not each.alone)] for values in dimensions]
    for places in combinations(range(len(dimensions)), count):
        yield from product(*(wrong[at] if at in places else right[at] for at in range(len(dimensions))))
