"""Bills as they come, kept as small files, and a day with any text in any field, written and read back."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from simulator.bills.lines import Line, TradeKind, trade_file
from wechat.pay.bills.parser import BillBroken, TradeLine, TradeSummary, flow_lines, read_lines, trade_lines

BILLS = Path(__file__).parents[2] / "fixtures/bills"
MIDNIGHT = datetime(2026, 2, 28, 16, tzinfo=UTC)
Short = tuple[str, str, int, int, int, int, int]

PAID: Short = ("SUCCESS", "order-1", 1800, 1800, 0, 0, 11_000)
BACK: Short = ("REFUND", "order-1", 0, 0, 500, 500, -3_000)
TRADE: dict[str, list[Short]] = {
    "all": [PAID, BACK],
    "all_with_decimal_counts": [PAID],
    "all_without_mark_and_returns": [PAID],
    "all_empty": [],
    "coupons": [("SUCCESS", "order-1", 1800, 1499, 0, 0, 9_000), ("REFUND", "order-1", 0, 0, 900, 750, -4_000)],
    "line_break": [PAID, ("SUCCESS", "order-2", 100, 100, 0, 0, 1_000)],
    "escaped_commas": [PAID],
    "revoked": [PAID, ("REVOKED", "order-1", 0, 0, 1800, 1800, -11_000)],
    "failed_refund": [("REFUND", "order-1", 0, 0, 500, 500, 0)],
    "all_24_columns": [("SUCCESS", "order-1", 5, 5, 0, 0, 0), ("REFUND", "order-1", 0, 0, 2, 2, 0)],
    "success": [PAID],
    "success_with_four_sums": [PAID],
    "refund": [BACK],
}
FLOW = ("fund_flow", "fund_flow_full_width_brackets")


def short(line: TradeLine) -> Short:
    amounts = (line.total, line.settled, line.refund, line.settled_refund, line.fee_e5)
    return (line.trade_state, line.out_trade_no, *amounts)


@pytest.mark.parametrize("name", TRADE)
def test_a_bill_that_came_once_is_read_to_the_fen(name: str) -> None:
    summaries: list[TradeSummary] = []
    lines = list(trade_lines(read_lines(BILLS / f"{name}.csv"), summaries))
    assert list(map(short, lines)) == TRADE[name]
    assert (summaries[0].count, summaries[0].total) == (len(lines), sum(line.total for line in lines))


@pytest.mark.parametrize("name", FLOW)
def test_a_fund_flow_bill_is_read_with_either_kind_of_brackets(name: str) -> None:
    assert [(line.amount, line.balance) for line in flow_lines(read_lines(BILLS / f"{name}.csv"))] == [
        (1800, 1800),
        (-11, 1789),
    ]


def test_every_file_of_the_corpus_is_read() -> None:
    assert {path.stem for path in BILLS.iterdir()} == {*TRADE, *FLOW, "english"}


def test_a_bill_with_english_headings_is_refused_by_name() -> None:
    with pytest.raises(BillBroken) as refused:
        list(trade_lines(read_lines(BILLS / "english.csv")))
    assert (refused.value.reason, refused.value.line) == ("heading 'Trade time' instead of 交易时间", 1)


@pytest.mark.parametrize("kind", ["trade", "flow"])
def test_a_bill_of_the_other_kind_is_refused_by_name(kind: str) -> None:
    name, read = ("fund_flow", trade_lines) if kind == "trade" else ("all", flow_lines)
    readers: Callable[..., object] = read
    with pytest.raises(BillBroken, match="heading"):
        list(readers(read_lines(BILLS / f"{name}.csv")))  # type: ignore[call-overload]


def test_an_error_behind_a_broken_line_is_told_by_the_number_of_its_own(tmp_path: Path) -> None:
    text = (BILLS / "line_break.csv").read_bytes().decode()
    path = tmp_path / "bill.csv"
    path.write_bytes(text.replace("`1.00,`0.00,`0,", "`1.001,`0.00,`0,").encode())
    with pytest.raises(BillBroken) as refused:
        list(trade_lines(read_lines(path)))
    assert (refused.value.reason, refused.value.line) == ("value", 6)


def test_a_text_that_never_ends_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bill.csv"
    path.write_bytes((BILLS / "line_break.csv").read_bytes().replace("第三行".encode(), b"x\r\n" * 20_000))
    with pytest.raises(BillBroken, match="width, line 2"):
        list(trade_lines(read_lines(path)))


NUMBERS = st.text("0123456789abcdefABCDEF_-|*@", min_size=1, max_size=32).filter(lambda text: text != "0")
TEXTS = st.text(max_size=80).filter(lambda text: "总交易单数" not in text)
FEN = st.integers(0, 10**9)
COMMON = {
    "at_s": st.integers(0, 86_399).map(lambda seconds: MIDNIGHT.timestamp() + seconds),
    "appid": NUMBERS,
    "mchid": NUMBERS,
    "device_info": TEXTS,
    "transaction_id": NUMBERS,
    "out_trade_no": NUMBERS,
    "openid": NUMBERS,
    "trade_type": st.sampled_from(["JSAPI", "NATIVE", "APP", "MWEB"]),
    "description": TEXTS,
    "attach": TEXTS,
    "fee": st.integers(-(10**6), 10**6),
}
PAYMENTS = st.builds(Line, **COMMON, trade_state=st.just("SUCCESS"), total=FEN, settled=FEN, coupons=FEN)
REFUNDS = st.builds(
    Line,
    **COMMON,
    trade_state=st.just("REFUND"),
    refund_id=NUMBERS,
    out_refund_no=NUMBERS,
    refund=FEN,
    settled_refund=FEN,
    refund_status=st.sampled_from(["SUCCESS", "PROCESSING", "FAIL", "CHANGE"]),
)


def reread(file: bytes) -> list[TradeLine]:
    with tempfile.NamedTemporaryFile() as bill:
        bill.write(file)
        bill.flush()
        return list(trade_lines(read_lines(Path(bill.name))))


def told(line: Line) -> tuple[object, ...]:
    """The values that the parser is expected to read from ``line``."""
    numbers = (line.appid, line.mchid, line.transaction_id, line.out_trade_no, line.openid, line.trade_type)
    back = (line.refund_id, line.out_refund_no, line.refund, line.settled_refund, line.refund_status)
    return (line.at_s, *numbers, line.trade_state, line.total, line.settled, *back, line.fee * 1000)


def found(line: TradeLine) -> tuple[object, ...]:
    numbers = (line.appid, line.mchid, line.transaction_id, line.out_trade_no, line.openid, line.trade_type)
    back = (line.refund_id, line.out_refund_no, line.refund, line.settled_refund, line.refund_status)
    return (line.time.timestamp(), *numbers, line.trade_state, line.total, line.settled, *back, line.fee_e5)


@settings(suppress_health_check=[HealthCheck.too_slow])  # the first text takes a while on a machine that is busy
@given(st.lists(PAYMENTS | REFUNDS, max_size=5))
def test_a_day_with_any_text_in_any_field_is_read_back_equal(lines: list[Line]) -> None:
    """In each kind of bill, and with line breaks as they are instead of escaped."""
    everything = trade_file(lines, TradeKind.ALL)
    for file in (everything, everything.replace(rb"\n", b"\n"), everything.replace(rb"\n", b"\r\n\r\n")):
        assert [found(line) for line in reread(file)] == [told(line) for line in lines]
    for kind, wanted in (
        (TradeKind.SUCCESS, [line for line in lines if not line.is_refund]),
        (TradeKind.REFUND, [line for line in lines if line.is_refund]),
    ):
        assert [found(line) for line in reread(trade_file(wanted, kind))] == [told(line) for line in wanted]
