"""What counts as a difference, which identity it has, and how amounts add up."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wechat.reconciliation.accounts import Account, double_entry
from wechat.reconciliation.books import Difference, Entry, Kind, Sums, judge, missing_there, rounded_fen

NOW = datetime(2026, 3, 1, 4, tzinfo=UTC)
DAY = date(2026, 2, 28)
MCHID = "1900000109"
PAID = Entry("order-1", "4200", "", "", 1800, "CNY", "SUCCESS")
REFUNDED = Entry("order-1", "4200", "refund-1", "5000", 500, "CNY", "SUCCESS")


@pytest.mark.parametrize("state", ["SUCCESS", "PAID_LATE", "REFUND"])
def test_a_payment_that_both_sides_have_is_no_difference(state: str) -> None:
    assert judge(PAID._replace(state=state), PAID) is None


@pytest.mark.parametrize(
    ("ours", "theirs", "kind"),
    [
        (None, PAID, Kind.UNKNOWN_NUMBER),
        (PAID._replace(state="NOTPAY", transaction_id=""), PAID, Kind.MISSING_HERE),
        (PAID._replace(state="CLOSED", transaction_id=""), PAID, Kind.STATE),
        (PAID._replace(transaction_id="4201"), PAID, Kind.DOUBLE_PAYMENT),
        (PAID._replace(amount=1801), PAID, Kind.AMOUNT),
        (PAID._replace(currency="USD"), PAID, Kind.AMOUNT),
        (PAID, PAID._replace(state="REVOKED"), Kind.STATE),
        (None, REFUNDED, Kind.REFUND_MISSING_HERE),
        (REFUNDED._replace(amount=501), REFUNDED, Kind.AMOUNT),
        (REFUNDED._replace(out_trade_no="order-2"), REFUNDED, Kind.AMOUNT),
        (REFUNDED._replace(state="REFUSED"), REFUNDED, Kind.STATE),
        (REFUNDED._replace(state="PROCESSING"), REFUNDED, Kind.STATE),
        (REFUNDED._replace(state="SUCCESS"), REFUNDED._replace(state="FAIL"), Kind.STATE),
        (REFUNDED._replace(state="REQUESTED"), REFUNDED._replace(state="PROCESSING"), Kind.STATE),
    ],
)
def test_each_disagreement_has_its_kind(ours: Entry | None, theirs: Entry, kind: Kind) -> None:
    assert judge(ours, theirs) is kind


@pytest.mark.parametrize("state", ["PROCESSING", "SUCCESS", "ABNORMAL", "CLOSED"])
def test_a_refund_that_went_on_after_the_bill_was_made_is_no_difference(state: str) -> None:
    assert judge(REFUNDED._replace(state=state), REFUNDED._replace(state="PROCESSING")) is None


def test_a_second_line_of_an_unpaid_order_or_of_the_same_payment_is_a_double_payment() -> None:
    unpaid = PAID._replace(state="NOTPAY", transaction_id="")
    assert judge(unpaid, PAID, nth=2) is Kind.DOUBLE_PAYMENT
    assert judge(PAID, PAID, nth=2, again=True) is Kind.DOUBLE_PAYMENT
    assert judge(PAID, PAID, nth=2) is None  # the first line was another payment, this one is ours


def test_only_what_reached_wechat_can_be_missing_there() -> None:
    assert missing_there(PAID) is Kind.MISSING_THERE
    assert missing_there(REFUNDED) is Kind.REFUND_MISSING_THERE
    assert missing_there(PAID._replace(state="NOTPAY")) is None
    assert missing_there(REFUNDED._replace(state="REQUESTED")) is None
    assert missing_there(REFUNDED._replace(state="REFUSED")) is None


def test_a_difference_is_what_it_says_not_when_it_was_found() -> None:
    first = Difference.between(MCHID, DAY, Kind.AMOUNT, PAID, PAID._replace(amount=1), NOW)
    again = Difference.between(
        MCHID, DAY, Kind.AMOUNT, PAID._replace(amount=2), PAID._replace(amount=1), NOW.replace(hour=9)
    )
    others = [
        Difference.between("1900000108", DAY, Kind.AMOUNT, PAID, PAID._replace(amount=1), NOW),
        Difference.between(MCHID, DAY, Kind.STATE, PAID, PAID, NOW),
        Difference.between(MCHID, DAY.replace(day=27), Kind.AMOUNT, PAID, PAID, NOW),
        Difference.between(MCHID, DAY, Kind.AMOUNT, PAID, PAID._replace(transaction_id="4201"), NOW),
        Difference.between(MCHID, DAY, Kind.AMOUNT, None, REFUNDED, NOW),
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
    lambda received, coupon, refunded, back, fee_e5: Sums(
        1, received, max(received - coupon, 0), 1, refunded, max(refunded - back, 0), fee_e5
    ),
    AMOUNT,
    AMOUNT,
    AMOUNT,
    AMOUNT,
    st.integers(-(10**9), 10**9),
)


@given(SUMS)
def test_debits_equal_credits_and_the_wallet_grows_by_the_net(sums: Sums) -> None:
    ledger = double_entry(sums)
    assert ledger.debit == ledger.credit
    assert ledger.balance(Account.WALLET) == sums.net
    assert ledger.balance(Account.SALES) == -sums.received
    assert ledger.balance(Account.FEES) == sums.fee
    assert all(
        posting.debit >= 0 and posting.credit >= 0 and posting.debit + posting.credit for posting in ledger.postings
    )


def test_a_day_without_anything_has_no_postings() -> None:
    assert double_entry(Sums()).postings == ()
    assert double_entry(replace(Sums(), fee_e5=400)).postings == ()
