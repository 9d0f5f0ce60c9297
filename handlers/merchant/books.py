"""The merchant's books: reconcile a day, list and repair differences, read the accounts and WeChat Pay's bills."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from handlers.web.base import ApiHandler, takes_query
from handlers.web.book_files import CSV, DATE, BookFiles, read_day
from handlers.web.plugin import Access, Route
from handlers.web.query import read_choice
from handlers.web.scopes import check_scope
from handlers.web.services import Services
from wechat.domain.api_keys import Scope
from wechat.domain.errors import BadRequest, Bilingual
from wechat.domain.times import to_v3
from wechat.pay.bills.gateways import Bill
from wechat.pay.bills.parser import BillBroken, BillKind, trade_lines
from wechat.reconciliation.accounts import DoubleEntry, double_entry
from wechat.reconciliation.books import (
    ACTIONS,
    Action,
    BookEntry,
    Difference,
    Reconciliation,
    Status,
    Totals,
    sum_lines,
)

PAGE = 100


class _DayHandler(BookFiles, ApiHandler):
    """A reconciled day as JSON, or as a file."""


class ReconciliationHandler(_DayHandler):
    """A reconciled day; POST reconciles it now."""

    @takes_query("format", "cursor")
    async def get(self, text: str) -> None:
        result = await self.result(read_day(text))
        match self.get_query_argument("format", "json"):
            case "json":
                await self._write_page(result, self.get_query_argument("cursor", ""))
            case "csv":
                await self.write_csv(result)
            case "xlsx":
                await self.write_xlsx(result)
            case _:
                raise BadRequest(
                    Bilingual("format 可取 json、csv、xlsx", "format is json, csv or xlsx"), field="format"
                )

    async def post(self, text: str) -> None:
        result = await self.services.books.reconciler.run(read_day(text))
        await self._write_page(result, "")

    async def _write_page(self, result: Reconciliation, cursor: str) -> None:
        page = await self.services.books.records.differences(result.day, limit=PAGE, cursor=cursor)
        differences = [difference_view(difference) for difference in page.items]
        self.write_json(
            result_view(result) | {"differences": differences, "next_cursor": page.next_cursor or None},
        )


class RepairHandler(_DayHandler):
    """Repair a difference. Raises Forbidden for a refund with a key that may not refund."""

    async def post(self, text: str, difference_id: str) -> None:
        action = _action(self.json_body())
        if action is Action.REFUND and not (self.key and Scope.OPERATE in self.key.scopes):
            check_scope(self.key, Scope.REFUNDS)  # money moves, which balancing the books alone does not permit
        repaired = await self.services.books.repairs.repair(read_day(text), difference_id, action, by=self.merchant)
        self.write_json(difference_view(repaired))


class LedgerHandler(_DayHandler):
    """A day's accounts; with ``?out_trade_no=`` those of one order on that day."""

    @takes_query("out_trade_no")
    async def get(self, text: str) -> None:
        day, number = read_day(text), self.get_query_argument("out_trade_no", "")
        if number:
            bill = await self.services.books.bill_cache.bill(day)
            sums, unread = await asyncio.to_thread(_order_sums, bill, number)
        else:
            result = await self.result(day)
            sums, unread = result.billed, result.unread
        order = {"out_trade_no": number} if number else {}
        incomplete = {"unread_lines": list(unread)} if unread else {}
        self.write_json({"date": day.isoformat(), **order, **ledger_view(double_entry(sums)), **incomplete})


class BillHandler(_DayHandler):
    """WeChat Pay's verified bill of a day, unchanged; 204 for a day for which WeChat Pay makes none."""

    @takes_query("kind")
    async def get(self, text: str) -> None:
        day, kind = read_day(text), self._kind()
        bill = await self.services.books.bill_cache.bill(day, kind)
        if bill.path is None:
            self.set_status(204)
            return
        self.attach(CSV, f"bill-{day}-{kind}.csv")
        await self.send(bill.path)

    def _kind(self) -> BillKind:
        return read_choice(BillKind, self.get_query_argument("kind", BillKind.ALL), "kind")


def result_view(result: Reconciliation) -> dict[str, Any]:
    return {
        "date": result.day.isoformat(),
        "started_at": to_v3(result.started_at),
        "finished_at": to_v3(result.finished_at),
        "ours": {name: getattr(result.recorded, name) for name in ("payments", "received", "refunds", "refunded")},
        "wechat": sums_view(result.billed),
        "unread_lines": list(result.unread),
        "found": {kind.value: count for kind, count in sorted(result.found.items())},
    }


def sums_view(sums: Totals) -> dict[str, int]:
    names = ("payments", "received", "settled", "refunds", "refunded", "settled_refunded", "fee", "fee_e5", "net")
    return {name: getattr(sums, name) for name in names}


def difference_view(difference: Difference) -> dict[str, Any]:
    actions = ACTIONS[difference.kind] if difference.status is Status.OPEN else ()
    return {
        "id": difference.id,
        "kind": difference.kind.value,
        "status": difference.status.value,
        "actions": [action.value for action in actions],
        "ours": _entry_view(difference.recorded),
        "wechat": _entry_view(difference.billed),
        "found_at": to_v3(difference.found_at),
        "audit": [
            {
                "at": to_v3(line.at),
                "by": line.by,
                "action": line.action,
                "from": line.source.value,
                "to": line.target.value,
                "detail": line.detail,
            }
            for line in difference.audit
        ],
    }


def ledger_view(ledger: DoubleEntry) -> dict[str, Any]:
    return {
        **sums_view(ledger.sums),
        "debit": ledger.debit,
        "credit": ledger.credit,
        "postings": [
            {"event": posting.event, "account": posting.account, "debit": posting.debit, "credit": posting.credit}
            for posting in ledger.postings
        ],
    }


def _entry_view(entry: BookEntry | None) -> dict[str, Any] | None:
    return {name: value for name, value in entry._asdict().items() if value != ""} if entry else None


def _order_sums(bill: Bill, out_trade_no: str) -> tuple[Totals, Sequence[int]]:
    """Sum the bill's lines of an order; also return the line numbers that could not be read, which may belong to it."""
    if bill.path is None:
        return Totals(), ()
    unread: list[BillBroken] = []
    lines = trade_lines(bill.lines(), unread=unread)
    sums = sum_lines(line for line in lines if line.out_trade_no == out_trade_no)
    return sums, [fault.line for fault in unread]


def _action(body: dict[str, Any]) -> Action:
    return read_choice(Action, body["action"] if body.keys() == {"action"} else "", "action")


def routes(services: Services) -> list[Route]:
    def route(pattern: str, handler: type[ApiHandler], name: str) -> Route:
        return Route(pattern=pattern, handler=handler, access=Access.MERCHANT, name=name)

    reconciliation = rf"/api/reconciliations/{DATE}"
    return [
        route(reconciliation, ReconciliationHandler, "api_reconciliation"),
        route(rf"{reconciliation}/differences/([0-9a-f]{{32}})/repair", RepairHandler, "api_repair"),
        route(rf"/api/bills/{DATE}", BillHandler, "api_bill"),
        route(rf"/api/ledger/{DATE}", LedgerHandler, "api_ledger"),
    ]
