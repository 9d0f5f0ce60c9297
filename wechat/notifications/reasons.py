"""Texts for the reasons why a notification is refused: what is wrong with it, and the fix if the cause may be ours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from wechat.catalogue.catalogue import entries
from wechat.domain.errors import Bilingual

MALFORMED = "malformed"
"""The group of all reasons that are not in ``REASONS``; they are about a message's format."""
PROBE = "probe"


class Reason(NamedTuple):
    """A reason for people. ``text`` completes "the notification was refused because …"; ``fix`` is a sentence."""

    text: Bilingual
    fix: Bilingual


REASONS: Mapping[str, Reason] = {
    entry.code: Reason(entry.meaning, entry.fix) for entry in entries() if entry.api == "notify"
}
"""Texts by the reason that a check raises. They are in the catalogue, so that ``explain`` finds them, too."""


def group_of(reason: str) -> str:
    """Return ``reason`` if it is in ``REASONS``, or else ``malformed``."""
    return reason if reason in REASONS else MALFORMED
