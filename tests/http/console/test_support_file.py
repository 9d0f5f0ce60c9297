"""The support file of an order's page: who takes it, and what is not in it."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from tests.http.client import Shop
from tests.support.console import ConsoleBrowser
from wechat.domain.staff import Role


@pytest.mark.parametrize("role", [Role.SUPPORT, Role.READER])
async def test_the_file_holds_no_personal_data_and_taking_it_is_audited(
    shop: Shop, staff: Mapping[Role, ConsoleBrowser], role: Role
) -> None:
    openid, may = shop.users[0]["openid"], role is Role.SUPPORT
    number = (await shop.sold(attach="13800138000", description="<b>大杯</b>"))["out_trade_no"]
    target = f"/console/orders/{number}/support"
    assert (target in await staff[role].page(f"/console/orders/{number}")) is may
    answer = await staff[role].get(target)
    assert answer.status == (200 if may else 403)
    noted = [row["name"] for row in await staff[Role.ADMIN].audit_log(number) if row["act"] == "export"]
    assert noted == ([role.value] if may else [])
    if may:
        page = answer.body.decode()
        assert "attachment" in answer.headers["Content-Disposition"] and "订单支持文件" in page
        assert openid not in page and "13800138000" not in page and "<b>" not in page and "<script" not in page
