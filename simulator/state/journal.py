"""The truth log: one JSON line per fact, on disk before any answer that depends on it, replayed at the next start.

A fact is a frozen dataclass of plain JSON values. Writing it applies it to the state at once, through the same function
that replays it. Answers wait for ``durable``, which many of them share: one fsync for all queued facts.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import IO, Any, TypeVar

from simulator.state.clock import Clock
from simulator.state.files import owner_only

F = TypeVar("F")


class Journal:
    """The log in ``path``. Call ``on`` for each kind of fact, then ``open``, which replays, then ``write``."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self._path = path
        self._clock = clock
        self._kinds: dict[str, tuple[type[Any], Callable[[Any], None]]] = {}
        self._buffer: list[str] = []
        self._written = 0
        self._on_disk = 0
        self._committing = asyncio.Lock()
        self._writing = threading.Lock()  # a commit whose waiter was cancelled still runs
        self._file: IO[bytes] | None = None

    def on(self, kind: type[F], apply: Callable[[F], None]) -> None:
        """Register ``apply`` for facts of ``kind``."""
        self._kinds[kind.__name__] = (kind, apply)

    def open(self) -> None:
        """Lock the log, replay it and set the clock to its last time. Ends the process if another one holds the
        lock."""
        self._file = os.fdopen(owner_only(str(self._path), os.O_RDWR | os.O_APPEND | os.O_CREAT), "a+b")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            sys.exit(f"{self._path} is in use by another simulator; choose another --state directory")
        self._file.seek(0)
        ahead_s = self._replay(self._file)
        self._clock.advance(max(0.0, ahead_s))

    def close(self) -> None:
        """Write the rest."""
        batch, self._buffer = self._buffer, []
        self._commit(batch)
        with self._writing:
            if self._file:
                self._file.close()

    def write(self, fact: Any) -> None:
        """Apply ``fact`` and queue it for the disk."""
        kind = type(fact).__name__
        self._kinds[kind][1](fact)
        line = {"at": self._clock.now_s(), "wall": time.time(), "fact": kind, **plain(fact)}
        self._buffer.append(json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n")
        self._written += 1

    async def durable(self) -> None:
        """Return once everything written before this call is on disk; end the process if the disk fails."""
        goal = self._written
        while self._on_disk < goal:
            async with self._committing:
                if self._on_disk < goal:
                    await self._commit_buffer()

    async def _commit_buffer(self) -> None:
        batch, self._buffer = self._buffer, []
        mark = self._written
        try:
            await asyncio.to_thread(self._commit, batch)
        except OSError as error:
            sys.exit(f"cannot write {self._path}: {error}")
        self._on_disk = mark

    def _commit(self, batch: list[str]) -> None:
        with self._writing:
            if batch and self._file:
                self._file.write("".join(batch).encode())
                self._file.flush()
                os.fsync(self._file.fileno())

    def _replay(self, file: IO[bytes]) -> float:
        """Apply each line and cut off an incomplete last one; return how far the last was ahead of the wall clock, in
        seconds."""
        ahead_s, good = 0.0, 0
        for raw in file:
            if not raw.endswith(b"\n"):
                file.truncate(good)
                break
            good += len(raw)
            line = json.loads(raw)
            self._apply(line)
            ahead_s = line["at"] - line["wall"]
        return ahead_s

    def _apply(self, line: dict[str, Any]) -> None:
        kind, apply = self._kinds[line["fact"]]
        apply(kind(**{field.name: line[field.name] for field in fields(kind) if field.name in line}))


def plain(fact: Any) -> dict[str, Any]:
    """Return the fields of a dataclass, one level deep: asdict would copy all nested values."""
    return {field.name: getattr(fact, field.name) for field in fields(fact)}
