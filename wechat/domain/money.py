"""Amounts: whole fen (1/100 yuan) as ``int``; yuan only for people, spreadsheets and WeChat's bills."""

from __future__ import annotations

import re
from decimal import Decimal
from functools import lru_cache
from typing import NewType

from wechat.domain.errors import BadRequest, Bilingual

Fen = NewType("Fen", int)

_YUAN = re.compile(r"(-?)([0-9]{1,12})(?:\.([0-9]{1,5}))?", re.ASCII)

MAX_TOTAL = 10_000_000
"""Fen: 100,000 yuan, far above any sale on a web page and far below WeChat's own field width."""


def fen(value: object, *, field: str = "total", most: int = MAX_TOTAL) -> Fen:
    """Return ``value`` as an amount. Only an int from 1 to ``most`` is accepted: no bool, float, text or Decimal.

    Raises BadRequest.
    """
    if type(value) is not int or not 1 <= value <= most:
        raise BadRequest(
            Bilingual(
                f"{field} 必须是以分为单位的整数，1 到 {most}",
                f"{field} must be a whole number of fen from 1 to {most}",
            ),
            code="BAD_AMOUNT",
            field=field,
        )
    return Fen(value)


def yuan(amount: int, places: int = 2) -> str:
    """Format ``1800`` fen as ``18.00`` without using a float, padded with zeros to ``places`` decimals."""
    return f"{'-' if amount < 0 else ''}{abs(amount) // 100}.{abs(amount) % 100:02d}{'0' * (places - 2)}"


def yuan_as_number(amount: int) -> Decimal:
    """Convert ``1800`` fen to ``Decimal("18.00")``, for a spreadsheet."""
    return Decimal(amount).scaleb(-2)


@lru_cache(maxsize=4096)  # a bill's lines repeat few amounts, 0.00 above all
def parse_yuan(text: str, *, places: int = 2) -> int:
    """Parse ``text`` as a whole number of 10**-places yuan: fen by default. Raises ValueError, also if it is finer."""
    match = _YUAN.fullmatch(text)
    if match is None:
        raise ValueError("not an amount in yuan")
    sign, whole, fraction = match[1], match[2], (match[3] or "").ljust(places, "0")
    if fraction[places:].strip("0"):
        raise ValueError("finer than can be kept")
    amount = int(whole + fraction[:places])
    return -amount if sign else amount
