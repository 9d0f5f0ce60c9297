"""``manage.py`` on money: refunds that are never paid twice, WeChat's bills, and a day's books, end to end."""

from __future__ import annotations

import asyncio
import re
import secrets
import shlex
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.http.client import MERCHANT, Shop
from tests.support.bills import Line, trade_file
from tests.support.manage import Manage, Ran
from tests.support.relay import Canned, Relay
from tests.support.service import API_KEY
from tests.support.simulator import SimulatorProcess
from wechat.domain.times import beijing_day, day_span

TODAY = beijing_day(datetime.now(UTC))


def noon(days_ago: int) -> datetime:
    return day_span(TODAY - timedelta(days=days_ago))[0] + timedelta(hours=12)


async def paid(shop: Shop, manage: Manage, **changed: Any) -> str:
    number = await shop.scanned(**changed)
    assert (await manage("order", "query", number)).code == 0
    return number


async def refunds(shop: Shop, number: str) -> list[dict[str, Any]]:
    payload = await shop.ask("GET", f"/api/orders/{number}/refunds", headers=MERCHANT)
    found: list[dict[str, Any]] = payload.json()["refunds"]
    return found


async def refund(shop: Shop, number: str) -> dict[str, Any]:
    payload = await shop.ask("GET", f"/api/refunds/{number}", headers=MERCHANT)
    found: dict[str, Any] = payload.json()
    return found


def wish(number: str, amount: int = 500, *more: str) -> tuple[str, ...]:
    return ("refund", "create", number, "--amount", str(amount), "--reason", "缺货 one", "--yes", *more)


# -- refunds ----------------------------------------------------------------------------------------------------------


async def test_a_refund_is_made_followed_and_explained(shop: Shop, manage: Manage) -> None:
    number = await paid(shop, manage)
    made = await manage(*wish(number))
    assert made.code == 0
    assert "¥5.00 / ¥18.00" in made.out
    refund_number = made.err.splitlines()[0].removeprefix("退款使用 out_refund_no ")
    assert made.err.splitlines()[1] == "重试请使用同一个 out_refund_no，不会重复退款"
    for _ in range(100):
        asked = (await manage("refund", "query", refund_number, "--json")).json()
        if asked["state"] == "SUCCESS":
            break
    shown = await manage("refund", "show", refund_number)
    assert "退款成功（SUCCESS）" in shown.out
    assert [one["out_refund_no"] for one in (await manage("refund", "list", number, "--json")).json()["refunds"]] == [
        refund_number
    ]
    assert "退款 ¥5.00，剩余 ¥13.00。" in (await manage("why", number)).out


async def test_a_refund_whose_answer_was_lost_is_repeated_by_the_printed_command_and_paid_once(
    shop: Shop, manage: Manage
) -> None:
    number = await paid(shop, manage)
    async with Relay(shop.url) as relay:
        lost = await manage(*wish(number), FENPAYCLI_URL=relay.url)
    assert (lost.code, lost.out, len(relay.swallowed)) == (5, "", 1)
    repeat = shlex.split(lost.err.splitlines()[-1].removeprefix("下一步：manage.py "))
    assert repeat[:2] == ["refund", "create"]
    again = [await manage(*repeat, "--yes", "--json") for _ in range(2)]
    assert [ran.code for ran in again] == [0, 0]
    found = await refunds(shop, number)
    assert [(refund["out_refund_no"], refund["refund"]) for refund in found] == [
        (again[0].json()["out_refund_no"], 500)
    ]
    assert again[0].json()["out_refund_no"] in lost.err.splitlines()[0]


async def test_with_json_the_number_to_repeat_with_is_in_the_error(shop: Shop, manage: Manage) -> None:
    number = await paid(shop, manage)
    async with Relay(shop.url) as relay:
        lost = await manage(*wish(number), "--json", FENPAYCLI_URL=relay.url)
    error = lost.error()
    assert (lost.code, error["exit"], error["code"]) == (5, 5, "NO_ANSWER")
    assert f"--out-refund-no {error['out_refund_no']}" in error["next"]
    assert [refund["out_refund_no"] for refund in await refunds(shop, number)] == [error["out_refund_no"]]


