"""The list of orders: what it finds and shows, to whom, page by page, as rows, and as files."""

from __future__ import annotations

import csv
import io
import re
import zipfile
from collections.abc import Mapping
from urllib.parse import quote

import pytest

from tests.http.client import Shop
from tests.support.console import ConsoleBrowser
from wechat.domain.staff import PERMISSIONS as ALLOWED
from wechat.domain.staff import Permission, Role

PATH = "/console/orders"
NUMBERS = re.compile(r'<tr data-number="([^"]+)"')
HOSTILE = "<script>alert(1)</script>\"'&"


async def place(shop: Shop, **fields: object) -> str:
    """A new order's number."""
    changed = {"description": "冰拿铁咖啡", "total": 1234, "trade_type": "NATIVE", "openid": None, **fields}
    return str((await shop.sold(**changed))["out_trade_no"])


def listed(page: str) -> list[str]:
    return NUMBERS.findall(page)


@pytest.fixture(scope="module")
def reader(staff: Mapping[Role, ConsoleBrowser]) -> ConsoleBrowser:
    return staff[Role.READER]


async def test_an_order_is_found_by_what_is_known_of_it(shop: Shop, reader: ConsoleBrowser) -> None:
    number = await place(shop, total=98_765, attach="table=77")
    for text in (number, number[-8:], "987.65", "¥987.65", "拿铁", "table"):
        assert number in listed(await reader.page(f"{PATH}?q={quote(text)}")), text
    assert number in listed(await reader.page(PATH))
    assert number in listed(await reader.page(f"{PATH}?state=NOTPAY&type=NATIVE&least=987.65&most=987.65"))
    assert number not in listed(await reader.page(f"{PATH}?state=CLOSED"))
    assert number not in listed(await reader.page(f"{PATH}?most=987.64"))
    assert number not in listed(await reader.page(f"{PATH}?to=2026-01-01"))


async def test_pages_follow_each_other_by_a_link(shop: Shop, reader: ConsoleBrowser) -> None:
    numbers = [await place(shop, description="分页测试商品", total=4321) for _ in range(51)]
    found, address = [], f"{PATH}?q=43.21"
    while address:
        page = await reader.page(address)
        found += listed(page)
        link = re.search(r'id="more" href="([^"]+)"', page)
        address = link[1].replace("&amp;", "&") if link else ""
    assert sorted(found) == sorted(numbers)  # those of one second stand in the order of their numbers


async def test_a_filter_that_cannot_be_read_is_told_beside_its_field(reader: ConsoleBrowser) -> None:
    page = await reader.page(f"{PATH}?from=yesterday&least=1.234&state=LOST&to=2026-03-01")
    for field in ("from", "least", "state"):
        assert f'id="{field}-error"' in page
    assert 'id="to-error"' not in page
    turned = await reader.page(f"{PATH}?from=2026-03-02&to=2026-03-01", **{"Accept-Language": "en"})
    assert "The second date or amount is less than the first" in turned


async def test_where_nothing_is_found_the_page_says_what_to_do(reader: ConsoleBrowser) -> None:
    page = await reader.page(f"{PATH}?q=no-such-order")
    assert "没有找到订单" in page
    assert "商户单号" in page


async def test_what_payers_and_merchants_write_stays_text(shop: Shop, reader: ConsoleBrowser) -> None:
    number = await place(shop, description=HOSTILE)
    for address in (PATH, f"{PATH}?q={number}", f"{PATH}?q={quote(HOSTILE)}", f"{PATH}/rows/{number}"):
        page = await reader.page(address)
        assert "<script>alert" not in page
    assert "&lt;script&gt;" in await reader.page(f"{PATH}?q={number}")


async def test_a_broken_cursor_is_a_page_that_says_so(reader: ConsoleBrowser) -> None:
    response = await reader.get(f"{PATH}?cursor=%3Cx%3E")
    assert response.status == 400
    assert "BAD_CURSOR" in response.body.decode()


