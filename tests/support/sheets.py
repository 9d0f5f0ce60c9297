"""Read the files of an export as a person's spreadsheet does: every cell as text."""

from __future__ import annotations

import csv
import io
import re
import zipfile
from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal

from lxml.etree import _Element, fromstring

from wechat.domain.times import BEIJING

MAIN = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
EPOCH = datetime(1899, 12, 30, tzinfo=BEIJING)
CENTS, MOMENT = "0.00", "yyyy-mm-dd hh:mm:ss"


def read_csv(content: bytes) -> list[list[str]]:
    """Return the rows of a CSV file, without the apostrophe that keeps the digits of a number."""
    rows = csv.reader(io.StringIO(content.decode("utf-8-sig")))
    return [[re.sub(r"^'(?=\d)", "", cell) for cell in row] for row in rows]


def read_xlsx(content: bytes) -> list[list[str]]:
    """Return the rows of the first sheet, each as long as the first: amounts and dates as their formats show them."""
    with zipfile.ZipFile(io.BytesIO(content)) as parts:
        formats = _read_formats(fromstring(parts.read("xl/styles.xml")))
        sheet = fromstring(parts.read("xl/worksheets/sheet1.xml"))
    rows = [{_column(cell): _text(cell, formats) for cell in row} for row in sheet.iter(f"{MAIN}row")]
    return [[row.get(column, "") for column in range(len(rows[0]))] for row in rows]


def _read_formats(styles: _Element) -> list[str]:
    """Return the number format of each style."""
    named = {each.get("numFmtId", ""): each.get("formatCode", "") for each in styles.iter(f"{MAIN}numFmt")}
    named["2"] = CENTS  # built in
    return [named.get(each.get("numFmtId", ""), "") for group in styles.iter(f"{MAIN}cellXfs") for each in group]


def _column(cell: _Element) -> int:
    """Return 0 for A, 26 for AA."""
    number = 0
    for letter in re.sub(r"\d", "", cell.get("r", "")):
        number = number * 26 + ord(letter) - ord("A") + 1
    return number - 1


def _text(cell: _Element, formats: Sequence[str]) -> str:
    written = "".join(str(text) for text in cell.itertext())
    looks = formats[int(cell.get("s", "0"))]
    if looks == MOMENT:
        return (EPOCH + timedelta(seconds=round(float(written) * 86_400))).strftime("%Y-%m-%d %H:%M:%S")
    return str(Decimal(written).quantize(Decimal(CENTS))) if looks == CENTS else written
