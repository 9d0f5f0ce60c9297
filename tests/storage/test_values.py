"""What is stored comes back as it was: every kind of value, over every database."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, fields, is_dataclass, replace
from datetime import UTC, datetime, timedelta, timezone
from enum import Enum
from typing import Any

import pytest

from storage.stores.all import (
    ALARMS,
    API_KEYS,
    APPROVALS,
    CALLS,
    CLAIMS,
    DAYS,
    DELIVERIES,
    DIFFERENCES,
    FAILED_LOGINS,
    NOTIFICATIONS,
    ORDERS,
    PLUGIN_RECORDS,
    REFUSED,
    STAFF,
    STAFF_SESSIONS,
    SUMMARIES,
)
from tests.contract.samples import MCHID, NOW, NUMBER, a_message, a_refund, an_order
from tests.storage.backing import Backing, Storage
from tests.storage.values import (
    FULL_AND_BARE,
    bare_order,
    full_day,
    full_delivery,
    full_difference,
    full_key,
    full_member,
    full_message,
    full_order,
    full_refund,
    full_session,
    full_summary,
)
from wechat.domain.numbers import NumberUse, payment_number, refund_number
from wechat.domain.ports import Stored

KINDS = sorted(FULL_AND_BARE)
COLLECTION = {
    "orders": ORDERS,
    "notifications": NOTIFICATIONS,
    "refused": REFUSED,
    "alarms": ALARMS,
    "claims": CLAIMS,
    "calls": CALLS,
    "deliveries": DELIVERIES,
    "days": DAYS,
    "differences": DIFFERENCES,
    "summaries": SUMMARIES,
    "plugin_records": PLUGIN_RECORDS,
    "api_keys": API_KEYS,
    "approvals": APPROVALS,
    "staff": STAFF,
    "staff_sessions": STAFF_SESSIONS,
    "failed_logins": FAILED_LOGINS,
}


def key_of(value: Any) -> str:
    """The key of any of the values."""
    return str(next(getattr(value, name) for name in ("key", "place", "id", "name") if hasattr(value, name)))


def parts_of(value: object) -> Iterator[object]:
    """``value`` and everything in it."""
    yield value
    inside: list[object] = []
    if is_dataclass(value):
        inside = [getattr(value, field.name) for field in fields(value)]
    elif isinstance(value, Mapping):
        inside = [*value.keys(), *value.values()]
    elif isinstance(value, tuple | list):
        inside = list(value)
    for each in inside:
        yield from parts_of(each)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("first", [0, 1], ids=["full", "bare"])
async def test_a_value_comes_back_as_it_was_stored_and_as_it_was_replaced(
    storage: Storage, kind: str, first: int
) -> None:
    store: Any = getattr(storage, kind)
    values = FULL_AND_BARE[kind]
    value, other = values[first], values[1 - first]
    key = key_of(value)
    assert await store.insert(value, "write-1")
    stored: Stored[Any] = await store.get(key)
    assert (stored.value, stored.rev, stored.writes) == (value, 1, ("write-1",))
    assert await store.replace(stored, other, "write-2")
    stored = await store.get(key)
    assert (stored.value, stored.rev, stored.writes) == (other, 2, ("write-1", "write-2"))
    assert await store.replace(stored, value, "write-3")
    stored = await store.get(key)
    assert (stored.value, stored.rev, stored.writes) == (value, 3, ("write-1", "write-2", "write-3"))


@pytest.mark.parametrize("kind", KINDS)
async def test_numbers_come_back_as_plain_ints_and_texts_as_plain_texts(storage: Storage, kind: str) -> None:
    store: Any = getattr(storage, kind)
    value = FULL_AND_BARE[kind][0]
    await store.insert(value, "write-1")
    stored: Stored[Any] = await store.get(key_of(value))
    parts = [part for part in (stored.rev, *parts_of(stored.value)) if not isinstance(part, Enum)]
    types = {type(part) for part in parts if isinstance(part, int | float | str | bytes)}
    assert types <= {int, float, str, bytes, bool}


@pytest.mark.parametrize("kind", KINDS)
async def test_dates_come_back_in_utc_with_milliseconds(storage: Storage, kind: str) -> None:
    store: Any = getattr(storage, kind)
    value = FULL_AND_BARE[kind][0]
    await store.insert(value, "write-1")
    stored: Stored[Any] = await store.get(key_of(value))
    dates = [part for part in parts_of(stored.value) if isinstance(part, datetime)]
    assert dates
    assert {date.tzinfo for date in dates} == {UTC}
    assert {date.microsecond for date in dates} == {NOW.microsecond} != {0}


async def test_a_date_is_kept_to_the_millisecond_and_in_utc_whatever_its_zone(storage: Storage) -> None:
    beijing = NOW.astimezone(timezone(timedelta(hours=8)))
    await storage.orders.insert(an_order(created_at=beijing + timedelta(microseconds=123)), "write-1")
    stored = await storage.orders.get(an_order().key)
    assert stored is not None
    assert (stored.value.created_at, stored.value.created_at.tzinfo) == (NOW, UTC)


@pytest.mark.parametrize(
    "value",
    [
        full_order(),
        full_refund(),
        full_message(),
        full_delivery(),
        full_day(),
        full_difference(),
        full_summary(),
        full_member(),
        full_session(),
        full_key(),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_full_value_leaves_no_field_at_its_default(value: Any) -> None:
    """Otherwise a field that is not stored could come back all the same."""
    defaults = {
        field.name: field.default_factory() if field.default_factory is not MISSING else field.default
        for field in fields(value)
        if field.default is not MISSING or field.default_factory is not MISSING
    }
    assert {name for name, default in defaults.items() if getattr(value, name) == default} == set()


@pytest.mark.parametrize(
    "find", [lambda s: s.orders.get("x"), lambda s: s.claims.get("x"), lambda s: s.deliveries.get("x")]
)
async def test_an_unknown_key_is_none(storage: Storage, find: Callable[[Storage], Any]) -> None:
    assert await find(storage) is None
    assert await storage.numbers.get("x") is None


async def test_zero_is_not_nothing(storage: Storage) -> None:
    """``payer_total`` is 0 when coupons cover the whole amount; the stores must not read 0 as missing."""
    paid = replace(full_order(), payments=(replace(full_order().payments[0], payer_total=0),))
    await storage.orders.insert(paid, "write-1")
    stored = await storage.orders.get(paid.key)
    assert stored is not None
    assert (stored.value.payer_total, type(stored.value.payer_total)) == (0, int)


async def test_a_refund_without_a_timeline_comes_back_as_it_was_stored(storage: Storage) -> None:
    order = an_order(refunds=(a_refund(timeline=()),))
    order = replace(order, refunds=(replace(order.refunds[0], total=order.total),))
    assert await storage.orders.insert(order, "write-1")
    stored = await storage.orders.get(order.key)
    assert stored is not None
    assert stored.value == order


async def test_a_reserved_number_is_its_first_orders_for_good(storage: Storage) -> None:
    number = refund_number(MCHID, "R1")
    first = NumberUse(number, "order-1")
    assert await storage.numbers.reserve(first) == first
    assert await storage.numbers.reserve(NumberUse(number, "order-2")) == first
    assert await storage.numbers.reserve(first) == first
    assert await storage.numbers.get(number) == first


async def test_numbers_of_refunds_payments_and_merchants_are_apart(storage: Storage) -> None:
    numbers = [refund_number(MCHID, "1"), payment_number(MCHID, "1"), refund_number("another", "1")]
    uses = [NumberUse(number, f"order-{i}") for i, number in enumerate(numbers)]
    assert [await storage.numbers.reserve(use) for use in uses] == uses


async def test_the_same_number_at_two_merchants_is_two_orders(storage: Storage) -> None:
    ours, theirs = an_order(), an_order(mchid="another")
    assert await storage.orders.insert(ours, "write-1")
    assert await storage.orders.insert(theirs, "write-2")
    found = [await storage.orders.get(order.key) for order in (ours, theirs)]
    assert [stored.value for stored in found if stored] == [ours, theirs]


# -- documents of other releases ---------------------------------------------------------------------------------------


async def test_fields_that_are_missing_have_defaults(storage: Storage, backing: Backing) -> None:
    await storage.orders.insert(an_order(), "write-1")
    missing = ("openid", "currency", "checks", "close_after", "channel", "sequence", "timeline", "quantity")
    await backing.change(ORDERS, an_order().key, {}, *missing)
    stored = await storage.orders.get(an_order().key)
    assert stored is not None
    assert stored.value == an_order(openid="", close_after=None, timeline=(), quantity=0)


@pytest.mark.parametrize("kind", KINDS)
async def test_fields_that_are_not_known_do_not_keep_a_value_from_being_read(
    storage: Storage, backing: Backing, kind: str
) -> None:
    """At the top and in every part."""
    store: Any = getattr(storage, kind)
    value = FULL_AND_BARE[kind][0]
    key = key_of(value)
    await store.insert(value, "write-1")
    document = await backing.document(COLLECTION[kind], key)
    free = ("detail", "headers", "found", "data")  # fields whose keys are not defined here, or are checked
    await backing.put(COLLECTION[kind], [with_strange_fields(document, free)])
    stored: Stored[Any] = await store.get(key)
    assert stored.value == value


def with_strange_fields(document: Any, free: tuple[str, ...]) -> Any:
    """``document`` with a field of a later release in it and in each of its parts."""
    if isinstance(document, list):
        return [with_strange_fields(each, free) for each in document]
    if not isinstance(document, dict):
        return document
    inside = {name: each if name in free else with_strange_fields(each, free) for name, each in document.items()}
    return {**inside, "from_the_future": {"a": [1]}}


async def test_an_empty_order_keeps_no_empty_fields(storage: Storage, backing: Backing) -> None:
    """Without those fields, the indexes over due, paid or staged orders hold only such orders."""
    await storage.orders.insert(bare_order(), "write-1")
    document = await backing.document(ORDERS, f"{MCHID}:{NUMBER}")
    absent = {"due_at", "outbox_due_at", "paid_at", "refund_states", "refund_changed_at", "refund_days", "prepay"}
    assert document.keys() & absent == set()
    assert None not in document.values()


async def test_a_message_is_kept_byte_for_byte(storage: Storage) -> None:
    raw = bytes(range(256))
    await storage.notifications.insert(a_message(raw=raw), "write-1")
    stored = await storage.notifications.get("event-1")
    assert stored is not None
    assert stored.value.raw == raw
