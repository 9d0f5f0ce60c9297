"""Notes that people of the shop write on an order. They are added, never changed, and payers do not see them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from wechat.domain.errors import BadRequest, Bilingual

MOST_CHARACTERS = 500
MOST_NOTES = 50
"""Notes of one order. A limit is needed because an order is read and written as a whole."""


@dataclass(frozen=True, slots=True)
class Note:
    """A note of a person. ``by`` is that person's login name."""

    at: datetime
    by: str
    text: str


def clean_note(text: str) -> str:
    """Return ``text`` in its stored form: trimmed, with line feeds only. Raises BadRequest, field ``note``."""
    kept = text.replace("\r\n", "\n").replace("\r", "\n").strip()
    if not kept or len(kept) > MOST_CHARACTERS:
        raise BadRequest(
            Bilingual(
                f"备注为 1 到 {MOST_CHARACTERS} 个字，这里有 {len(kept)} 个",
                f"A note has 1 to {MOST_CHARACTERS} characters; this one has {len(kept)}",
            ),
            code="BAD_NOTE",
            field="note",
        )
    if any(not (letter.isprintable() or letter in "\n\t　") for letter in kept):
        text_of_error = Bilingual("备注含有无法显示的字符", "The note has characters that cannot be shown")
        raise BadRequest(text_of_error, code="BAD_NOTE", field="note")
    return kept