async def test_a_key_of_ones_own_makes_the_repetition_the_same_refund(shop: Shop, manage: Manage) -> None:
    number, key = await paid(shop, manage), secrets.token_hex(8)
    async with Relay(shop.url) as relay:
        lost = await manage(*wish(number, 500, "--key", key), FENPAYCLI_URL=relay.url)
    assert f"--key {key}" in lost.err
    assert (await manage(*wish(number, 500, "--key", key))).code == 0
    assert len(await refunds(shop, number)) == 1
    other = await manage(*wish(number, 499, "--key", key), "--json")
    assert (other.code, other.error()["code"]) == (2, "IDEMPOTENCY_KEY_REUSED")


async def test_a_second_refund_waits_its_minute_and_says_so(shop: Shop, manage: Manage) -> None:
    number = await paid(shop, manage)
    assert (await manage(*wish(number))).code == 0
    second = await manage(*wish(number))
    assert second.code == 0
    queued = re.compile(r"排队中，约 \d\d:\d\d:\d\d 提交（同一订单两笔退款至少间隔 1 分钟，REQUESTED）")
    assert queued.search(second.out)
    waiting = (await refunds(shop, number))[1]
    wait = datetime.fromisoformat(waiting["due_at"]) - datetime.fromisoformat(waiting["created_at"])
    assert (waiting["sends"], wait > timedelta(minutes=1)) == (0, True)
    show = f"manage.py refund show {waiting['out_refund_no']}"
    assert f"下一步：{show}" in second.err
    assert queued.search((await manage("refund", "list", number)).out)
    payload = await manage("why", number)
    assert "退款 ¥5.00 排队中，约 " in payload.out
    assert payload.err.startswith("下一步：manage.py refund ")  # of the first one, if that is still under way


async def test_a_queued_refund_is_cancelled_once_it_is_confirmed(shop: Shop, manage: Manage) -> None:
    number = await paid(shop, manage)
    for _ in range(2):
        assert (await manage(*wish(number))).code == 0
    waiting = (await refunds(shop, number))[1]["out_refund_no"]
    asked = await manage("refund", "cancel", waiting)
    assert (asked.code, (await refund(shop, waiting))["state"]) == (2, "REQUESTED")
    cancelled = await manage("refund", "cancel", waiting, "--yes")
    assert (cancelled.code, (await refund(shop, waiting))["state"]) == (0, "REFUSED")
    assert "被拒绝或已取消" in cancelled.out


@pytest.mark.parametrize(
    ("amount", "more", "code", "name"),
    [
        (1801, (), 1, "NOT_REFUNDABLE"),
        (0, (), 2, "BAD_AMOUNT"),
        (10_000_001, (), 2, "BAD_REQUEST"),
        (500, ("--out-refund-no", "a b"), 2, "BAD_NUMBER"),
        (500, ("--key", "a b"), 2, "BAD_IDEMPOTENCY_KEY"),
    ],
)
async def test_a_refund_that_cannot_be_is_refused_before_wechat_hears_of_it(
    shop: Shop, manage: Manage, amount: int, more: tuple[str, ...], code: int, name: str
) -> None:
    number = await paid(shop, manage)
    ran = await manage(*wish(number, amount, *more), "--json")
    assert (ran.code, ran.error()["code"]) == (code, name)
    assert await refunds(shop, number) == []


async def test_more_than_is_left_is_1_and_names_the_refunds(shop: Shop, manage: Manage) -> None:
    number = await paid(shop, manage)
    assert (await manage(*wish(number, 1800))).code == 0
    ran = await manage(*wish(number, 1))
    assert (ran.code, ran.err.splitlines()[-1]) == (1, f"下一步：manage.py refund list {number}")
    assert "重试" not in ran.err
    unpaid = str((await shop.sold())["out_trade_no"])
    error = (await manage(*wish(unpaid), "--json")).error()
    assert (error["code"], error["next"]) == ("ORDER_NOT_PAID", f"manage.py why {unpaid}")


