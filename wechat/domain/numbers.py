"""``NumberUse``: which order a refund number or a transaction belongs to. ``Claim``: which request holds a key. Pure
values."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class NumberUse:
    """That ``number`` is used by the order ``order_key``."""

    number: str
    order_key: str


def refund_number(mchid: str, out_refund_no: str) -> str:
    """The key of an ``out_refund_no``, which WeChat makes unique for one merchant."""
    return f"refund:{mchid}:{out_refund_no}"


def payment_number(mchid: str, transaction_id: str) -> str:
    """The key of a transaction: it pays one order."""
    return f"payment:{mchid}:{transaction_id}"


@dataclass(frozen=True, slots=True)
class Claim:
    """Who holds a key (an Idempotency-Key, a payer's open basket): an order or refund number, and a digest of what was
    asked."""

    key: str
    number: str
    digest: str
    expires_at: datetime
