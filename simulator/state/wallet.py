"""The merchant's money at WeChat (基本账户): its balance, and every movement, for fund flow bills.

A payment comes in whole and WeChat's fee goes out beside it; a refund goes out and brings its share of the fee back.
The rate is chosen by this project, the rounding to the fen is WeChat's. Source of the movements' names:
https://pay.weixin.qq.com/doc/v3/merchant/4013071249 (资金账单字段说明).
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from simulator.state.clock import Clock
from simulator.state.journal import Journal

FEE_PER_MILLE = 6
RATE = "0.60%"


def fee(total: int) -> int:
    """Return WeChat's fee for ``total`` fen, half a fen rounded up."""
    return (total * FEE_PER_MILLE + 500) // 1000


@dataclass(frozen=True, slots=True)
class Transferred:
    """The merchant paid ``amount`` fen in, or took it out if negative."""

    amount: int
    wall_s: float


@dataclass(frozen=True, slots=True)
class Movement:
    """A line of a fund flow bill: ``amount`` fen, negative for what goes out, and the ``balance`` after it."""

    flow_id: str
    wall_s: float
    kind: str
    amount: int
    balance: int
    business_id: str
    voucher: str
    remark: str


class Wallet:
    """The balance and its movements. Functions that apply a fact about money book into it, so that replaying the facts
    restores it."""

    def __init__(self, journal: Journal, clock: Clock) -> None:
        self._journal = journal
        self._clock = clock
        self._numbers = itertools.count(1)
        self.balance = 0
        self.movements: list[Movement] = []
        journal.on(Transferred, self._apply_transfer)

    def transfer(self, amount: int) -> None:
        """Pay money in or take it out. Raises ValueError for more than the balance."""
        if self.balance + amount < 0:
            raise ValueError(f"the balance is {self.balance} fen")
        self._journal.write(Transferred(amount, self._clock.calendar_s()))

    def record(
        self, wall_s: float, kind: str, amount: int, *, business_id: str = "", voucher: str = "", remark: str = ""
    ) -> None:
        """Book ``amount`` fen; zero is not booked."""
        if not amount:
            return
        self.balance += amount
        flow_id = f"simflow{next(self._numbers):020d}"
        self.movements.append(Movement(flow_id, wall_s, kind, amount, self.balance, business_id, voucher, remark))

    def _apply_transfer(self, fact: Transferred) -> None:
        self.record(fact.wall_s, "充值" if fact.amount > 0 else "提现", fact.amount)
