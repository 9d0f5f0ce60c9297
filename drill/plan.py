"""Plan each of a day's orders and refunds: shares of all, assigned by a seed so that the plan can be repeated."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

K = TypeVar("K", bound=str)

PAYING: Mapping[str, int] = {
    "success": 50,
    "lost_notification": 12,
    "late": 7,
    "duplicate": 7,
    "out_of_order": 5,
    "stale": 4,
    "probe": 4,
    "wrong_amount": 2,
    "forged": 3,
    "cancel": 3,
    "not_enough": 3,
}
"""Percentage of orders by the simulator's scenario; the last three scenarios leave an order unpaid."""
UNPAID = frozenset({"forged", "cancel", "not_enough"})


class Anomaly(StrEnum):
    """A kind of exceptional payment."""

    TWICE = "twice"  # a paid order is paid once more
    CLOSED = "closed"  # an order is paid after it was closed
    FOREIGN = "foreign"  # another payer pays than the one who ordered
    RETURNED = "returned"  # refunded by hand, in WeChat's console, before we hear of the payment


ODD_SHARE = 1  # per cent of the orders, for each kind


class Refunding(StrEnum):
    """A way to refund an order; most succeed, the others do as their names say."""

    FULL = "full"
    PART = "part"
    THRICE = "thrice"
    REPEATED = "repeated"  # asked for twice at once with one Idempotency-Key
    TOO_MUCH = "too much"
    ABNORMAL = "abnormal"
    CLOSED = "closed"
    SLOW = "slow"
    LOST = "lost notification"
    DUPLICATE = "duplicate notification"
    LATE = "late notification"
    FORGED = "forged notification"
    CONSOLE = "made in the console"
    POOR = "balance too low"
    UNTRUSTED = "credentials refused"  # asked for while WeChat refuses the merchant's credentials


REFUNDING: Mapping[Refunding, int] = {
    Refunding.FULL: 22,
    Refunding.PART: 20,
    Refunding.THRICE: 10,
    Refunding.REPEATED: 8,
    Refunding.TOO_MUCH: 5,
    Refunding.ABNORMAL: 5,
    Refunding.CLOSED: 5,
    Refunding.SLOW: 4,
    Refunding.LOST: 6,
    Refunding.DUPLICATE: 4,
    Refunding.LATE: 2,
    Refunding.FORGED: 2,
    Refunding.CONSOLE: 3,
    Refunding.POOR: 2,
    Refunding.UNTRUSTED: 2,
}
"""Percentage of the refunded orders."""
REFUNDED_SHARE = 30  # per cent of the paid orders

SCENARIOS: Mapping[Refunding, str] = {
    Refunding.ABNORMAL: "abnormal",
    Refunding.CLOSED: "closed",
    Refunding.SLOW: "slow",
    Refunding.LOST: "lost_notification",
    Refunding.DUPLICATE: "duplicate",
    Refunding.LATE: "late",
    Refunding.FORGED: "forged",
}
"""The simulator's names of scenarios."""

TRADES: Mapping[str, int] = {"JSAPI": 78, "NATIVE": 12, "MWEB": 5, "APP": 5}
COUPONS: Mapping[str, int] = {"": 85, "CASH": 8, "NOCASH": 7}
"""Percentage of orders by the coupon that pays a part: none, a prepaid one, a free one."""


@dataclass(frozen=True, slots=True)
class PlannedOrder:
    """A planned order: placed over ``api`` for ``total`` fen, paid by ``scenario``, partly with a ``coupon``.

    Orders with ``is_late`` are placed in the afternoon, while WeChat Pay refuses the merchant's credentials.
    """

    number: str
    api: str
    trade_type: str
    total: int
    scenario: str
    odd: Anomaly | None
    coupon: str = ""
    is_late: bool = False

    @property
    def coupons(self) -> list[dict[str, object]]:
        """The payer's coupons, in the simulator's format: a fifth of the price."""
        return [{"kind": self.coupon, "amount": self.total // 5}] if self.coupon else []


def customers(count: int, chance: random.Random) -> list[PlannedOrder]:
    """Return a day's planned orders. Each kind of anomaly occurs at least once, among the orders that fit it."""
    scenarios, trades = deal(PAYING, count, chance), deal(TRADES, count, chance)
    plain = [n for n in range(count) if scenarios[n] == "success" and trades[n] == "JSAPI"]
    share = max(1, count * ODD_SHARE // 100)
    picked = chance.sample(plain, share * (len(Anomaly) + 1))
    odd = {n: kind for i, kind in enumerate(Anomaly) for n in picked[i * share : (i + 1) * share]}
    late, coupons = set(picked[-share:]), deal(COUPONS, count, chance)
    return [
        PlannedOrder(
            number=f"day{n:06}{chance.randrange(16**6):06x}",
            api="v2" if n % 2 else "v3",
            trade_type=trades[n],
            total=chance.randrange(100, 50_000),
            scenario=scenarios[n],
            odd=odd.get(n),
            coupon="" if n in odd else coupons[n],
            is_late=n in late,
        )
        for n in range(count)
    ]


def deal(shares: Mapping[K, int], count: int, chance: random.Random) -> list[K]:
    """Return ``count`` kinds in these shares, shuffled, each at least once if there is room."""
    kinds = list(shares)
    dealt = [*kinds, *chance.choices(kinds, weights=list(shares.values()), k=max(0, count - len(kinds)))][:count]
    chance.shuffle(dealt)
    return dealt


def sample(numbers: Sequence[str], share: int, chance: random.Random) -> list[str]:
    """Return ``share`` per cent of ``numbers``."""
    return chance.sample(list(numbers), len(numbers) * share // 100)
