"""WeChat's bills at the simulator: when they can be had, what stands on them to the byte, and the faults planted on them."""

from __future__ import annotations

import gzip
import hashlib
from collections import Counter
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.simulator.merchant import BEIJING, number, unxml
from tests.simulator.sink import Sink
from tests.support.simulated_bills import ALL_SUMS, BillFixture, line, table
from tests.support.simulator import SimulatorProcess, ask

ALL = (
    "交易时间,公众账号ID,商户号,特约商户号,设备号,微信订单号,商户订单号,用户标识,交易类型,交易状态,付款银行,货币种类,"
    "应结订单金额,代金券金额,微信退款单号,商户退款单号,退款金额,充值券退款金额,退款类型,退款状态,商品名称,商户数据包,手续费,费率,"
    "订单金额,申请退款金额,费率备注"
)


@pytest.fixture
def books(tmp_path: Path, sink: Sink) -> Iterator[BillFixture]:
    process = SimulatorProcess.start(tmp_path / "state", calendar="simulated")
    yield BillFixture(process, sink)
    assert process.stop() == 0


# -- when --------------------------------------------------------------------------------------------------------------


def test_a_bill_can_be_had_at_ten_on_the_next_day_for_three_months(books: BillFixture) -> None:
    day = books.today
    books.shop.paid("v3")
    assert books.announced(day).json()["code"] == "INVALID_REQUEST"
    assert v2_refusal(books, day)["return_msg"] == "invalid parameter"
    books.morning_after(day, timedelta(0))
    assert books.announced(day).json()["code"] == "STATEMENT_CREATING"
    assert v2_refusal(books, day)["return_msg"] == "Bill Creating"
    books.morning_after(day)
    assert len(books.trade(day)[0]) == 1
    books.advance(timedelta(days=93))
    assert books.announced(day).json()["code"] == "INVALID_REQUEST"


def test_a_day_on_which_nothing_happened_has_no_bill(books: BillFixture) -> None:
    day = books.today
    books.morning_after(day)
    assert books.announced(day).json()["code"] == "NO_STATEMENT_EXIST"
    assert books.announced(day, "fundflowbill").json()["code"] == "NO_STATEMENT_EXIST"
    refused = v2_refusal(books, day)
    assert (refused["return_msg"], refused["error_code"]) == ("No Bill Exist", "20002")
    books.shop.paid("v3")
    assert books.announced(books.today - timedelta(days=1)).json()["code"] == "NO_STATEMENT_EXIST"


def v2_refusal(books: BillFixture, day: date, **more: str) -> dict[str, str]:
    """v2's unsigned XML in place of the file."""
    payload = books.shop.v2("downloadbill", bill_date=day.strftime("%Y%m%d"), **more)
    assert payload["return_code"] == "FAIL"
    assert "sign" not in payload
    return payload


def test_with_the_wall_clocks_dates_a_bill_of_today_can_be_had_after_a_leap(tmp_path: Path, sink: Sink) -> None:
    """For libraries that know nothing of this clock: their requests are dated right, whatever the hour is here."""
    process = SimulatorProcess.start(tmp_path / "state")
    books = BillFixture(process, sink)
    day = datetime.now(BEIJING).date()
    books.shop.paid("v3")
    books.morning_after(day)
    rows, _ = books.trade(day)
    assert rows[0]["交易时间"].startswith(day.isoformat())
    process.stop()


# -- what --------------------------------------------------------------------------------------------------------------


def test_the_trade_bill_is_wechats_to_the_byte(books: BillFixture) -> None:
    day, shop = books.today, books.shop
    out_trade_no = shop.paid("v3", description="拿铁,大杯\n热", attach="桌号7")
    out_refund_no = number()
    shop.v3_refund(500, out_trade_no=out_trade_no, out_refund_no=out_refund_no)
    books.morning_after(day)
    truth, refund = books.simulator.order(out_trade_no), books.simulator.control("GET", f"refunds/{out_refund_no}")
    file = books.downloaded(books.announced(day)).decode()
    head = f"{shop.appid},`{shop.mchid},`0,`,`{truth['transaction_id']},`{out_trade_no},`{shop.payer['openid']},`JSAPI"
    tail = "拿铁\\ 大杯\\n热,`桌号7"
    assert file == "".join(
        f"{line}\r\n"
        for line in (
            f"\ufeff{ALL}",
            f"`{stamp(truth['paid_at'])},`{head},`SUCCESS,`OTHERS,`CNY,`18.00,`0.00,`0,`0,`0.00,`0.00,`,`,`{tail},`0.11000,`0.60%,`18.00,`0.00,`",
            f"`{stamp(refund['taken_at'])},`{head},`REFUND,`OTHERS,`CNY,`0.00,`0.00,`{refund['refund_id']},`{out_refund_no},`5.00,`0.00,`ORIGINAL,`SUCCESS,`{tail},`-0.03000,`0.60%,`0.00,`5.00,`",
            ALL_SUMS,
            "`2,`18.00,`5.00,`0.00,`0.08000,`18.00,`5.00",
        )
    )


