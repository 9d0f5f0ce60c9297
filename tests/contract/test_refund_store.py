"""What the stores promise about refunds, over both drivers, against a real server."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest
from GONE.wechat.models import Move
from GONE.wechat.refund_models import MAX_ATTEMPTS

from storage.embedded import EmbeddedMongo
from storage.old_driver import Connection, Driver
from storage.old_storage import MongoStorage
from tests.contract.samples import HOUR, NOW, a_close, a_payment, a_refund, a_refund_move, an_order
from wechat.domain.facts import RefundState
from wechat.domain.money import Fen
from wechat.domain.orders import SPACING, Refund, TimelineEntry, TradeState
from wechat.domain.refunds import LEASE, MAX_REFUNDS

ORDER = an_order(total=Fen(100))
NUMBER = ORDER.out_trade_no
ASIDE = TimelineEntry(NOW, "refund_reserved", "refund", "shop")
BACK = TimelineEntry(NOW, "refund_released", "refund", "shop")


@pytest.fixture
async def paid(storage: MongoStorage) -> MongoStorage:
    """A store with one order, paid with 100 fen."""
    await storage.orders.insert(ORDER)
    assert await storage.orders.move(NUMBER, Move(TradeState.SUCCESS, a_payment().event))
    return storage


async def reserved(storage: MongoStorage) -> int:
    order = await storage.orders.get(NUMBER)
    assert order is not None
    return order.refund_reserved


# -- putting aside -----------------------------------------------------------------------------------------------------


async def test_of_a_hundred_refunds_of_60_on_a_100_order_exactly_one_is_put_aside(
    paid: MongoStorage, mongo: EmbeddedMongo, driver: Driver, database: str
) -> None:
    """J5, the stores of two processes at once."""
    other = MongoStorage(mongo.url, database, driver)
    stores = [(paid, other)[i % 2].orders for i in range(100)]
    done = await asyncio.gather(*(store.reserve(a_refund(f"refund-{i}"), ASIDE) for i, store in enumerate(stores)))
    await other.close()
    assert done.count(True) == 1
    assert await reserved(paid) == 60


async def test_of_a_hundred_refunds_of_1_on_a_100_order_fifty_are_put_aside(paid: MongoStorage) -> None:
    """J6: WeChat takes no more."""
    refunds = [a_refund(f"refund-{i}", refund=Fen(1)) for i in range(100)]
    done = await asyncio.gather(*(paid.orders.reserve(refund, ASIDE) for refund in refunds))
    assert (done.count(True), await reserved(paid)) == (MAX_REFUNDS, MAX_REFUNDS)


async def test_the_whole_amount_and_not_a_fen_more(paid: MongoStorage) -> None:
    assert await paid.orders.reserve(a_refund(), ASIDE)
    assert not await paid.orders.reserve(a_refund("refund-2", refund=Fen(41)), ASIDE)
    assert await paid.orders.reserve(a_refund("refund-3", refund=Fen(40)), ASIDE)
    assert not await paid.orders.reserve(a_refund("refund-4", refund=Fen(1)), ASIDE)
    assert await reserved(paid) == 100


async def test_putting_aside_again_succeeds_and_changes_nothing(paid: MongoStorage) -> None:
    done = await asyncio.gather(*(paid.orders.reserve(a_refund(), ASIDE) for _ in range(20)))
    assert done == [True] * 20
    order = await paid.orders.get(NUMBER)
    assert order is not None
    assert (order.refund_reserved, order.events.count(ASIDE)) == (60, 1)


async def test_the_same_number_with_another_amount_is_not_put_aside(paid: MongoStorage) -> None:
    assert await paid.orders.reserve(a_refund(), ASIDE)
    assert not await paid.orders.reserve(a_refund(refund=Fen(30)), ASIDE)


@pytest.mark.parametrize("closed", [False, True])
async def test_nothing_is_put_aside_of_an_order_that_is_not_paid(storage: MongoStorage, closed: bool) -> None:
    await storage.orders.insert(ORDER)
    if closed:
        await storage.orders.move(NUMBER, a_close())
    assert not await storage.orders.reserve(a_refund(), ASIDE)
    assert not await storage.orders.reserve(a_refund(out_trade_no="nobody"), ASIDE)


async def test_of_an_order_paid_late_money_is_put_aside(storage: MongoStorage) -> None:
    await storage.orders.insert(ORDER)
    await storage.orders.move(NUMBER, Move(TradeState.PAID_LATE, ASIDE))
    assert await storage.orders.reserve(a_refund(), ASIDE)


async def test_what_is_given_back_can_be_put_aside_again(paid: MongoStorage) -> None:
    await paid.orders.reserve(a_refund(), ASIDE)
    await asyncio.gather(*(paid.orders.release(a_refund(), BACK) for _ in range(20)))
    assert await reserved(paid) == 0
    assert await paid.orders.reserve(a_refund("refund-2", refund=Fen(100)), ASIDE)


async def test_what_was_given_back_is_never_put_aside_again_under_its_number(paid: MongoStorage) -> None:
    """Nor is what was refused after its first lease, when somebody may still be about to put it aside."""
    late = replace(a_refund("refund-2"), events=(TimelineEntry(NOW + LEASE, "refused", "answer"),))
    await paid.orders.reserve(a_refund(), ASIDE)
    for refund in (a_refund(), late):
        await paid.orders.release(refund, BACK)
        assert not await paid.orders.reserve(refund, ASIDE)
        assert not await paid.orders.reserve_in_turn(refund, ASIDE, NOW, SPACING)
    assert await reserved(paid) == 0


async def test_an_orders_attempts_are_bounded(paid: MongoStorage, raw: Connection) -> None:
    await raw.database["orders"].update_one({"_id": NUMBER}, {"$set": {"refund_attempts": MAX_ATTEMPTS - 1}})
    assert await paid.orders.reserve(a_refund(), ASIDE)
    await paid.orders.release(a_refund(), BACK)
    assert not await paid.orders.reserve(a_refund("refund-last"), ASIDE)


async def test_giving_back_what_was_not_put_aside_does_nothing(paid: MongoStorage) -> None:
    before = await paid.orders.get(NUMBER)
    await paid.orders.release(a_refund(), BACK)
    assert await paid.orders.get(NUMBER) == before


async def test_a_given_back_refund_makes_room_among_the_fifty(paid: MongoStorage) -> None:
    refunds = [a_refund(f"refund-{i}", refund=Fen(1)) for i in range(MAX_REFUNDS + 1)]
    for refund in refunds[:-1]:
        assert await paid.orders.reserve(refund, ASIDE)
    assert not await paid.orders.reserve(refunds[-1], ASIDE)
    await paid.orders.release(refunds[0], BACK)
    assert await paid.orders.reserve(refunds[-1], ASIDE)


async def test_refunds_of_an_order_take_turns_a_minute_apart(paid: MongoStorage) -> None:
    taken = await asyncio.gather(*(paid.orders.take_refund_turn(NUMBER, NOW, SPACING) for _ in range(10)))
    assert taken.count(True) == 1
    almost = NOW + SPACING - timedelta(milliseconds=1)
    assert not await paid.orders.take_refund_turn(NUMBER, almost, SPACING)
    assert await paid.orders.take_refund_turn(NUMBER, NOW + SPACING, SPACING)


async def test_of_a_hundred_refunds_at_once_one_is_put_aside_in_turn_and_the_others_not_at_all(
    paid: MongoStorage, mongo: EmbeddedMongo, driver: Driver, database: str
) -> None:
    """The stores of two processes at once."""
    other = MongoStorage(mongo.url, database, driver)
    stores = [(paid, other)[i % 2].orders for i in range(100)]
    refunds = [a_refund(f"refund-{i}", refund=Fen(1)) for i in range(100)]
    done = await asyncio.gather(
        *(store.reserve_in_turn(refund, ASIDE, NOW, SPACING) for store, refund in zip(stores, refunds, strict=True))
    )
    await other.close()
    assert (done.count(True), await reserved(paid)) == (1, 1)
    assert not await paid.orders.take_refund_turn(NUMBER, NOW, SPACING)


async def test_in_turn_means_room_and_turn_and_not_before_or_nothing_changes(paid: MongoStorage) -> None:
    later = NOW + SPACING
    assert await paid.orders.reserve_in_turn(a_refund(), ASIDE, NOW, SPACING)
    before = await paid.orders.get(NUMBER)
    small = a_refund("refund-2", refund=Fen(1))
    assert not await paid.orders.reserve_in_turn(small, ASIDE, later - timedelta(milliseconds=1), SPACING)
    assert not await paid.orders.reserve_in_turn(a_refund("refund-3", refund=Fen(41)), ASIDE, later, SPACING)
    assert not await paid.orders.reserve_in_turn(a_refund(), ASIDE, later, SPACING)
    assert await paid.orders.get(NUMBER) == before
    assert await paid.orders.take_refund_turn(NUMBER, later, SPACING)


async def test_nothing_is_put_aside_in_turn_of_an_order_that_is_not_paid(storage: MongoStorage) -> None:
    await storage.orders.insert(ORDER)
    assert not await storage.orders.reserve_in_turn(a_refund(), ASIDE, NOW, SPACING)
    assert await storage.orders.take_refund_turn(NUMBER, NOW, SPACING)


# -- late money --------------------------------------------------------------------------------------------------------


async def test_an_order_paid_late_is_looked_at_until_it_is_settled(storage: MongoStorage) -> None:
    await storage.orders.insert(ORDER)
    late = Move(TradeState.PAID_LATE, ASIDE, changes={"next_check_at": NOW})
    await storage.orders.move(NUMBER, late)
    due = await storage.orders.claim_due(NOW, HOUR)
    assert due is not None
    assert (due.out_trade_no, due.trade_state) == (NUMBER, TradeState.PAID_LATE)
    line = TimelineEntry(NOW, "needs_operator", "policy")
    for _ in range(2):
        await storage.orders.settle(NUMBER, line)
    assert await storage.orders.claim_due(NOW + 2 * HOUR, HOUR) is None
    order = await storage.orders.get(NUMBER)
    assert order is not None
    assert order.events.count(line) == 1


# -- refunds -----------------------------------------------------------------------------------------------------------


async def test_a_refund_comes_back_as_it_was_stored(storage: MongoStorage) -> None:
    refund = a_refund(surplus=True, refund_id="503", success_at=NOW, state=RefundState.SUCCESS)
    assert await storage.refunds.insert(refund)
    stored = await storage.refunds.get(refund.out_refund_no)
    assert stored == refund
    assert stored is not None
    assert (type(stored.refund), type(stored.total)) == (int, int)
    assert await storage.refunds.get("nobody") is None


async def test_of_fifty_equal_inserts_one_wins(storage: MongoStorage) -> None:
    won = await asyncio.gather(*(storage.refunds.insert(a_refund()) for _ in range(50)))
    assert won.count(True) == 1


async def test_the_refunds_of_an_order_come_oldest_first(storage: MongoStorage) -> None:
    second = a_refund("refund-2", created_at=NOW + HOUR)
    for refund in (second, a_refund("refund-1"), a_refund("refund-9", out_trade_no="another")):
        await storage.refunds.insert(refund)
    assert [refund.out_refund_no for refund in await storage.refunds.of_order(NUMBER)] == ["refund-1", "refund-2"]


async def test_a_move_writes_state_date_fields_line_and_outbox_together(storage: MongoStorage, raw: Connection) -> None:
    refund, move = a_refund(), a_refund_move(RefundState.SUCCESS)
    await storage.refunds.insert(refund)
    moved = await asyncio.gather(*(storage.refunds.move(refund.out_refund_no, move) for _ in range(50)))
    [done] = [one for one in moved if one]
    assert done == a_refund(
        state=RefundState.SUCCESS,
        refund_id="50300001",
        success_at=NOW,
        next_check_at=NOW + HOUR,
        events=(*refund.events, move.event),
    )
    document = await raw.database["refunds"].find_one({"_id": refund.out_refund_no})
    assert document is not None
    [outgoing] = document["outbox"]
    assert (outgoing["type"], outgoing["at"]) == ("refund.succeeded", NOW)


@pytest.mark.parametrize("differs", [{"refund": 59}, {"total": 99}, {"mchid": "sim2"}, {"out_trade_no": "another"}])
async def test_a_move_that_does_not_match_changes_nothing(storage: MongoStorage, differs: dict[str, str | int]) -> None:
    await storage.refunds.insert(a_refund())
    assert await storage.refunds.move("R20260301120506abc", a_refund_move(RefundState.SUCCESS, match=differs)) is None
    assert await storage.refunds.get("R20260301120506abc") == a_refund()


@pytest.mark.parametrize("end", [RefundState.SUCCESS, RefundState.CLOSED, RefundState.REFUSED])
@pytest.mark.parametrize("target", list(RefundState)[1:])
async def test_an_end_is_an_end(storage: MongoStorage, end: RefundState, target: RefundState) -> None:
    refund = a_refund(state=end)
    await storage.refunds.insert(refund)
    assert await storage.refunds.move(refund.out_refund_no, a_refund_move(target)) is None
    assert await storage.refunds.get(refund.out_refund_no) == refund


async def test_of_fifty_who_hold_the_same_date_one_goes_on(storage: MongoStorage) -> None:
    await storage.refunds.insert(a_refund())
    line = TimelineEntry(NOW, "sent", "v3")
    went = await asyncio.gather(*(storage.refunds.schedule(a_refund(), NOW + (2 + i) * HOUR, line) for i in range(50)))
    [winner] = [refund for refund in went if refund]
    assert (winner.sends, await storage.refunds.get(winner.out_refund_no)) == (1, winner)


async def test_who_holds_an_old_date_or_state_does_not_go_on(storage: MongoStorage) -> None:
    old = a_refund()
    await storage.refunds.insert(old)
    moved = await storage.refunds.move(
        old.out_refund_no, a_refund_move(RefundState.PROCESSING, next_check_at=old.next_check_at)
    )
    assert moved is not None
    assert await storage.refunds.schedule(old, NOW) is None
    assert await storage.refunds.schedule(moved, NOW) is not None
    assert await storage.refunds.schedule(moved, NOW + HOUR) is None


async def test_without_a_date_nobody_looks_any_more(storage: MongoStorage) -> None:
    await storage.refunds.insert(a_refund())
    undated = await storage.refunds.schedule(a_refund(), None)
    assert undated == a_refund(next_check_at=None)
    assert await storage.refunds.claim_due(NOW + HOUR, HOUR) is None
    assert undated is not None
    assert await storage.refunds.schedule(undated, NOW) is not None


async def test_due_refunds_are_taken_one_by_one_oldest_first(storage: MongoStorage) -> None:
    later = a_refund("refund-2", next_check_at=NOW + timedelta(minutes=2))
    for refund in (later, a_refund("refund-1"), a_refund("refund-3", next_check_at=NOW + 9 * HOUR)):
        await storage.refunds.insert(refund)
    assert await storage.refunds.claim_due(NOW, HOUR) is None
    now = NOW + timedelta(minutes=3)
    taken = [await storage.refunds.claim_due(now, HOUR) for _ in range(3)]
    assert [refund.out_refund_no for refund in taken if refund] == ["refund-1", "refund-2"]
    assert await storage.refunds.overdue(now) == (0, 0.0)
    again = await storage.refunds.claim_due(now + HOUR, HOUR)
    assert again is not None


async def test_overdue_refunds_are_counted_with_the_age_of_the_oldest(storage: MongoStorage) -> None:
    await storage.refunds.insert(a_refund("refund-1"))
    await storage.refunds.insert(a_refund("refund-2", next_check_at=NOW))
    assert await storage.refunds.overdue(NOW + timedelta(minutes=2)) == (2, 120.0)


def test_sends_are_counted_by_the_timeline() -> None:
    sent = tuple(TimelineEntry(NOW + i * HOUR, "sent", "v3") for i in range(2))
    refund: Refund = a_refund(events=(TimelineEntry(NOW, "requested", "shop"), *sent))
    assert (refund.sends, refund.first_sent_at) == (2, NOW)
    assert (a_refund().sends, a_refund().first_sent_at) == (0, None)
