"""The double-entry ledger: the postings of a day, or of one order of it.

Pure functions over the sums of a bill's lines. Each event debits and credits the same amount, so the debits of any
ledger equal its credits; the balance of the wallet is what WeChat settles.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from wechat.reconciliation.books import Totals


class Account(StrEnum):
    """An account of the ledger."""

    WALLET = "wallet"  # the merchant's balance at WeChat
    SALES = "sales"
    REFUNDS = "refunds"
    COUPONS = "coupons"  # the part that the payer did not pay and WeChat does not settle
    FEES = "fees"


@dataclass(frozen=True, slots=True)
class Posting:
    """An amount on one side of an account, in fen; the other side is 0. ``event``: received, refunded or fee."""

    event: str
    account: Account
    debit: int
    credit: int


@dataclass(frozen=True, slots=True)
class DoubleEntry:
    """The postings for ``sums``."""

    sums: Totals
    postings: tuple[Posting, ...]

    @property
    def debit(self) -> int:
        return sum(posting.debit for posting in self.postings)

    @property
    def credit(self) -> int:
        return sum(posting.credit for posting in self.postings)

    def balance(self, account: Account) -> int:
        """Compute the change of ``account``: debits less credits, in fen."""
        return sum(posting.debit - posting.credit for posting in self.postings if posting.account is account)


def double_entry(sums: Totals) -> DoubleEntry:
    """Create the postings for ``sums``; amounts of 0 are left out."""
    coupons, coupons_back = sums.received - sums.settled, sums.refunded - sums.settled_refunded
    amounts = (
        ("received", Account.WALLET, sums.settled),
        ("received", Account.COUPONS, coupons),
        ("received", Account.SALES, -sums.received),
        ("refunded", Account.REFUNDS, sums.refunded),
        ("refunded", Account.COUPONS, -coupons_back),
        ("refunded", Account.WALLET, -sums.settled_refunded),
        ("fee", Account.FEES, sums.fee),
        ("fee", Account.WALLET, -sums.fee),
    )
    return DoubleEntry(sums, tuple([_posting(*amount) for amount in amounts if amount[2]]))


def _posting(event: str, account: Account, amount: int) -> Posting:
    """Create a posting; a positive amount is a debit."""
    return Posting(event, account, max(amount, 0), max(-amount, 0))