async def test_wechats_no_to_a_refund_is_4(shop: Shop, manage: Manage, simulator: SimulatorProcess) -> None:
    number = await paid(shop, manage)
    fault = {"fault": "refuse", "code": "USER_ACCOUNT_ABNORMAL", "message": "用户账户异常", "times": 1}
    simulator.control("POST", "faults", {"path": "/v3/refund/domestic/refunds"} | fault)
    ran = await manage(*wish(number))
    assert (ran.code, ran.out) == (4, "")
    assert "微信支付返回信息: USER_ACCOUNT_ABNORMAL 用户账户异常" in ran.err
    refused = (await refunds(shop, number))[0]["out_refund_no"]
    assert ran.err.endswith(f"下一步：manage.py refund show {refused}\n")
    assert "重试" not in ran.err
    again = await manage(*wish(number, 500, "--out-refund-no", refused))
    assert (again.code, "重试" in again.err) == (1, False)
    assert "退款 ¥5.00 未成功（USER_ACCOUNT_ABNORMAL）" in (await manage("why", number)).out


async def test_a_refund_that_ends_badly_is_1(shop: Shop, manage: Manage, simulator: SimulatorProcess) -> None:
    number = await paid(shop, manage)
    simulator.control("POST", "refunds/scenarios", {"scenario": "abnormal", "out_trade_no": number})
    made = await manage(*wish(number), "--json")
    refund_number = made.json()["out_refund_no"]
    assert made.code == 0
    for _ in range(100):
        if (await manage("refund", "query", refund_number, "--json")).json()["state"] == "ABNORMAL":
            break
    again = await manage(*wish(number, 500, "--out-refund-no", refund_number))
    assert again.code == 1
    assert "退款异常，请到商户平台处理（ABNORMAL）" in again.out
    assert again.err.endswith(f"下一步：manage.py refund show {refund_number}\n")


async def test_on_a_terminal_a_refund_shows_what_it_takes_from_before_it_is_made(shop: Shop, manage: Manage) -> None:
    number = await paid(shop, manage)
    arguments = ("refund", "create", number, "--amount", "700", "--reason", "x")
    no = await manage.on_a_terminal(*arguments, answer="\n", LANG="en_US.UTF-8")
    assert no.code == 1
    assert f"Refund ¥7.00 of order {number} (咖啡, ¥18.00 refundable)? [y/N]" in no.err
    assert await refunds(shop, number) == []
    assert (await manage.on_a_terminal(*arguments, answer="y\n")).code == 0
    assert [refund["refund"] for refund in await refunds(shop, number)] == [700]


async def test_on_a_terminal_more_than_is_left_is_refused_before_it_is_asked(shop: Shop, manage: Manage) -> None:
    number = await paid(shop, manage)
    more = ("--reason", "x")
    no = await manage.on_a_terminal("refund", "create", number, "--amount", "1801", *more, answer="y\n", NO_COLOR="1")
    assert (no.code, "[y/N]" in no.err) == (1, False)
    assert "✘ 申请退款 ¥18.01，可退金额只有 ¥18.00" in no.err
    assert f"下一步：manage.py refund list {number}" in no.err
    unpaid = str((await shop.sold())["out_trade_no"])
    no = await manage.on_a_terminal("refund", "create", unpaid, "--amount", "1", *more, answer="y\n")
    assert (no.code, "[y/N]" in no.err, f"下一步：manage.py why {unpaid}" in no.err) == (1, False, True)
    assert await refunds(shop, number) == []


async def test_on_a_terminal_the_same_refund_can_be_repeated_when_nothing_more_is_left(
    shop: Shop, manage: Manage
) -> None:
    number = await paid(shop, manage)
    arguments = ("refund", "create", number, "--amount", "1800", "--reason", "x", "--out-refund-no", f"R-{number}")
    for _ in range(2):
        assert (await manage.on_a_terminal(*arguments, answer="y\n")).code == 0
    assert len(await refunds(shop, number)) == 1


