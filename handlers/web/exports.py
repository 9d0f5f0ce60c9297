"""Differences as tables for people: CSV that spreadsheets open as it is, and XLSX. Both are made row by row.

In CSV a cell that a spreadsheet would take for a formula, or for a number too long to keep all its digits, starts with
an apostrophe. XLSX says itself what is text and what is a date. Times are Beijing's.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import xlsxwriter

from wechat.domain.errors import Bilingual
from wechat.domain.labels import name_state
from wechat.domain.money import yuan_as_number
from wechat.domain.times import BEIJING, beijing
from wechat.reconciliation.books import Audit, BookEntry, Difference, Reconciliation, Totals
from wechat.reconciliation.labels import ACTION_LABELS, AUTHORS, COUNTS, KINDS, STATUSES, SUMS

Cell = str | int | Decimal | datetime
Row = Sequence[Cell]

BOM = "\ufeff"
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
DIGITS_KEPT = 15  # digits of a number that a spreadsheet keeps
CENTS = "0.00"
MOMENT = "yyyy-mm-dd hh:mm:ss"

COLUMNS = (
    Bilingual("类别", "Kind"),
    Bilingual("状态", "Status"),
    Bilingual("商户订单号", "out_trade_no"),
    Bilingual("微信支付订单号", "transaction_id"),
    Bilingual("商户退款单号", "out_refund_no"),
    Bilingual("微信退款单号", "refund_id"),
    Bilingual("系统金额（元）", "Ours (yuan)"),
    Bilingual("系统状态", "Our state"),
    Bilingual("微信金额（元）", "WeChat's (yuan)"),
    Bilingual("微信状态", "WeChat's state"),
    Bilingual("发现时间", "Found at"),
    Bilingual("处理记录", "Audit"),
    Bilingual("编号", "Id"),
    Bilingual("类别代码", "Kind (code)"),
    Bilingual("系统状态代码", "Our state (code)"),
    Bilingual("微信状态代码", "WeChat's state (code)"),
)
WIDTHS = (14, 10, 26, 32, 32, 32, 16, 16, 16, 16, 20, 60, 36, 20, 14, 16)
"""Widths of ``COLUMNS`` in XLSX, in digits."""
SUMMARY_WIDTHS = (16, 14, 14)


def headings(lang: str) -> list[str]:
    return [column.to(lang) for column in COLUMNS]


def difference_row(difference: Difference, lang: str) -> list[Cell]:
    """Return the cells of one difference, in the order of ``COLUMNS``: names for people, then the codes for
    programs."""
    numbers = difference.numbers
    return [
        KINDS[difference.kind].to(lang),
        STATUSES[difference.status].to(lang),
        *numbers[:4],
        *_side(difference.recorded, lang, numbers.is_refund),
        *_side(difference.billed, lang, numbers.is_refund),
        difference.found_at,
        "; ".join(_format_audit(line, lang, numbers.is_refund) for line in difference.audit),
        difference.id,
        difference.kind.value,
        *(side.state if side else "" for side in (difference.recorded, difference.billed)),
    ]


def summary_rows(result: Reconciliation, lang: str) -> list[Row]:
    """Return the sums of both sides under a heading. Only WeChat Pay's bill has fees."""
    ours, theirs = Bilingual("系统", "This system"), Bilingual("微信", "WeChat")
    rows: list[Row] = [[result.day.isoformat(), ours.to(lang), theirs.to(lang)]]
    for name, text in SUMS:
        rows.append(
            [text.to(lang), "" if name in ("fee", "net") else _sum(result.recorded, name), _sum(result.billed, name)]
        )
    if result.unread:
        lines = ", ".join(map(str, result.unread))
        rows.append([Bilingual("账单中无法读取的行", "Bill lines that cannot be read").to(lang), "", lines])
    return rows


def csv_text(rows: Iterable[Row]) -> str:
    """Encode ``rows`` as RFC 4180 text with CRLF; write ``BOM`` before a file's first part."""
    text = io.StringIO()
    csv.writer(text).writerows([_guard_formula(cell) for cell in row] for row in rows)
    return text.getvalue()


class Workbook:
    """An XLSX file that is written row by row; ``close`` completes it. Its methods block."""

    def __init__(self, path: Path) -> None:
        self._book = xlsxwriter.Workbook(path, {"constant_memory": True})
        self._money = self._book.add_format({"num_format": CENTS})
        self._moment = self._book.add_format({"num_format": MOMENT})
        self._sheet = self._book.add_worksheet()
        self._row = 0

    def sheet(self, name: str, rows: Iterable[Row], widths: Sequence[int] = ()) -> None:
        """Start a sheet with a fixed first row; earlier sheets take no more rows."""
        if self._row:
            self._sheet = self._book.add_worksheet()
            self._row = 0
        self._sheet.name = name
        self._sheet.freeze_panes(1, 0)
        for column, width in enumerate(widths):
            self._sheet.set_column(column, column, width)
        self.add(rows)

    def add(self, rows: Iterable[Row]) -> None:
        for row in rows:
            for column, cell in enumerate(row):
                self._write(column, cell)
            self._row += 1

    def close(self) -> None:
        self._book.close()

    def _write(self, column: int, cell: Cell) -> None:
        if cell == "":
            return  # for a spreadsheet, a cell with an empty text is not empty
        if isinstance(cell, str):
            self._sheet.write_string(self._row, column, cell)
        elif isinstance(cell, datetime):
            self._sheet.write_datetime(self._row, column, _wall_clock(cell), self._moment)
        else:
            self._sheet.write_number(self._row, column, cell, self._money if isinstance(cell, Decimal) else None)


def _format_audit(line: Audit, lang: str, of_refund: bool) -> str:
    """Return a line such as ``2026-03-01 12:00:00 anna 查询 → 待处理：已支付``; the state may have brackets itself."""
    by, did = _translate(line.by, AUTHORS, lang), _translate(line.action, ACTION_LABELS, lang)
    state = name_state(line.detail, lang, of_refund=of_refund)
    detail = Bilingual(f"：{state}", f": {state}").to(lang) if state else ""
    return f"{beijing(line.at)} {by} {did} → {STATUSES[line.target].to(lang)}{detail}"


def _translate(word: str, names: Mapping[str, Bilingual], lang: str) -> str:
    return names[word].to(lang) if word in names else word


def _wall_clock(moment: datetime) -> datetime:
    """Return the local time in Beijing without a zone, because dates of spreadsheets have none."""
    return moment.astimezone(BEIJING).replace(tzinfo=None, microsecond=0)


def _side(entry: BookEntry | None, lang: str, of_refund: bool) -> tuple[Cell, Cell]:
    if entry is None:
        return "", ""
    return yuan_as_number(entry.amount), name_state(entry.state, lang, of_refund=of_refund)


def _sum(sums: Totals, name: str) -> Cell:
    value = int(getattr(sums, name))
    return value if name in COUNTS else yuan_as_number(value)


def _guard_formula(cell: Cell) -> str:
    text = beijing(cell) if isinstance(cell, datetime) else str(cell)
    risky = text.startswith(FORMULA) or (text.isdigit() and len(text) > DIGITS_KEPT)
    return f"'{text}" if isinstance(cell, str) and risky else text
