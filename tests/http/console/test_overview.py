"""The overview: what it counts, what needs a person, and who may do something about it."""

from __future__ import annotations

import re
from collections.abc import Mapping

import pytest

from tests.http.client import Shop
from tests.support.console import ConsoleBrowser, eventually
from wechat.domain.staff import Role


def received(page: str) -> int:
    """Today's received amount in fen."""
    [amount] = re.findall(r"<h2>收款</h2><p class=\"big money\">¥([0-9,.]+)</p>", page)
    return int(str(amount).replace(",", "").replace(".", ""))


async def test_a_payment_is_counted_within_seconds(staff: Mapping[Role, ConsoleBrowser], shop: Shop) -> None:
    reader = staff[Role.READER]
    before = received(await reader.page("/console/overview"))
    await shop.scanned("success")
    await eventually(reader, "/console/overview", lambda page: received(page) > before)


@pytest.mark.parametrize("days", [7, 30, 90])
async def test_each_span_has_as_many_days_in_its_table(admin: ConsoleBrowser, shop: Shop, days: int) -> None:
    await shop.sold()
    page = await eventually(admin, f"/console/overview?days={days}", lambda page: "data-chart" in page)
    assert page.count('<tr><th scope="row">20') == days
    assert '<th scope="row"><a href="/console/orders?channel=default">默认</a></th>' in page


async def test_a_part_is_answered_without_the_frame(admin: ConsoleBrowser) -> None:
    part = await admin.page("/console/overview", **{"HX-Request": "true"})
    assert "<html" not in part
    assert 'data-live-url="/console/overview?days=7"' in part


async def test_the_page_is_in_the_readers_language(admin: ConsoleBrowser) -> None:
    page = await admin.page("/console/overview", **{"Accept-Language": "en"})
    assert "Needs a person" in page
    assert "需要处理" not in page


async def test_a_reader_sees_no_button_and_is_refused(staff: Mapping[Role, ConsoleBrowser]) -> None:
    reader = staff[Role.READER]
    assert "/seen" not in await reader.page("/console/overview")
    assert (await reader.post("/console/overview/alarms/paid_late-00-abcdef/seen")).status == 403
    assert (await reader.post("/console/overview/events/0123456789abcdef01234567/resend")).status == 403


async def test_an_event_that_is_not_there_is_said_on_the_page(admin: ConsoleBrowser) -> None:
    response = await admin.post("/console/overview/events/0123456789abcdef01234567/resend")
    assert (response.status, response.at) == (302, "/console/overview")
    assert "没有这个事件" in await admin.page("/console/overview")
