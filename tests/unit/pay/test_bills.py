"""Bills: read by name, in whole fen, and not at all when something does not add up."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.support.bill_text import HEADER, PAID, SUMMARY, bill
from tests.support.bills import flow_file
from wechat.domain.money import parse_yuan
from wechat.pay.bills.parser import MAX_LINE, BillBroken, TradeSummary, flow_lines, read_lines, trade_lines

REFUNDED = (
    "`2018-11-01 12:00:00,`wx1,`1900,`0,`,`4200,`order-1,`openid,`JSAPI,`REFUND,`CMC,`CNY,"
    "`0.00,`0.00,`5000,`refund-1,`5.00,`0.00,`ORIGINAL,`SUCCESS,`拿铁,`,`-0.03000,`0.60%,`0.00,`5.00,`"
)
TOTALS = "`2.0,`18.0,`5.0,`0.0,`0.07,`18.0,`5.0"


def test_a_payment_and_its_refund_are_read_in_fen() -> None:
    summaries: list[TradeSummary] = []
    paid, refunded = trade_lines(bill(PAID, REFUNDED, TOTALS), summaries)
    assert (paid.out_trade_no, paid.total, paid.refund, paid.out_refund_no) == ("order-1", 1800, 0, "")
    assert paid.time == datetime(2018, 10, 31, 16, 0, 30, tzinfo=UTC)
    assert not paid.is_refund
    assert refunded.is_refund
    assert (refunded.refund, refunded.total, refunded.out_refund_no) == (500, 0, "refund-1")
    assert (paid.fee_e5, refunded.fee_e5) == (10_800, -3_000)
    assert summaries == [TradeSummary(count=2, total=1800, refund=500, fee_e5=7_000)]


def test_columns_are_found_by_name_in_any_order() -> None:
    names, values = HEADER.split(","), PAID.removeprefix("`").split(",`")
    shuffled = [
        ",".join(reversed(names)),
        "`" + ",`".join(reversed(values)),
        SUMMARY,
        "`1.0,`18.0,`0,`0,`0.11,`18.0,`0",
    ]
    (line,) = trade_lines(shuffled)
    assert (line.transaction_id, line.total) == ("4200", 1800)


def test_a_bill_with_payments_only_has_no_refund_columns() -> None:
    drop = {"微信退款单号", "商户退款单号", "退款金额", "充值券退款金额", "退款类型", "退款状态", "申请退款金额"}
    names, values = HEADER.split(","), PAID.removeprefix("`").split(",`")
    kept = [(name, value) for name, value in zip(names, values, strict=True) if name not in drop]
    lines = [
        ",".join(name for name, _ in kept),
        "`" + ",`".join(value for _, value in kept),
        SUMMARY,
        "`1.0,`18.0,`0,`0,`0.11,`18.0,`0",
    ]
    (line,) = trade_lines(lines)
    assert (line.total, line.refund, line.out_refund_no) == (1800, 0, "")


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ((PAID,), "width"),
        ((PAID, "`9.0,`18.0,`0,`0,`0,`18.0,`0"), "summary"),
        ((PAID, "`1.0,`18.0,`0,`0,`0,`18.01,`0"), "summary"),
        ((PAID.replace("`18.00,`0.00,`0,", "`18.00,`0.00,"), "`1.0,`18.0,`0,`0,`0,`18.0,`0"), "width"),
        ((PAID.replace("`0.60%,`18.00", "`0.60%,`18.001"), "`1.0,`18.0,`0,`0,`0,`18.0,`0"), "value"),
        ((PAID.replace("2018-11-01", "2018-13-01"), "`1.0,`18.0,`0,`0,`0,`18.0,`0"), "value"),
        ((PAID.replace("2018-11-01", "0001-01-01"), "`1.0,`18.0,`0,`0,`0,`18.0,`0"), "value"),
        ((PAID.replace("`18.00", "`-18.00"), "`1.0,`-18.0,`0,`0,`0,`-18.0,`0"), "value"),
    ],
)
def test_what_does_not_add_up_is_refused(rows: tuple[str, ...], reason: str) -> None:
    with pytest.raises(BillBroken) as caught:
        list(trade_lines(bill(*rows)))
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("change", "count"),
    [(("`0.10800", "`999999999999.00000"), 93), (("`0.10800", "`-999999999999.00000"), 93)],
)
def test_a_sum_that_no_database_can_keep_is_refused(change: tuple[str, str], count: int) -> None:
    lines = bill(*[PAID.replace(*change)] * count, TOTALS)
    with pytest.raises(BillBroken, match="value"):
        list(trade_lines(lines))


def test_a_refund_with_a_sign_is_read_as_it_is() -> None:
    """M. It is a difference then, not a day without books."""
    lines = bill(REFUNDED.replace("`5.00", "`-5.00"), "`1.0,`0,`-5.0,`0,`0,`0,`-5.0")
    assert [(line.refund, line.settled_refund) for line in trade_lines(lines)] == [(-500, -500)]


def test_a_bill_cut_short_is_refused() -> None:
    with pytest.raises(BillBroken) as caught:
        list(trade_lines(bill(PAID, REFUNDED, TOTALS)[:2]))
    assert (caught.value.reason, caught.value.line) == ("truncated", 3)


def test_a_fund_flow_bill_tells_income_from_spending() -> None:
    header = "记账时间,微信支付业务单号,资金流水单号,业务名称,业务类型,收支类型,收支金额(元),账户结余(元),资金变更提交申请人,备注,业务凭证号"
    rows = [
        header,
        "`2018-02-01 04:21:23,`4200,`1900,`交易,`交易,`收入,`0.02,`0.17,`system,`缺省,`order-1",
        "`2018-02-01 05:00:00,`5000,`1901,`退款,`退款,`支出,`0.01,`0.16,`system,`缺省,`refund-1",
        "资金流水总笔数,收入笔数,收入金额,支出笔数,支出金额",
        "`2.0,`1.0,`0.02,`1.0,`0.01",
    ]
    assert [(line.amount, line.balance, line.voucher) for line in flow_lines(rows)] == [
        (2, 17, "order-1"),
        (-1, 16, "refund-1"),
    ]


def test_every_price_below_a_thousand_yuan_is_read_to_the_fen() -> None:
    """M."""
    assert all(parse_yuan(f"{value // 100}.{value % 100:02d}") == value for value in range(100_000))
    assert parse_yuan("-0.05") == -5


@pytest.mark.parametrize("text", ["", "1,000.00", "¥1.00", "１.00", "1e2", "1.001", "0x1", " 1.00", "nan", "+1.00"])
def test_what_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"yuan|finer"):
        parse_yuan(text)


OLD_HEADER = (
    "交易时间,公众账号ID,商户号,子商户号,设备号,微信订单号,商户订单号,用户标识,交易类型,交易状态,付款银行,货币种类,"
    "总金额,代金券或立减优惠金额,微信退款单号,商户退款单号,退款金额,代金券或立减优惠退款金额,退款类型,退款状态,商品名称,商户数据包,手续费,费率"
)
OLD_SUMMARY = "总交易单数,总交易额,总退款金额,总代金券或立减优惠退款金额,手续费总金额"


def test_a_bill_of_a_merchant_from_before_2018_has_24_columns() -> None:
    paid = (
        "`2014-11-10 16:33:45,`wx1,`1900,`0,`1000,`1001,`order-1,`openid,`MICROPAY,`SUCCESS,`CFT,`CNY,"
        "`0.05,`0.0,`0,`0,`0,`0,`,`,`测试,`,`0,`0.60%"
    )
    refunded = paid.replace("SUCCESS", "REFUND").replace(
        "`0.05,`0.0,`0,`0,`0,`0,`,`,", "`0,`0,`50,`r-1,`0.02,`0,`,`SUCCESS,"
    )
    lines = [OLD_HEADER, paid, refunded, OLD_SUMMARY, "`2,`0.05,`0.02,`0.0,`0"]
    first, second = trade_lines(f"{line}\r\n" for line in lines)
    assert (first.total, first.settled, first.refund, second.refund, second.settled_refund) == (5, 5, 0, 2, 2)
    assert len(OLD_HEADER.split(",")) == 24


def test_a_refund_bill_has_two_columns_more() -> None:
    times = "`2018-11-01 12:00:00,`2018-11-01 12:00:05"
    lines = [f"{HEADER},退款申请时间,退款成功时间", f"{REFUNDED},{times}", SUMMARY, "`1.0,`0,`5.0,`0,`-0.03,`0,`5.0"]
    (line,) = trade_lines(lines)
    assert (line.out_refund_no, line.settled_refund, line.refund_status) == ("refund-1", 500, "SUCCESS")


def test_coupons_stand_between_the_price_and_what_is_settled() -> None:
    paid = PAID.replace("`18.00,`0.00,`0,`0", "`15.50,`2.50,`0,`0")
    (line,) = trade_lines(bill(paid, "`1.0,`15.5,`0,`0,`0.11,`18.0,`0"))
    assert (line.total, line.settled) == (1800, 1550)


def test_a_day_without_entries_still_has_its_summary() -> None:
    assert list(trade_lines(bill("`0.0,`0.0,`0.0,`0.0,`0.0,`0.0,`0.0"))) == []


@pytest.mark.parametrize("time", ["2018-W44-4 00:00:30", "2018-11-01T00:00:30", "2018-11-01 00:00", "1541001630"])
def test_only_the_documented_form_of_a_time_is_read(time: str) -> None:
    with pytest.raises(BillBroken, match="value"):
        list(trade_lines(bill(PAID.replace("2018-11-01 00:00:30", time), "`1.0,`18.0,`0,`0,`0.11,`18.0,`0")))


def test_what_follows_the_summary_is_refused() -> None:
    with pytest.raises(BillBroken, match="trailing, line 6"):
        list(trade_lines([*bill(PAID, REFUNDED, TOTALS), "\r\n", f"{PAID}\r\n"]))


def test_a_file_that_is_no_text_or_one_endless_line_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bill.csv"
    path.write_bytes("".join(bill(PAID, REFUNDED, TOTALS)).encode()[:400] + b"\xff\xfe")
    with pytest.raises(BillBroken, match="encoding"):
        list(read_lines(path))
    path.write_text("x" * 10 * MAX_LINE)
    with pytest.raises(BillBroken, match="width, line 1"):
        list(read_lines(path))


def test_a_fund_flow_bill_that_miscounts_is_refused() -> None:
    lines = flow_file([200, -100]).decode().splitlines()
    assert [line.amount for line in flow_lines(lines)] == [200, -100]
    with pytest.raises(BillBroken, match="summary"):
        list(flow_lines([*lines[:2], *lines[3:]]))
