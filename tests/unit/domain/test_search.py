"""What a typed text may mean, and the keys that it meets."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest

from tests.contract.samples import a_payment, a_refund, an_order
from wechat.domain.money import Fen
from wechat.domain.orders import DEFAULT_CHANNEL, TradeState, TradeType
from wechat.domain.search import (
    SIGNS,
    WORDS_OF_ATTACH,
    WORDS_OF_DESCRIPTION,
    OrderFilter,
    is_found,
    is_too_short,
    meanings,
    outline,
    search_keys,
)

NUMBER = "20260301120506ABCDEF012345"
TRANSACTION = "4200002026202603011234567890"
ORDER = an_order(
    NUMBER,
    total=Fen(1800),
    description="冰拿铁咖啡 Large × 2",
    attach="table=7;uid=Zoe_88",
    openid="oUpF8uMuAJO_M2pxb1Q9zNjWeS6o",
    payments=(replace(a_payment(TRANSACTION), openid="oAnotherPayer_M2pxb1Q9zNjWeS"),),
    refunds=(a_refund("refund-77", refund_id="50300002026000000001"),),
)


@pytest.mark.parametrize(
    "text",
    [
        NUMBER, f"  {NUMBER} ", TRANSACTION, "refund-77", "50300002026000000001",
        "4200 0020 2620 2603 0112 3456 7890", "0112 3456 7890", "20260301120506ABC\nDEF012345",
        "012345", "def012345", "7890", "1234567890", "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o", "oAnotherPayer_M2pxb1Q9zNjWeS",
        "18", "18.0", "18.00", "¥18.00", "￥18", "18 元", "18.00元",
        "拿铁", "冰拿铁咖啡", "铁咖啡", "large", "LARGE", "咖啡 large", "uid=Zoe_88", "zoe",
    ],
)  # fmt: skip
def test_an_order_is_found_by_what_a_person_may_know_of_it(text: str) -> None:
    assert is_found(ORDER, text) is (text != "7890")  # four digits are too few to tell orders apart


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "?",
        NUMBER[:-1],
        "912345",
        "1800",
        "18.001",
        "¥18.01",
        "咖啡豆",
        "拿咖",
        "lar",
        "oUpF8uMuAJO",
        "咖啡 small",
        "~012345",
        "@x",
    ],
)
def test_an_order_is_not_found_by_what_only_resembles_it(text: str) -> None:
    assert not is_found(ORDER, text)


def test_a_long_number_is_not_taken_for_an_amount_unless_it_says_so() -> None:
    order = replace(ORDER, total=Fen(123456_00))
    assert not is_found(order, "123456")
    assert is_found(order, "¥123456")


def test_the_exact_number_comes_first() -> None:
    assert meanings(NUMBER)[0].key == NUMBER


def test_no_number_begins_like_a_key_of_another_kind() -> None:
    signed = [key for key in search_keys(ORDER) if key.startswith(SIGNS)]
    assert [key for key in search_keys(ORDER) if key not in signed] == [
        NUMBER, TRANSACTION, "refund-77", "50300002026000000001",
    ]  # fmt: skip


def test_keys_of_a_long_text_are_bounded() -> None:
    order = an_order(description="一二三四五六七八九十" * 10, attach=" ".join(f"word{i}" for i in range(50)))
    words = [key for key in search_keys(order) if key.startswith('"')]
    assert len(words) == WORDS_OF_DESCRIPTION + WORDS_OF_ATTACH
    assert is_found(order, "一二三四")


CHANNELS = (DEFAULT_CHANNEL, "second")
TYPES = (TradeType.JSAPI, TradeType.NATIVE)
STATES = (TradeState.SUCCESS, TradeState.CLOSED)
AMOUNTS = (Fen(1800), Fen(9_999), Fen(10_000), Fen(2_000_000))
SOLD = [
    an_order(channel=channel, trade_type=kind, trade_state=state, total=total)
    for channel, kind, state, total in product(CHANNELS, TYPES, STATES, AMOUNTS)
]


@pytest.mark.parametrize("channel", ["", *CHANNELS])
@pytest.mark.parametrize("trade_type", [None, *TYPES])
@pytest.mark.parametrize("trade_state", [None, *STATES])
@pytest.mark.parametrize("least", [None, *AMOUNTS])
def test_the_key_of_a_filter_is_one_of_each_order_that_it_fits(
    channel: str, trade_type: TradeType | None, trade_state: TradeState | None, least: Fen | None
) -> None:
    wanted = OrderFilter(channel=channel, trade_type=trade_type, trade_state=trade_state, least=least)
    fitting = [order for order in SOLD if wanted.matches(outline(order))]
    if wanted.key:
        having = [order for order in SOLD if wanted.key in search_keys(order)]
    else:
        having = [order for order in SOLD if trade_state in (None, order.trade_state)]
    assert [order for order in fitting if order not in having] == []
    if wanted.is_served_by_key:
        assert having == fitting


def test_a_usual_order_has_two_keys_for_filters() -> None:
    """Each key costs the database about one per cent of an order's writes."""
    assert [key for key in search_keys(ORDER) if key[0] in "#≥"] == ["#|JSAPI|", "#|JSAPI|NOTPAY"]


@pytest.mark.parametrize(
    ("text", "short"),
    [("7890", True), ("78 90", True), ("F0123", True), ("567890", False), ("tea", False), ("18元", False)],
)
def test_too_few_characters_of_a_number_are_known_as_that(text: str, short: bool) -> None:
    assert is_too_short(text) is short
