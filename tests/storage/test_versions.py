"""Compare-and-set: what an insert and a replacement promise, whoever else writes, and beside releases that write more."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from storage.stores.all import CLAIMS, DAYS, DELIVERIES, DIFFERENCES, NOTIFICATIONS, ORDERS
from tests.contract.samples import NOW, PREPAID, PREPAY, a_fact, a_payment, a_refund, an_order, paid
from tests.storage.backing import Backing, Storage
from tests.storage.values import FULL_AND_BARE
from tests.support.clock import ManualClock
from tests.support.runtime import RandomIds
from wechat.domain.errors import NewerDocument, StoreUnavailable
from wechat.domain.orders import Order
from wechat.domain.payments import record_payment
from wechat.domain.ports import WRITES_KEPT, Stored
from wechat.domain.transitions import add_note, set_prepay
from wechat.support.update import Updater

ORDER = an_order()
RACERS = 50


def updater(storage: Storage, clock: ManualClock, **options: Any) -> Updater[Order]:
    return Updater(storage.orders, lambda order: order.key, RandomIds(), **options)


async def stored_order(storage: Storage, order: Order = ORDER) -> Stored[Order]:
    stored = await storage.orders.get(order.key)
    assert stored is not None
    return stored


# -- inserts -----------------------------------------------------------------------------------------------------------


async def test_a_taken_key_is_refused_and_the_stored_value_untouched(storage: Storage) -> None:
    assert await storage.orders.insert(ORDER, "write-1")
    assert not await storage.orders.insert(an_order(description="another"), "write-2")
    stored = await stored_order(storage)
    assert (stored.value, stored.rev, stored.writes) == (ORDER, 1, ("write-1",))


async def test_of_fifty_equal_inserts_exactly_one_wins(storage: Storage, backing: Backing) -> None:
    """The stores of two processes at once."""
    stores = (storage.orders, backing.open().orders)
    won = await asyncio.gather(*(stores[i % 2].insert(ORDER, f"write-{i}") for i in range(RACERS)))
    assert won.count(True) == 1
    assert (await stored_order(storage)).writes == (f"write-{won.index(True)}",)


async def test_an_insert_that_is_sent_again_is_known_by_its_write_also_after_later_changes(storage: Storage) -> None:
    assert await storage.orders.insert(ORDER, "write-1")
    assert await storage.orders.insert(ORDER, "write-1")
    assert (await stored_order(storage)).rev == 1
    assert await storage.orders.replace(await stored_order(storage), paid(ORDER), "write-2")
    assert await storage.orders.insert(ORDER, "write-1")
    assert not await storage.orders.insert(ORDER, "write-3")
    assert (await stored_order(storage)).value == paid(ORDER)


# -- replacements ------------------------------------------------------------------------------------------------------


async def test_a_replacement_of_a_revision_that_has_moved_on_changes_nothing(storage: Storage) -> None:
    await storage.orders.insert(ORDER, "write-1")
    old = await stored_order(storage)
    assert await storage.orders.replace(old, paid(ORDER), "write-2")
    assert not await storage.orders.replace(old, an_order(description="late"), "write-3")
    stored = await stored_order(storage)
    assert (stored.value, stored.rev, stored.writes) == (paid(ORDER), 2, ("write-1", "write-2"))


async def test_of_fifty_replacements_of_one_revision_exactly_one_is_made(storage: Storage, backing: Backing) -> None:
    """The stores of two processes at once."""
    await storage.orders.insert(ORDER, "write-0")
    held = await stored_order(storage)
    stores = (storage.orders, backing.open().orders)
    made = await asyncio.gather(
        *(
            stores[i % 2].replace(held, an_order(description=f"by {i}"), f"write-{i}")
            for i in range(1, RACERS + 1)
        )
    )  # fmt: skip
    assert made.count(True) == 1
    stored = await stored_order(storage)
    winner = made.index(True) + 1
    assert (stored.value.description, stored.rev) == (f"by {winner}", 2)
    assert stored.writes == ("write-0", f"write-{winner}")


async def test_a_replacement_of_what_is_not_there_is_not_made(storage: Storage) -> None:
    assert not await storage.orders.replace(Stored(ORDER, 1, ("write-1",)), paid(ORDER), "write-2")
    assert await storage.orders.get(ORDER.key) is None


async def test_a_write_that_arrives_after_its_retry_loses(storage: Storage) -> None:
    """The retry read what it found, so it raised the revision that the late write goes by."""
    await storage.orders.insert(ORDER, "write-1")
    held = await stored_order(storage)
    assert await storage.orders.replace(held, paid(ORDER), "retry")
    assert not await storage.orders.replace(held, paid(ORDER), "late")
    stored = await stored_order(storage)
    assert (stored.rev, stored.writes) == (2, ("write-1", "retry"))


async def test_the_ids_of_the_last_eight_writes_are_kept(storage: Storage) -> None:
    await storage.orders.insert(ORDER, "write-1")
    for number in range(2, 13):
        held = await stored_order(storage)
        assert await storage.orders.replace(held, an_order(checks=number), f"write-{number}")
    stored = await stored_order(storage)
    assert WRITES_KEPT == 8
    assert (stored.rev, stored.writes) == (12, tuple(f"write-{number}" for number in range(5, 13)))
    assert not await storage.orders.insert(ORDER, "write-1")


# -- transitions over the stores ---------------------------------------------------------------------------------------


async def test_a_payment_is_one_write_of_state_fields_timeline_and_outbox(
    storage: Storage, backing: Backing, clock: ManualClock
) -> None:
    await storage.orders.insert(ORDER, "write-1")
    fact = a_fact(ORDER)
    change = await updater(storage, clock).update(
        ORDER.key, lambda order: record_payment(order, fact, source="notify", now=NOW)
    )
    assert change is not None
    stored = await stored_order(storage)
    assert (change.before, change.after, stored.value, stored.rev) == (ORDER, paid(ORDER), paid(ORDER), 2)
    document = await backing.document(ORDERS, ORDER.key)
    [outgoing] = document["outbox"]
    assert (outgoing["type"], outgoing["at"], document["outbox_due_at"]) == ("order.paid", NOW, NOW)
    assert (document["trade_state"], document["paid_at"], len(document["timeline"])) == ("SUCCESS", NOW, 2)
    assert document.keys() & {"next_check_at", "due_at"} == set()


async def test_of_fifty_equal_payments_one_is_recorded(storage: Storage, backing: Backing, clock: ManualClock) -> None:
    """Two processes at once."""
    await storage.orders.insert(ORDER, "write-1")
    updaters, fact = (updater(storage, clock), updater(backing.open(), clock)), a_fact(ORDER)
    changes = await asyncio.gather(
        *(
            updaters[i % 2].update(ORDER.key, lambda o: record_payment(o, fact, source="notify", now=NOW))
            for i in range(RACERS)
        )
    )
    assert Counter(change.happened for change in changes if change) == {True: 1, False: RACERS - 1}
    document = await backing.document(ORDERS, ORDER.key)
    assert (document["rev"], len(document["outbox"]), len(document["timeline"])) == (2, 1, 2)


async def test_a_note_is_appended_and_nothing_else_changes(storage: Storage, clock: ManualClock) -> None:
    await storage.orders.insert(ORDER, "write-1")
    await updater(storage, clock).update(ORDER.key, lambda order: add_note(order, PREPAID))
    assert (await stored_order(storage)).value == replace(ORDER, timeline=(*ORDER.timeline, PREPAID))


async def test_a_prepay_is_kept_with_its_line(storage: Storage, clock: ManualClock) -> None:
    await storage.orders.insert(ORDER, "write-1")
    await updater(storage, clock).update(ORDER.key, lambda order: set_prepay(order, PREPAY, PREPAID, NOW))
    kept = replace(ORDER, prepay=PREPAY, timeline=(*ORDER.timeline, PREPAID))
    assert (await stored_order(storage)).value == kept


# -- beside a newer release --------------------------------------------------------------------------------------------

STRANGE = {"from_the_future": {"a": [1]}}


async def test_unknown_fields_of_an_order_its_payments_and_refunds_survive_a_replacement(
    storage: Storage, backing: Backing, clock: ManualClock
) -> None:
    """Unknown fields stay with their payment or refund, by its identity, through several changes in a row."""
    first, second = a_refund("R1"), a_refund("R2", last_sent_at=NOW)
    order = an_order(payments=(a_payment("T1"), a_payment("T2")), refunds=(first, second))
    await storage.orders.insert(order, "write-1")
    document = await backing.document(ORDERS, order.key)
    payments, refunds = document["payments"], document["refunds"]
    strange = STRANGE | {
        "payments": [payments[0], payments[1] | STRANGE],
        "refunds": [refunds[0] | STRANGE, refunds[1]],
    }
    await backing.change(ORDERS, order.key, strange)
    changes = updater(storage, clock)
    await changes.update(order.key, lambda o: replace(o, refunds=(a_refund("R0"), *o.refunds)))
    await changes.update(order.key, lambda o: replace(o, checks=9, payments=(*o.payments, a_payment("T3"))))
    document = await backing.document(ORDERS, order.key)
    assert (document["rev"], document["checks"], document["from_the_future"]) == (3, 9, {"a": [1]})
    payments, refunds = document["payments"], document["refunds"]
    assert [(p["transaction_id"], p.get("from_the_future")) for p in payments] == [
        ("T1", None), ("T2", {"a": [1]}), ("T3", None),
    ]  # fmt: skip
    assert [(r["out_refund_no"], r.get("from_the_future")) for r in refunds] == [
        ("R0", None), ("R1", {"a": [1]}), ("R2", None),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "collection"),
    [
        ("notifications", NOTIFICATIONS),
        ("claims", CLAIMS),
        ("deliveries", DELIVERIES),
        ("days", DAYS),
        ("differences", DIFFERENCES),
    ],
)
async def test_unknown_fields_of_any_document_survive_a_replacement(
    storage: Storage, backing: Backing, kind: str, collection: str
) -> None:
    store: Any = getattr(storage, kind)
    value, other = FULL_AND_BARE[kind]
    key = str(value.key if hasattr(value, "key") else value.id)
    await store.insert(value, "write-1")
    await backing.change(collection, key, STRANGE)
    assert await store.replace(await store.get(key), other, "write-2")
    document = await backing.document(collection, key)
    assert (document["from_the_future"], document["rev"]) == ({"a": [1]}, 2)


async def test_a_field_that_is_cleared_does_not_come_back_as_an_unknown_one(
    storage: Storage, backing: Backing, clock: ManualClock
) -> None:
    order = an_order(refunds=(a_refund("R1", lease="l", refund_id="503", last_sent_at=NOW),), attach="a")
    await storage.orders.insert(order, "write-1")
    cleared = a_refund("R1", next_check_at=None)
    await updater(storage, clock).update(
        order.key, lambda o: replace(o, attach="", next_check_at=None, refunds=(cleared,))
    )
    document = await backing.document(ORDERS, order.key)
    assert document.keys() & {"attach", "next_check_at", "due_at", "refund_days"} == set()
    assert document["refunds"][0].keys() & {"lease", "refund_id", "next_check_at", "last_sent_at"} == set()


@pytest.mark.parametrize(
    ("kind", "collection"),
    [
        ("orders", ORDERS),
        ("notifications", NOTIFICATIONS),
        ("claims", CLAIMS),
        ("deliveries", DELIVERIES),
        ("days", DAYS),
        ("differences", DIFFERENCES),
    ],
)
async def test_a_document_of_a_newer_schema_can_be_read_and_is_never_written(
    storage: Storage, backing: Backing, kind: str, collection: str
) -> None:
    store: Any = getattr(storage, kind)
    value, other = FULL_AND_BARE[kind]
    key = str(value.key if hasattr(value, "key") else value.id)
    await store.insert(value, "write-1")
    await backing.change(collection, key, {"schema": 2, "meant_otherwise": True})
    before = await backing.document(collection, key)
    stored = await store.get(key)
    assert stored.value == value
    with pytest.raises(NewerDocument):
        await store.replace(stored, other, "write-2")
    assert not await store.insert(other, "write-3")
    assert await backing.document(collection, key) == before


async def test_who_changed_an_order_before_a_newer_release_did_cannot_change_it_any_more(
    storage: Storage, backing: Backing, clock: ManualClock
) -> None:
    """Not even from the copy that the process remembers."""
    changes = updater(storage, clock)
    await changes.insert(ORDER)
    await changes.update(ORDER.key, lambda order: replace(order, checks=1))
    await backing.change(ORDERS, ORDER.key, {"schema": 2, "rev": 3, "checks": 7})
    with pytest.raises(NewerDocument):
        await changes.update(ORDER.key, lambda order: replace(order, checks=order.checks + 1))
    document = await backing.document(ORDERS, ORDER.key)
    assert (document["schema"], document["rev"], document["checks"]) == (2, 3, 7)


def test_a_newer_document_is_a_store_that_is_not_available() -> None:
    """The API therefore answers 503, and no code takes the error for a refusal."""
    assert isinstance(NewerDocument(), StoreUnavailable)
