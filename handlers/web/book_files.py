"""The books of a day as files: CSV and XLSX, written as they are read."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator, Sequence
from datetime import date
from pathlib import Path

from handlers.web import exports
from handlers.web.base import BaseHandler
from wechat.domain.errors import BadRequest, Bilingual, NotFound
from wechat.domain.times import parse_day
from wechat.reconciliation.books import Reconciliation

DATE = r"([0-9]{4}-[0-9]{2}-[0-9]{2})"
EXPORTED = 500
CHUNK = 64 * 1024
CSV = "text/csv; charset=utf-8"
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"


class BookFiles(BaseHandler):
    """A handler that sends a day's books as a file."""

    async def result(self, day: date) -> Reconciliation:
        """Return the reconciled day. Raises NotFound for a day that has not been reconciled."""
        result = await self.services.books.records.result(day)
        if result is None:
            raise NotFound(Bilingual("这一天还没有对过账", "This day has not been reconciled"), code="NOT_RECONCILED")
        return result

    def attach(self, kind: str, name: str) -> None:
        """Set the headers that make the browser save the answer as a file."""
        self.set_header("Content-Type", kind)
        self.set_header("Content-Disposition", f'attachment; filename="{name}"')

    async def send(self, path: Path) -> None:
        """Send this file with its Content-Length."""
        with path.open("rb") as file:
            self.set_header("Content-Length", str(os.fstat(file.fileno()).st_size))
            while piece := file.read(CHUNK):
                self.write(piece)
                await self.flush()

    async def write_csv(self, result: Reconciliation) -> None:
        """Write the differences of a day as CSV."""
        self.attach(CSV, f"reconciliation-{result.day}.csv")
        self.write(exports.BOM + exports.csv_text([exports.headings(self.lang)]))
        async for rows in self.difference_rows(result.day):
            self.write(exports.csv_text(rows))
            await self.flush()

    async def write_xlsx(self, result: Reconciliation) -> None:
        """Write the sums and the differences of a day as XLSX."""
        summary = exports.summary_rows(result, self.lang)
        name = f"reconciliation-{result.day}.xlsx"
        await self.write_workbook(name, summary, exports.SUMMARY_WIDTHS, [result.day])

    async def write_workbook(
        self, name: str, summary: Sequence[exports.Row], widths: Sequence[int], days: Sequence[date]
    ) -> None:
        """Write a sheet with ``summary``, and one with the differences of ``days``."""
        self.attach(XLSX, name)
        with tempfile.TemporaryDirectory(prefix="fenpay-export-") as directory:
            path = Path(directory) / "book.xlsx"
            book = exports.Workbook(path)
            book.sheet(Bilingual("汇总", "Summary").to(self.lang), summary, widths)
            book.sheet(Bilingual("差异", "Differences").to(self.lang), [exports.headings(self.lang)], exports.WIDTHS)
            for day in days:
                async for rows in self.difference_rows(day):
                    await asyncio.to_thread(book.add, rows)
            await asyncio.to_thread(book.close)
            await self.send(path)

    async def difference_rows(self, day: date) -> AsyncIterator[Sequence[exports.Row]]:
        """Yield every difference of a day, in batches."""
        cursor = ""
        while True:
            page = await self.services.books.records.differences(day, limit=EXPORTED, cursor=cursor)
            yield [exports.difference_row(difference, self.lang) for difference in page.items]
            if not (cursor := page.next_cursor):
                return


def read_day(text: str) -> date:
    """Parse a date. Raises BadRequest if the calendar does not have it."""
    try:
        return parse_day(text)
    except ValueError:
        raise BadRequest(Bilingual("没有这个日期", "There is no such date"), field="date") from None
