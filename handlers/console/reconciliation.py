"""Reconciliation for people: a calendar of days, a day's sums of both sides, its differences and their repair, and
files.

``routes`` also registers ``refund_surplus`` as what carries out an approved REPAIR.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import NamedTuple
from urllib.parse import quote

from handlers.console.base import ConsoleHandler
from handlers.console.overview import money
from handlers.console.routes import Page, console_routes
from handlers.console.summaries import summarize_difference
from handlers.console.texts.reconciliation import ACCOUNTS, EVENTS, TEXTS
from handlers.web import exports
from handlers.web.book_files import CSV, DATE, BookFiles, read_day
from handlers.web.plugin import Route
from handlers.web.query import read_choice
from handlers.web.services import Services
from wechat.domain.approvals import Approval
from wechat.domain.audit import Act
from wechat.domain.errors import BadRequest, Bilingual, CallerError, RemoteError
from wechat.domain.labels import name_state
from wechat.domain.money import Fen, yuan_as_number
from wechat.domain.staff import Permission
from wechat.domain.times import beijing, beijing_day, parse_day, span
from wechat.pay.bills.gateways import NotYet
from wechat.reconciliation.accounts import double_entry
from wechat.reconciliation.books import ACTIONS, Action, Difference, DifferenceKind, Status
from wechat.reconciliation.days import BookDay
from wechat.reconciliation.labels import ACTION_LABELS, AUTHORS, COUNTS, KINDS, STATUSES, SUMS
from wechat.reconciliation.records import BookRecords
from wechat.reconciliation.repairs import Repairs
from wechat.staff.approvals import PendingAct

PATH = "/console/reconciliation"
MONTH = r"([0-9]{4}-[0-9]{2})"
DIFFERENCE = r"([0-9a-f]{32})"
SHOWN = 50
MOST_OPEN = 1000
ONE = timedelta(days=1)
MONTH_SUMS = ("payments", "received", "refunds", "refunded", "fee", "net")
MONTH_WIDTHS = (12, 12, 14, 12, 14, 14, 14, 12)
STATE_CLASSES = {"balanced": "good", "settled": "good", "open": "bad", "waits": "wait", "not_run": "wait", "before": ""}
"""The class of a day's badge by its state; a day before the books begin has none."""


class CalendarDay(NamedTuple):
    """A day of the calendar: ``state`` is a key of ``STATE_CLASSES``, ``open`` the number of open differences."""

    day: date
    state: str
    open: int


class CalendarHandler(ConsoleHandler):
    """A month; without one in the address that of yesterday, the last day that can have books."""

    texts = TEXTS

    async def get(self) -> None:
        today = beijing_day(self.services.clock.now())
        first = read_month(self.get_query_argument("month", f"{today - ONE:%Y-%m}"))
        last = next_month(first) - ONE
        records = self.services.books.records
        held, open_ones, oldest = await asyncio.gather(
            records.days(first, last), records.list_open(MOST_OPEN), records.oldest()
        )
        weeks = calendar(first, last, held, Counter(each.day for each in open_ones), oldest or today)
        months = {"earlier": first - ONE, "later": last + ONE, "month": first, "today": today, "yesterday": today - ONE}
        has_books = any(each.result for each in held)
        self.render_console("reconciliation.html", weeks=weeks, classes=STATE_CLASSES, has_books=has_books, **months)


class DayHandler(ConsoleHandler):
    """The page of a day: both sides' sums, the differences, the ledger."""

    texts = TEXTS

    async def get(self, text: str) -> None:
        day, records = read_day(text), self.services.books.records
        result = await records.result(day)
        page = await records.differences(day, limit=SHOWN, cursor=self.get_query_argument("cursor", ""))
        self.render_console(
            "reconciliation_day.html",
            day=day,
            result=result,
            page=page,
            ledger=double_entry(result.billed) if result else None,
            now=self.services.clock.now(),
            waiting=await self._list_waiting(),
            after=self.services.settings.books.after,
            **WORDS,
        )

    async def _list_waiting(self) -> set[str]:
        """Return the differences whose refund waits for a second person."""
        waiting = await self.services.staff.approvals.waiting()
        return {each.subject for each in waiting if each.act is Act.REPAIR}


