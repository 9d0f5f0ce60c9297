"""The loop that changes stored values: nothing is lost, nothing is done twice, and no doubt becomes a yes or a no."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from tests.support.clock import ManualClock
from tests.support.runtime import CountedIds, RandomIds
from wechat.domain.errors import Conflict, NewerDocument, StoreUnavailable
from wechat.domain.ports import WRITES_KEPT, Stored
from wechat.support.update import LIMIT_S, PAUSE_S, Change, Updater

KEY = "item-1"
SHORT_S = 0.2


@dataclass(frozen=True)
class Item:
    """A value: what was added to it, by name."""

    key: str = KEY
    names: tuple[str, ...] = ()


def add(name: str) -> Callable[[Item], Item]:
    """Add ``name`` each time it is applied."""
    return lambda item: replace(item, names=(*item.names, name))


def add_once(name: str) -> Callable[[Item], Item]:
    """Add ``name``, as transitions do: applied twice is applied once."""
    return lambda item: item if name in item.names else add(name)(item)


class RealTime(ManualClock):
    """Deadlines pass."""

    def monotonic(self) -> float:
        return time.monotonic()


Fate = Callable[["Shelf", Callable[[], bool]], Awaitable[bool]]


async def unknown_and_done(shelf: Shelf, write: Callable[[], bool]) -> bool:
    """Store the value and lose the answer."""
    write()
    raise StoreUnavailable


async def unknown_and_not_done(shelf: Shelf, write: Callable[[], bool]) -> bool:
    """Lose the write, and answer that the store is unavailable."""
    raise StoreUnavailable


async def late(shelf: Shelf, write: Callable[[], bool]) -> bool:
    """Keep the write in ``shelf.late`` until a test lets it arrive; answer that the store is unavailable."""
    shelf.late.append(write)
    raise StoreUnavailable


async def newer(shelf: Shelf, write: Callable[[], bool]) -> bool:
    raise NewerDocument


async def never_answered(shelf: Shelf, write: Callable[[], bool]) -> bool:
    shelf.hanging.set()
    await asyncio.Event().wait()
    raise AssertionError("unreachable")


@dataclass
class Shelf:
    """``VersionedStore``. Each write takes the next of ``fates``; ``before_write`` is what others do just before one.

    ``late`` are writes that have still to arrive. While it is ``down``, it says so after ``silent_s``.
    """

    held: dict[str, Stored[Item]] = field(default_factory=dict)
    fates: list[Fate] = field(default_factory=list)
    before_write: list[Callable[[], object]] = field(default_factory=list)
    late: list[Callable[[], bool]] = field(default_factory=list)
    reads: list[StoreUnavailable | None] = field(default_factory=list)
    hanging: asyncio.Event = field(default_factory=asyncio.Event)
    down: bool = False
    silent_s: float = 0
    read: int = 0
    tried: int = 0
    lost_races: int = 0

    async def insert(self, value: Item, write: str) -> bool:
        def put() -> bool:
            held = self.held.get(value.key)
            if held is not None:
                return write in held.writes
            self.held[value.key] = Stored(value, 1, (write,))
            return True

        return await self._write(put)

    async def get(self, key: str) -> Stored[Item] | None:
        self.read += 1
        await asyncio.sleep(self.silent_s)
        failure = self.reads.pop(0) if self.reads else None
        if self.down or failure:
            raise failure or StoreUnavailable
        return self.held.get(key)

    async def replace(self, stored: Stored[Item], value: Item, write: str) -> bool:
        def put() -> bool:
            held = self.held[value.key]
            if held.rev != stored.rev:
                self.lost_races += 1
                return False
            self.held[value.key] = Stored(value, stored.rev + 1, (*stored.writes, write)[-WRITES_KEPT:])
            return True

        return await self._write(put)

    async def _write(self, put: Callable[[], bool]) -> bool:
        self.tried += 1
        await asyncio.sleep(self.silent_s)
        if self.down:
            raise StoreUnavailable
        if self.before_write:
            self.before_write.pop(0)()
        if self.fates:
            return await self.fates.pop(0)(self, put)
        return put()

    # -- what others do ----------------------------------------------------------------------------------------------

    def put(self, *names: str, rev: int = 1, writes: tuple[str, ...] = ("theirs",)) -> None:
        self.held[KEY] = Stored(Item(names=names), rev, writes)

    def others_add(self, name: str) -> None:
        """Add ``name`` as another process."""
        held = self.held[KEY]
        self.held[KEY] = Stored(add(name)(held.value), held.rev + 1, (*held.writes, f"by-{name}")[-WRITES_KEPT:])

    def let_one_arrive(self) -> bool:
        """Let the oldest late write arrive; return whether it was stored."""
        return self.late.pop(0)()

    @property
    def names(self) -> tuple[str, ...]:
        return self.held[KEY].value.names

    @property
    def rev(self) -> int:
        return self.held[KEY].rev


@pytest.fixture
def shelf() -> Shelf:
    shelf = Shelf()
    shelf.put()
    return shelf


def updater(shelf: Shelf, **options: Any) -> Updater[Item]:
    """An updater over ``shelf``, as one process has it."""
    return Updater(shelf, lambda item: item.key, options.pop("random", RandomIds()), **options)


async def updated(items: Updater[Item], transition: Callable[[Item], Item]) -> Change[Item]:
    change = await items.update(KEY, transition)
    assert change is not None
    return change


# -- read, apply, replace ----------------------------------------------------------------------------------------------


async def test_a_value_is_read_changed_and_replaced(shelf: Shelf) -> None:
    change = await updated(updater(shelf, random=CountedIds()), add("a"))
    assert (change.before, change.after, change.happened) == (Item(), Item(names=("a",)), True)
    assert (shelf.names, shelf.rev, shelf.held[KEY].writes) == (("a",), 2, ("theirs", "000000000001"))
    assert (shelf.read, shelf.tried) == (1, 1)


async def test_what_changes_nothing_writes_nothing(shelf: Shelf) -> None:
    change = await updated(updater(shelf), lambda item: item)
    assert not change.happened
    assert change.before is change.after
    assert (shelf.tried, shelf.rev) == (0, 1)


async def test_what_does_not_exist_is_none(shelf: Shelf) -> None:
    items = updater(shelf)
    assert await items.update("nobody", add("a")) is None
    assert await items.get("nobody") is None
    assert await items.get(KEY) == Item()


async def test_whoever_was_too_slow_starts_over_with_what_is_there_now(shelf: Shelf) -> None:
    shelf.before_write = [lambda: shelf.others_add("theirs-1"), lambda: shelf.others_add("theirs-2")]
    seen: list[Item] = []

    def transition(item: Item) -> Item:
        seen.append(item)
        return add("ours")(item)

    change = await updated(updater(shelf), transition)
    assert [item.names for item in seen] == [(), ("theirs-1",), ("theirs-1", "theirs-2")]
    assert change == Change(Item(names=("theirs-1", "theirs-2")), Item(names=("theirs-1", "theirs-2", "ours")))
    assert (shelf.names, shelf.rev) == (("theirs-1", "theirs-2", "ours"), 4)


async def test_of_hundreds_of_changes_by_several_processes_none_is_lost_and_none_is_made_twice(shelf: Shelf) -> None:
    processes = [updater(shelf) for _ in range(4)]
    names = [f"change-{i}" for i in range(400)]
    await asyncio.gather(*(processes[i % 4].update(KEY, add(name)) for i, name in enumerate(names)))
    assert sorted(shelf.names) == sorted(names)
    assert shelf.rev == 401


async def test_a_transition_that_others_made_meanwhile_is_not_made_again(shelf: Shelf) -> None:
    shelf.before_write = [lambda: shelf.others_add("a")]
    change = await updated(updater(shelf), add_once("a"))
    assert (change.happened, shelf.names, shelf.rev) == (False, ("a",), 2)


# -- refusals ----------------------------------------------------------------------------------------------------------


def refuse(item: Item) -> Item:
    raise Conflict(code="ORDER_MOVED")


async def test_what_a_transition_raises_is_raised_and_nothing_is_written(shelf: Shelf) -> None:
    items = updater(shelf)
    with pytest.raises(Conflict):
        await items.update(KEY, refuse)
    assert (shelf.tried, shelf.rev) == (0, 1)
    assert (await updated(items, add("a"))).happened


async def test_what_a_transition_raises_after_a_lost_race_is_raised(shelf: Shelf) -> None:
    def unless_closed(item: Item) -> Item:
        return refuse(item) if "closed" in item.names else add("paid")(item)

    shelf.before_write = [lambda: shelf.others_add("closed")]
    with pytest.raises(Conflict):
        await updater(shelf).update(KEY, unless_closed)
    assert shelf.names == ("closed",)


async def test_a_document_of_a_newer_release_is_raised_at_once(shelf: Shelf) -> None:
    shelf.fates = [newer]
    items = updater(shelf)
    with pytest.raises(NewerDocument):
        await items.update(KEY, add("a"))
    assert (shelf.tried, shelf.names) == (1, ())


async def test_a_document_of_a_newer_release_is_raised_at_once_also_where_it_was_remembered(shelf: Shelf) -> None:
    items = updater(shelf)
    await items.update(KEY, add("a"))
    shelf.fates = [newer]
    with pytest.raises(NewerDocument):
        await items.update(KEY, add("b"))
    assert (shelf.read, shelf.tried, shelf.names) == (1, 2, ("a",))


async def test_a_fault_of_the_store_that_is_no_doubt_is_raised(shelf: Shelf) -> None:
    async def broken(shelf: Shelf, write: Callable[[], bool]) -> bool:
        raise ValueError("the document is too large")

    shelf.fates = [broken]
    with pytest.raises(ValueError, match="too large"):
        await updater(shelf).update(KEY, add("a"))
    assert shelf.tried == 1


# -- what is remembered ------------------------------------------------------------------------------------------------


async def test_a_value_that_was_written_last_is_changed_again_without_reading_it(shelf: Shelf) -> None:
    items = updater(shelf, random=CountedIds())
    for name in ("a", "b", "c"):
        await items.update(KEY, add(name))
    assert (shelf.read, shelf.tried, shelf.names, shelf.rev) == (1, 3, ("a", "b", "c"), 4)
    assert shelf.held[KEY].writes == ("theirs", "000000000001", "000000000002", "000000000003")


async def test_a_value_that_was_inserted_is_changed_without_reading_it(shelf: Shelf) -> None:
    items = updater(shelf)
    assert await items.insert(Item("item-2"))
    change = await items.update("item-2", add("a"))
    assert change == Change(Item("item-2"), Item("item-2", ("a",)))
    assert (shelf.read, shelf.held["item-2"].rev) == (0, 2)


async def test_what_is_remembered_is_never_a_reason_to_refuse(shelf: Shelf) -> None:
    """The transition refuses a value with "a": the remembered value has it, and another process has removed it since."""
    items = updater(shelf)
    await items.update(KEY, add("a"))
    shelf.put("x", rev=9)

    def unless_a(item: Item) -> Item:
        return refuse(item) if "a" in item.names else add("b")(item)

    change = await updated(items, unless_a)
    assert (change.before.names, shelf.names, shelf.rev) == (("x",), ("x", "b"), 10)


async def test_what_is_remembered_never_says_that_nothing_is_to_be_done(shelf: Shelf) -> None:
    items = updater(shelf)
    await items.update(KEY, add_once("a"))
    shelf.put("x", rev=9)
    change = await updated(items, add_once("a"))
    assert (change.happened, change.before.names, shelf.names) == (True, ("x",), ("x", "a"))


async def test_what_is_remembered_is_never_part_of_a_result_that_others_have_changed(shelf: Shelf) -> None:
    items = updater(shelf)
    await items.update(KEY, add("a"))
    shelf.others_add("theirs")
    change = await updated(items, add("b"))
    assert change == Change(Item(names=("a", "theirs")), Item(names=("a", "theirs", "b")))
    unchanged = await updated(items, lambda item: item)
    assert unchanged.after.names == ("a", "theirs", "b")


async def test_reading_never_returns_what_is_remembered(shelf: Shelf) -> None:
    items = updater(shelf)
    await items.update(KEY, add("a"))
    shelf.others_add("theirs")
    assert await items.get(KEY) == Item(names=("a", "theirs"))


async def test_what_others_have_changed_is_not_tried_from_memory_a_second_time(shelf: Shelf) -> None:
    items = updater(shelf)
    await items.update(KEY, add("a"))
    held = shelf.held[KEY]
    shelf.others_add("theirs")
    assert await items.change(held, add("b")) is None
    await items.update(KEY, add("c"))
    assert (shelf.tried, shelf.lost_races, shelf.names) == (3, 1, ("a", "theirs", "c"))


async def test_so_many_values_are_remembered_the_latest(shelf: Shelf) -> None:
    items = updater(shelf, remembered=2)
    for key in ("item-1", "item-2", "item-3"):
        shelf.held[key] = Stored(Item(key), 1, ("theirs",))
        await items.update(key, add("a"))
    assert shelf.read == 3
    for key, reads in (("item-3", 3), ("item-2", 3), ("item-1", 4)):
        await items.update(key, add("b"))
        assert shelf.read == reads


async def test_nothing_is_remembered_where_that_is_not_wanted(shelf: Shelf) -> None:
    items = updater(shelf, remembered=0)
    for name in ("a", "b"):
        await items.update(KEY, add(name))
    assert (shelf.read, shelf.tried) == (2, 2)


# -- doubt -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("remembered", [False, True])
async def test_a_write_that_was_made_and_not_answered_is_found_and_not_repeated(shelf: Shelf, remembered: bool) -> None:
    items = updater(shelf)
    if remembered:
        await items.update(KEY, add("first"))
    before = shelf.held[KEY].value
    shelf.fates, shelf.tried = [unknown_and_done], 0
    change = await updated(items, add("a"))
    assert change == Change(before, add("a")(before))
    assert (shelf.names.count("a"), shelf.tried) == (1, 1)


async def test_a_write_that_was_made_and_not_answered_is_found_behind_those_of_others(shelf: Shelf) -> None:
    async def done_and_overtaken(shelf: Shelf, write: Callable[[], bool]) -> bool:
        write()
        for i in range(WRITES_KEPT - 1):
            shelf.others_add(f"theirs-{i}")
        raise StoreUnavailable

    shelf.fates = [done_and_overtaken]
    change = await updated(updater(shelf), add("a"))
    assert change == Change(Item(), Item(names=("a",)))
    assert (shelf.names.count("a"), shelf.rev) == (1, 9)


async def test_a_write_that_so_many_others_followed_that_it_cannot_be_found_is_known_by_its_effect(
    shelf: Shelf,
) -> None:
    async def done_and_forgotten(shelf: Shelf, write: Callable[[], bool]) -> bool:
        write()
        for i in range(WRITES_KEPT):
            shelf.others_add(f"theirs-{i}")
        raise StoreUnavailable

    shelf.fates = [done_and_forgotten]
    change = await updated(updater(shelf), add_once("a"))
    assert (change.happened, shelf.names.count("a"), shelf.rev) == (False, 1, 10)


@pytest.mark.parametrize("remembered", [False, True])
async def test_a_write_that_never_arrived_is_made_again(shelf: Shelf, remembered: bool) -> None:
    items = updater(shelf)
    if remembered:
        await items.update(KEY, add("first"))
    before = shelf.held[KEY]
    shelf.fates = [unknown_and_not_done, unknown_and_not_done]
    change = await updated(items, add("a"))
    assert change == Change(before.value, add("a")(before.value))
    assert (shelf.names.count("a"), shelf.rev) == (1, before.rev + 1)


async def test_a_write_that_arrives_after_the_next_one_loses(shelf: Shelf) -> None:
    shelf.fates = [late]
    await updated(updater(shelf), add("a"))
    assert not shelf.let_one_arrive()
    assert (shelf.names, shelf.rev) == (("a",), 2)


async def test_a_write_that_arrives_just_before_the_next_one_is_the_one_that_counts(shelf: Shelf) -> None:
    """The second try loses the race against the first try, reads again, and finds the first try's write."""
    shelf.fates = [late]
    shelf.before_write = [lambda: None, shelf.let_one_arrive]
    change = await updated(updater(shelf), add("a"))
    assert change == Change(Item(), Item(names=("a",)))
    assert (shelf.names, shelf.rev, shelf.tried, shelf.lost_races) == (("a",), 2, 2, 1)


