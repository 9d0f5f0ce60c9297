"""Tables that spreadsheets open without running, cutting or rounding anything."""

from __future__ import annotations

import csv
import io
import re
import zipfile
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from handlers.web.exports import (
    BOM,
    COLUMNS,
    WIDTHS,
    Workbook,
    csv_text,
    difference_row,
    headings,
    summary_rows,
)
from wechat.domain.money import yuan_as_number
from wechat.reconciliation.books import (
    Action,
    Audit,
    BookEntry,
    Difference,
    DifferenceKind,
    Reconciliation,
    Status,
    Totals,
)
from wechat.reconciliation.labels import ACTION_LABELS, KINDS, STATUSES

NOW = datetime(2026, 3, 1, 4, 0, 1, 880_000, tzinfo=UTC)
DAY = date(2026, 2, 28)
EXCEL_EPOCH = datetime(1899, 12, 30)  # noqa: DTZ001 - a spreadsheet's dates have no zone
NUMBER = "4200001234202602280123456789"
DIFFERENCE = Difference(
    "0" * 32,
    "1900000109",
    DAY,
    DifferenceKind.AMOUNT,
    BookEntry("order-1", NUMBER, "", "", 1801, "CNY", "SUCCESS"),
    BookEntry("order-1", NUMBER, "", "", 1800, "CNY", "SUCCESS"),
    NOW,
    NOW + timedelta(hours=1),
    Status.KNOWN,
    (
        Audit(NOW, "reconciliation", "rerun", Status.GONE, Status.OPEN),
        Audit(NOW, "anna", "query", Status.OPEN, Status.OPEN, "SUCCESS"),
        Audit(NOW, "anna", "known", Status.OPEN, Status.KNOWN),
    ),
)


def test_every_kind_and_status_has_a_name_and_a_row_a_cell_for_every_column() -> None:
    assert set(KINDS) == set(DifferenceKind)
    assert set(STATUSES) == set(Status)
    assert set(ACTION_LABELS) == {*Action, "rerun"}
    for lang in ("zh", "en"):
        assert len(difference_row(DIFFERENCE, lang)) == len(headings(lang)) == len(COLUMNS)
    assert difference_row(DIFFERENCE, "zh")[:3] == ["金额不一致", "已人工核实", "order-1"]
    assert difference_row(DIFFERENCE, "en")[6:10] == [Decimal("18.01"), "paid", Decimal("18.00"), "paid"]
    assert difference_row(DIFFERENCE, "zh")[13:] == ["amount", "SUCCESS", "SUCCESS"]


def test_times_are_beijings_and_an_audit_is_in_the_readers_language() -> None:
    (row,) = csv.reader(io.StringIO(csv_text([difference_row(DIFFERENCE, "zh")])))
    at = "2026-03-01 12:00:01"
    assert row[10:12] == [
        at,
        f"{at} 对账 重新对账 → 待处理; {at} anna 查询 → 待处理：已支付; {at} anna 标记为已人工核实 → 已人工核实",
    ]
    assert difference_row(DIFFERENCE, "en")[11] == (
        f"{at} reconciliation Rerun → Open; {at} anna Query → Open: paid; {at} anna Mark as checked → Checked"
    )


def test_csv_is_crlf_and_keeps_long_numbers_as_text() -> None:
    text = BOM + csv_text([headings("zh"), difference_row(DIFFERENCE, "zh")])
    assert text.encode().startswith(b"\xef\xbb\xbf")
    assert text.count("\r\n") == 2
    assert "\n" not in text.replace("\r\n", "")
    _, row = csv.reader(io.StringIO(text.removeprefix(BOM)))
    assert (row[3], row[6]) == (f"'{NUMBER}", "18.01")


@pytest.mark.parametrize("cell", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", '=cmd|"/c calc"!A1'])
def test_no_text_in_csv_is_a_formula(cell: str) -> None:
    (row,) = csv.reader(io.StringIO(csv_text([[cell]]), newline=""))
    assert row == [f"'{cell}"]


def test_plain_text_and_negative_amounts_stay_as_they_are() -> None:
    assert csv_text([["order-1", "拿铁, 大杯", yuan_as_number(-5), 12]]) == 'order-1,"拿铁, 大杯",-0.05,12\r\n'


def test_every_amount_is_printed_to_the_fen() -> None:
    assert all(str(yuan_as_number(fen)) == f"{fen // 100}.{fen % 100:02d}" for fen in range(100_000))


def test_xlsx_has_a_summary_and_its_texts_are_no_formulas(tmp_path: Path) -> None:
    path = tmp_path / "book.xlsx"
    result = Reconciliation(
        DAY, NOW, NOW, Totals(1, 1801), Totals(1, 1800, 1800, 1, 500, 500, 10_800), {DifferenceKind.AMOUNT: 1}
    )
    book = Workbook(path)
    book.sheet("汇总", summary_rows(result, "zh"))
    book.sheet("差异", [headings("zh")], WIDTHS)
    book.add([difference_row(DIFFERENCE, "zh"), ["=1+1", NUMBER]])
    book.close()
    with zipfile.ZipFile(path) as parts:
        names = re.findall(r'<sheet name="([^"]+)"', parts.read("xl/workbook.xml").decode())
        summary = parts.read("xl/worksheets/sheet1.xml").decode()
        differences = parts.read("xl/worksheets/sheet2.xml").decode()
        styles = parts.read("xl/styles.xml").decode()
    assert names == ["汇总", "差异"]
    assert "<v>12.89</v>" in summary  # 18.00 less 5.00 less a fee of 0.11
    assert "<v>18.01</v>" in differences
    assert f"<t>{NUMBER}</t>" in differences
    assert "<t>=1+1</t>" in differences
    assert "<f>" not in differences
    assert 'state="frozen"' in summary
    assert 'state="frozen"' in differences
    assert f'<col min="{len(COLUMNS)}" max="{len(COLUMNS)}" width="16' in differences
    assert len(WIDTHS) == len(COLUMNS)
    assert 'formatCode="yyyy-mm-dd hh:mm:ss"' in styles
    found = re.search(r'<c r="K2" s="\d+"><v>([\d.]+)</v></c>', differences)
    assert found is not None
    assert EXCEL_EPOCH + timedelta(days=float(found[1])) == datetime(2026, 3, 1, 12, 0, 1)  # noqa: DTZ001 - Beijing's
    assert 'r="E2"' not in differences  # a payment has no refund's number: the cell is empty
    assert "<t></t>" not in differences
