"""``manage.py support``: one file about an order, without personal data, that nothing in it can turn into a program."""

from __future__ import annotations

import re
from pathlib import Path

from handlers.web.support_file import describe_value, redact
from tests.http.client import MERCHANT, Shop
from tests.support.manage import Manage

HOSTILE = "<script>alert(1)</script>\"'&"


async def test_the_file_tells_the_orders_story(shop: Shop, manage: Manage, tmp_path: Path) -> None:
    number = await shop.scanned("success", description="咖啡 <b>大杯</b>")
    await shop.stored(number)
    file = tmp_path / "told.html"
    file.touch(0o644)
    ran = await manage("support", number, "--out", str(file))
    assert (ran.code, ran.out.strip()) == (0, str(file))
    page = file.read_text(encoding="utf-8")
    assert file.stat().st_mode & 0o777 == 0o600
    assert number in page
    assert "¥18.00" in page
    assert "创建订单（created）" in page
    why = (await shop.ask("GET", f"/api/orders/{number}/why", headers=MERCHANT)).json()
    [placed, *_] = why["calls"]
    assert (placed["call"], placed["method"], placed["status"], placed["verdict"]) == (
        "native",
        "POST",
        200,
        "verified",
    )
    assert f"<td>{placed['request_id']}</td><td>验签通过（verified）</td>" in page
    for name in (
        "商户订单号（out_trade_no）",
        "支付截止时间（expires_at）",
        "查询结果（outcome）",
        "支付时间（success_time）",
    ):
        assert f"<th>{name}</th>" in page
    assert re.findall(r"<th>[a-z_]+</th>", page) == []
    assert "支付通知（payment）" in page
    assert re.search(r"<td>doctor</td><td>检查 \d+ 项：0 项错误，\d+ 项提醒</td>", page)
    assert "咖啡 &lt;b&gt;大杯&lt;/b&gt;" in page
    assert "<script" not in page
    assert 'http-equiv="Content-Security-Policy"' in page


async def test_payers_and_free_texts_are_cut_out(shop: Shop, manage: Manage, tmp_path: Path) -> None:
    openid = shop.users[0]["openid"]
    number = str((await shop.sold(attach="13800138000"))["out_trade_no"])
    file = tmp_path / "told.html"
    assert (await manage("support", number, "--out", str(file), LANG="en_GB.UTF-8")).code == 0
    page = file.read_text(encoding="utf-8")
    assert openid not in page
    assert f"{openid[:4]}…{openid[-4:]}" in page
    assert "13800138000" not in page
    assert "Support file of an order" in page


async def test_an_order_that_is_not_there_makes_no_file(manage: Manage, tmp_path: Path) -> None:
    file = tmp_path / "told.html"
    ran = await manage("support", "20260301000000nobody", "--out", str(file), "--json")
    assert (ran.code, ran.error()["code"]) == (1, "ORDER_NOT_FOUND")
    assert not file.exists()
    nowhere = await manage("support", "20260301000000nobody", "--out", "/nowhere/told.html", "--json")
    assert nowhere.code == 1


def test_an_error_of_wechats_is_a_sentence_in_the_file() -> None:
    error = {
        "code": "WECHAT_REFUSED",
        "message": "微信支付拒绝",
        "wechat": {"code": "SIGN_ERROR", "message": "签名错误"},
    }
    assert describe_value("error", error, "zh") == "微信支付拒绝 SIGN_ERROR 签名错误"


def test_whatever_is_personal_is_cut_at_every_depth() -> None:
    document = {"a": [{"openid": "o123456789", "attach": HOSTILE}], "payer": "short"}
    assert redact(document) == {"a": [{"openid": "o123…6789", "attach": f"({len(HOSTILE)})"}], "payer": "…"}