class RunHandler(ConsoleHandler):
    """Reconcile the day now."""

    texts = TEXTS

    async def post(self, text: str) -> None:
        day = read_day(text)
        try:
            async with self.audit_act(Act.RECONCILE, day.isoformat()):
                await self.services.books.reconciler.run(day)
        except (CallerError, NotYet, RemoteError) as error:
            self.put_flash(error.text.to(self.lang), "error")
        else:
            self.put_flash(self.t("run_done"))
        self.redirect(f"{PATH}/{day}")


class RepairHandler(ConsoleHandler):
    """Repair a difference in the name of the person who is logged in."""

    texts = TEXTS

    async def post(self, text: str, difference_id: str) -> None:
        day, action = read_day(text), read_choice(Action, self.get_body_argument("action", ""), "action")
        if action is not Action.KNOWN:
            await self.require_step_up()
        with self.tell_refusal():
            await self._repair(day, difference_id, action)
        self.redirect(f"{PATH}/{day}#d{difference_id}")

    async def _repair(self, day: date, difference_id: str, action: Action) -> None:
        books = self.services.books
        difference = await books.records.difference(day, difference_id)
        amount = Fen(difference.numbers.amount) if difference else Fen(0)
        if action is Action.REFUND and self.services.staff.approvals.is_needed(amount):
            await self._ask_second(day, difference_id, amount)
            return
        before = summarize_difference(difference) if difference else ""
        async with self.audit_act(Act.REPAIR, difference_id, before, action) as after:
            repaired = await books.repairs.repair(day, difference_id, action, by=self.staff.name)
            after += [action, summarize_difference(repaired)]
        self.put_flash(self.t("repaired", status=STATUSES[repaired.status].to(self.lang)))

    async def _ask_second(self, day: date, difference_id: str, amount: Fen) -> None:
        """Request an approval of the repair."""
        data = {"day": day.isoformat(), "by": self.staff.name}
        act = PendingAct(Act.REPAIR, Permission.REFUND, difference_id, amount, self.t("refund_surplus"), data)
        await self.services.staff.approvals.request(act, self.actor)
        self.put_flash(self.t("waits_for_second"))


class DayFileHandler(BookFiles, ConsoleHandler):
    """The reconciliation of a day as a file."""

    async def get(self, text: str, kind: str) -> None:
        result = await self.result(read_day(text))
        await self.audit(Act.EXPORT, f"reconciliation {result.day} {kind}")
        await (self.write_csv(result) if kind == "csv" else self.write_xlsx(result))


class MonthFileHandler(BookFiles, ConsoleHandler):
    """The reconciliation of a month as a file with a line per day."""

    texts = TEXTS

    async def get(self, text: str, kind: str) -> None:
        first = read_month(text)
        days = await self.services.books.records.days(first, next_month(first) - ONE)
        done = [each for each in days if each.result]
        await self.audit(Act.EXPORT, f"reconciliation {text} {kind}")
        rows = self._rows(done)
        name = f"reconciliation-{text}.{kind}"
        if kind == "xlsx":
            await self.write_workbook(name, rows, MONTH_WIDTHS, [each.day for each in done])
            return
        self.attach(CSV, name)
        self.write(exports.BOM + exports.csv_text(rows))

    def _rows(self, days: Sequence[BookDay]) -> list[exports.Row]:
        names = ("date", *MONTH_SUMS, "found_count")
        rows: list[exports.Row] = [[self.t(name) for name in names]]
        for each in days:
            if each.result:
                sums = [getattr(each.result.billed, name) for name in MONTH_SUMS]
                cells = [n if name in COUNTS else yuan_as_number(n) for name, n in zip(MONTH_SUMS, sums, strict=True)]
                rows.append([each.day.isoformat(), *cells, sum(each.result.found.values())])
        return rows


class BillFileHandler(BookFiles, ConsoleHandler):
    """WeChat Pay's bill of a day, unchanged. For a day for which WeChat Pay makes none, the day's page says so."""

    texts = TEXTS

    async def get(self, text: str) -> None:
        day = read_day(text)
        bill = await self.services.books.bill_cache.bill(day)
        if bill.path is None:
            self.put_flash(self.t("no_bill"), "error")
            self.redirect(f"{PATH}/{day}")
            return
        await self.audit(Act.EXPORT, f"bill {day}")
        self.attach(CSV, f"bill-{day}.csv")
        await self.send(bill.path)


