"""The store of a process: documents in the memory that all processes share, with the faults of a server."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from proof.faults import Fault, Faults
from proof.runtime.outage import Outage
from proof.runtime.ports import ProcessState
from proof.runtime.trace import FAULT, orders_in
from storage.documents import BulkDocuments, Document, Encoded, Range, Replacement
from wechat.domain.errors import StoreUnavailable

T = TypeVar("T")

NO_ANSWER_FROM_STORE_S = 2.0
HANGS_S = 10.0
"""Longer than callers of the store wait (``storage.group_commit.DEADLINE_S``)."""


class FaultyDocuments:
    """``BulkDocuments`` of one process over the shared memory, with faults of a server.

    ``on_write`` is called with the process, the collection and the id of each document that was written. ``added`` are
    faults with a random stream of their own, so that they do not change when the others happen.
    """

    def __init__(
        self,
        inner: BulkDocuments,
        name: str,
        state: ProcessState,
        faults: Faults,
        added: Faults,
        outage: Outage,
        on_write: Callable[[str, str, str], None],
    ) -> None:
        self._inner = inner
        self._outage = outage
        self._name = name
        self._state = state
        self._faults = faults
        self._added = added
        self._on_write = on_write

    def encode(self, document: Document, write: str) -> Encoded:
        return self._inner.encode(document, write)

    async def insert_many(self, batch: Sequence[Encoded]) -> Sequence[bool | Exception]:
        return await self._write(batch, self._inner.insert_many, batch)

    async def replace_many(self, batch: Sequence[Replacement]) -> Sequence[bool | Exception]:
        return await self._write(batch, self._inner.replace_many, [each.encoded for each in batch])

    async def get_many(self, ids: Sequence[str]) -> Any:
        return await self._read(lambda: self._inner.get_many(ids), ids)

    async def find(self, wanted: Range) -> list[Document]:
        return await self._read(lambda: self._inner.find(wanted))

    async def find_equal(self, field: str, value: str, limit: int) -> list[Document]:
        return await self._read(lambda: self._inner.find_equal(field, value, limit))

    async def _read(self, read: Callable[[], Awaitable[T]], ids: Sequence[str] = ()) -> T:
        await self._reach_server()
        if self._outage.strike(self._state.name) or self._faults.happens(Fault.STORE_BEFORE):
            await self._fail(f"read {self._name}", orders_in(" ".join(ids)))
        result = await read()
        await self._send_answer()
        return result

    async def _write(
        self,
        batch: Sequence[T],
        write: Callable[[Sequence[T]], Awaitable[Sequence[bool | Exception]]],
        documents: Sequence[Encoded],
    ) -> Sequence[bool | Exception]:
        await self._reach_server()
        fault = self._outage.strike(self._state.name) or self._faults.first(
            Fault.STORE_BEFORE, Fault.STORE_AFTER, Fault.STORE_LATE, Fault.STORE_HALF
        )
        if fault in (Fault.STORE_BEFORE, Fault.STORE_DOWN):
            await self._fail_to_write(fault, documents)
        if fault is Fault.STORE_LATE:
            asyncio.get_running_loop().call_later(3.0, self._write_late, batch, write, documents)
            await self._fail_to_write(fault, documents)
        part = batch[: len(batch) // 2] if fault is Fault.STORE_HALF else batch
        results = await write(part)
        self._report_writes([document.id for document in documents], results)
        if fault:
            self._state.may_die(self._faults)
            await self._fail_to_write(fault, documents)
        await self._send_answer()
        return results

    def _write_late(self, batch: Any, write: Any, documents: Sequence[Encoded]) -> None:
        """Write after the sender has given up. Writes to memory end without waiting."""
        self._state.trace.add_for_each(self._state.name, "late write", self._name, _orders_of(documents))
        try:
            write(batch).send(None)
        except StopIteration as done:
            self._report_writes([document.id for document in documents], done.value)

    def _report_writes(self, ids: Sequence[str], results: Sequence[bool | Exception]) -> None:
        for identity, result in zip(ids, results, strict=False):
            if result is True:
                self._on_write(self._state.name, self._name, identity)

    async def _reach_server(self) -> None:
        if not self._state.alive:
            await self._state.block_if_dead()
        slow = self._faults.happens(Fault.STORE_SLOW)
        if slow:
            self._state.note_trouble()
        await asyncio.sleep(1.5 if slow else 0)
        await self._state.reach_await(self._faults)

    async def _send_answer(self) -> None:
        """Return when the process has the answer, at times after it has given up."""
        if self._added.happens(Fault.STORE_HANGS):
            self._state.note_trouble()
            await asyncio.sleep(HANGS_S)
        await self._state.reach_await(self._faults)

    async def _fail_to_write(self, fault: Fault, documents: Sequence[Encoded]) -> None:
        await self._fail(f"write {self._name}: {fault}", _orders_of(documents))

    async def _fail(self, what: str, orders: Sequence[str]) -> None:
        self._state.note_trouble()
        self._state.trace.add_for_each(self._state.name, FAULT, what, orders)
        await asyncio.sleep(NO_ANSWER_FROM_STORE_S)
        await self._state.block_if_dead()
        raise StoreUnavailable


def _orders_of(documents: Sequence[Encoded]) -> list[str]:
    return orders_in(b" ".join(document.body for document in documents))
