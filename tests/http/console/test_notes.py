"""Notes on an order: who writes them, how they are shown, and that each is in the audit log."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from tests.http.client import MERCHANT, Shop
from tests.support.console import ConsoleBrowser
from wechat.domain.staff import Role

HOSTILE = "</p><img src=x onerror=alert(1)>{{7*7}}\"'"


@pytest.mark.parametrize("role", list(Role))
async def test_whoever_is_not_read_only_writes_notes(
    shop: Shop, staff: Mapping[Role, ConsoleBrowser], role: Role
) -> None:
    number, text = (await shop.sold())["out_trade_no"], "顾客来电\r\n催发货"
    may = role is not Role.READER
    assert ('name="note"' in await staff[role].page(f"/console/orders/{number}")) is may
    statuses = {(await staff[role].post(f"/console/orders/{number}/notes", {"note": text})).status for _ in range(2)}
    assert statuses == {302 if may else 403}
    page = await staff[Role.READER].page(f"/console/orders/{number}")
    assert page.count(f'<strong>{role}</strong><p class="note">顾客来电\n催发货</p>') == may
    noted = [row for row in await staff[Role.ADMIN].audit_log(number) if row["act"] == "write_note"]
    assert {(row["name"], row["after"]) for row in noted} == ({(role.value, "顾客来电\n催发货")} if may else set())


async def test_a_note_is_shown_as_text_and_to_nobody_outside(shop: Shop, staff: Mapping[Role, ConsoleBrowser]) -> None:
    number = (await shop.sold())["out_trade_no"]
    await shop.log_in()
    await staff[Role.SUPPORT].post(f"/console/orders/{number}/notes", {"note": HOSTILE})
    page = await staff[Role.READER].page(f"/console/orders/{number}")
    assert HOSTILE not in page and "&lt;img src=x onerror" in page and "{{7*7}}" in page
    for answer in (
        await shop.get(f"/orders/{number}"),
        await shop.get(f"/pay/{number}"),
        await shop.ask("GET", f"/api/orders/{number}", headers=MERCHANT),
    ):
        assert answer.status == 200 and "onerror" not in answer.body.decode()


@pytest.mark.parametrize("text", ["", "x" * 501])
async def test_a_note_that_is_refused_says_why_beside_the_field_and_is_kept_in_the_form(
    shop: Shop, staff: Mapping[Role, ConsoleBrowser], text: str
) -> None:
    number = (await shop.sold())["out_trade_no"]
    answer = await staff[Role.SUPPORT].post(f"/console/orders/{number}/notes", {"note": text})
    page = answer.body.decode()
    assert answer.status == 400 and 'id="note-error"' in page and f">{text}</textarea>" in page
    assert 'class="note"' not in await staff[Role.READER].page(f"/console/orders/{number}")


async def test_an_order_that_is_not_there_takes_no_note(admin: ConsoleBrowser) -> None:
    assert (await admin.post("/console/orders/20260301000000nobody/notes", {"note": "x"})).status == 404
