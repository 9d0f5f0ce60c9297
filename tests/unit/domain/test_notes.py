"""Notes on orders: added once, never dropped, and limited."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.contract.samples import NOW, an_order
from wechat.domain.errors import BadRequest, Conflict
from wechat.domain.notes import MOST_CHARACTERS, MOST_NOTES, Note, clean_note
from wechat.domain.orders import MAX_TIMELINE, TimelineEntry
from wechat.domain.transitions import add_note, replace_refused_order, write_note

FIRST = Note(NOW, "anna", "顾客来电")


def test_a_note_that_is_sent_twice_is_one_and_another_person_may_say_the_same() -> None:
    order = write_note(an_order(), FIRST)
    assert order.notes == (FIRST,)
    assert write_note(order, replace(FIRST)) is order
    assert write_note(order, replace(FIRST, by="li")).notes == (FIRST, replace(FIRST, by="li"))


def test_no_note_is_lost_when_the_timeline_is_long() -> None:
    order = write_note(an_order(), FIRST)
    for number in range(MAX_TIMELINE + 1):
        order = add_note(order, TimelineEntry(NOW, str(number), "v3"))
    assert order.notes == (FIRST,)
    refused = replace(order, refusal="PARAM_ERROR", prepay=None)
    draft = an_order(description="别的商品")
    assert replace_refused_order(refused, draft, TimelineEntry(NOW, "placed_again", "merchant")).notes == (FIRST,)


def test_an_order_takes_so_many_notes() -> None:
    order = an_order()
    for number in range(MOST_NOTES):
        order = write_note(order, replace(FIRST, text=str(number)))
    with pytest.raises(Conflict, match="50"):
        write_note(order, FIRST)


def test_a_note_is_kept_without_blanks_around_it_and_with_line_feeds() -> None:
    assert clean_note("  一\r\n二\r三 \n") == "一\n二\n三"
    assert clean_note("x" * MOST_CHARACTERS) == "x" * MOST_CHARACTERS


@pytest.mark.parametrize("text", ["", " \r\n", "x" * (MOST_CHARACTERS + 1), "a\x00b", "a\x1b[2J", "a\u202eb", "\ud800"])
def test_a_note_that_is_empty_too_long_or_not_text_is_refused(text: str) -> None:
    with pytest.raises(BadRequest):
        clean_note(text)