async def test_with_json_a_terminal_is_not_asked_either(shop: Shop, manage: Manage) -> None:
    number = await paid(shop, manage)
    ran = await manage.on_a_terminal("refund", "create", number, "--amount", "1", "--reason", "x", "--json")
    assert (ran.code, ran.out, ran.error()["code"]) == (2, "", "NOT_CONFIRMED")
    assert await refunds(shop, number) == []


async def test_a_refund_whose_answer_never_came_is_read_again_before_it_is_shown(
    shop: Shop, manage: Manage, simulator: SimulatorProcess
) -> None:
    number = await paid(shop, manage)
    simulator.control("POST", "faults", {"path": "/v3/refund/domestic/refunds", "fault": "http_500", "times": 1})
    made = await manage(*wish(number), "--json")
    assert (made.code, made.json()["sends"], made.json()["due_at"]) == (0, 1, None)
    assert made.json() == await refund(shop, made.json()["out_refund_no"])


# -- bills ------------------------------------------------------------------------------------------------------------


def plant(directory: Path, days_ago: int, lines: list[Line]) -> str:
    """A bill that the service has fetched already; its date."""
    day = (TODAY - timedelta(days=days_ago)).isoformat()
    (directory / "bills").mkdir(exist_ok=True)
    (directory / "bills" / f"{day}.ALL.csv").write_bytes(trade_file(lines))
    return day


