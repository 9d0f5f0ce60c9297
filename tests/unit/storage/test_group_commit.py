"""Group commit: what goes together, what waits for what, and whose a failure is."""

from __future__ import annotations

import asyncio
import gc
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest

from storage.documents import Document, Encoded, Range, Replacement
from storage.group_commit import DEADLINE_S, MAX_BYTES, MAX_OPERATIONS, GroupCommit
from wechat.domain.errors import StoreUnavailable

KIB = 1024
NOW = datetime(2026, 3, 1, tzinfo=UTC)
EVERYTHING = Range("at", NOW, NOW)


@dataclass
class Batch:
    """A call that waits for its answer: a result for each of ``ids``, or an exception."""

    kind: str
    ids: list[str]
    size: int = 0
    answer: asyncio.Future[Any] = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    def succeed(self, *results: Any) -> None:
        """Answer with ``results``, or with True, or the document, for each operation."""
        found = {identity: {"_id": identity} for identity in self.ids}
        self.answer.set_result(results or (found if self.kind == "get" else [True] * len(self.ids)))

    def fail(self, error: Exception) -> None:
        self.answer.set_exception(error)


class HeldDocuments:
    """``BulkDocuments`` that answer when a test says so. ``cancelled`` are calls that were cancelled from outside."""

    def __init__(self) -> None:
        self.batches: list[Batch] = []
        self.cancelled = 0

    def encode(self, document: Document, write: str) -> Encoded:
        return Encoded(document["_id"], write, document, document.get("size", 1))

    async def insert_many(self, batch: Sequence[Encoded]) -> Sequence[bool | Exception]:
        results: Sequence[bool | Exception] = await self._hold("insert", batch)
        return results

    async def get_many(self, ids: Sequence[str]) -> Mapping[str, Document]:
        found: Mapping[str, Document] = await self._wait(Batch("get", list(ids)))
        return found

    async def replace_many(self, batch: Sequence[Replacement]) -> Sequence[bool | Exception]:
        results: Sequence[bool | Exception] = await self._hold("replace", [each.encoded for each in batch])
        return results

    async def find(self, wanted: Range) -> list[Document]:
        found: list[Document] = await self._wait(Batch("find", []))
        return found

    async def find_equal(self, field: str, value: str, limit: int) -> list[Document]:
        found: list[Document] = await self._wait(Batch("find", []))
        return found

    async def _hold(self, kind: str, batch: Sequence[Encoded]) -> Any:
        return await self._wait(Batch(kind, [each.id for each in batch], sum(each.size for each in batch)))

    async def _wait(self, batch: Batch) -> Any:
        self.batches.append(batch)
        try:
            return await batch.answer
        except asyncio.CancelledError:
            self.cancelled += 1
            raise

    @property
    def sent(self) -> list[list[str]]:
        """The ids of each batch so far."""
        return [batch.ids for batch in self.batches]

    @property
    def waiting(self) -> list[Batch]:
        """The batches that are under way."""
        return [batch for batch in self.batches if not batch.answer.done()]


class Bench:
    """A group commit, and operations that wait for it. At the end of a test none may be left in memory."""

    def __init__(self) -> None:
        self.documents = HeldDocuments()
        self.commit = GroupCommit(self.documents)
        self.waiters: list[asyncio.Task[Any]] = []

    async def insert(self, *ids: str, size: int = 1) -> list[asyncio.Task[bool]]:
        return await self._start([self.commit.insert({"_id": each, "size": size}, "write-1") for each in ids])

    async def get(self, *ids: str) -> list[asyncio.Task[Document | None]]:
        return await self._start([self.commit.get(each) for each in ids])

    async def replace(self, *ids: str, size: int = 1) -> list[asyncio.Task[bool]]:
        return await self._start([self.commit.replace({"_id": each, "size": size}, 1, "write-1") for each in ids])

    async def answer_all(self) -> None:
        """Answer batches until none is left."""
        await let_tasks_run()
        while self.documents.waiting:
            for batch in self.documents.waiting:
                batch.succeed()
            await let_tasks_run()

    async def _start(self, work: Sequence[Any]) -> list[asyncio.Task[Any]]:
        """Start each operation after the group commit has seen the one before."""
        tasks = []
        for each in work:
            tasks.append(asyncio.ensure_future(each))
            await let_tasks_run()
        self.waiters += tasks
        return tasks


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    lost: list[Mapping[str, Any]] = []
    loop = asyncio.get_running_loop()
    before = loop.get_exception_handler()
    gc.collect()  # what earlier tests left behind is not this one's
    loop.set_exception_handler(lambda _, context: lost.append(context))
    bench = Bench()
    yield bench
    for batch in bench.documents.waiting:
        batch.succeed() if batch.kind != "find" else batch.answer.set_result([])
    closing = asyncio.ensure_future(bench.commit.close())
    while not closing.done():
        await let_tasks_run()
        for batch in bench.documents.waiting:
            batch.succeed()
    await asyncio.gather(*bench.waiters, return_exceptions=True)
    loop.set_exception_handler(before)
    assert bench.documents.cancelled == 0, "somebody cancelled a call of the database"
    assert lost == []


