"""Read an event stream of the service, and reconnect after the service restarts."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from cli.context import Context
from cli.problems import Exit, Problem, refusal
from wechat.domain.errors import Bilingual

PAUSES_S = (0.5, 1.0, 2.0, 4.0, 8.0)
"""Pauses between attempts to reconnect; the last one applies to all further attempts."""
CONNECTED = Bilingual("已连接，Ctrl-C 结束", "Connected; press Ctrl-C to stop")
LOST = Bilingual("连接已断开，正在重连…", "The connection was lost; connecting again …")
BACK = Bilingual(
    "已重新连接；断开期间发生的没有收到",
    "Connected again; events in between were not received",
)


def follow(context: Context, path: str, **query: str | None) -> Iterator[tuple[str, Any]]:
    """Yield each event's name and data until the caller stops.

    Raises Problem when the first attempt to connect fails, and when a later one is refused for good.
    """
    tries = -1
    while True:
        try:
            for name, data in context.service.stream(path, **query):
                if name != "open":
                    yield name, data
                    continue
                context.screen.say(BACK if tries > 0 else CONNECTED)
                tries = 0
        except Problem as problem:
            if tries < 0 or problem.code is not Exit.UNREACHED:
                raise
        if tries < 0:
            raise refusal(200, None)  # another server: Fenpay sends an "open" comment at once
        if not tries:
            context.screen.say(LOST)
        time.sleep(PAUSES_S[min(tries, len(PAUSES_S) - 1)])
        tries += 1
