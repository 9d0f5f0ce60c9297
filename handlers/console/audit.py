"""The audit log: list, filter and export its entries."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime, time, timedelta
from urllib.parse import urlencode

from handlers.console.audit_words import name_act, name_codes
from handlers.console.base import ConsoleHandler
from handlers.console.routes import Page, console_routes
from handlers.console.texts.audit import ACTS, TEXTS
from handlers.web.exports import BOM, Row, csv_text
from handlers.web.plugin import Route
from handlers.web.services import Services
from wechat.domain.audit import Act, AuditEntry, AuditFilter
from wechat.domain.errors import BadRequest, Bilingual
from wechat.domain.labels import ROLES
from wechat.domain.ports import Page as PageOf
from wechat.domain.staff import Permission
from wechat.domain.times import BEIJING, beijing, parse_day

PATH = "/console/audit"
SHOWN = 50
EXPORTED_AT_ONCE = 500
FIELDS = ("name", "act", "subject", "from", "until")
COLUMNS = ("at", "name", "role", "address", "act", "subject", "before", "after")
UNFINISHED = "unfinished"
"""In place of an act: what was begun and has no outcome."""
CHOICES: Mapping[str, Bilingual] = {UNFINISHED: TEXTS["unfinished"], **{act.value: name for act, name in ACTS.items()}}
"""What the filter of acts may be."""
DAY = timedelta(days=1)
MILLISECOND = timedelta(milliseconds=1)


class AuditHandler(ConsoleHandler):
    """A page of entries, the newest first."""

    texts = TEXTS

    async def get(self) -> None:
        try:
            page = await self.find(SHOWN, self.get_query_argument("cursor", ""))
        except BadRequest as error:
            if error.field not in FIELDS:
                raise
            self.show(PageOf((), ""), frozenset(), self.name_errors(error, FIELDS))
        else:
            self.show(page, await self.services.staff.audit.find_with_outcome(page.items), {})

    def show(self, page: PageOf[AuditEntry], ended: frozenset[str], errors: Mapping[str, str]) -> None:
        """Render a page of entries. Requests whose outcome is known are left out unless the filter selects requests."""
        chosen = self.chosen()
        entries = [each for each in page.items if each.id not in ended or chosen.get("act") == Act.BEGIN]
        self.render_console(
            "audit.html",
            entries=entries,
            unfinished={each.id for each in entries if each.wanted and each.id not in ended},
            chosen={field: chosen.get(field, "") for field in FIELDS},
            older=urlencode({**chosen, "cursor": page.next_cursor}) if page.next_cursor else "",
            export=urlencode(chosen),
            choices=CHOICES,
            filters_set=[
                CHOICES[value].to(self.lang) if field == "act" else f"{self.t(field)} {value}"
                for field, value in chosen.items()
                if field not in errors
            ],
            filters_open=bool(errors),
            errors=errors,
            name_act=name_act,
            name_codes=name_codes,
            roles=ROLES,
            beijing=beijing,
        )

    async def find(self, limit: int, cursor: str) -> PageOf[AuditEntry]:
        """Return the entries that match the filter. Raises BadRequest."""
        log, wanted = self.services.staff.audit, self.read_filter()
        if wanted.act == UNFINISHED:
            return await log.find_without_outcome(wanted, cursor=cursor)
        return await log.find(wanted, limit=limit, cursor=cursor)

    def chosen(self) -> Mapping[str, str]:
        """The filters that the address contains."""
        given = {field: self.get_query_argument(field, "").strip() for field in FIELDS}
        return {field: value for field, value in given.items() if value}

    def read_filter(self) -> AuditFilter:
        """Return the filter in the address. Raises BadRequest."""
        chosen = self.chosen()
        act = chosen.get("act", "")
        if act and act not in CHOICES:
            raise BadRequest(Bilingual("没有这种操作", "There is no such action"), field="act")
        start, end = _midnight(chosen, "from"), _midnight(chosen, "until")
        until = end + DAY - MILLISECOND if end else None
        return AuditFilter(chosen.get("name", ""), act, chosen.get("subject", ""), start, until)


class AuditExportHandler(AuditHandler):
    """All entries of a filter as CSV, sent as they are read."""

    async def get(self) -> None:
        self.read_filter()
        await self.audit(Act.EXPORT, "audit", after=urlencode(self.chosen()))
        self.set_header("Content-Type", "text/csv; charset=utf-8")
        self.set_header("Content-Disposition", 'attachment; filename="audit.csv"')
        self.write(BOM + csv_text([[self.t(column) for column in COLUMNS]]))
        async for entries in self._read():
            ended = await self.services.staff.audit.find_with_outcome(entries)
            self.write(csv_text(self._row(entry, ended) for entry in entries))
            await self.flush()

    async def _read(self) -> AsyncIterator[Sequence[AuditEntry]]:
        """Read until no page follows; a page may be empty although another one follows."""
        page = await self.find(EXPORTED_AT_ONCE, "")
        yield page.items
        while page.next_cursor:
            page = await self.find(EXPORTED_AT_ONCE, page.next_cursor)
            yield page.items

    def _row(self, entry: AuditEntry, ended: frozenset[str]) -> Row:
        role = ROLES[entry.role].to(self.lang) if entry.role in ROLES else entry.role
        before, after = (name_codes(entry, text, self.lang) for text in (entry.before, entry.after))
        is_unknown = entry.wanted and entry.id not in ended
        act = name_act(entry, self.lang) + (f" · {self.t('unknown')}" if is_unknown else "")
        return [entry.at, entry.name, role, entry.address, act, entry.subject, before, after]


def _midnight(chosen: Mapping[str, str], field: str) -> datetime | None:
    """The start of a day in Beijing. Raises BadRequest."""
    if field not in chosen:
        return None
    try:
        return datetime.combine(parse_day(chosen[field]), time(), BEIJING)
    except ValueError:
        raise BadRequest(Bilingual("日期写作 2026-03-01", "Write the date as 2026-03-01"), field=field) from None


def routes(services: Services) -> list[Route]:
    return console_routes(
        services,
        Page(PATH, AuditHandler, "console_audit", Permission.READ_AUDIT),
        Page(rf"{PATH}\.csv", AuditExportHandler, "console_audit_csv", Permission.READ_AUDIT),
    )
