"""Amounts, and the table of moves an order may make."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.contract.samples import CREATED, NOW, an_order
from wechat.domain.errors import BadRequest
from wechat.domain.facts import RemoteState
from wechat.domain.money import MAX_TOTAL, fen, yuan
from wechat.domain.orders import FIRST_LINES, MAX_TIMELINE, PAID_STATES, TRANSITIONS, Prepay, TimelineEntry, TradeState


@pytest.mark.parametrize("value", [1, 2, 100, MAX_TOTAL])
def test_a_whole_number_of_fen_is_an_amount(value: int) -> None:
    assert fen(value) == value


@pytest.mark.parametrize(
    "value",
    [
        0,
        -1,
        MAX_TOTAL + 1,
        2**63,
        1.0,
        1.5,
        True,
        False,
        "1",
        "１",
        "1_000",
        " 1 ",
        None,
        [],
        {},
        Decimal(1),
        1j,
        float("nan"),
    ],
)
def test_nothing_else_is_an_amount(value: Any) -> None:
    with pytest.raises(BadRequest) as refused:
        fen(value)
    assert refused.value.public_code == "BAD_AMOUNT"


def test_a_merchants_own_limit_counts() -> None:
    assert fen(5, most=5) == 5
    with pytest.raises(BadRequest):
        fen(6, most=5)


def test_every_amount_below_a_thousand_yuan_prints_without_an_error() -> None:
    """M."""
    wrong = [amount for amount in range(-100_000, 100_000) if Decimal(yuan(amount)) * 100 != amount]
    assert wrong == []


@given(st.integers(0, 10**12))
def test_a_printed_amount_has_two_places(amount: int) -> None:
    whole, _, rest = yuan(amount).partition(".")
    assert (int(whole) * 100 + int(rest), len(rest)) == (amount, 2)


LEGAL = {
    (TradeState.NOTPAY, TradeState.SUCCESS),
    (TradeState.NOTPAY, TradeState.CLOSED),
    (TradeState.NOTPAY, TradeState.PAID_LATE),
    (TradeState.CLOSED, TradeState.PAID_LATE),
    (TradeState.SUCCESS, TradeState.REFUND),
    (TradeState.PAID_LATE, TradeState.REFUND),
}


@pytest.mark.parametrize("source", TradeState)
@pytest.mark.parametrize("target", TradeState)
def test_an_order_moves_along_the_table_only(source: TradeState, target: TradeState) -> None:
    assert (target in TRANSITIONS[source]) is ((source, target) in LEGAL)
    order = an_order(trade_state=source)
    if (source, target) in LEGAL:
        assert order.moved_to(target, CREATED).trade_state is target
    else:
        with pytest.raises(ValueError, match=f"from {source} to {target}"):
            order.moved_to(target, CREATED)


def test_a_timeline_that_is_too_long_keeps_its_beginning_and_its_end() -> None:
    order = an_order(timeline=())
    for number in range(MAX_TIMELINE + 50):
        order = order.with_entry(TimelineEntry(NOW, str(number), "worker"))
    kept = [int(entry.what) for entry in order.timeline]
    assert kept == [*range(FIRST_LINES), *range(FIRST_LINES + 50, MAX_TIMELINE + 50)]


def test_money_is_never_forgotten() -> None:
    """No move leads from a paid state to one that is not."""
    assert all(TRANSITIONS[state] <= PAID_STATES for state in PAID_STATES)


def test_a_remote_state_tells_whether_money_came() -> None:
    assert {state for state in RemoteState if state.paid} == {RemoteState.SUCCESS, RemoteState.REFUND}


@pytest.mark.parametrize(
    ("what", "life"),
    [
        ({"prepay_id": "wx1"}, timedelta(hours=2)),
        ({"code_url": "weixin://"}, timedelta(hours=2)),
        ({"h5_url": "https://"}, timedelta(minutes=5)),
    ],
)
def test_a_prepay_ends_a_minute_before_wechat_forgets_it(what: dict[str, str], life: timedelta) -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    prepay = Prepay(at, "RSA", **what)
    assert prepay.is_usable(at + life - timedelta(minutes=1, microseconds=1))
    assert not prepay.is_usable(at + life - timedelta(minutes=1))