async def test_the_change_that_is_told_is_the_one_that_was_written(shelf: Shelf) -> None:
    """Of two tries from different values, the second finds that the first was written."""
    shelf.fates = [late]

    def first_arrives_and_others_follow() -> None:
        shelf.let_one_arrive()
        shelf.others_add("theirs")

    shelf.before_write = [lambda: None, first_arrives_and_others_follow]
    change = await updated(updater(shelf), add("a"))
    assert change == Change(Item(), Item(names=("a",)))
    assert shelf.names == ("a", "theirs")


async def test_who_is_refused_while_in_doubt_and_finds_the_write_was_not_refused(shelf: Shelf) -> None:
    """The transition refuses a value to which it was already applied."""

    def only_once(item: Item) -> Item:
        return refuse(item) if "a" in item.names else add("a")(item)

    shelf.fates = [unknown_and_done]
    change = await updated(updater(shelf), only_once)
    assert (change.happened, shelf.names) == (True, ("a",))


async def test_who_is_refused_while_in_doubt_is_refused_for_good(shelf: Shelf) -> None:
    """The transition refuses because of another process's write; the doubtful write, arriving after that, is rejected."""

    def unless_closed(item: Item) -> Item:
        return refuse(item) if "closed" in item.names else add("paid")(item)

    async def overtaken(shelf: Shelf, write: Callable[[], bool]) -> bool:
        shelf.others_add("closed")
        return await late(shelf, write)

    shelf.fates = [overtaken]
    with pytest.raises(Conflict):
        await updater(shelf).update(KEY, unless_closed)
    assert not shelf.let_one_arrive()
    assert shelf.names == ("closed",)


