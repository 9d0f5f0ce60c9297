"""Owners of numbers and keys: the order of a refund number or transaction (``NumberUse``), the request that holds a key
(``Claim``). Pure values."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class NumberUse:
    """The order ``order_key`` that owns ``number``, a key of ``refund_number`` or ``payment_number``."""

    number: str
    order_key: str


def refund_number(mchid: str, out_refund_no: str) -> str:
    """Return the key of an ``out_refund_no``, which is unique for one merchant at WeChat."""
    return f"refund:{mchid}:{out_refund_no}"


def payment_number(mchid: str, transaction_id: str) -> str:
    """Return the key of a transaction, which pays one order only."""
    return f"payment:{mchid}:{transaction_id}"


@dataclass(frozen=True, slots=True)
class Claim:
    """The request that holds ``key`` (an Idempotency-Key, a payer's open basket), until ``expires_at``.

    ``number`` is the order or refund number that the request got, ``digest`` a digest of the request.
    """

    key: str
    number: str
    digest: str
    expires_at: datetime
