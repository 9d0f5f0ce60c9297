"""The short form of fuzzing: every kept input, and mutations of each. ``python -m tests.fuzz`` is the long form."""

from __future__ import annotations

import os
import random

import pytest

from tests.fuzz.targets import TARGETS, corpus

EXAMPLES = int(os.environ.get("EXAMPLES", "10"))


@pytest.mark.parametrize("name", TARGETS)
def test_every_kept_input_and_what_is_made_of_it_is_taken_or_refused_in_our_words(name: str) -> None:
    kept, chance = corpus(name), random.Random(1)
    assert len(kept) > 3
    for data in kept:
        TARGETS[name](data)
        for _ in range(EXAMPLES):
            TARGETS[name](mutate(data, chance))


def mutate(data: bytes, chance: random.Random) -> bytes:
    """``data`` with bytes changed, cut, doubled or put in from somewhere else."""
    changed = bytearray(data)
    for _ in range(chance.randint(1, 4)):
        at, length = chance.randrange(len(changed) + 1), chance.randint(1, 8)
        match chance.randrange(4):
            case 0:
                changed[at : at + length] = chance.randbytes(length)
            case 1:
                del changed[at : at + length * 10]
            case 2:
                changed[at:at] = changed[at : at + length]
            case _:
                changed[at:at] = chance.choice(
                    [b"\0", b"<!--", b"]]>", b"&#0;", b"\xef\xbb\xbf", b",`", b"{}", b"null"]
                )
    return bytes(changed)
