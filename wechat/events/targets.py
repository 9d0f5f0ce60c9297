"""Targets of events: their protocol, and plugins as targets. Webhooks are in ``wechat.events.webhooks``."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

import structlog

from wechat.domain.deliveries import Event, Outcome

HANDLER_S = 30.0  # the most a plugin's handler may take; well under a delivery's lease

Handler = Callable[[Event], Awaitable[None]]

log = structlog.get_logger("wechat.events")


class Target(Protocol):
    """A receiver of events. ``name`` is part of a delivery's identity and must stay the same over restarts."""

    @property
    def name(self) -> str: ...

    def wants(self, event_type: str) -> bool: ...

    async def deliver(self, event: Event) -> Outcome:
        """Deliver ``event`` within half a minute. Must not raise."""


class Subscriber:
    """The handlers of a plugin as a target. A handler that raises is called again later."""

    def __init__(self, plugin: str, handlers: Mapping[str, Handler], limit_s: float = HANDLER_S) -> None:
        self.name = f"plugin:{plugin}"
        self._handlers = handlers
        self._limit_s = limit_s

    def wants(self, event_type: str) -> bool:
        return event_type in self._handlers

    async def deliver(self, event: Event) -> Outcome:
        """See Target. Any error of a plugin, even a CancelledError of a task of its own, leads to a retry."""
        try:
            async with asyncio.timeout(self._limit_s):
                await self._handlers[event.type](event)
        except TimeoutError:
            return Outcome(False, "timeout")
        except asyncio.CancelledError:
            if _is_cancelling():
                raise
            return Outcome(False, "raised")
        except Exception:
            log.exception("handler_failed", target=self.name, out_trade_no=event.out_trade_no)
            return Outcome(False, "raised")
        return Outcome(True, "handled")


def _is_cancelling() -> bool:
    """Whether the running task itself is being cancelled."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
