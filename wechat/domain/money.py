"""Amounts: whole fen (1/100 yuan) as ``int``, and yuan only for a person's eyes."""

from __future__ import annotations

from typing import NewType

from wechat.domain.errors import BadRequest, Bilingual

Fen = NewType("Fen", int)

MAX_TOTAL = 10_000_000
"""Fen: 100,000 yuan, far above any sale on a web page and far below WeChat's own field width."""


def fen(value: object, *, field: str = "total", most: int = MAX_TOTAL) -> Fen:
    """Return ``value`` as an amount. Only a true int from 1 to ``most`` passes: no bool, float, text or Decimal.

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


def yuan(amount: int) -> str:
    """Format ``1800`` fen as ``18.00``, without a float on the way."""
    return f"{'-' if amount < 0 else ''}{abs(amount) // 100}.{abs(amount) % 100:02d}"
