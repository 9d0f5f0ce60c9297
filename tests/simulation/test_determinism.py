"""A run reads nothing of the machine: no clock, no chance, no thread, no socket. A read at any place makes it fail,
however its name was imported, because Python's profile hook sees each call."""

from __future__ import annotations

import asyncio
import datetime
import gc
import os
import random
import secrets
import socket
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import pytest

from proof.faults import Fault
from proof.people.visitors import Visitors
from proof.simulation import Scenario, simulate

SMALL = Scenario(1, days=0.5, orders=1, processes=1, without=frozenset(Fault))
CLOCKS = (
    time.time, time.time_ns, time.monotonic, time.monotonic_ns, time.perf_counter, time.perf_counter_ns,
    time.sleep, datetime.datetime.now, datetime.datetime.utcnow, datetime.datetime.today, datetime.date.today,
)  # fmt: skip
"""Calls of C. The CPU figure uses ``time.process_time``, which decides nothing."""
IN_PYTHON = (
    uuid.uuid1, uuid.uuid4, secrets.randbelow, secrets.token_bytes, socket.socket.__init__, threading.Thread.start,
    random.SystemRandom.random,
)  # fmt: skip


class MachineRead(Exception):
    """Something of the machine was read within a run."""


class Watch:
    """A profile hook that raises MachineRead; ``reads`` names what was read, also if the error is caught."""

    def __init__(self) -> None:
        self.reads: list[str] = []
        self._codes = {function.__code__ for function in IN_PYTHON}
        self._shared = random.getstate.__self__  # type: ignore[attr-defined]  # the module's own generator

    def __call__(self, frame: FrameType, event: str, arg: Any) -> None:
        if event == "c_call" and self._is_forbidden(arg):
            self._refuse(f"{arg.__module__ or type(arg.__self__).__name__}.{arg.__name__}")
        elif event == "call" and frame.f_code in self._codes:
            self._refuse(frame.f_code.co_qualname)

    def _is_forbidden(self, function: Any) -> bool:
        return function in CLOCKS or function is os.urandom or getattr(function, "__self__", None) is self._shared

    def _refuse(self, what: str) -> None:
        self.reads.append(what)
        raise MachineRead(what)


@contextmanager
def watch() -> Iterator[Watch]:
    """Refuse reads of the machine within the block."""
    hook, before, collected = Watch(), sys.getprofile(), gc.callbacks[:]
    gc.callbacks.clear()  # hypothesis has one that reads the clock, in the process of other tests
    sys.setprofile(hook)
    try:
        yield hook
    finally:
        sys.setprofile(before)
        gc.callbacks.extend(collected)


@pytest.mark.parametrize("seed", [1, 2])
def test_a_seed_reads_nothing_of_the_machine(seed: int) -> None:
    with watch() as hook:
        outcome = simulate(Scenario(seed, days=1.0, orders=8))
    assert hook.reads == []
    assert outcome.failure == ""
    assert outcome.steps > 1000


def open_socket() -> None:
    with socket.socket():
        """Closed at once."""


READS: dict[str, Callable[[], object]] = {
    "time.time": time.time,
    "time.monotonic": time.monotonic,
    "time.perf_counter": time.perf_counter,
    "time.sleep": lambda: time.sleep(0),
    "datetime.now": lambda: datetime.datetime.now(datetime.UTC),
    "datetime.utcnow": datetime.datetime.utcnow,
    "date.today": datetime.date.today,
    "random.random": random.random,
    "random.randint": lambda: random.randint(1, 6),
    "random.choice": lambda: random.choice("ab"),
    "random.shuffle": lambda: random.shuffle([1, 2]),
    "random.SystemRandom": lambda: random.SystemRandom().random(),
    "secrets.token_hex": secrets.token_hex,
    "secrets.token_urlsafe": secrets.token_urlsafe,
    "secrets.choice": lambda: secrets.choice("ab"),
    "secrets.randbelow": lambda: secrets.randbelow(2),
    "os.urandom": lambda: os.urandom(1),
    "uuid.uuid1": uuid.uuid1,
    "uuid.uuid4": uuid.uuid4,
    "socket.socket": open_socket,
    "threading.Thread.start": lambda: threading.Thread(target=print).start(),
}


@pytest.mark.parametrize("read", READS.values(), ids=READS)
def test_a_read_makes_the_seed_fail(monkeypatch: pytest.MonkeyPatch, read: Callable[[], object]) -> None:
    async def visit(_: Visitors) -> None:
        await asyncio.sleep(1)
        read()

    monkeypatch.setattr(Visitors, "visit", visit)
    assert simulate(SMALL).failure == ""
    with watch() as hook:
        outcome = simulate(SMALL)
    assert len(hook.reads) == 1
    assert "MachineRead" in outcome.failure


def test_a_read_whose_error_is_caught_is_noticed() -> None:
    with watch() as hook:
        try:
            time.time()
        except MachineRead:
            """As a worker does, which goes on after any error."""
    assert hook.reads == ["time.time"]