async def outcomes(operations: Sequence[asyncio.Task[Any]]) -> list[Any]:
    """Wait for ``operations``; return the result of each, or ("raised", error)."""
    await asyncio.wait(operations)
    found = [(operation.exception(), operation) for operation in operations]
    return [("raised", error) if error else operation.result() for error, operation in found]


async def let_tasks_run() -> None:
    """Run all tasks until each waits for something."""
    for _ in range(6):
        await asyncio.sleep(0)


# -- what goes together ------------------------------------------------------------------------------------------------


async def test_the_first_operation_goes_out_alone_at_once(bench: Bench) -> None:
    [waiting] = await bench.insert("a")
    assert bench.documents.sent == [["a"]]
    bench.documents.batches[0].succeed()
    assert await waiting is True


async def test_operations_that_come_at_the_same_time_go_together(bench: Bench) -> None:
    """Operations of requests that one batch has answered, for example."""
    ids = [f"order-{number}" for number in range(10)]
    bench.waiters += [asyncio.ensure_future(bench.commit.insert({"_id": each}, "write-1")) for each in ids]
    await let_tasks_run()
    assert bench.documents.sent == [ids]
    await bench.answer_all()


async def test_one_batch_is_under_way_and_what_comes_meanwhile_goes_together(bench: Bench) -> None:
    await bench.insert("a", "b", "c", "d")
    assert bench.documents.sent == [["a"]]
    bench.documents.batches[0].succeed()
    await let_tasks_run()
    assert bench.documents.sent == [["a"], ["b", "c", "d"]]
    await bench.insert("e", "f")
    bench.documents.batches[1].succeed()
    await let_tasks_run()
    assert bench.documents.sent[2:] == [["e", "f"]]


async def test_nothing_waits_once_the_database_is_idle_again(bench: Bench) -> None:
    for identity in ("a", "b", "c"):
        [waiting] = await bench.replace(identity)
        bench.documents.batches[-1].succeed()
        assert await waiting
    assert bench.documents.sent == [["a"], ["b"], ["c"]]


async def test_each_kind_of_operation_has_a_batch_of_its_own(bench: Bench) -> None:
    await bench.insert("a", "b", "c")
    await bench.get("a", "b", "c")
    await bench.replace("a", "b", "c")
    kinds = Counter(batch.kind for batch in bench.documents.waiting)
    assert kinds == {"insert": 1, "get": 1, "replace": 1}


async def test_a_batch_has_64_operations_at_most(bench: Bench) -> None:
    await bench.get(*(f"document-{i:03}" for i in range(1 + 2 * MAX_OPERATIONS + 5)))
    await bench.answer_all()
    assert [len(ids) for ids in bench.documents.sent] == [1, 64, 64, 5]
    assert [identity for ids in bench.documents.sent for identity in ids] == [f"document-{i:03}" for i in range(134)]


async def test_a_batch_has_a_mebibyte_at_most(bench: Bench) -> None:
    await bench.replace("a")
    await bench.replace(*"cdefgh", size=300 * KIB)
    await bench.answer_all()
    assert bench.documents.sent[1:] == [["c", "d", "e"], ["f", "g", "h"]]
    assert MAX_BYTES == KIB * KIB