def files(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def a_day(days_ago: int, count: int = 2000) -> list[Line]:
    at = noon(days_ago)
    sales = [Line(f"bill-{days_ago}-{n:05}", f"4200{days_ago:04}{n:020}", 100, at, fee_e5=60) for n in range(count)]
    return [*sales, Line(f"bill-{days_ago}-00000", f"4200{days_ago:04}{0:020}", 0, at, "R-000001", 40, fee_e5=-24)]


async def test_a_bill_is_saved_as_wechat_wrote_it(manage: Manage, directory: Path, tmp_path: Path, shop: Shop) -> None:
    lines = a_day(20)
    day = plant(directory, 20, lines)
    ran = await manage("bill", "fetch", day, cwd=tmp_path)
    assert (ran.code, ran.out, ran.err) == (0, f"bill-{day}-ALL.csv\n", "")
    assert (tmp_path / f"bill-{day}-ALL.csv").read_bytes() == trade_file(lines)
    file = tmp_path / "here.csv"
    payload = await manage("bill", "fetch", day, "--out", str(file), "--json")
    assert payload.json() == {"date": day, "kind": "ALL", "file": str(file), "bytes": file.stat().st_size}
    assert files(tmp_path) == [f"bill-{day}-ALL.csv", "here.csv"]
    printed = await manage("bill", "fetch", day, "--out", "-", cwd=tmp_path)
    assert (printed.code, printed.out.encode(), printed.err) == (0, trade_file(lines).replace(b"\r\n", b"\n"), "")
    assert files(tmp_path) == [f"bill-{day}-ALL.csv", "here.csv"]


async def test_a_download_has_a_bar_on_a_terminal_and_none_in_a_pipe(
    manage: Manage, directory: Path, tmp_path: Path, shop: Shop
) -> None:
    day, file = plant(directory, 21, a_day(21)), str(tmp_path / "bill.csv")
    assert f"{day} 的账单" in (await manage.on_a_terminal("bill", "fetch", day, "--out", file)).err
    assert (await manage("bill", "fetch", day, "--out", file)).err == ""


async def test_a_bill_is_shown_by_its_sums_and_first_lines(manage: Manage, directory: Path, shop: Shop) -> None:
    day = plant(directory, 22, a_day(22))
    payload = (await manage("bill", "show", day, "--limit", "2", "--json")).json()
    assert payload["sums"] == {
        "payments": 2000,
        "received": 200_000,
        "settled": 200_000,
        "refunds": 1,
        "refunded": 40,
        "settled_refunded": 40,
        "fee": 120,
        "fee_e5": 119_976,
        "net": 200_000 - 40 - 120,
    }
    assert [line["out_trade_no"] for line in payload["lines"]] == ["bill-22-00000", "bill-22-00001"]
    shown = (await manage("bill", "show", day, "--limit", "1")).out
    assert "¥2000.00" in shown
    assert "bill-22-00000" in shown
    assert "bill-22-00001" not in shown


async def test_a_day_without_a_bill_is_said_to_be_one_and_leaves_no_file(
    manage: Manage, tmp_path: Path, shop: Shop
) -> None:
    day = (TODAY - timedelta(days=30)).isoformat()
    ran = await manage("bill", "fetch", day, cwd=tmp_path)
    assert (ran.code, ran.out, ran.err) == (0, "", "这一天没有账单：没有发生交易\n")
    payload = (await manage("bill", "fetch", day, "--json", cwd=tmp_path)).json()
    assert payload == {"date": day, "kind": "ALL", "file": None, "bytes": 0}
    assert (await manage("bill", "show", day, "--json")).json()["sums"]["payments"] == 0
    assert files(tmp_path) == []


async def test_a_bill_that_breaks_off_leaves_what_was_there(tmp_path: Path) -> None:
    file = tmp_path / "bill.csv"
    file.write_text("yesterday's", encoding="ascii")
    async with Canned(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\nContent-Type: text/csv\r\n\r\nhalf") as server:
        ran = await Manage(server.url, API_KEY)("bill", "fetch", "2026-03-01", "--out", str(file), "--json")
    assert (ran.code, ran.error()["code"]) == (5, "NO_ANSWER")
    assert file.read_text(encoding="ascii") == "yesterday's"
    assert files(tmp_path) == ["bill.csv"]


async def test_a_file_that_cannot_be_written_is_named(manage: Manage, directory: Path, shop: Shop) -> None:
    day = plant(directory, 23, a_day(23, 1))
    ran = await manage("bill", "fetch", day, "--out", "/nowhere/bill.csv")
    assert (ran.code, "/nowhere/bill.csv" in ran.err) == (3, True)


# -- books ------------------------------------------------------------------------------------------------------------


async def transaction_of(shop: Shop, number: str) -> str:
    return str(shop.simulator.order(number)["transaction_id"])


async def test_a_day_is_reconciled_repaired_and_what_is_left_is_named(
    shop: Shop, manage: Manage, directory: Path
) -> None:
    """WeChat has a payment that we have not booked, a second one of an order, and one of a number we never gave."""
    lost, twice = await shop.scanned(), await paid(shop, manage)
    again = shop.simulator.control("POST", f"orders/{twice}/payments", {})["transaction_id"]
    at = noon(24)
    lines = [
        Line(lost, await transaction_of(shop, lost), 1800, at),
        Line(twice, await transaction_of(shop, twice), 1800, at),
        Line(twice, again, 1800, at + timedelta(minutes=1)),
        Line("stranger-1", "4200999900000000000000000001", 100, at),
    ]
    day = plant(directory, 24, lines)
    run = await manage("reconcile", day)
    assert run.code == 1
    assert "微信有支付、系统未支付" in run.out
    assert "¥18.00 NOTPAY" in run.out
    assert run.err == f"还有 3 条差异待处理\n下一步：manage.py reconcile {day} --repair\n"
    repaired = await manage("reconcile", day, "--repair", "--yes", "--json")
    payload = repaired.json()
    assert repaired.code == 1
    assert [(one["action"], one["status"], one["error"]) for one in payload["repairs"]] == [
        ("query", "repaired", None),
        ("refund", "repaired", None),
    ]
    assert {one["kind"]: one["status"] for one in payload["differences"]} == {
        "missing_here": "repaired",
        "double_payment": "repaired",
        "unknown_number": "open",
    }
    assert await shop.state(lost) == "SUCCESS"
    times = [payload["started_at"], payload["finished_at"]]
    for one in payload["differences"]:
        times += [one["found_at"], *(line["at"] for line in one["audit"])]
    assert len(times) == 2 + 3 + 2
    assert all(re.fullmatch(r"[\d-]{10}T[\d:]{8}\+08:00", time) for time in times)
    exported = await shop.ask("GET", f"/api/reconciliations/{day}?format=csv", headers=MERCHANT)
    assert re.search(r",[\d-]{10} [\d:]{8},[\d-]{10} [\d:]{8} shop 查询 → 已处理：已支付,", exported.body.decode())
    assert "+00:00" not in exported.body.decode()
    left = await manage("reconcile", day)
    open_id = next(one["id"] for one in payload["differences"] if one["status"] == "open")
    assert left.err.splitlines() == [
        "还有 1 条差异待处理",
        f"人工核实后可标记：manage.py reconcile {day} --known {open_id[:6]}",
        f"下一步：manage.py bill show {day}",
    ]
    assert [refund["out_refund_no"] for refund in await refunds(shop, twice)] == [f"twice-{again}"]


async def test_a_day_that_agrees_is_0(manage: Manage, directory: Path, shop: Shop) -> None:
    number = await paid(shop, manage)
    day = plant(directory, 25, [Line(number, await transaction_of(shop, number), 1800, noon(25))])
    run = await manage("reconcile", day, "--repair", "--yes")
    assert (run.code, run.err) == (0, "没有待处理的差异\n")
    assert (await manage("reconcile", day, "--json")).json()["found"] == {}


async def test_a_repair_that_fails_is_told_and_the_others_go_on(
    shop: Shop, manage: Manage, directory: Path, simulator: SimulatorProcess
) -> None:
    numbers = [await shop.scanned() for _ in range(2)]
    lines = [Line(number, await transaction_of(shop, number), 1800, noon(26)) for number in numbers]
    day = plant(directory, 26, lines)
    fault = {"fault": "refuse", "code": "SIGN_ERROR", "message": "签名错误"}
    simulator.control("POST", "faults", {"path": f"/v3/pay/transactions/out-trade-no/{numbers[0]}"} | fault)
    run = await manage("reconcile", day, "--repair", "--yes", "--json")
    outcomes = {one["id"]: one for one in run.json()["repairs"]}
    named = {one["ours"]["out_trade_no"]: outcomes[one["id"]] for one in run.json()["differences"]}
    assert run.code == 1
    assert (named[numbers[0]]["status"], named[numbers[0]]["error"]["code"]) == ("open", "SIGN_ERROR")
    assert (named[numbers[1]]["status"], named[numbers[1]]["error"]) == ("repaired", None)


async def test_a_difference_that_no_query_settles_says_why_and_is_noted_by_hand(
    shop: Shop, manage: Manage, directory: Path
) -> None:
    number = await paid(shop, manage)
    day = plant(directory, 29, [Line(number, await transaction_of(shop, number), 1801, noon(29))])
    found = await manage("reconcile", day)
    assert found.err.endswith(f"下一步：manage.py reconcile {day} --repair\n")
    asked = await manage("reconcile", day, "--repair", "--yes")
    assert asked.code == 1
    assert "微信支付返回 ¥18.00 SUCCESS，账单为 ¥18.01 SUCCESS" in asked.out
    note = asked.err.splitlines()[1].removeprefix("人工核实后可标记：manage.py ")
    by_hand = f"人工核实后可标记：manage.py {note}\n下一步：manage.py why {number}\n"
    assert asked.err.endswith(by_hand)
    assert (await manage("reconcile", day)).err.endswith(by_hand)  # and not --repair once more
    payload = (await manage("reconcile", day, "--repair", "--yes", "--json", LANG="en_GB")).json()
    assert payload["repairs"][0]["reason"] == "WeChat Pay reports ¥18.00 SUCCESS, the bill says ¥18.01 SUCCESS"
    short = note.split()[-1]
    assert payload["differences"][0]["id"].startswith(short)
    assert f" {short} " in found.out
    noted = await manage(*note.split())
    assert (noted.code, noted.err) == (0, "没有待处理的差异\n")
    assert re.search(rf"{number} +标记为已人工核实 +已人工核实", noted.out)
    again = (await manage("reconcile", day, "--known", payload["differences"][0]["id"], "--json")).json()
    assert again["differences"][0]["status"] == "known"
    assert again["repairs"][0]["error"]["code"] == "DIFFERENCE_SETTLED"


async def test_an_id_that_no_difference_has_is_1_and_nothing_is_noted(
    shop: Shop, manage: Manage, directory: Path
) -> None:
    lines = [Line(f"foreign-{n:04}", f"4200777700000000000000{n:06}", 100, noon(31)) for n in range(2)]
    day = plant(directory, 31, lines)
    ids = [one["id"] for one in (await manage("reconcile", day, "--json")).json()["differences"]]
    other = next(f"{n:04x}" for n in range(9) if not any(one.startswith(f"{n:04x}") for one in ids))
    ran = await manage("reconcile", day, "--known", ids[0], "--known", other, "--json")
    assert (ran.code, ran.error()["code"], ran.error()["next"]) == (
        1,
        "DIFFERENCE_NOT_FOUND",
        f"manage.py reconcile {day}",
    )
    statuses = [one["status"] for one in (await manage("reconcile", day, "--json")).json()["differences"]]
    assert statuses == ["open", "open"]
    both = await manage("reconcile", day, "--known", ids[0], "--known", ids[1])
    assert both.code == 0
    assert both.out.count("标记为已人工核实") - both.out.count("标记为已人工核实（known）") == 2  # done, not offered


async def test_f3_on_eighty_columns_every_number_of_a_difference_is_in_one_piece(
    shop: Shop, manage: Manage, directory: Path
) -> None:
    transaction = "4200666600000000000000000001"
    day = plant(directory, 32, [Line("a-number-of-32-letters-0123456789"[:32], transaction, 100, noon(32))])
    for columns in ("80", "100"):
        lines = (await manage("reconcile", day, COLUMNS=columns)).out.splitlines()
        assert max(len(line) for line in lines) <= int(columns)
        assert any("a-number-of-32-letters-012345678" in line for line in lines)
        assert any(transaction in line for line in lines)


async def test_more_differences_than_a_page_are_all_there(manage: Manage, directory: Path, shop: Shop) -> None:
    lines = [Line(f"foreign-{n:04}", f"4200888800000000000000{n:06}", 100, noon(27)) for n in range(130)]
    day = plant(directory, 27, lines)
    payload = (await manage("reconcile", day, "--json")).json()
    assert {one["wechat"]["out_trade_no"] for one in payload["differences"]} == {line.out_trade_no for line in lines}
    shown = (await manage("reconcile", day)).out
    assert "差异 130 条，前 50 条（全部见 --json）" in shown
    assert shown.count("foreign-") == 50


async def test_on_a_terminal_repairs_are_asked_for_and_counted(shop: Shop, manage: Manage, directory: Path) -> None:
    numbers = [await shop.scanned() for _ in range(3)]
    day = plant(directory, 28, [Line(one, await transaction_of(shop, one), 1800, noon(28)) for one in numbers])
    no = await manage.on_a_terminal("reconcile", day, "--repair", answer="n\n")
    assert no.code == 1
    assert "向微信支付查询 3 条，对 0 笔重复支付退款（共 ¥0.00）？" in no.err
    assert await shop.state(numbers[0]) == "NOTPAY"
    yes: Ran = await manage.on_a_terminal("reconcile", day, "--repair", answer="y\n")
    assert yes.code == 0
    assert "3/3" in yes.err
    assert await asyncio.gather(*(shop.state(number) for number in numbers)) == ["SUCCESS"] * 3
