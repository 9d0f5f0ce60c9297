"""The calendar of the books: what a day is called before they begin, and when nobody reconciled it since."""

from __future__ import annotations

from datetime import date

from handlers.console.reconciliation import calendar
from wechat.reconciliation.days import BookDay

FIRST, LAST, BEGIN = date(2026, 3, 1), date(2026, 3, 31), date(2026, 3, 10)


def test_days_before_the_books_begin_are_not_missing() -> None:
    early = BookDay("1900000109", date(2026, 3, 5), None, planned=False)
    cells = [cell for week in calendar(FIRST, LAST, [early], {}, BEGIN) for cell in week if cell]
    assert [cell.day.day for cell in cells] == list(range(1, 32))
    states = [cell.state for cell in cells]
    assert states[:10] == ["before"] * 4 + ["waits"] + ["before"] * 4 + ["not_run"]
    assert set(states[9:]) == {"not_run"}