async def refund_surplus(records: BookRecords, repairs: Repairs, approval: Approval) -> str:
    """Refund the payment as approved by two people; return the difference's status.

    If this approval's refund was made before, and the process died before it stored so, only the status is returned.
    """
    day, requester = date.fromisoformat(str(approval.data["day"])), f"{approval.requested_by}, "
    held = await records.difference(day, approval.subject)
    since = [line for line in held.audit if line.at >= approval.requested_at] if held else []
    if held and any(line.by.startswith(requester) and line.action == Action.REFUND for line in since):
        return held.status.value
    by = f"{requester}{approval.decided_by}"
    return (await repairs.repair(day, approval.subject, Action.REFUND, by=by)).status.value


def calendar(
    first: date, last: date, held: Sequence[BookDay], open_by_day: Mapping[date, int], begin: date
) -> list[list[CalendarDay | None]]:
    """Return the month in weeks from Monday to Sunday, with None for days of other months. Days before ``begin``, the
    first day of the books, have the state ``before``."""
    days = {each.day: each for each in held}
    cells: list[CalendarDay | None] = [None] * first.weekday()
    for number in range((last - first).days + 1):
        day = first + number * ONE
        state = "before" if day < begin and day not in days else state_of(days.get(day), open_by_day.get(day, 0))
        cells.append(CalendarDay(day, state, open_by_day.get(day, 0)))
    cells += [None] * (-len(cells) % 7)
    return [cells[start : start + 7] for start in range(0, len(cells), 7)]


def state_of(day: BookDay | None, open_count: int) -> str:
    """Return the state of a day, a key of ``STATE_CLASSES``."""
    if day is None:
        return "not_run"
    if day.result is None:
        return "waits"
    if open_count:
        return "open"
    return "settled" if day.result.found else "balanced"


def actions_of(difference: Difference) -> Sequence[Action]:
    return ACTIONS[difference.kind] if difference.status is Status.OPEN else ()


def order_page(difference: Difference) -> str:
    """Return the path of the order; empty where the bill names an order that does not exist here."""
    if difference.kind is DifferenceKind.UNKNOWN_NUMBER:
        return ""
    return f"/console/orders/{quote(difference.numbers.out_trade_no, safe='')}"


def read_month(text: str) -> date:
    """Return the first day of the month ``YYYY-MM``. Raises BadRequest."""
    try:
        return parse_day(f"{text}-01")
    except ValueError:
        raise BadRequest(Bilingual("没有这个月份", "There is no such month"), field="month") from None


def next_month(first: date) -> date:
    """Return the first day of the following month."""
    return (first.replace(day=28) + 4 * ONE).replace(day=1)


SUM_NAMES = [(name, Bilingual(text.zh.removesuffix("（元）"), text.en.removesuffix(" (yuan)"))) for name, text in SUMS]
"""Names of the sums without the unit, because each amount shows it."""
WORDS = {
    "money": money, "beijing": beijing, "span": span, "kinds": KINDS, "statuses": STATUSES, "Status": Status,
    "action_labels": ACTION_LABELS, "authors": AUTHORS, "sums": SUM_NAMES, "counts": COUNTS, "accounts": ACCOUNTS,
    "events": EVENTS, "name_state": name_state, "actions_of": actions_of,
    "order_page": order_page,
}  # fmt: skip
"""Names that the template of a day uses."""


def routes(services: Services) -> list[Route]:
    books = services.books
    services.staff.approvals.register(
        Act.REPAIR, lambda approval: refund_surplus(books.records, books.repairs, approval)
    )
    return console_routes(
        services,
        Page(PATH, CalendarHandler, "console_reconciliation", Permission.READ),
        Page(f"{PATH}/{DATE}", DayHandler, "console_reconciled_day", Permission.READ),
        Page(f"{PATH}/{DATE}/run", RunHandler, "console_reconcile", Permission.RECONCILE),
        Page(f"{PATH}/{DATE}/differences/{DIFFERENCE}", RepairHandler, "console_repair", Permission.RECONCILE),
        Page(rf"{PATH}/{DATE}\.(csv|xlsx)", DayFileHandler, "console_day_file", Permission.EXPORT),
        Page(rf"{PATH}/{MONTH}\.(csv|xlsx)", MonthFileHandler, "console_month_file", Permission.EXPORT),
        Page(f"{PATH}/{DATE}/bill", BillFileHandler, "console_bill", Permission.EXPORT),
    )