def stamp(rfc3339: str) -> str:
    return rfc3339.removesuffix("+08:00").replace("T", " ")


def test_the_kinds_of_trade_bill_have_the_columns_of_their_own(books: BillFixture) -> None:
    day, shop = books.today, books.shop
    out_trade_no = shop.paid("v2")
    shop.v3_refund(500, out_trade_no=out_trade_no)
    books.morning_after(day)
    paid, paid_sums = books.trade(day, "SUCCESS")
    back, back_sums = books.trade(day, "REFUND")
    assert ("退款金额" in paid[0], "退款申请时间" in back[0], len(paid), len(back)) == (False, True, 1, 1)
    assert (paid_sums["订单总金额"], back_sums["退款总金额"]) == ("18.00", "5.00")


@pytest.mark.parametrize(
    ("scenario", "status"), [("slow", "SUCCESS"), ("stuck", "PROCESSING"), ("abnormal", "CHANGE"), ("closed", "FAIL")]
)
def test_a_refunds_status_is_that_of_the_morning_and_stays(books: BillFixture, scenario: str, status: str) -> None:
    day, shop = books.today, books.shop
    out_trade_no = shop.paid("v3")
    books.simulator.control("POST", "refunds/scenarios", {"scenario": scenario})
    shop.v3_refund(500, out_trade_no=out_trade_no)
    books.morning_after(day)
    assert books.trade(day, "REFUND")[0][0]["退款状态"] == status
    books.advance(timedelta(days=8))
    assert books.trade(day, "REFUND")[0][0]["退款状态"] == status


def test_the_fund_flow_bill_tells_every_movement_and_adds_up_to_the_balance(books: BillFixture) -> None:
    day, shop = books.today, books.shop
    books.simulator.control("POST", "balance", {"transfer": 10000})
    out_trade_no = shop.paid("v3")
    shop.v3_refund(1800, out_trade_no=out_trade_no)
    books.simulator.control("POST", "balance", {"transfer": -2500})
    balance = books.simulator.control("GET", "balance")["balance"]
    books.morning_after(day)
    rows, sums = table(books.downloaded(books.announced(day, "fundflowbill", "&account_type=BASIC")))
    assert [(row["业务类型"], row["收支类型"], row["收支金额(元)"]) for row in rows] == [
        ("充值", "收入", "100.00"),
        ("交易", "收入", "18.00"),
        ("扣除交易手续费", "支出", "0.11"),
        ("退款", "支出", "18.00"),
        ("退回交易手续费", "收入", "0.11"),
        ("提现", "支出", "25.00"),
    ]
    assert (rows[-1]["账户结余(元)"], balance) == ("75.00", 7500)
    assert list(sums.values()) == ["6.0", "3.0", "118.11", "3.0", "43.11"]
    secure = {"bill_date": day.strftime("%Y%m%d"), "account_type": "Basic"}
    answer = shop.v2_secure("/pay/downloadfundflow", secure)
    assert table(answer.body) == (rows, sums)
    assert answer.headers["Digest"] == f"SHA={hashlib.sha1(answer.body).hexdigest()}"  # noqa: S324 - WeChat's choice
    assert shop.v2_secure("/pay/downloadfundflow", secure, certificate=False).status == 400
    assert unxml(shop.v2_secure("/pay/downloadfundflow", secure, "MD5").body)["return_msg"] == "SIGN ERROR"


