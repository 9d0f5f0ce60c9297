"""The list of orders: search, filters in the address, pages, live rows, export."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from handlers.console.base import ConsoleHandler
from handlers.console.order_filters import NAMES, Query, read_query
from handlers.console.routes import Page, console_routes
from handlers.console.states import BADGES, ORDER_STATES, TRADE_TYPES, name_channel
from handlers.console.texts.orders import COLUMNS, TEXTS, WIDTHS
from handlers.web import exports
from handlers.web.numbers import NUMBER
from handlers.web.plugin import Route
from handlers.web.services import Services
from wechat.domain.audit import Act
from wechat.domain.errors import BadRequest, Bilingual, NotFound
from wechat.domain.money import yuan, yuan_as_number
from wechat.domain.orders import DEFAULT_CHANNEL, Order
from wechat.domain.search import is_found, is_too_short, outline
from wechat.domain.staff import Permission
from wechat.domain.times import beijing, beijing_day

PATH = "/console/orders"
PAGE = 50
LIVE = "handlers.console.live"
CSV = "text/csv; charset=utf-8"
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
CHUNK = 1 << 16
NAMED = {"name_channel": name_channel, **BADGES}
PROGRESS = "X-Export-Progress"
"""A header of the page's script; it requests progress lines."""
SHEET_ROWS = 1_000_000
"""Maximum rows of an XLSX file; the format allows few more."""


class _OrdersHandler(ConsoleHandler):
    texts = TEXTS

    def read(self) -> Query:
        query = read_query(lambda name: self.get_query_argument(name, ""))
        self.searched = query.values
        return query

    def show(self, template: str, **context: Any) -> None:
        self.render_console(template, yuan=yuan, beijing=beijing, types=TRADE_TYPES, **NAMED, **context)


class OrdersHandler(_OrdersHandler):
    """A page of the list."""

    async def get(self) -> None:
        query, cursor = self.read(), self.get_query_argument("cursor", "")
        found = await self.services.order_search.find(query.text, query.wanted, limit=PAGE, cursor=cursor)
        self.show(
            "orders.html",
            query=query,
            found=found,
            cursor=cursor,
            channels=channels_of(query),
            is_too_short=is_too_short,
            more=query.address(PATH, cursor=found.next_cursor) if found.next_cursor else "",
            filters_set=name_filters(query, self.t, self.lang),
            filters_open=bool(query.errors),
            is_live=LIVE in self.services.settings.plugin_names,
        )


def name_filters(query: Query, t: Callable[..., str], lang: str) -> list[str]:
    """Name each filter that narrows the list, but for the search text, which the page shows itself."""
    choices: Mapping[str, Mapping[Any, Bilingual]] = {"state": ORDER_STATES, "type": TRADE_TYPES}
    values = {name: query.values[name] for name in NAMES if name not in ("q", *query.errors)}
    if values["channel"]:
        values["channel"] = name_channel(values["channel"], lang)
    return [
        choices[name][value].to(lang) if name in choices else f"{t(name)} {value}"
        for name, value in values.items()
        if value
    ]


def channels_of(query: Query) -> list[str]:
    """Return the channels to choose from: the default one and the one of the address. Without one in the address there
    is nothing to choose, because the settings know one channel; another one comes by a link of an order or a table."""
    chosen = query.values["channel"]
    return list(dict.fromkeys([DEFAULT_CHANNEL, chosen])) if chosen else []


class RowHandler(_OrdersHandler):
    """A row of the list for one order; 204 if the order does not match the filters of the address."""

    async def get(self, out_trade_no: str) -> None:
        query = self.read()
        try:
            order = await self.services.orders.get(out_trade_no)
        except NotFound:
            order = None
        if order and query.wanted.matches(outline(order)) and (not query.text or is_found(order, query.text)):
            self.show("components/order_row.html", order=order)
        else:
            self.set_status(204)


