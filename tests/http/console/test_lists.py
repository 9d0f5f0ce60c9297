"""The lists of refunds, deliveries and refused notifications: who sees what, and what may be done."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping

import pytest

from tests.http.client import MERCHANT, Shop
from tests.support.console import ConsoleBrowser
from tests.support.platform import Message, Platform
from wechat.domain.staff import Role

HOSTILE = "<img src=x onerror=alert(1)>"
REFUSED = re.compile(r'aria-label="(sign_wrong(?:_ours)?-[0-9]{2}-[0-9a-f]{8})"')


async def refunded_order(shop: Shop, reason: str = "缺货") -> tuple[str, str]:
    """An order and the number of its refund."""
    number = await shop.scanned()
    await shop.ask("POST", f"/api/orders/{number}/query", headers=MERCHANT)
    body = f'{{"refund": 100, "reason": "{reason}"}}'
    response = await shop.ask(
        "POST", f"/api/orders/{number}/refunds", body, MERCHANT | {"Idempotency-Key": secrets.token_hex(6)}
    )
    return number, str(response.json()["out_refund_no"])


async def forged(shop: Shop, platform: Platform, device: str = "x") -> None:
    """A message that nobody signed."""
    order = await shop.sold()
    message = platform.v2(order, device_info=device)
    await shop.notify(Message(message.body.replace(b"OTHERS", b"OTHERZ"), message.headers))


@pytest.mark.parametrize("role", list(Role))
@pytest.mark.parametrize("page", ["refunds", "deliveries", "notifications"])
async def test_everybody_reads_the_lists(staff: Mapping[Role, ConsoleBrowser], role: Role, page: str) -> None:
    await staff[role].page(f"/console/{page}")
    assert (await staff[role].get(f"/console/{page}?state=NONSENSE&reason=NONSENSE")).status == 400


async def test_a_refund_is_listed_by_its_state_and_queried(shop: Shop, staff: Mapping[Role, ConsoleBrowser]) -> None:
    number, refund = await refunded_order(shop)
    state = (await shop.ask("GET", f"/api/refunds/{refund}", headers=MERCHANT)).json()["state"]
    page = await staff[Role.SUPPORT].page(f"/console/refunds?state={state}")
    assert refund in page and f"/console/orders/{number}" in page
    assert (await staff[Role.READER].post(f"/console/refunds/{refund}/query")).status == 403
    response = await staff[Role.SUPPORT].post(f"/console/refunds/{refund}/query")
    assert (response.status, response.at) == (302, f"/console/orders/{number}")


async def test_a_refused_message_says_why_and_is_open_to_developers(
    shop: Shop, platform: Platform, staff: Mapping[Role, ConsoleBrowser]
) -> None:
    await forged(shop, platform, HOSTILE)
    page = await staff[Role.SUPPORT].page("/console/notifications?reason=sign_wrong")
    [message, *_] = REFUSED.findall(page)
    assert "/notify" in page and f"/console/notifications/{message}/replay" not in page
    assert (await staff[Role.SUPPORT].get(f"/console/notifications/{message}")).status == 403
    opened = await staff[Role.DEVELOPER].page(f"/console/notifications/{message}")
    assert "&lt;xml&gt;" in opened and HOSTILE not in opened
    assert "签名错误的原因" in opened


async def test_a_forged_message_stays_refused_when_it_is_replayed(
    shop: Shop, platform: Platform, staff: Mapping[Role, ConsoleBrowser]
) -> None:
    await forged(shop, platform)
    browser = staff[Role.DEVELOPER]
    [message, *_] = REFUSED.findall(await browser.page("/console/notifications?reason=sign_wrong"))
    for act in ("verify", "replay"):
        assert (await staff[Role.FINANCE].post(f"/console/notifications/{message}/{act}")).status == 403
        assert (await browser.post(f"/console/notifications/{message}/{act}")).status == 302
        assert "仍未通过" in await browser.page("/console/notifications")


async def test_an_accepted_message_is_listed_once_with_how_often_it_came(
    shop: Shop, platform: Platform, staff: Mapping[Role, ConsoleBrowser]
) -> None:
    order = await shop.sold()
    message = platform.v2(order)
    for _ in range(3):
        assert (await shop.notify(message)).status == 200
    page = await staff[Role.READER].page("/console/notifications/accepted")
    number = order["out_trade_no"]
    [row] = [row for row in page.split("<tr>") if f">{number}</a>" in row]
    assert ">3</td>" in row and "已处理" in row and "支付通知" in row
    assert (await staff[Role.READER].get("/console/notifications/accepted?cursor=!!")).status == 400


async def test_nothing_is_sent_again_that_was_not_chosen_or_does_not_exist(
    staff: Mapping[Role, ConsoleBrowser],
) -> None:
    assert (await staff[Role.READER].post("/console/deliveries/resend", {"delivery": "x:y"})).status == 403
    assert (await staff[Role.SUPPORT].post("/console/deliveries/resend")).status == 400
    assert (await staff[Role.SUPPORT].post("/console/deliveries/resend", {"delivery": "x:y"})).status == 302
    assert "未能安排" in await staff[Role.SUPPORT].page("/console/deliveries")
    assert (await staff[Role.DEVELOPER].get(f"/console/deliveries/{'0' * 24}")).status == 404


async def test_an_empty_list_of_refusals_leads_on(staff: Mapping[Role, ConsoleBrowser]) -> None:
    reasons = re.findall(r'<option value="(\w+)"', await staff[Role.READER].page("/console/notifications"))
    pages = [await staff[Role.READER].page(f"/console/notifications?reason={reason}") for reason in reasons]
    empty = [page for page in pages if "没有因这个原因被拒绝的通知" in page]
    assert empty
    assert all('class="button" href="/console/notifications">清除</a>' in page for page in empty)
