"""Group commit: operations that arrive while others are under way go to the database together.

One synced write costs the database about as much as ten, and each call costs this process about as much as a whole
batch. So each kind of operation (insert, read, replace) has a queue. Everything that the event loop has ready goes out
together, and callers whose answers came together continue together. What arrives while a batch is under way forms the
next. Nothing waits while the database is idle.

Batches run in a task of their own, which nobody cancels: a caller that is cancelled withdraws an operation that has not
been sent; one that has been sent completes.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar

from storage.documents import BulkDocuments, Document, Encoded, Range, Replacement
from wechat.domain.errors import StoreUnavailable

MAX_OPERATIONS = 64
MAX_BYTES = 1024 * 1024
DEADLINE_S = 2.5
"""The longest time that a caller waits for its operation, queueing included. The driver's own deadlines are shorter."""

O = TypeVar("O")  # noqa: E741 - an operation
R = TypeVar("R")
S = TypeVar("S")


@dataclass(slots=True, eq=False)
class _Waiter(Generic[O, R]):
    """A queued operation, and the future of its result."""

    identity: str
    operation: O
    size: int
    result: asyncio.Future[R]
    sent: bool = False


class Queue(Generic[O, R]):
    """Operations of one kind. ``run`` sends a batch and returns a result, or an exception, for each operation."""

    def __init__(self, run: Callable[[Sequence[O]], Awaitable[Sequence[R | Exception]]]) -> None:
        self._run = run
        self._waiting: deque[_Waiter[O, R]] = deque()
        self._sender: asyncio.Task[None] | None = None
        self._closed = False

    async def submit(self, identity: str, operation: O, size: int = 0) -> R:
        """Return the result of ``operation``. Raises StoreUnavailable when time runs out or the queue is closed."""
        if self._closed:
            raise StoreUnavailable
        loop = asyncio.get_running_loop()
        waiter = _Waiter(identity, operation, size, loop.create_future())
        self._waiting.append(waiter)
        if self._sender is None:
            self._sender = loop.create_task(self._send())
        timer = loop.call_later(DEADLINE_S, _expire, waiter.result)
        try:
            result: R = await waiter.result
        finally:
            timer.cancel()
            if not waiter.sent:
                self._waiting.remove(waiter)
        return result

    async def close(self) -> None:
        """Accept no more operations, and return once every operation is answered."""
        self._closed = True
        if self._sender:
            await asyncio.wait({self._sender})

    async def _send(self) -> None:
        """Send batches, one after the other, until nothing waits. Each batch is formed after all ready tasks
        have run."""
        try:
            while batch := self._next_batch():
                await self._commit(batch)
                if self._waiting:
                    await asyncio.sleep(0)
        finally:
            self._sender = None

    def _next_batch(self) -> list[_Waiter[O, R]]:
        """Return as many operations as fit, one per id; the others keep their place in the queue."""
        batch: list[_Waiter[O, R]] = []
        kept: list[_Waiter[O, R]] = []
        seen: set[str] = set()
        size = 0
        while self._waiting and len(batch) < MAX_OPERATIONS:
            waiter = self._waiting.popleft()
            if waiter.identity in seen or (batch and size + waiter.size > MAX_BYTES):
                kept.append(waiter)
                continue
            waiter.sent = True
            seen.add(waiter.identity)
            size += waiter.size
            batch.append(waiter)
        self._waiting.extendleft(reversed(kept))
        return batch

    async def _commit(self, batch: Sequence[_Waiter[O, R]]) -> None:
        """Run a batch and set the results of operations that are still awaited; a failure of the batch is a failure of
        each."""
        try:
            results = await self._run([waiter.operation for waiter in batch])
            if len(results) != len(batch):
                raise StoreUnavailable
        except Exception as error:  # the callers receive it
            results = [error] * len(batch)
        for waiter, result in zip(batch, results, strict=True):
            if waiter.result.done():
                continue
            if isinstance(result, Exception):
                waiter.result.set_exception(result)
            else:
                waiter.result.set_result(result)


class GroupCommit:
    """``Documents`` over ``BulkDocuments``. Close it after everything that uses it."""

    def __init__(self, documents: BulkDocuments) -> None:
        self._documents = documents
        self._inserts: Queue[Encoded, bool] = Queue(documents.insert_many)
        self._reads: Queue[str, Document | None] = Queue(self._get_many)
        self._replacements: Queue[Replacement, bool] = Queue(documents.replace_many)
        self._listings: set[asyncio.Task[Any]] = set()

    async def insert(self, document: Document, write: str) -> bool:
        encoded = self._documents.encode(document, write)
        return await self._inserts.submit(encoded.id, encoded, encoded.size)

    async def insert_all(self, documents: Sequence[Document]) -> None:
        """Insert a batch that the caller has formed, without the queues. Raises the database's refusal of the first
        refused document."""
        batch = [self._documents.encode(document, document["_id"]) for document in documents]
        results = await self._run_past_queues(self._documents.insert_many(batch)) if batch else ()
        for result in results:
            if isinstance(result, Exception):
                raise result

    async def get(self, identity: str) -> Document | None:
        return await self._reads.submit(identity, identity)

    async def replace(self, document: Document, rev: int, write: str) -> bool:
        encoded = self._documents.encode(document, write)
        return await self._replacements.submit(encoded.id, Replacement(encoded, rev), encoded.size)

    async def find(self, wanted: Range) -> list[Document]:
        """List documents without the queues, in a task of its own like all calls of the driver."""
        return await self._run_past_queues(self._documents.find(wanted))

    async def find_equal(self, field: str, value: str, limit: int) -> list[Document]:
        return await self._run_past_queues(self._documents.find_equal(field, value, limit))

    async def close(self) -> None:
        """Return once every operation under way is answered."""
        for queue in (self._inserts, self._reads, self._replacements):
            await queue.close()
        if self._listings:
            await asyncio.wait(self._listings)

    async def _get_many(self, ids: Sequence[str]) -> Sequence[Document | None]:
        found = await self._documents.get_many(ids)
        return [found.get(identity) for identity in ids]

    async def _run_past_queues(self, listing: Coroutine[Any, Any, S]) -> S:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[S] = loop.create_future()
        task = loop.create_task(listing)
        self._listings.add(task)
        task.add_done_callback(partial(self._finish_listing, answer))
        timer = loop.call_later(DEADLINE_S, _expire, answer)
        try:
            return await answer
        finally:
            timer.cancel()

    def _finish_listing(self, answer: asyncio.Future[S], task: asyncio.Task[S]) -> None:
        """Set the result if it is still awaited; otherwise retrieve a failure, which asyncio would log as lost."""
        self._listings.discard(task)
        error = StoreUnavailable() if task.cancelled() else task.exception()
        if answer.done():
            return
        if error:
            answer.set_exception(error)
        else:
            answer.set_result(task.result())


def _expire(result: asyncio.Future[Any]) -> None:
    if not result.done():
        result.set_exception(StoreUnavailable())
