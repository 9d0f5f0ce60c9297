"""What counts as a difference, which identity it has, and how amounts add up."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.stores.days import DIFFERENCE
from wechat.reconciliation.accounts import Account, double_entry
from wechat.reconciliation.books import (
    BookEntry,
    Difference,
    DifferenceKind,
    Totals,
    classify,
    missing_there,
    rounded_fen,
)

NOW = datetime(2026, 3, 1, 4, tzinfo=UTC)
DAY = date(2026, 2, 28)
MCHID = "1900000109"
PAID = BookEntry("order-1", "4200", "", "", 1800, "CNY", "SUCCESS")
REFUNDED = BookEntry("order-1", "4200", "refund-1", "5000", 500, "CNY", "SUCCESS")


@pytest.mark.parametrize("state", ["SUCCESS", "PAID_LATE", "REFUND"])
def test_a_payment_that_both_sides_have_is_no_difference(state: str) -> None:
    assert classify(PAID._replace(state=state), PAID) is None


@pytest.mark.parametrize(
    ("ours", "theirs", "kind"),
    [
        (None, PAID, DifferenceKind.UNKNOWN_NUMBER),
        (PAID._replace(state="NOTPAY", transaction_id=""), PAID, DifferenceKind.MISSING_HERE),
        (PAID._replace(state="CLOSED", transaction_id=""), PAID, DifferenceKind.STATE),
        (PAID._replace(transaction_id="4201"), PAID, DifferenceKind.DOUBLE_PAYMENT),
        (PAID._replace(amount=1801), PAID, DifferenceKind.AMOUNT),
        (PAID._replace(currency="USD"), PAID, DifferenceKind.AMOUNT),
        (PAID, PAID._replace(state="REVOKED"), DifferenceKind.STATE),
        (None, REFUNDED, DifferenceKind.REFUND_MISSING_HERE),
        (REFUNDED._replace(amount=501), REFUNDED, DifferenceKind.AMOUNT),
        (REFUNDED._replace(out_trade_no="order-2"), REFUNDED, DifferenceKind.AMOUNT),
        (REFUNDED._replace(state="REFUSED"), REFUNDED, DifferenceKind.STATE),
        (REFUNDED._replace(state="PROCESSING"), REFUNDED, DifferenceKind.STATE),
        (REFUNDED._replace(state="SUCCESS"), REFUNDED._replace(state="FAIL"), DifferenceKind.STATE),
        (REFUNDED._replace(state="REQUESTED"), REFUNDED._replace(state="PROCESSING"), DifferenceKind.STATE),
    ],
)
def test_each_disagreement_has_its_kind(ours: BookEntry | None, theirs: BookEntry, kind: DifferenceKind) -> None:
    assert classify(ours, theirs) is kind


@pytest.mark.parametrize("state", ["PROCESSING", "SUCCESS", "ABNORMAL", "CLOSED"])
def test_a_refund_that_went_on_after_the_bill_was_made_is_no_difference(state: str) -> None:
    assert classify(REFUNDED._replace(state=state), REFUNDED._replace(state="PROCESSING")) is None


def test_a_second_line_of_an_unpaid_order_or_of_the_same_payment_is_a_double_payment() -> None:
    unpaid = PAID._replace(state="NOTPAY", transaction_id="")
    assert classify(unpaid, PAID, nth=2) is DifferenceKind.DOUBLE_PAYMENT
    assert classify(PAID, PAID, nth=2, again=True) is DifferenceKind.DOUBLE_PAYMENT
    assert classify(PAID, PAID, nth=2) is None  # the first line was another payment, this one is ours


def test_only_what_reached_wechat_can_be_missing_there() -> None:
    assert missing_there(PAID) is DifferenceKind.MISSING_THERE
    assert missing_there(REFUNDED) is DifferenceKind.REFUND_MISSING_THERE
    assert missing_there(PAID._replace(state="NOTPAY")) is None
    assert missing_there(REFUNDED._replace(state="REQUESTED")) is None
    assert missing_there(REFUNDED._replace(state="REFUSED")) is None


def test_a_difference_is_what_it_says_not_when_it_was_found() -> None:
    first = Difference.between(MCHID, DAY, DifferenceKind.AMOUNT, PAID, PAID._replace(amount=1), NOW)
    again = Difference.between(
        MCHID, DAY, DifferenceKind.AMOUNT, PAID._replace(amount=2), PAID._replace(amount=1), NOW.replace(hour=9)
    )
    others = [
        Difference.between("1900000108", DAY, DifferenceKind.AMOUNT, PAID, PAID._replace(amount=1), NOW),
        Difference.between(MCHID, DAY, DifferenceKind.STATE, PAID, PAID, NOW),
        Difference.between(MCHID, DAY.replace(day=27), DifferenceKind.AMOUNT, PAID, PAID, NOW),
        Difference.between(MCHID, DAY, DifferenceKind.AMOUNT, PAID, PAID._replace(transaction_id="4201"), NOW),
        Difference.between(MCHID, DAY, DifferenceKind.AMOUNT, None, REFUNDED, NOW),
    ]
    assert first.id == again.id
    assert len({first.id, *(other.id for other in others)}) == 6


@pytest.mark.parametrize(
    ("fee_e5", "fen"), [(0, 0), (499, 0), (500, 1), (1499, 1), (-500, -1), (-499, 0), (10_800, 11)]
)
def test_a_fee_is_rounded_half_a_fen_away_from_zero(fee_e5: int, fen: int) -> None:
    assert rounded_fen(fee_e5) == fen


AMOUNT = st.integers(0, 10**9)
SUMS = st.builds(
    lambda received, coupon, refunded, back, fee_e5: Totals(
        1, received, max(received - coupon, 0), 1, refunded, max(refunded - back, 0), fee_e5
    ),
    AMOUNT,
    AMOUNT,
    AMOUNT,
    AMOUNT,
    st.integers(-(10**9), 10**9),
)


@given(SUMS)
def test_debits_equal_credits_and_the_wallet_grows_by_the_net(sums: Totals) -> None:
    ledger = double_entry(sums)
    assert ledger.debit == ledger.credit
    assert ledger.balance(Account.WALLET) == sums.net
    assert ledger.balance(Account.SALES) == -sums.received
    assert ledger.balance(Account.FEES) == sums.fee
    assert all(
        posting.debit >= 0 and posting.credit >= 0 and posting.debit + posting.credit for posting in ledger.postings
    )


def test_a_day_without_anything_has_no_postings() -> None:
    assert double_entry(Totals()).postings == ()
    assert double_entry(replace(Totals(), fee_e5=400)).postings == ()


def test_a_stored_difference_keeps_the_names_of_earlier_releases() -> None:
    difference = Difference.between(MCHID, DAY, DifferenceKind.AMOUNT, PAID, PAID._replace(amount=1), NOW)
    document = DIFFERENCE.write(difference)
    assert (document["ours"]["amount"], document["theirs"]["amount"]) == (1800, 1)
    assert DIFFERENCE.read(document | {"_id": difference.id}) == difference