async def test_a_document_that_is_larger_than_a_batch_goes_alone(bench: Bench) -> None:
    await bench.insert("a")
    await bench.insert("large", size=3 * MAX_BYTES)
    await bench.insert("c")
    await bench.answer_all()
    assert bench.documents.sent[1:] == [["large"], ["c"]]


async def test_what_does_not_fit_keeps_its_place_and_smaller_ones_fill_the_batch(bench: Bench) -> None:
    await bench.insert("a")
    await bench.insert("c", size=900 * KIB)
    await bench.insert("d", size=200 * KIB)
    await bench.insert("e", "f", size=50 * KIB)
    await bench.insert("g", size=900 * KIB)
    await bench.answer_all()
    assert bench.documents.sent[1:] == [["c", "e", "f"], ["d"], ["g"]]


async def test_what_waits_for_another_of_its_id_goes_before_all_that_came_later(bench: Bench) -> None:
    await bench.replace("a", "x", "x", *(f"document-{i:03}" for i in range(70)))
    await bench.answer_all()
    assert bench.documents.sent[1] == ["x", *(f"document-{i:03}" for i in range(63))]
    assert bench.documents.sent[2] == ["x", *(f"document-{i:03}" for i in range(63, 70))]


async def test_a_batch_has_one_operation_for_each_id(bench: Bench) -> None:
    await bench.replace("a", "x", "x", "y", "x", "z")
    await bench.answer_all()
    assert bench.documents.sent == [["a"], ["x", "y", "z"], ["x"], ["x"]]


@pytest.mark.parametrize("seed", range(20))
async def test_whatever_comes_each_operation_is_done_once_and_within_the_bounds(bench: Bench, seed: int) -> None:
    chance = random.Random(seed)
    ids = [f"document-{chance.randrange(60)}" for _ in range(800)]
    for identity in ids:
        size = chance.choice((1, KIB, 100 * KIB, 700 * KIB))
        bench.waiters.append(asyncio.ensure_future(bench.commit.replace({"_id": identity, "size": size}, 1, "w")))
        await asyncio.sleep(0)
        assert len(bench.documents.waiting) <= 1
        if chance.random() < 0.2 and bench.documents.waiting:
            chance.choice(bench.documents.waiting).succeed()
    await bench.answer_all()
    assert await asyncio.gather(*bench.waiters) == [True] * len(ids)
    for batch in bench.documents.batches:
        assert len(batch.ids) == len(set(batch.ids)) <= MAX_OPERATIONS
        assert batch.size <= MAX_BYTES
    assert Counter(identity for sent in bench.documents.sent for identity in sent) == Counter(ids)


# -- whose a result is -------------------------------------------------------------------------------------------------


async def test_each_caller_gets_its_own_result(bench: Bench) -> None:
    writes = await bench.replace("a", "b", "c", "d", "e")
    bench.documents.batches[0].succeed(False)
    await let_tasks_run()
    bench.documents.batches[1].succeed(True, True, False, True)
    assert await asyncio.gather(*writes) == [False, True, True, False, True]


async def test_each_caller_gets_its_own_document_or_none(bench: Bench) -> None:
    reads = await bench.get("a", "b", "c", "d", "c")
    bench.documents.batches[0].succeed()
    await let_tasks_run()
    bench.documents.batches[1].answer.set_result({"d": {"_id": "d"}})
    await let_tasks_run()
    bench.documents.batches[2].answer.set_result({"c": {"_id": "c"}})
    assert await asyncio.gather(*reads) == [{"_id": "a"}, None, None, {"_id": "d"}, {"_id": "c"}]


async def test_a_write_that_is_refused_fails_its_own_caller_only(bench: Bench) -> None:
    writes = await bench.insert("a", "b", "c", "d", "e")
    bench.documents.batches[0].succeed()
    await let_tasks_run()
    refusal = ValueError("too large")
    bench.documents.batches[1].succeed(True, True, refusal, False)
    assert await outcomes(writes) == [True, True, True, ("raised", refusal), False]


