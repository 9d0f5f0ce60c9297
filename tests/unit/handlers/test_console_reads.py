"""What pages of the console read from the stores, by which clock, and how documents are searched and linked."""

from __future__ import annotations

from datetime import date
from types import SimpleNamespace
from typing import Any

import pytest

from handlers.console import signature
from handlers.console.audit import AuditExportHandler
from handlers.console.docs import Document, render, search
from handlers.console.order import ResendHandler
from handlers.console.reconciliation import BillFileHandler
from handlers.console.refunds import RefundsHandler
from handlers.console.signature import SignatureHandler
from tests.support.clock import ManualClock
from wechat.domain.errors import NotFound
from wechat.domain.facts import RefundState
from wechat.domain.ports import Page


class Orders:
    """A store whose only slow refund is the oldest one of many: it is not on the first page."""

    def __init__(self, *orders: Any) -> None:
        self.orders = orders

    async def list_refunding(self, state: RefundState, limit: int) -> Any:
        assert state is RefundState.PROCESSING
        return self.orders[:limit]


def refund(*, slow: bool) -> Any:
    return SimpleNamespace(state=RefundState.PROCESSING, is_slow=lambda now: slow)


async def test_the_oldest_refund_in_progress_is_found_if_it_is_slow() -> None:
    slow, quick = refund(slow=True), refund(slow=False)
    store = Orders(SimpleNamespace(refunds=[slow]), SimpleNamespace(refunds=[quick]))

    async def find(state: RefundState, cursor: str = "") -> tuple[list[Any], str]:
        return ([quick], "more") if state is RefundState.PROCESSING else ([], "")

    handler: Any = SimpleNamespace(services=SimpleNamespace(order_store=store, clock=ManualClock()), find=find)
    assert await RefundsHandler.find_urgent(handler) == [slow]


async def test_an_event_of_another_order_is_not_resent() -> None:
    async def of_event(event: str) -> list[Any]:
        return [SimpleNamespace(event=SimpleNamespace(out_trade_no="another"), target="erp")]

    services = SimpleNamespace(delivery_store=SimpleNamespace(of_event=of_event))
    handler: Any = SimpleNamespace(services=services, get_body_argument=lambda name, default="": "0" * 24)
    with pytest.raises(NotFound):
        await ResendHandler.post(handler, "mine")


async def test_a_day_without_a_bill_leads_back_to_its_page_with_a_sentence() -> None:
    async def bill(day: date) -> Any:
        return SimpleNamespace(path=None)

    said: list[str] = []
    services = SimpleNamespace(books=SimpleNamespace(bill_cache=SimpleNamespace(bill=bill)))
    handler: Any = SimpleNamespace(
        services=services, t=str, put_flash=lambda text, kind: said.append(text), redirect=said.append
    )
    await BillFileHandler.get(handler, "2026-03-01")
    assert said == ["no_bill", "/console/reconciliation/2026-03-01"]


async def test_an_export_of_the_audit_log_ends_with_the_last_page() -> None:
    last = 250
    cursors = [str(number) for number in range(1, last)] + [""]

    async def find(limit: int, cursor: str) -> Page[Any]:
        return Page((), cursors[int(cursor or 0)])

    handler: Any = SimpleNamespace(find=find)
    assert len([page async for page in AuditExportHandler._read(handler)]) == last


async def test_a_pasted_message_is_judged_by_the_real_time(monkeypatch: pytest.MonkeyPatch) -> None:
    machine, moved = ManualClock(), ManualClock()
    moved.advance(86_400)
    judged: list[float] = []
    monkeypatch.setattr(signature, "keys_of", lambda settings: None)
    monkeypatch.setattr(signature, "explain", lambda raw, keys, kind, now_s: judged.append(now_s))
    handler: Any = SimpleNamespace(services=SimpleNamespace(settings=None, clock=moved, real_time=machine.now()))
    await SignatureHandler._explain(handler, "a message", None)
    assert judged == [machine.now().timestamp()]


def test_a_comment_in_code_is_no_heading_of_a_hit() -> None:
    text = "# Title\n\n## Start\n\n```sh\n# a comment\nmake run\n```\n\nThe needle.\n"
    [hit] = search([Document("x", "Title", text)], "needle")
    assert hit.heading == "Start"
    [inside] = search([Document("x", "Title", text)], "make run")
    assert (inside.heading, inside.found) == ("Start", "make run")


def test_a_link_to_the_other_language_chooses_that_language() -> None:
    html = render("[中文](../zh/api.md) and [here](api.md#errors)")
    assert 'href="/console/docs/api?lang=zh"' in html
    assert 'href="/console/docs/api#errors"' in html
