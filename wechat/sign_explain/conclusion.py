"""Build the explanation from the result of the search and the slips it found."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from wechat.sign_explain.model import Explanation, Slip, Verdict
from wechat.sign_explain.search import Found, Try
from wechat.sign_explain.slips import SlipCode, sentence


def slip(code: SlipCode, zh: str = "", en: str = "", *, wrong: str = "", right: str = "") -> Slip:
    """Create a slip with its sentence and a particular in both languages."""
    return Slip(code, sentence(code, zh, en), wrong, right)


def of_tries(tries: Iterable[Try]) -> list[Slip]:
    """Return the slips of the tries."""
    return [slip(one.slip, one.note) for one in tries if one.slip]


def conclude(base: Explanation, found: Found, visible: Sequence[Slip], signed: str) -> Explanation:
    """Build the explanation when the signed text is known: ``signed``."""
    seen = {one.code for one in visible}
    slips = [*visible, *(one for one in of_tries(found.slips) if one.code not in seen)]
    right = base.string_to_sign if found.slips else signed
    verdict = Verdict.WRONG if slips else Verdict.CORRECT
    return replace(base, verdict=verdict, slips=tuple(slips), string_to_sign=right, signed=signed)


def end(base: Explanation, slips: Sequence[Slip]) -> Explanation:
    """Build the explanation when the signed text was not found: ``slips`` are all that is known."""
    return replace(base, verdict=Verdict.WRONG, slips=tuple(slips))