async def test_while_in_doubt_a_store_that_does_not_answer_is_asked_again(shelf: Shelf) -> None:
    shelf.fates = [unknown_and_done]
    shelf.reads = [None, StoreUnavailable(), StoreUnavailable()]
    change = await updated(updater(shelf), add("a"))
    assert (change.happened, shelf.names, shelf.read) == (True, ("a",), 4)


async def test_without_doubt_a_store_that_does_not_answer_is_not_asked_again(shelf: Shelf) -> None:
    shelf.down = True
    with pytest.raises(StoreUnavailable):
        await updater(shelf).update(KEY, add("a"))
    assert (shelf.read, shelf.tried) == (1, 0)


# -- time --------------------------------------------------------------------------------------------------------------


def test_a_change_is_tried_for_two_and_a_half_seconds() -> None:
    assert LIMIT_S == 2.5


async def within(limit_s: float, work: Awaitable[object]) -> BaseException | object:
    """Await ``work``; return its result or exception. Fail if it takes ``limit_s`` or longer."""
    started = time.monotonic()
    [result] = await asyncio.gather(work, return_exceptions=True)
    assert time.monotonic() - started < limit_s
    return result


async def test_who_is_always_too_slow_does_not_know(shelf: Shelf) -> None:
    shelf.before_write = [lambda: shelf.others_add("theirs")] * 100_000
    result = await within(SHORT_S + 1, updater(shelf, limit_s=SHORT_S).update(KEY, add("a")))
    assert type(result) is StoreUnavailable
    assert "a" not in shelf.names