@pytest.mark.parametrize("error", [StoreUnavailable(), RuntimeError("a mistake")])
async def test_a_batch_that_fails_is_unknown_for_all_who_are_in_it_and_for_nobody_else(
    bench: Bench, error: Exception
) -> None:
    writes = await bench.insert("a", "b", "c", "d")
    bench.documents.batches[0].succeed()
    await let_tasks_run()
    more = await bench.insert("e")
    bench.documents.batches[1].fail(error)
    await let_tasks_run()
    bench.documents.batches[2].succeed()
    assert await outcomes([*writes, *more]) == [True, *[("raised", error)] * 3, True]
    [after] = await bench.insert("f")
    bench.documents.batches[-1].succeed()
    assert await after is True


async def test_after_an_answer_that_does_not_fit_its_batch_the_queue_goes_on(bench: Bench) -> None:
    [short] = await bench.insert("a")
    bench.documents.batches[0].answer.set_result([])
    with pytest.raises(StoreUnavailable):
        await short
    [after] = await bench.insert("b")
    bench.documents.batches[1].succeed()
    assert await after is True


# -- callers who leave -------------------------------------------------------------------------------------------------


async def test_who_leaves_before_it_is_sent_withdraws_the_operation(bench: Bench) -> None:
    writes = await bench.insert("a", "b", "c", "d", "e")
    writes[3].cancel()
    await let_tasks_run()
    assert writes[3].cancelled()
    await bench.answer_all()
    assert bench.documents.sent == [["a"], ["b", "c", "e"]]
    assert [await write for write in writes if not write.cancelled()] == [True] * 4


async def test_who_leaves_after_it_is_sent_disturbs_nobody(bench: Bench) -> None:
    writes = await bench.insert("a", "b", "c", "d", "e")
    bench.documents.batches[0].succeed()
    await let_tasks_run()
    for leaving in (writes[1], writes[3]):
        leaving.cancel()
    await let_tasks_run()
    assert [batch.ids for batch in bench.documents.waiting] == [["b", "c", "d", "e"]]
    await bench.answer_all()
    assert [await write for write in writes if not write.cancelled()] == [True] * 3


async def test_when_all_leave_what_was_sent_goes_on_and_the_rest_is_withdrawn(bench: Bench) -> None:
    writes = await bench.insert("a", "b", "c", "d")
    reads = await bench.get("a")
    for leaving in (*writes, *reads):
        leaving.cancel()
    await let_tasks_run()
    assert [batch.ids for batch in bench.documents.waiting] == [["a"], ["a"]]
    await bench.answer_all()
    assert len(bench.documents.batches) == 2


async def test_a_batch_that_fails_after_all_have_left_is_nobodys_loss(bench: Bench) -> None:
    [write] = await bench.insert("a")
    write.cancel()
    await let_tasks_run()
    bench.documents.batches[0].fail(StoreUnavailable())
    await let_tasks_run()
    [after] = await bench.insert("b")
    bench.documents.batches[1].succeed()
    assert await after is True


# -- time --------------------------------------------------------------------------------------------------------------


@pytest.mark.alone
async def test_who_has_waited_for_two_and_a_half_seconds_does_not_know(bench: Bench) -> None:
    """Whether its operation was sent or not: a sent one continues, an unsent one is withdrawn."""
    started = time.monotonic()
    writes = await bench.insert("a", "b", "c", "d")
    results = await outcomes(writes)
    took_s = time.monotonic() - started
    assert DEADLINE_S == 2.5
    assert DEADLINE_S - 0.05 <= took_s < DEADLINE_S + 1
    assert [(raised, type(error)) for raised, error in results] == [("raised", StoreUnavailable)] * 4
    assert [batch.ids for batch in bench.documents.waiting] == [["a"]]
    await bench.answer_all()
    assert len(bench.documents.batches) == 1
    [after] = await bench.insert("a")
    bench.documents.batches[1].succeed()
    assert await after is True


