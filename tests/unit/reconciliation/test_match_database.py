"""Both sides of a day joined on disk: what is left out is what no rule finds a difference in."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from wechat.domain.facts import RefundState
from wechat.domain.orders import TradeState
from wechat.reconciliation.books import PAID, REVERSED, BookEntry, DifferenceKind, classify
from wechat.reconciliation.match_database import MatchDatabase

ORDERS = ("o1", "o2", "o3", "o4")
TRANSACTIONS = ("t1", "t2", "t3", "t4")
Found = tuple[BookEntry, DifferenceKind]


def a_line(chance: random.Random) -> BookEntry:
    if chance.random() < 0.2:
        refund = chance.choice(("r1", "r2"))
        amount, state = chance.choice((5, 6)), chance.choice(("SUCCESS", "FAIL"))
        return BookEntry("o1", "t1", refund, f"w{refund}", amount, "CNY", state)
    state = chance.choice((PAID, PAID, PAID, "REFUND", REVERSED))
    currency = chance.choice(("CNY", "CNY", "CNY", "USD"))
    return BookEntry(
        chance.choice(ORDERS), chance.choice(TRANSACTIONS), "", "", chance.choice((100, 101)), currency, state
    )


def recorded_entries(chance: random.Random) -> list[BookEntry]:
    states = (TradeState.SUCCESS, TradeState.SUCCESS, TradeState.REFUND, TradeState.NOTPAY, TradeState.CLOSED)
    orders = [
        BookEntry(number, chance.choice(TRANSACTIONS), "", "", 100, "CNY", chance.choice(states)) for number in ORDERS
    ]
    return [
        *chance.sample(orders, chance.randrange(len(orders) + 1)),
        BookEntry("o1", "t1", "r1", "", 5, "CNY", RefundState.SUCCESS),
    ]


def judge_each(lines: Sequence[BookEntry], recorded: Sequence[BookEntry]) -> Iterator[Found]:
    """The differences of all lines, one by one, as the rules say it."""
    reversed_ = {line.transaction_id for line in lines if line.state == REVERSED}
    sides = {each.out_refund_no or each.out_trade_no: each for each in reversed(recorded)}
    for number in dict.fromkeys(line.out_refund_no or line.out_trade_no for line in lines):
        nth, seen = 0, set()
        for line in [each for each in lines if (each.out_refund_no or each.out_trade_no) == number]:
            taken_back = line.transaction_id in reversed_ and not line.is_refund
            nth += not taken_back
            numbers = (line.transaction_id, line.refund_id)
            kind = classify(sides.get(number), line, nth=nth, again=numbers in seen, taken_back=taken_back)
            seen.add(numbers)
            if kind:
                yield line, kind


@pytest.mark.parametrize("seed", range(150))
def test_no_difference_is_left_out(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    lines, recorded = [a_line(chance) for _ in range(chance.randrange(1, 7))], recorded_entries(chance)
    with MatchDatabase(tmp_path / "match.sqlite") as database:
        database.add_bill(lines)
        database.add_entries(recorded, of_day=True)
        found = [
            (pair.billed, kind)
            for pair in database.pairs()
            if (
                kind := classify(pair.recorded, pair.billed, nth=pair.nth, again=pair.again, taken_back=pair.taken_back)
            )
        ]
    assert sorted(found) == sorted(judge_each(lines, recorded))


def test_payments_of_which_both_sides_say_the_same_are_left_out(tmp_path: Path) -> None:
    payments = [BookEntry(f"order-{i}", f"T{i}", "", "", 100 + i, "CNY", PAID) for i in range(20)]
    billed = [*payments, payments[7], payments[8]._replace(transaction_id="another")]
    with MatchDatabase(tmp_path / "match.sqlite") as database:
        database.add_bill(billed)
        database.add_entries([*payments[:3], payments[3]._replace(amount=1), *payments[4:]], of_day=True)
        pairs = list(database.pairs())
    assert [pair.billed.out_trade_no for pair in pairs] == ["order-3", "order-7", "order-7", "order-8", "order-8"]
