"""Why a notification is refused, in words: what is wrong with it, and what to do where the cause may be ours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from wechat.catalogue.catalogue import entries
from wechat.domain.errors import Bilingual

MALFORMED = "malformed"
"""Every reason about a message's shape that is not listed below."""
PROBE = "probe"


class Reason(NamedTuple):
    """``text`` completes "the notification was refused because …"; ``fix`` is a sentence of its own."""

    text: Bilingual
    fix: Bilingual


REASONS: Mapping[str, Reason] = {
    entry.code: Reason(entry.meaning, entry.fix) for entry in entries() if entry.api == "notify"
}
"""By the words that a check raises. What is said of each is in the catalogue, where ``explain`` finds it, too."""


def group_of(reason: str) -> str:
    """``reason`` where it is one of the listed, which are few; ``malformed`` for every other."""
    return reason if reason in REASONS else MALFORMED