async def test_an_operation_that_was_answered_in_time_is_not_touched_by_its_deadline(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage.group_commit.DEADLINE_S", 0.05)
    [write] = await bench.insert("a")
    bench.documents.batches[0].succeed()
    assert await write is True
    await asyncio.sleep(0.1)
    [again] = await bench.insert("a")
    bench.documents.batches[1].succeed()
    assert await again is True


# -- listings ----------------------------------------------------------------------------------------------------------


async def test_a_listing_waits_for_no_queue(bench: Bench) -> None:
    await bench.get("a", "b", "c")
    listings = [asyncio.ensure_future(bench.commit.find(EVERYTHING)) for _ in range(5)]
    listings.append(asyncio.ensure_future(bench.commit.find_equal("at", "x", 5)))
    await let_tasks_run()
    held = [batch for batch in bench.documents.waiting if batch.kind == "find"]
    assert len(held) == 6
    for number, batch in enumerate(held):
        batch.answer.set_result([{"_id": str(number)}])
    assert await asyncio.gather(*listings) == [[{"_id": str(number)}] for number in range(6)]


async def test_who_leaves_a_listing_does_not_cancel_it(bench: Bench) -> None:
    listing = asyncio.ensure_future(bench.commit.find(EVERYTHING))
    await let_tasks_run()
    listing.cancel()
    await let_tasks_run()
    assert listing.cancelled()
    assert len(bench.documents.waiting) == 1
    bench.documents.batches[0].fail(StoreUnavailable())  # no caller is left to receive the error
    await let_tasks_run()


async def test_a_listing_that_is_not_answered_in_time_is_unavailable_and_not_cancelled(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage.group_commit.DEADLINE_S", 0.05)
    with pytest.raises(StoreUnavailable):
        await bench.commit.find(EVERYTHING)
    with pytest.raises(StoreUnavailable):
        await bench.commit.find_equal("at", "x", 5)
    assert len(bench.documents.waiting) == 2


async def test_a_listing_that_fails_fails_for_its_caller(bench: Bench) -> None:
    listing = asyncio.ensure_future(bench.commit.find(EVERYTHING))
    await let_tasks_run()
    bench.documents.batches[0].fail(StoreUnavailable())
    with pytest.raises(StoreUnavailable):
        await listing


# -- the end -----------------------------------------------------------------------------------------------------------


async def test_closing_waits_until_everything_is_answered(bench: Bench) -> None:
    """``close`` waits for the batch that was sent, the operations queued behind it, and listings."""
    writes = await bench.insert("a", "b", "c", "d")
    reads = await bench.get("a")
    listing = asyncio.ensure_future(bench.commit.find(EVERYTHING))
    await let_tasks_run()
    closing = asyncio.ensure_future(bench.commit.close())
    for _ in range(3):
        await let_tasks_run()
        assert not closing.done()
        for batch in [batch for batch in bench.documents.waiting if batch.kind != "find"]:
            batch.succeed()
    assert await asyncio.gather(*writes, *reads) == [True, True, True, True, {"_id": "a"}]
    await let_tasks_run()
    assert not closing.done()
    [listed] = bench.documents.waiting
    listed.answer.set_result([])
    await closing
    assert await listing == []


async def test_after_closing_nothing_is_taken_any_more(bench: Bench) -> None:
    await bench.commit.close()
    for operation in (bench.commit.get("a"), bench.commit.insert({"_id": "a"}, "w")):
        with pytest.raises(StoreUnavailable):
            await operation
    assert bench.documents.batches == []


async def test_closing_waits_for_what_nobody_waits_for_any_more(bench: Bench) -> None:
    [write] = await bench.insert("a")
    write.cancel()
    await let_tasks_run()
    closing = asyncio.ensure_future(bench.commit.close())
    await let_tasks_run()
    assert not closing.done()
    bench.documents.batches[0].succeed()
    await closing


async def test_a_document_of_a_formed_batch_that_is_refused_is_told(bench: Bench) -> None:
    [task] = await bench._start([bench.commit.insert_all([{"_id": "a"}, {"_id": "b"}])])
    refusal = ValueError("refused")
    bench.documents.waiting[0].succeed(True, refusal)
    with pytest.raises(ValueError, match="refused"):
        await task
