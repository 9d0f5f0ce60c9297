"""An Official Account API over a real socket: answers what a test sets, and counts calls."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable
from typing import Any, Self

from aiohttp import web

Reply = Callable[[web.Request], Any]


class Account:
    """``replies`` by path make the JSON; ``delay_s`` passes before an answer; ``calls`` counts by path."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.queries: list[dict[str, str]] = []
        self.bodies: list[Any] = []
        self.replies: dict[str, Reply] = {}
        self.delay_s = 0.0
        self.url = ""

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.Response:
        self.calls[request.path] += 1
        self.queries.append(dict(request.query))
        text = await request.text()
        self.bodies.append(json.loads(text) if text else None)
        if self.delay_s:
            await asyncio.sleep(self.delay_s)
        payload = self.replies[request.path](request)
        if isinstance(payload, web.Response):
            return payload
        return web.json_response(payload)


def refuse(errcode: int, errmsg: str = "refused") -> Reply:
    """Return WeChat's refusal: status 200 and an errcode."""
    return lambda _: {"errcode": errcode, "errmsg": f"{errmsg} rid: 65a1b2c3-00000000-11111111"}
