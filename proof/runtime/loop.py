"""An event loop in virtual time. Which of the ready tasks runs next is drawn from a seed.

Time moves only when nothing is ready, and then straight to the next timer. There are no sockets and no threads: code
that needs one fails. When nothing is ready and no timer is set, all tasks wait for each other: a deadlock.

Callbacks and timers are in plain lists, without asyncio's checks and debugging: a run makes 10,000 of them.
"""

from __future__ import annotations

import asyncio
import heapq
import random
from collections.abc import Callable, Coroutine
from contextvars import Context, copy_context
from typing import Any


class Deadlock(Exception):
    """No task can run, although some wait."""


class _Callback:
    """A handle in the sense of asyncio; ``call`` is None once it is cancelled."""

    __slots__ = ("args", "at_s", "call", "context")

    def __init__(self, call: Callable[..., object], args: tuple[Any, ...], context: Context, at_s: float) -> None:
        self.call: Callable[..., object] | None = call
        self.args = args
        self.context = context
        self.at_s = at_s

    def cancel(self) -> None:
        self.call = None
        self.args = ()

    def cancelled(self) -> bool:
        return self.call is None

    def when(self) -> float:
        return self.at_s


class _Task(asyncio.Task[Any]):
    """A task whose hash, and so its place in a set, is its number instead of its address."""

    def __init__(self, number: int, coro: Coroutine[Any, Any, Any], **options: Any) -> None:
        self._number = number
        super().__init__(coro, **options)

    def __hash__(self) -> int:
        return self._number


class SimulatedLoop(asyncio.BaseEventLoop):
    """``steps`` counts the callbacks run; at ``most_steps`` the loop fails."""

    _stopping: bool
    get_debug = staticmethod(bool)  # always False; each future and task calls it, and a C function is cheap

    def __init__(self, chance: random.Random, most_steps: int) -> None:
        super().__init__()
        self._draw = chance.random
        self._time = 0.0
        self._most_steps = most_steps
        self._next: list[_Callback] = []
        self._timers: list[tuple[float, int, _Callback]] = []
        self._set = 0
        self._tasks = 0
        self.steps = 0

    def time(self) -> float:
        """Return the seconds since the beginning."""
        return self._time

    def call_soon(  # type: ignore[override]
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> _Callback:
        handle = _Callback(callback, args, copy_context() if context is None else context, self._time)
        self._next.append(handle)
        return handle

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> _Callback:
        """Set a timer. Timers for the same time run in the order in which they were set."""
        handle = _Callback(callback, args, copy_context() if context is None else context, when)
        self._set += 1
        heapq.heappush(self._timers, (when, self._set, handle))
        return handle

    def call_later(  # type: ignore[override]
        self, delay: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> _Callback:
        when = self._time + delay
        handle = _Callback(callback, args, copy_context() if context is None else context, when)
        self._set += 1
        heapq.heappush(self._timers, (when, self._set, handle))
        return handle

    def create_task(  # type: ignore[override]
        self, coro: Coroutine[Any, Any, Any], *, name: str | None = None, context: Context | None = None
    ) -> asyncio.Task[Any]:
        self._tasks += 1
        return _Task(self._tasks, coro, loop=self, name=name, context=context)

    def _run_once(self) -> None:
        """Run ready callbacks in random order until the loop is stopped. ``BaseEventLoop`` calls this."""
        ready, timers, draw = self._next, self._timers, self._draw
        while not self._stopping:
            if not ready or (timers and timers[0][0] <= self._time):
                self._advance()
            self.steps += 1
            if self.steps == self._most_steps:  # once, so that the waiting tasks can be cancelled afterwards
                raise Deadlock(f"no end after {self._most_steps} steps")
            waiting = len(ready)
            if waiting > 1:
                chosen = int(draw() * waiting)
                ready[chosen], ready[-1] = ready[-1], ready[chosen]
            handle = ready.pop()
            if handle.call is not None:
                try:
                    handle.context.run(handle.call, *handle.args)
                except Exception as error:
                    self.call_exception_handler({"message": f"exception in {handle.call}", "exception": error})

    def _advance(self) -> None:
        """Make due timers ready; if nothing is ready, move to the next timer."""
        timers, ready = self._timers, self._next
        while timers and (timers[0][0] <= self._time or not ready):
            when, _, handle = heapq.heappop(timers)
            if handle.call is not None:
                self._time = max(self._time, when)
                ready.append(handle)
        if not ready:
            raise Deadlock("nothing is ready and no timer is set")

    def close(self) -> None:
        self._next.clear()
        self._timers.clear()
        super().close()

    def call_soon_threadsafe(self, *args: Any, **kwargs: Any) -> Any:  # type: ignore[override]
        raise RuntimeError("there are no threads here")

    def run_in_executor(self, *args: Any, **kwargs: Any) -> Any:  # type: ignore[override]
        raise RuntimeError("there are no threads here")

    def _asyncgen_finalizer_hook(self, agen: Any) -> None:
        """Drop an unfinished generator: the time of its collection must not decide what runs."""

    def _write_to_self(self) -> None:
        """Do nothing: the loop never sleeps."""

    def _process_events(self, event_list: Any) -> None:
        """Do nothing: there is no selector."""
