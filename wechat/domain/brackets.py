"""A detail in brackets after a text, in each language's punctuation."""

from __future__ import annotations

from wechat.domain.errors import Bilingual


def add_detail(text: str, detail: str, lang: str) -> str:
    """Return ``text`` with ``detail`` in brackets, as 已支付（SUCCESS）; ``text`` alone without a detail.

    Brackets at the end of ``text`` take the detail in, as 已支付（有退款，REFUND）: two pairs in a row read badly.
    """
    opening, closing, comma = (" (", ")", ", ") if lang == "en" else ("（", "）", "，")
    if not detail:
        return text
    if text.endswith(closing):
        return f"{text.removesuffix(closing)}{comma}{detail}{closing}"
    return f"{text}{opening}{detail}{closing}"


def add_details(text: Bilingual, detail: Bilingual) -> Bilingual:
    """Do as ``add_detail`` in both languages."""
    return Bilingual(add_detail(text.zh, detail.zh, "zh"), add_detail(text.en, detail.en, "en"))