async def test_who_is_in_doubt_until_the_end_does_not_know(shelf: Shelf) -> None:
    async def goes_down(shelf: Shelf, write: Callable[[], bool]) -> bool:
        shelf.down = True
        raise StoreUnavailable

    shelf.fates = [goes_down]
    result = await within(SHORT_S + 1, updater(shelf, limit_s=SHORT_S).update(KEY, add("a")))
    assert type(result) is StoreUnavailable
    assert shelf.read > 3


async def test_of_tries_that_are_all_in_doubt_one_counts_whenever_they_arrive(shelf: Shelf) -> None:
    shelf.fates = [late] * 100_000  # more than there is time for
    result = await within(SHORT_S + 1, updater(shelf, limit_s=SHORT_S).update(KEY, add("a")))
    assert type(result) is StoreUnavailable
    assert len(shelf.late) > 3
    assert [shelf.let_one_arrive() for _ in list(shelf.late)].count(True) == 1
    assert (shelf.names, shelf.rev) == (("a",), 2)


async def test_a_change_waits_for_no_more_than_one_answer_beyond_its_time(shelf: Shelf) -> None:
    """Each call of this store takes as long as the time limit of a change."""
    items = updater(shelf, limit_s=SHORT_S)
    await items.update(KEY, add("first"))
    shelf.down, shelf.silent_s = True, SHORT_S
    result = await within(2 * SHORT_S + 0.15, items.update(KEY, add("a")))
    assert type(result) is StoreUnavailable