def test_v2_and_v3_hand_out_the_same_file_zipped_or_not(books: BillFixture) -> None:
    day, shop = books.today, books.shop
    shop.paid("v2")
    books.morning_after(day)
    plain = books.downloaded(books.announced(day))
    zipped = books.announced(day, more="&tar_type=GZIP").json()
    body = shop.v3("GET", zipped["download_url"].removeprefix(books.simulator.url)).body
    assert gzip.decompress(body) == plain
    assert zipped["hash_value"] == hashlib.sha1(plain).hexdigest()  # noqa: S324 - WeChat's choice
    fields = shop.v2_signed({"bill_date": day.strftime("%Y%m%d"), "tar_type": "GZIP"})
    assert gzip.decompress(ask("POST", f"{books.simulator.url}/pay/downloadbill", fields).body) == plain


def test_a_sale_at_the_till_of_another_system_stands_on_the_bill_and_notifies_nobody(books: BillFixture) -> None:
    day, sale = books.today, {"out_trade_no": "TILL-0001", "total": 250}
    told = books.shop.simulator.control("POST", "till", sale)
    books.morning_after(day)
    [entry], _ = books.trade(day)
    found = (entry["商户订单号"], entry["微信订单号"], entry["交易类型"], entry["订单金额"])
    assert found == ("TILL-0001", told["transaction_id"], "MICROPAY", "2.50")
    assert books.shop.simulator.control("GET", "orders/TILL-0001")["attempts"] == []
    for wrong in (sale, sale | {"out_trade_no": "short"}, sale | {"out_trade_no": "TILL-0002", "total": 0}):
        assert "transaction_id" not in books.shop.simulator.control("POST", "till", wrong)


def test_a_download_address_is_signed_for_and_dies_after_five_minutes(books: BillFixture) -> None:
    day = books.today
    books.shop.paid("v3")
    books.morning_after(day)
    url = books.announced(day).json()["download_url"]
    assert ask("GET", url, headers={"Accept": "*/*", "User-Agent": "nobody"}).status == 401
    books.advance(timedelta(minutes=5))
    late = books.shop.v3("GET", url.removeprefix(books.simulator.url))
    assert (late.status, late.json()["code"]) == (400, "INVALID_REQUEST")


# -- faults ------------------------------------------------------------------------------------------------------------


def test_planted_faults_change_the_bill_as_said_and_nothing_else(books: BillFixture) -> None:
    day, shop = books.today, books.shop
    paid = [shop.paid("v3") for _ in range(6)]
    unpaid, _ = shop.place("v3")
    for out_trade_no in paid[:3]:
        shop.v3_refund(500, out_trade_no=out_trade_no)
    books.morning_after(day)
    before = Counter(map(line, books.trade(day)[0]))
    plants = {kind: books.plant(day, kind)[0] for kind in KINDS}
    rows, sums = books.trade(day)
    after = Counter(map(line, rows))
    gone, new = before - after, after - before
    assert sums["总交易单数"] == str(len(rows))
    on_a_refund = bool(plants["state"]["refund_id"])  # that line changes; a payment's gets one more beside it
    assert (sum(gone.values()), sum(new.values())) == (3 + on_a_refund, 6)
    expected = {"missing_there": 0, "refund_missing_there": 0, "state": 1 if on_a_refund else 2}
    for kind, plant in plants.items():
        shown = [row for row in rows if (row["微信订单号"], row["微信退款单号"]) == numbers(plant)]
        assert len(shown) == expected.get(kind, 1), kind
    assert plants["missing_here"]["out_trade_no"] == unpaid
    assert plants["double_payment"]["out_trade_no"] in paid
    assert (
        books.simulator.control("GET", f"orders/{plants['unknown_number']['out_trade_no']}")["message"]
        == "no such order"
    )
    ask("DELETE", f"{books.simulator.url}/simulator/bills/faults?date={day.isoformat()}")
    assert Counter(map(line, books.trade(day)[0])) == before


KINDS = (
    "missing_here",
    "missing_there",
    "amount",
    "state",
    "refund_missing_here",
    "refund_missing_there",
    "double_payment",
    "unknown_number",
)


def test_only_payments_that_count_are_left_out_or_changed(books: BillFixture) -> None:
    """Without its surplus payment a bill agrees with the merchant's books: nobody would find the fault."""
    day, twice = books.today, books.shop.paid("v3")
    own = books.simulator.order(twice)["transaction_id"]
    surplus = [books.simulator.control("POST", f"orders/{twice}/payments", {})["transaction_id"] for _ in range(5)]
    for kind in ("missing_there", "amount", "state"):
        [plant] = books.plant(day, kind, number=twice)
        assert (plant["transaction_id"], plant["transaction_id"] in surplus) == (own, False)
        ask("DELETE", f"{books.simulator.url}/simulator/bills/faults?date={day.isoformat()}")


