"""M: amounts through every edge, as whole fen or not at all. How bills are read is in test_bills, the table of an
order's mismatches (a wrong total, another currency) in test_receive, a price from a browser in test_wanted."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from pydantic import ValidationError

from service.settings.sections import Product
from tests.support.bill_text import PAID, bill
from tests.support.bills import Line, trade_bill
from tests.support.bills import yuan as written_by_hand
from wechat.domain import money
from wechat.domain.errors import BadRequest, Malformed
from wechat.domain.money import MAX_TOTAL
from wechat.orders.requests import CreateOrderRequest
from wechat.pay.bills.parser import BillBroken, trade_lines
from wechat.pay.v2 import fields as v2_fields
from wechat.pay.v3 import payloads as v3_payloads
from wechat.refunds.requests import RefundRequest

PRICES = range(100_000)  # 0.00 to 999.99 yuan
REFUSALS = (BadRequest, Malformed, ValidationError)
Edge = Callable[[Any], int]


def shortest(fen: int) -> str:
    """``18.0`` and ``18``, as the sums of bills are printed."""
    return money.yuan(fen).rstrip("0").rstrip(".") or "0"


@pytest.mark.parametrize(
    "printed",
    [money.yuan, written_by_hand, lambda fen: str(money.yuan_as_number(fen)), shortest],
    ids=["pages, commands and the simulator's bills", "a bill by hand", "exports", "sums of a bill"],
)
def test_every_price_is_printed_and_read_again_without_an_error(printed: Callable[[int], str]) -> None:
    """M."""
    read = [money.parse_yuan(printed(fen)) for fen in PRICES]
    assert read == list(PRICES)
    assert {type(fen) for fen in read} == {int}
    assert [money.parse_yuan(printed(-fen)) for fen in PRICES[1:]] == [-fen for fen in PRICES[1:]]


def test_every_price_goes_over_both_wires_without_an_error() -> None:
    """M."""
    assert [v2_fields.fen({"total_fee": str(fen)}, "total_fee") for fen in PRICES[1:]] == list(PRICES[1:])
    assert [v3_payloads.fen({"total": fen}, "total") for fen in PRICES[1:]] == list(PRICES[1:])


def test_every_fee_of_a_bill_keeps_its_five_places() -> None:
    """M."""
    assert [money.parse_yuan(written_by_hand(fee, 5), places=5) for fee in range(-50_000, 50_000)] == [
        *range(-50_000, 50_000)
    ]


FORMS = {
    "18.00": 1800, "18.0": 1800, "18": 1800, "0.01": 1, "0": 0, "-5.00": None, "18.000": 1800,
    "¥18.00": None, "￥18.00": None, "18.00元": None, "1,800.00": None, "18,00": None, "18.001": None, "`18.00": None,
    "１８.00": None, " 18.00": None, "+18.00": None, "1.8e1": None, "": None, "-": None, ".5": None, "18.": None, "NaN": None,
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_an_amount_on_a_bill_is_read_exactly_or_the_bill_is_not_used(form: str) -> None:
    """M."""
    sums = f"`1.0,`18.0,`0,`0,`0.11,`{form if FORMS[form] is not None else '18.00'},`0"
    lines = bill(PAID.replace("`0.60%,`18.00", f"`0.60%,`{form}"), sums)
    if FORMS[form] is None:
        with pytest.raises(BillBroken):
            list(trade_lines(lines))
    else:
        (line,) = trade_lines(lines)
        assert (line.total, type(line.total)) == (FORMS[form], int)


def test_a_bill_of_every_price_adds_up() -> None:
    """M, through a whole bill: each line and the sums at its end."""
    lines = [a_line(fen) for fen in range(1, 100_000, 97)]
    assert [line.total for line in trade_lines(trade_bill(lines))] == [line.total for line in lines]


def a_line(fen: int) -> Line:
    return Line(f"order-{fen}", f"4200{fen}", fen, datetime(2026, 3, 1, tzinfo=UTC), fee_e5=fen * 6)


SALE = {"description": "咖啡", "openid": "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o"}
WARE = {"sku": "coffee", "name": "咖啡", "name_en": "Coffee"}
EDGES: dict[str, tuple[Edge, int]] = {
    "an amount": (money.fen, MAX_TOTAL),
    "a merchant's order": (lambda value: CreateOrderRequest.parse({**SALE, "total": value}).total, MAX_TOTAL),
    "a refund": (lambda value: RefundRequest.parse({"refund": value, "reason": "缺货"}).refund, MAX_TOTAL),
    "a price of the catalogue": (lambda value: Product(**WARE, price=value).price, MAX_TOTAL),
    "a v3 answer": (lambda value: v3_payloads.fen({"total": value}, "total"), 999_999_999),
}
NO_AMOUNTS = [True, False, 1.0, 1.5, 1e2, float("nan"), float("inf"), "1", "1_000", "１２３", " 1 ", "0x1", None, [1], {}, {"$gt": 0}, Decimal(1), 1j, b"1"]  # fmt: skip


@pytest.mark.parametrize("value", NO_AMOUNTS, ids=repr)
@pytest.mark.parametrize("edge", EDGES)
def test_at_every_edge_only_an_int_is_an_amount(edge: str, value: Any) -> None:
    """M."""
    with pytest.raises(REFUSALS):
        EDGES[edge][0](value)


@pytest.mark.parametrize("edge", EDGES)
def test_every_edge_has_a_least_and_a_largest_amount(edge: str) -> None:
    """M."""
    parse, most = EDGES[edge]
    for value in (1, 2, most):
        assert (parse(value), type(parse(value))) == (value, int)
    for value in (0, -1, most + 1, 2**31, 2**63, 2**64, 10**30):
        with pytest.raises(REFUSALS):
            parse(value)


V2_NO_AMOUNTS = ["", "0", "-1", "+1", "01", "1.0", "1,000", "1_000", "１２３", " 1", "1 ", "1\n", "1e2", "0x1", "true", "9999999999", "null"]  # fmt: skip


@pytest.mark.parametrize("text", V2_NO_AMOUNTS, ids=repr)
def test_v2s_amounts_are_plain_digits(text: str) -> None:
    """M."""
    with pytest.raises(Malformed):
        v2_fields.fen({"total_fee": text}, "total_fee")
