"""``manage.py`` against a running service and a running WeChat: orders, why, events, and how commands end."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from storage.embedded.servers import EmbeddedMongo, free_port
from tests.contract.samples import a_storage, an_order
from tests.http.client import Shop
from tests.support.manage import Manage
from tests.support.platform import Platform
from tests.support.receiving import v3_amount
from tests.support.relay import Canned
from tests.support.service import API_KEY, overlay, run_server
from tests.support.settings import KNOWN
from tests.support.simulator import SimulatorProcess
from wechat.domain.facts import Api

NOBODY = "20260301000000nobody"
EVENT = "0" * 24


# -- orders -----------------------------------------------------------------------------------------------------------


async def test_an_order_is_looked_at_asked_after_and_explained(shop: Shop, manage: Manage) -> None:
    number = await shop.scanned(description="茶 [bold]")
    before = await manage("why", number, COLUMNS="40")
    assert (before.code, before.out.count("\n")) == (0, 1)
    assert before.out.endswith("本系统订单状态尚未更新；支付通知没有到达。\n")
    assert before.err == f"下一步：manage.py order query {number}\n"
    shown = await manage("order", "show", number)
    assert shown.code == 0
    assert "未支付（NOTPAY）" in shown.out
    assert "¥18.00" in shown.out
    assert "茶 [bold]" in shown.out
    asked = await manage("order", "query", number, "--json")
    assert (asked.code, asked.json()["trade_state"], asked.err) == (0, "SUCCESS", "")
    assert asked.json()["timeline"][-1]["source"] == "query"
    after = await manage("why", number, LANG="en_GB.UTF-8")
    assert after.out.startswith("The payer paid ¥18.00 at ")
    assert after.err == ""


async def test_an_order_shows_its_notifications_in_words(shop: Shop, platform: Platform, manage: Manage) -> None:
    number = await shop.scanned()
    order = await shop.stored(number)
    assert (await shop.notify(platform.v3(order | {"openid": None}, **v3_amount(total=1)))).status == 409
    shown = await manage("order", "show", number)
    assert "v3 支付通知（payment）" in shown.out
    assert "金额不一致（total）" in shown.out
    assert (await manage("order", "query", number, "--json")).json()["trade_state"] == "SUCCESS"
    paid = await manage("order", "show", number)
    assert f"微信支付订单号 {shop.simulator.order(number)['transaction_id']}" in paid.out
    alarms = await manage("alarms", "list")
    assert "待查看（open）" in alarms.out


async def test_the_audit_trail_has_the_keys_name(shop: Shop, manage: Manage) -> None:
    number = str((await shop.sold())["out_trade_no"])
    closed = await manage("order", "close", number, "--yes", "--json")
    assert (closed.code, closed.json()["trade_state"]) == (0, "CLOSED")
    assert closed.json()["timeline"][-1] | {"at": ""} == {
        "at": "",
        "what": "closed",
        "source": "merchant",
        "by": "shop",
        "detail": {},
    }


async def test_a_close_that_wechat_does_not_take_yet_says_when(shop: Shop, manage: Manage) -> None:
    number = str((await shop.sold(api=Api.V2))["out_trade_no"])
    closed = await manage("order", "close", number, "--yes")
    assert closed.code == 0
    assert "满 5 分钟" in closed.err


async def test_an_order_is_placed_and_its_code_is_drawn(shop: Shop, manage: Manage) -> None:
    placed = await manage("order", "create", "--description", "茶", "--yuan", "18.00", "--no", "CLI-ORDER-1", "--json")
    assert (placed.code, placed.json()["out_trade_no"], placed.json()["total"]) == (0, "CLI-ORDER-1", 1800)
    shop.simulator.control("POST", "scan", {"code_url": placed.json()["code_url"], "scenario": "success"})
    drawn = await manage("order", "create", "--description", "茶", "--amount", "1800")
    assert "¥18.00" in drawn.out
    assert drawn.out.count("█") > 100
    wrong = await manage(
        "order", "create", "--description", "茶", "--amount", "1800", "--trade-type", "JSAPI", "--json"
    )
    assert (wrong.code, wrong.error()["field"]) == (2, "openid")


async def test_orders_are_listed_page_by_page(shop: Shop, manage: Manage) -> None:
    numbers = [str((await shop.sold())["out_trade_no"]) for _ in range(3)]
    first = await manage("order", "list", "--limit", "2", "--state", "NOTPAY", "--json")
    assert len(first.json()["orders"]) == 2
    shown = await manage("order", "list", "--limit", "2", "--state", "notpay")
    following = shown.err.removeprefix("下一步：manage.py ").split()
    assert following[:6] == ["order", "list", "--limit", "2", "--state", "NOTPAY"]
    second = await manage(*following, "--json")
    listed = [order["out_trade_no"] for page in (first, second) for order in page.json()["orders"]]
    assert set(numbers) <= set(listed)
    assert len(set(listed)) == len(listed)


async def test_a_number_with_every_letter_it_may_have_finds_its_order(shop: Shop, manage: Manage) -> None:
    await shop.sold(out_trade_no="odd_-|*number")
    assert (await manage("order", "show", "odd_-|*number", "--json")).json()["out_trade_no"] == "odd_-|*number"


async def test_what_others_wrote_does_not_steer_the_terminal(
    shop: Shop, manage: Manage, mongo: EmbeddedMongo, simulator: SimulatorProcess
) -> None:
    storage = a_storage(mongo.url, "fenpay")
    order = an_order("STEERING-1", mchid=simulator.credentials["mchid"], description="\x1b[2J\x07清屏")
    assert await storage.orders.insert(order, "write-1")
    await storage.close()
    shown = await manage("order", "show", "STEERING-1")
    assert "�[2J�清屏" in shown.out
    assert "\x1b" not in shown.out


# -- how commands end -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "exit_code", "name", "next_step"),
    [
        (["order", "show", NOBODY], 1, "ORDER_NOT_FOUND", "manage.py order list"),
        (["why", NOBODY], 1, "ORDER_NOT_FOUND", "manage.py order list"),
        (["refund", "show", NOBODY], 1, "REFUND_NOT_FOUND", "manage.py order list"),
        (["refund", "list", NOBODY], 1, "ORDER_NOT_FOUND", "manage.py order list"),
        (["events", "resend", EVENT], 1, "NOT_FOUND", "manage.py events list"),
        (["bill", "show", "2020-01-01"], 1, "BILL_TOO_OLD", "manage.py bill --help"),
        (["order", "show", "a b"], 2, "BAD_NUMBER", "manage.py order show --help"),
        (["order", "show", "../../readyz"], 2, "BAD_NUMBER", "manage.py order show --help"),
        (["refund", "query", "short"], 2, "BAD_NUMBER", "manage.py refund query --help"),
        (["order", "list", "--state", "PAID"], 2, "BAD_STATE", "manage.py order list --help"),
        (["events", "list", "--state", "lost"], 2, "BAD_REQUEST", "manage.py events list --help"),
        (["events", "resend", "x"], 2, "BAD_ID", "manage.py events list"),
        (["bill", "fetch", "2026-2-3"], 2, "BAD_DATE", "manage.py bill fetch --help"),
        (["bill", "fetch", "2026-2-3", "--out", "x.csv"], 2, "BAD_DATE", "manage.py bill fetch --help"),
        (["bill", "fetch", "2026-02-30"], 2, "BAD_DATE", "manage.py bill fetch --help"),
        (["reconcile", "2026-03-01", "--known", "xyz"], 2, "BAD_ID", "manage.py reconcile --help"),
        (["reconcile", "2099-01-01"], 2, "DAY_NOT_OVER", "manage.py reconcile 2099-01-01"),
        (["order", "show"], 2, "USAGE", "manage.py order show --help"),
        (["order", "shw", NOBODY], 2, "USAGE", "manage.py order --help"),
        (["ordr", "show", NOBODY], 2, "USAGE", "manage.py --help"),
        (["order", "list", "--limit", "0"], 2, "USAGE", "manage.py order list --help"),
        (["bill", "fetch", "2026-03-01", "--kind", "all"], 2, "USAGE", "manage.py bill fetch --help"),
        (["refund", "create", NOBODY, "--amount", "1.5", "--reason", "x"], 2, "BAD_AMOUNT", "manage.py refund create --help"),
        (["bill", "fetch", "2026-03-01", "--out", "-"], 2, "TWO_DOCUMENTS", "manage.py bill fetch --help"),
        (["order", "close", NOBODY], 2, "NOT_CONFIRMED", f"manage.py order close {NOBODY} --json --yes"),
        (["reconcile", "2026-03-01", "--repair"], 2, "NOT_CONFIRMED", "manage.py reconcile 2026-03-01 --repair --json --yes"),
    ],
)  # fmt: skip
async def test_a_failure_has_its_exit_code_its_name_and_a_next_command(
    manage: Manage, arguments: list[str], exit_code: int, name: str, next_step: str
) -> None:
    ran = await manage(*arguments, "--json")
    assert ran.out == ""
    assert ran.error() | {"message": "", "request_id": "", "field": ""} == {
        "exit": exit_code,
        "code": name,
        "message": "",
        "next": next_step,
        "request_id": "",
        "field": "",
    }
    assert ran.code == exit_code
    assert ran.error()["message"]


async def test_for_a_person_a_failure_is_two_lines_in_their_language(manage: Manage) -> None:
    ran = await manage("order", "show", NOBODY)
    assert (ran.code, ran.out, ran.err) == (1, "", "✘ 没有这个订单\n下一步：manage.py order list\n")
    ran = await manage("order", "show", NOBODY, LC_ALL="en_US.UTF-8")
    assert ran.err == "✘ There is no such order\nNext: manage.py order list\n"


@pytest.mark.parametrize(
    ("arguments", "zh", "en", "next_step"),
    [
        (("order", "show"), "缺少参数 'NO'", "Missing argument 'NO'.", "order show --help"),
        (("refund", "create", NOBODY, "--amount", "1"), "缺少选项 '--reason'", "Missing option '--reason'.", "refund create --help"),
        (("order", "shw"), "没有命令 'shw'，是不是 'show'？", "No such command 'shw'. Did you mean 'show'?", "order --help"),
        (("why", NOBODY, "--jso"), "没有选项 --jso", "No such option: --jso", "why --help"),
        (("order", "list", "--limit", "0"), "'--limit' 的值不对：不能小于 1", "Invalid value for '--limit': Input should be greater than or equal to 1", "order list --help"),
        (("order", "list", "--limit", "101"), "'--limit' 的值不对：不能大于 100", "Invalid value for '--limit': Input should be less than or equal to 100", "order list --help"),
        (("order", "show", NOBODY, "x"), "多余的参数：x", "Got unexpected extra argument(s) (x)", "order show --help"),
        (("order", "list", "--json=1"), "选项 '--json' 不带值", "Option '--json' does not take a value.", "order list --help"),
    ],
)  # fmt: skip
async def test_a_mistyped_command_ends_in_two_lines_in_the_readers_language(
    manage: Manage, arguments: tuple[str, ...], zh: str, en: str, next_step: str
) -> None:
    for lang, said, following in (("zh_CN.UTF-8", zh, "下一步："), ("en_GB.UTF-8", en, "Next: ")):
        ran = await manage(*arguments, LANG=lang)
        first, second = ran.err.splitlines()
        assert (ran.code, ran.out) == (2, "")
        assert first.startswith(f"✘ {said}")
        assert second == f"{following}manage.py {next_step}"


async def test_a_value_that_typer_does_not_take_is_told_in_chinese_too(manage: Manage) -> None:
    ran = await manage("bill", "fetch", "2026-03-01", "--kind", "all")
    assert ran.err.startswith("✘ '--kind' 的值不对：'all' 不在 'ALL', 'SUCCESS'")
    ran = await manage("order", "list", "--limit", "x")
    assert ran.err.startswith("✘ '--limit' 的值不对：应为整数\n")


async def test_no_arguments_are_a_question_for_help(manage: Manage) -> None:
    for arguments in ((), ("order",)):
        ran = await manage(*arguments)
        assert (ran.code, ran.err) == (2, "")
        assert "Usage: manage.py" in ran.out


async def test_wechats_no_is_told_in_its_own_words(shop: Shop, manage: Manage, simulator: SimulatorProcess) -> None:
    number = str((await shop.sold())["out_trade_no"])
    fault = {"fault": "refuse", "code": "SIGN_ERROR", "message": "签名错误"}
    simulator.control("POST", "faults", {"path": "/v3/pay/transactions/out-trade-no/*"} | fault)
    ran = await manage("order", "query", number)
    assert (ran.code, ran.out) == (4, "")
    assert "微信支付返回信息: SIGN_ERROR 签名错误" in ran.err
    assert "pay.v3.merchant_key 不是商户号" in ran.err
    assert ran.err.endswith(f"下一步：manage.py why {number}\n")
    error = (await manage("order", "query", number, "--json")).error()
    assert (error["exit"], error["wechat"]["code"]) == (4, "SIGN_ERROR")


async def test_a_wechat_that_does_not_answer_is_not_a_no(
    shop: Shop, manage: Manage, simulator: SimulatorProcess
) -> None:
    number = str((await shop.sold())["out_trade_no"])
    simulator.control("POST", "faults", {"path": "/v3/pay/transactions/out-trade-no/*", "fault": "http_500"})
    ran = await manage("order", "query", number, "--json")
    assert (ran.code, ran.error()["code"], ran.error()["next"]) == (5, "OUTCOME_UNKNOWN", f"manage.py why {number}")
    assert (await manage("why", number)).code == 0


async def test_a_service_that_is_not_there_is_5_and_says_what_to_look_at(manage: Manage) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    ran = await manage("order", "list", "--url", url, "--json")
    assert (ran.code, ran.error()["code"]) == (5, "NO_ANSWER")
    assert ran.error()["next"] == f"curl -s '{url}/readyz?verbose'"


async def test_loopback_is_reached_without_the_proxy_that_is_set(manage: Manage) -> None:
    nowhere = f"http://127.0.0.1:{free_port()}"
    assert (await manage("order", "list", http_proxy=nowhere, HTTP_PROXY=nowhere, ALL_PROXY=nowhere)).code == 0


async def test_a_redirect_is_not_followed_with_the_key() -> None:
    async with Canned(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}") as other:
        moved = b"HTTP/1.1 301 Moved\r\nLocation: " + other.url.encode() + b"/\r\nContent-Length: 0\r\n\r\n"
        async with Canned(moved) as server:
            ran = await Manage(server.url, API_KEY)("order", "list", "--json")
    assert (ran.code, ran.error()["code"]) == (3, "REDIRECTED")
    assert API_KEY.encode() in server.heard[0]
    assert other.heard == []


@pytest.mark.parametrize(
    ("said", "exit_code", "name"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", 3, "NOT_FENPAY"),
        (b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 6\r\n\r\n<html>", 5, "SERVICE_UNAVAILABLE"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{}", 5, "NO_ANSWER"),
        (b"not http at all\r\n\r\n", 5, "NO_ANSWER"),
        (b"", 5, "NO_ANSWER"),
    ],
)
async def test_an_answer_that_is_none_of_ours_is_never_taken_for_one(said: bytes, exit_code: int, name: str) -> None:
    async with Canned(said) as server:
        ran = await Manage(server.url, API_KEY)("order", "list", "--json")
    assert (ran.code, ran.error()["code"], ran.out) == (exit_code, name, "")


async def test_another_server_at_the_address_is_told_from_ours(manage: Manage, simulator: SimulatorProcess) -> None:
    ran = await manage("order", "list", "--url", simulator.url, "--json")
    assert (ran.code, ran.error()["code"]) == (3, "NOT_FENPAY")
    assert ran.error()["next"] == "export FENPAYCLI_URL=https://pay.example.com"


@pytest.mark.parametrize("key", ["another-key", "a b", "ключ", "x" * 600])
async def test_a_wrong_key_is_3_and_is_shown_nowhere(manage: Manage, key: str, tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(f"{key}\n", encoding="utf-8")
    for ran in (
        await manage("order", "list", FENPAYCLI_API_KEY=key),
        await manage("order", "list", "--key-file", str(file)),
    ):
        assert ran.code == 3
        assert ran.out == ""
        assert key not in ran.err
        assert "read -rs FENPAYCLI_API_KEY" in ran.err


async def test_a_key_file_is_taken_before_the_environment(manage: Manage, tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(f"{API_KEY}\n", encoding="ascii")
    ran = await manage("order", "list", "--key-file", str(file), FENPAYCLI_API_KEY="another-key")
    assert ran.code == 0


async def test_nothing_that_is_shown_holds_the_key(shop: Shop, manage: Manage, simulator: SimulatorProcess) -> None:
    number = await shop.scanned()
    simulator.control(
        "POST", "faults", {"path": "/v3/pay/transactions/out-trade-no/*", "fault": "http_500", "times": 1}
    )
    for arguments in (["order", "query", number], ["order", "query", number], ["why", number], ["order", "list"]):
        for json_too in ([], ["--json"]):
            ran = await manage(*arguments, *json_too)
            assert API_KEY not in ran.out + ran.err


def test_a_shell_with_the_command_lines_variables_can_start_a_service(tmp_path: Path) -> None:
    """A ``FENPAY_`` variable that names no setting stops a service; these are none."""
    settings = overlay(8899, "http://127.0.0.1:9", KNOWN, "mongodb://127.0.0.1:1", "redis://127.0.0.1:1", tmp_path)
    file = tmp_path / "settings.yml"
    file.write_text(json.dumps(settings), encoding="utf-8")

    def start(**environment: str) -> int:
        return run_server("--settings", str(file), "--routes", timeout_s=20, **environment).returncode

    assert start(FENPAYCLI_URL="https://pay.example.com", FENPAYCLI_API_KEY="key") == 0
    assert start(FENPAY_URL="https://pay.example.com") == 3


# -- on a terminal ----------------------------------------------------------------------------------------------------


async def test_on_a_terminal_a_close_asks_first(shop: Shop, manage: Manage) -> None:
    number = str((await shop.sold())["out_trade_no"])
    no = await manage.on_a_terminal("order", "close", number, answer="n\n")
    assert (no.code, no.out) == (1, "")
    assert f"关闭订单 {number}（咖啡，¥18.00）？ [y/N] " in no.err
    assert await shop.state(number) == "NOTPAY"
    yes = await manage.on_a_terminal("order", "close", number, answer="y\n")
    assert yes.code == 0
    assert await shop.state(number) == "CLOSED"


async def test_colours_are_for_terminals_that_want_them(manage: Manage) -> None:
    assert "\x1b[31m" in (await manage.on_a_terminal("order", "show", NOBODY)).err
    assert "\x1b[31m" not in (await manage.on_a_terminal("order", "show", NOBODY, NO_COLOR="1")).err
    assert "\x1b" not in (await manage("order", "show", NOBODY)).err


# -- events -----------------------------------------------------------------------------------------------------------


async def test_events_are_listed_and_one_that_was_never_told_cannot_be_told_again(manage: Manage) -> None:
    listed = await manage("events", "list", "--json")
    assert (listed.code, listed.json()) == (0, {"events": [], "next_cursor": None})
    assert "推送记录" in (await manage("events", "list")).out


async def test_many_commands_at_once_do_not_disturb_each_other(shop: Shop, manage: Manage) -> None:
    numbers = [str((await shop.sold())["out_trade_no"]) for _ in range(4)]
    shown = await asyncio.gather(*(manage("order", "show", number, "--json") for number in numbers))
    assert [ran.json()["out_trade_no"] for ran in shown] == numbers