def numbers(plant: dict[str, Any]) -> tuple[str, str]:
    return plant["transaction_id"], plant["refund_id"] or "0"


def test_a_fault_that_nothing_could_carry_is_refused(books: BillFixture) -> None:
    day = books.today
    payload = books.simulator.control("POST", "bills/faults", {"date": day.isoformat(), "kind": "refund_missing_there"})
    assert payload["code"] == "SIMULATOR_ERROR"
    assert (
        books.simulator.control("POST", "bills/faults", {"date": "today", "kind": "amount"})["message"]
        == "date is YYYY-MM-DD"
    )


# -- the truth ---------------------------------------------------------------------------------------------------------


def test_the_truth_of_a_day_is_what_its_bill_and_its_movements_add_up_to(books: BillFixture) -> None:
    day, shop = books.today, books.shop
    for refund in (500, 1800, 1):
        shop.v3_refund(refund, out_trade_no=shop.paid("v3"))
    books.simulator.control("POST", "refunds/scenarios", {"scenario": "closed"})
    shop.v3_refund(700, out_trade_no=shop.paid("v3"))
    books.morning_after(day)
    truth = books.simulator.control("GET", f"books/{day.isoformat()}")
    assert truth == {
        "date": day.isoformat(),
        "payments": 4,
        "received": 7200,
        "settled": 7200,
        "refunds": 3,
        "refunded": 2301,
        "settled_refunded": 2301,
        "fee": 44 - 3 - 11 - 0,
        "net": 7200 - 2301 - 30,
        "balance": 7200 - 2301 - 30,
    }
    rows, _ = books.trade(day)
    assert sum(float(row["手续费"]) for row in rows) == pytest.approx(0.30)


def test_bills_refunds_and_faults_survive_a_kill(tmp_path: Path, sink: Sink) -> None:
    state = tmp_path / "state"
    process = SimulatorProcess.start(state, calendar="simulated")
    books = BillFixture(process, sink)
    day = books.today
    out_trade_no = books.shop.paid("v3")
    books.simulator.control("POST", "refunds/scenarios", {"scenario": "abnormal"})
    made = books.shop.v3_refund(500, out_trade_no=out_trade_no).json()["out_refund_no"]
    books.morning_after(day)
    books.simulator.control("POST", f"console/refunds/{made}/resend")
    books.plant(day, "amount")
    before = [books.trade(day), books.simulator.control("GET", f"books/{day.isoformat()}")]
    process.kill()
    process = SimulatorProcess.start(state, calendar="simulated")
    books = BillFixture(process, sink)
    assert [books.trade(day), books.simulator.control("GET", f"books/{day.isoformat()}")] == before
    books.advance(timedelta(seconds=2))
    assert books.simulator.control("GET", f"refunds/{made}")["state"] == "SUCCESS"
    process.stop()


def test_after_a_year_nothing_is_refunded(books: BillFixture) -> None:
    out_trade_no = books.shop.paid("v3")
    books.advance(timedelta(days=365, seconds=-10))
    assert books.shop.v3_refund(1, out_trade_no=out_trade_no).status == 200
    books.advance(timedelta(seconds=70))
    assert books.shop.v3_refund(1, out_trade_no=out_trade_no).json()["code"] == "TRADE_OVERDUE"
    assert books.shop.v2_refund(out_trade_no=out_trade_no, refund_fee="1")["err_code"] == "TRADE_OVERDUE"


def test_the_simulated_calendar_dates_payments_and_reads_time_expire(books: BillFixture) -> None:
    books.advance(timedelta(days=3))
    soon = (books.now + timedelta(minutes=10)).isoformat(timespec="seconds")
    out_trade_no = books.shop.paid("v3", time_expire=soon)
    success_time = datetime.fromisoformat(books.shop.v3_query(out_trade_no).json()["success_time"])
    assert abs(success_time - books.now) < timedelta(seconds=10)
    wall = (datetime.now(BEIJING) + timedelta(minutes=10)).isoformat(timespec="seconds")
    refused = books.shop.v3("POST", "/v3/pay/transactions/jsapi", books.shop.v3_order(time_expire=wall))
    assert refused.json()["code"] == "INVALID_REQUEST"
