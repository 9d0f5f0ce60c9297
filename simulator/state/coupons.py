"""Coupons (代金券) that pay a part of an order, and the split of a refund between them and the payer's own money.

A prepaid coupon (充值型, v3 CASH, v2 CASH) is paid for by its issuer: the merchant is settled for the whole price. A
free one (免充值型, v3 NOCASH, v2 NO_CASH) is a discount: the merchant is settled for that much less.

Sources: https://pay.weixin.qq.com/doc/v3/merchant/4013070356 (promotion_detail, payer_total), .../4013071036
(settlement_total, settlement_refund, discount_refund), v2's chapter=9_7 and 9_4 (coupon_fee_$n, settlement_total_fee);
community 0004ea30c6cf3074004a2a6d65fc00 (which kind lowers what is settled). That a refund is split in proportion is
documented (有使用券，后台会按比例退), how its fen are rounded is not: see ``split``.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Any, NamedTuple

from wechat.domain.errors import Bilingual

MOST = 20  # coupons of one payment


class CouponKind(StrEnum):
    """v3's codes in a payment; v2 writes NO_CASH for the second."""

    CASH = "CASH"
    NOCASH = "NOCASH"


class Coupon(NamedTuple):
    """A coupon of a payment; ``amount`` in fen."""

    coupon_id: str
    stock_id: str
    kind: str
    amount: int

    @property
    def is_settled(self) -> bool:
        """Whether the merchant gets its amount."""
        return self.kind == CouponKind.CASH

    @property
    def name(self) -> str:
        return "模拟充值型代金券" if self.is_settled else "模拟免充值型代金券"


class Share(NamedTuple):
    """The parts of a refund, or of a whole payment, in fen; ``coupons`` in the order of the payment's coupons."""

    cash: int
    coupons: tuple[int, ...] = ()

    @property
    def total(self) -> int:
        return self.cash + sum(self.coupons)


def read_coupons(asked: Any, total: int) -> tuple[Coupon, ...]:
    """Parse the coupons of a control call, ``[{"kind": "CASH", "amount": 500}]``. Raises ValueError with a sentence.

    Together they pay ``total`` fen at most (代金券金额<=订单金额).
    """
    if not isinstance(asked, list) or len(asked) > MOST or not all(isinstance(each, dict) for each in asked):
        raise ValueError(f'coupons is a list of at most {MOST} objects like {{"kind": "CASH", "amount": 500}}')
    coupons = tuple([_read_coupon(each) for each in asked])
    if sum(coupon.amount for coupon in coupons) > total:
        raise ValueError(f"coupons pay {total} fen at most")
    return coupons


def offers(total: int) -> list[tuple[Bilingual, list[dict[str, Any]]]]:
    """Return the coupons that the pay sheet offers for a price of ``total`` fen: names, and the coupons to send."""
    part = total // 3
    if not part:
        return []
    cash = {"kind": CouponKind.CASH.value, "amount": part}
    free = {"kind": CouponKind.NOCASH.value, "amount": part}
    return [
        (Bilingual("充值型代金券", "prepaid coupon"), [cash]),
        (Bilingual("免充值型代金券", "free coupon"), [free]),
        (Bilingual("两张代金券", "both coupons"), [cash, free]),
    ]


def whole(total: int, coupons: Sequence[Coupon]) -> Share:
    """Return the parts of a payment of ``total`` fen."""
    amounts = tuple([coupon.amount for coupon in coupons])
    return Share(total - sum(amounts), amounts)


def split(left: Share, refund: int) -> Share:
    """Split ``refund`` fen in proportion to what is ``left`` of the payment, each part rounded by our own choice.

    The parts add up to ``refund``, none is larger than what is left of it, and the last refund takes all the rest.
    """
    parts: list[int] = []
    seen = taken = 0
    for part in (*left.coupons, left.cash):
        seen += part
        upto = refund * seen // left.total
        parts.append(upto - taken)
        taken = upto
    return Share(parts[-1], tuple(parts[:-1]))


def move_share(left: Share, share: Share, way: int) -> Share:
    """Return ``left`` after ``share`` was taken out (``way`` -1) or returned (1)."""
    coupons = tuple([part + way * other for part, other in zip(left.coupons, share.coupons, strict=True)])
    return Share(left.cash + way * share.cash, coupons)


def settlement_of(share: Share, coupons: Sequence[Coupon]) -> int:
    """Return the part of ``share`` that affects the merchant's balance, in fen: all but the free coupons."""
    return share.total - discount_of(share, coupons)


def discount_of(share: Share, coupons: Sequence[Coupon]) -> int:
    """Return the free coupons' part of ``share``, in fen."""
    return sum(part for part, coupon in zip(share.coupons, coupons, strict=True) if not coupon.is_settled)


def as_coupons(facts: Iterable[Sequence[Any]]) -> tuple[Coupon, ...]:
    """Convert coupons from the lists of the truth log."""
    return tuple([Coupon(*fact) for fact in facts])


def _read_coupon(asked: dict[str, Any]) -> Coupon:
    amount = asked.get("amount")
    if (
        set(asked) != {"kind", "amount"}
        or type(amount) is not int
        or amount < 1
        or asked["kind"] not in list(CouponKind)
    ):
        raise ValueError("a coupon has a kind, CASH or NOCASH, and an amount in fen from 1")
    return Coupon(f"simcoupon{secrets.randbelow(10**10):010d}", "simstock01", asked["kind"], amount)