async def test_a_row_comes_alone_if_it_belongs_to_the_list(shop: Shop, reader: ConsoleBrowser) -> None:
    number = await place(shop)
    row = await reader.page(f"{PATH}/rows/{number}?state=NOTPAY&q={number[-6:]}")
    assert listed(row) == [number]
    assert "<html" not in row
    for query in ("?state=CLOSED", "?q=18.00", "?from=2099-01-01"):
        assert (await reader.get(f"{PATH}/rows/{number}{query}")).status == 204
    assert (await reader.get(f"{PATH}/rows/nobody-knows")).status == 204


@pytest.mark.parametrize("role", list(Role))
async def test_who_may_export_is_offered_it_and_nobody_else_gets_it(
    shop: Shop, staff: Mapping[Role, ConsoleBrowser], role: Role
) -> None:
    await place(shop)
    may = Permission.EXPORT in ALLOWED[role]
    assert ("orders.csv" in await staff[role].page(PATH)) is may
    for kind in ("csv", "xlsx"):
        assert (await staff[role].get(f"{PATH}.{kind}")).status == (200 if may else 403)


async def test_an_export_has_what_is_filtered_and_no_formulas(shop: Shop, staff: Mapping[Role, ConsoleBrowser]) -> None:
    number = await place(shop, description="=1+1", total=7654)
    response = await staff[Role.FINANCE].get(f"{PATH}.csv?least=76.54&most=76.54")
    text = response.body.decode()
    assert text.startswith("\ufeff下单时间,商户订单号")
    assert text.count("\r\n") == 2
    row = list(csv.reader(io.StringIO(text)))[1]
    assert (row[1], row[3], row[4], row[6]) == (number, "未支付", "'=1+1", "76.54")
    book = await staff[Role.FINANCE].get(f"{PATH}.xlsx?least=76.54&most=76.54")
    assert 'filename="orders-' in book.headers["Content-Disposition"]
    sheet = zipfile.ZipFile(io.BytesIO(book.body)).read("xl/worksheets/sheet1.xml").decode()
    assert number in sheet
    assert sheet.count("<row ") == 2
    assert row[-4:] == ["默认", "NOTPAY", "NATIVE", "default"]  # words before, codes at the end


async def test_a_sheet_says_while_it_is_made_how_many_rows_it_has(
    shop: Shop, staff: Mapping[Role, ConsoleBrowser]
) -> None:
    await place(shop, total=8765)
    target = f"{PATH}.xlsx?least=87.65&most=87.65"
    response = await staff[Role.FINANCE].get(target, **{"X-Export-Progress": "1"})
    lines, _, book = response.body.partition(b"\n\n")
    assert lines == b"1" and zipfile.ZipFile(io.BytesIO(book)).testzip() is None


async def test_an_export_with_a_broken_filter_is_refused(staff: Mapping[Role, ConsoleBrowser]) -> None:
    assert (await staff[Role.FINANCE].get(f"{PATH}.csv?least=x")).status == 400


@pytest.mark.parametrize(("lang", "word"), [("zh-CN", "界面组件"), ("en", "Components")])
async def test_the_page_of_components_is_there(admin: ConsoleBrowser, lang: str, word: str) -> None:
    assert f"<h1>{word}</h1>" in await admin.page("/console/design", **{"Accept-Language": lang})


async def test_an_order_names_its_channel_and_leads_to_the_orders_of_that_channel(
    shop: Shop, reader: ConsoleBrowser
) -> None:
    number = await place(shop)
    assert 'href="/console/orders?channel=default">默认</a>' in await reader.page(f"{PATH}/{number}")
    page = await reader.page(f"{PATH}?channel=default")
    assert number in listed(page)
    assert '<option value="default" selected>默认</option>' in page
    assert 'id="channel"' not in await reader.page(PATH)


async def test_the_search_in_the_header_keeps_the_filters_and_shows_its_text(reader: ConsoleBrowser) -> None:
    page = await reader.page(f"{PATH}?q=coffee&state=CLOSED&least=1")
    [form] = re.findall(r'<form class="find".*?</form>', page, re.DOTALL)
    assert 'value="coffee"' in form
    assert re.findall(r'type="hidden" name="(\w+)" value="(\w+)"', form) == [("state", "CLOSED"), ("least", "1")]