class ExportHandler(_OrdersHandler):
    """The selected orders as a file, sent while they are read. Raises BadRequest for a filter that cannot be read."""

    async def get(self, kind: str) -> None:
        query = self.read()
        if query.errors:
            field, error = next(iter(query.errors.items()))
            raise BadRequest(TEXTS[error], field=field)
        await self.audit(Act.EXPORT, f"orders.{kind}", after=query.address(""))
        name = f"orders-{beijing_day(self.services.clock.now())}.{kind}"
        self.set_header("Content-Disposition", f'attachment; filename="{name}"')
        await (self._send_csv(query) if kind == "csv" else self._send_xlsx(query))

    async def _send_csv(self, query: Query) -> None:
        self.set_header("Content-Type", CSV)
        self.write(exports.BOM + exports.csv_text([self._headings()]))
        async for rows in self._rows(query):
            self.write(exports.csv_text(rows))
            await self.flush()

    async def _send_xlsx(self, query: Query) -> None:
        """Send the workbook, which is complete only with its last row. To the page's script, which asks for it by a
        header, progress lines with the count of rows are sent first, then an empty line; or a line that begins with
        ``!`` and says why there is no file."""
        tells = PROGRESS in self.request.headers
        self.set_header("Content-Type", XLSX)
        with tempfile.TemporaryDirectory(prefix="fenpay-export-") as directory:
            path = Path(directory) / "orders.xlsx"
            book = exports.Workbook(path)
            book.sheet(self.t("orders"), [self._headings()], WIDTHS)
            count = 0
            async for rows in self._rows(query):
                count += len(rows)
                if count > SHEET_ROWS:
                    await self._refuse_rows(tells)
                    return
                await asyncio.to_thread(book.add, rows)
                await self._tell(tells, f"{count}\n")
            await asyncio.to_thread(book.close)
            await self._tell(tells, "\n")
            with path.open("rb") as file:
                while chunk := file.read(CHUNK):
                    self.write(chunk)
                    await self.flush()

    async def _tell(self, tells: bool, line: str) -> None:
        if tells:
            self.write(line)
            await self.flush()

    async def _refuse_rows(self, tells: bool) -> None:
        """Raise BadRequest if nothing was sent so far."""
        if not tells:
            raise BadRequest(TOO_MANY_ROWS, code="TOO_MANY_ROWS")
        await self._tell(tells, f"!{TOO_MANY_ROWS.to(self.lang)}\n")

    def _headings(self) -> list[str]:
        return [column.to(self.lang) for column in COLUMNS]

    async def _rows(self, query: Query) -> AsyncIterator[Sequence[exports.Row]]:
        async for orders in self.services.order_search.all(query.text, query.wanted):
            yield [order_row(order, self.lang) for order in orders]


TOO_MANY_ROWS = Bilingual(
    "订单太多，一个 XLSX 文件放不下；请缩小日期范围，或导出 CSV",
    "There are more orders than one XLSX file holds; narrow the dates, or export CSV",
)


def order_row(order: Order, lang: str) -> list[exports.Cell]:
    """Return an order's cells, in the order of ``COLUMNS``."""
    return [
        order.created_at,
        order.out_trade_no,
        order.transaction_id,
        ORDER_STATES[order.trade_state].to(lang),
        order.description,
        order.attach,
        yuan_as_number(order.total),
        "" if order.payer_total is None else yuan_as_number(order.payer_total),
        yuan_as_number(order.refunded),
        order.paid_at or "",
        TRADE_TYPES[order.trade_type].to(lang),
        order.api.value,
        name_channel(order.channel, lang),
        order.trade_state.value,
        order.trade_type.value,
        order.channel,
    ]


def routes(services: Services) -> list[Route]:
    return console_routes(
        services,
        Page(PATH, OrdersHandler, "console_orders", Permission.READ),
        Page(rf"{PATH}/rows/{NUMBER}", RowHandler, "console_order_row", Permission.READ),
        Page(rf"{PATH}\.(csv|xlsx)", ExportHandler, "console_orders_export", Permission.EXPORT),
    )