@pytest.mark.parametrize("kind", ["insert", "update"])
async def test_whoever_asks_knows_within_four_and_a_half_seconds_that_nothing_is_known(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """The store takes 2.4 s to fail, a little less than the time limit of a change. All times here are divided by ten."""
    monkeypatch.setattr("wechat.support.update.PAUSE_S", PAUSE_S / 10)
    items = updater(shelf, limit_s=LIMIT_S / 10)
    await items.update(KEY, add("first"))
    shelf.down, shelf.silent_s = True, 0.24
    call = items.insert(Item("item-2")) if kind == "insert" else items.update(KEY, add("a"))
    assert type(await within(0.45, call)) is StoreUnavailable


async def test_waiting_for_the_others_of_this_process_counts(shelf: Shelf) -> None:
    """Ten changes of one value in a store that does not respond all fail within the time that one change may take."""
    items = updater(shelf, limit_s=SHORT_S)
    shelf.down, shelf.silent_s = True, SHORT_S
    changes = [items.update(KEY, add(f"change-{i}")) for i in range(10)]
    results = await asyncio.gather(*(within(3 * SHORT_S, change) for change in changes), return_exceptions=True)
    assert [type(result) for result in results] == [StoreUnavailable] * 10


# -- cancellation ------------------------------------------------------------------------------------------------------


async def test_whoever_leaves_in_the_middle_of_a_write_does_not_mislead_the_next_one(shelf: Shelf) -> None:
    """Whether the cancelled write was stored or not."""

    async def done_and_never_answered(shelf: Shelf, write: Callable[[], bool]) -> bool:
        write()
        return await never_answered(shelf, write)

    for fate, names in ((done_and_never_answered, ("first", "left", "next")), (never_answered, ("first", "next"))):
        shelf.put()
        items = updater(shelf)
        await items.update(KEY, add("first"))
        shelf.fates = [fate]
        shelf.hanging.clear()
        leaving = asyncio.ensure_future(items.update(KEY, add("left")))
        await shelf.hanging.wait()
        leaving.cancel()
        await asyncio.wait({leaving})
        assert leaving.cancelled()
        change = await updated(items, add("next"))
        assert (shelf.names, change.after.names) == (names, names)


async def test_whoever_leaves_lets_those_who_wait_behind_go_on(shelf: Shelf) -> None:
    items = updater(shelf)
    shelf.fates = [never_answered]
    changes = [asyncio.ensure_future(items.update(KEY, add(name))) for name in ("a", "b", "c")]
    await shelf.hanging.wait()
    for leaving in changes[:2]:  # one in the middle of its write, one that waits for it
        leaving.cancel()
    await asyncio.wait_for(changes[2], 1)
    assert (shelf.names, shelf.tried) == (("c",), 2)


def locks_alive() -> int:
    gc.collect()
    return sum(type(each) is asyncio.Lock for each in gc.get_objects())


async def test_nothing_is_left_of_changes_that_are_over(shelf: Shelf) -> None:
    """No lock is left of changes that were cancelled, were refused, or waited for each other."""

    async def change_in_every_way(items: Updater[Item]) -> None:
        shelf.fates = [never_answered]
        leaving = [asyncio.ensure_future(items.update(KEY, add("a"))) for _ in range(3)]
        await shelf.hanging.wait()
        for each in leaving:
            each.cancel()
        await asyncio.wait(leaving)
        with pytest.raises(Conflict):
            await items.update(KEY, refuse)
        await items.update("nobody", add("a"))
        await asyncio.gather(*(items.update(KEY, add(f"change-{i}")) for i in range(10)))

    items = updater(shelf)
    before = locks_alive()
    await change_in_every_way(items)
    assert locks_alive() == before
    assert await items.get(KEY) is not None


# -- one at a time -----------------------------------------------------------------------------------------------------


async def test_within_a_process_changes_of_one_value_wait_for_each_other(shelf: Shelf) -> None:
    items = updater(shelf)
    await asyncio.gather(*(items.update(KEY, add(f"change-{i}")) for i in range(100)))
    assert (shelf.tried, shelf.lost_races, shelf.read) == (100, 0, 1)
    assert shelf.names == tuple(f"change-{i}" for i in range(100))


async def test_changes_of_different_values_wait_for_nobody(shelf: Shelf) -> None:
    shelf.held["item-2"] = Stored(Item("item-2"), 1, ("theirs",))
    items = updater(shelf)
    shelf.fates = [never_answered]
    waiting = asyncio.ensure_future(items.update(KEY, add("a")))
    await shelf.hanging.wait()
    change = await asyncio.wait_for(items.update("item-2", add("b")), 1)
    assert change is not None
    assert change.happened
    waiting.cancel()
    await asyncio.wait({waiting})


# -- inserting ---------------------------------------------------------------------------------------------------------


async def test_a_new_value_is_inserted_and_a_taken_key_is_not(shelf: Shelf) -> None:
    items = updater(shelf)
    assert await items.insert(Item("item-2", ("ours",)))
    assert not await items.insert(Item("item-2", ("again",)))
    assert not await items.insert(Item(KEY, ("taken",)))
    assert (shelf.held["item-2"].value.names, shelf.names) == (("ours",), ())


@pytest.mark.parametrize("fate", [unknown_and_done, unknown_and_not_done])
async def test_an_insert_whose_answer_was_lost_is_ours(shelf: Shelf, fate: Fate) -> None:
    shelf.fates = [fate]
    assert await updater(shelf).insert(Item("item-2", ("ours",)))
    assert (shelf.held["item-2"].value.names, shelf.held["item-2"].rev, shelf.tried) == (("ours",), 1, 2)


async def test_an_insert_whose_answer_was_lost_and_that_others_were_faster_with_is_not_ours(shelf: Shelf) -> None:
    shelf.fates = [unknown_and_not_done]
    shelf.before_write = [lambda: shelf.held.update({"item-2": Stored(Item("item-2", ("theirs",)), 1, ("theirs",))})]
    assert not await updater(shelf).insert(Item("item-2", ("ours",)))
    assert shelf.held["item-2"].value.names == ("theirs",)


async def test_an_insert_that_stays_in_doubt_is_not_known(shelf: Shelf) -> None:
    shelf.down = True
    result = await within(SHORT_S + 1, updater(shelf, limit_s=SHORT_S).insert(Item("item-2")))
    assert type(result) is StoreUnavailable
    assert shelf.tried > 3


async def test_an_insert_that_was_not_made_is_not_remembered(shelf: Shelf) -> None:
    items = updater(shelf)
    assert not await items.insert(Item(KEY, ("ours",)))
    change = await updated(items, add("a"))
    assert change == Change(Item(), Item(names=("a",)))


# -- in one try --------------------------------------------------------------------------------------------------------


async def test_a_value_that_was_read_just_now_is_changed_in_one_try(shelf: Shelf) -> None:
    items = updater(shelf)
    change = await items.change(shelf.held[KEY], add("a"))
    assert change == Change(Item(), Item(names=("a",)))
    assert (shelf.read, shelf.tried, shelf.names) == (0, 1, ("a",))


async def test_in_one_try_whoever_is_too_slow_gets_none(shelf: Shelf) -> None:
    items = updater(shelf)
    held = shelf.held[KEY]
    shelf.others_add("theirs")
    assert await items.change(held, add("a")) is None
    assert (shelf.tried, shelf.names) == (1, ("theirs",))
    assert (await updated(items, add("b"))).after.names == ("theirs", "b")


async def test_in_one_try_what_changes_nothing_writes_nothing(shelf: Shelf) -> None:
    change = await updater(shelf).change(shelf.held[KEY], lambda item: item)
    assert change is not None
    assert not change.happened
    assert shelf.tried == 0


@pytest.mark.parametrize("fate", [unknown_and_done, unknown_and_not_done])
async def test_in_one_try_doubt_is_raised(shelf: Shelf, fate: Fate) -> None:
    shelf.fates = [fate]
    items = updater(shelf)
    with pytest.raises(StoreUnavailable):
        await items.change(shelf.held[KEY], add_once("a"))
    assert shelf.tried == 1
    assert (await updated(items, add_once("a"))).after.names == ("a",)
    assert shelf.names == ("a",)


async def test_of_many_who_read_the_same_value_one_changes_it(shelf: Shelf) -> None:
    processes = [updater(shelf) for _ in range(4)]
    held = shelf.held[KEY]
    changes = await asyncio.gather(*(processes[i % 4].change(held, add(f"lease-{i}")) for i in range(100)))
    [won] = [change for change in changes if change]
    assert (shelf.names, shelf.rev) == (won.after.names, 2)


async def test_changes_in_one_try_and_others_at_once_lose_nothing(shelf: Shelf) -> None:
    items = updater(shelf)
    work: list[Awaitable[Change[Item] | None]] = []
    for i in range(50):
        work.append(items.update(KEY, add(f"update-{i}")))
        work.append(items.change(shelf.held[KEY], add(f"change-{i}")))
    changes = await asyncio.gather(*work)
    made = [change.after.names[-1] for change in changes if change]
    assert sorted(shelf.names) == sorted(made)
    assert len([name for name in made if name.startswith("update")]) == 50
    assert shelf.rev == 1 + len(made)
