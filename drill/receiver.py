"""The merchant's other system: accepts signed events, keeps each once, and fails now and then."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import random
from collections import defaultdict
from typing import Any, Self

from aiohttp import web

DOWN = 0.05  # share of answers with status 500


class Receiver:
    """``events`` are the received ones, by id; ``unbelieved`` counts messages with a wrong signature."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self.secret = ""
        self.events: dict[str, dict[str, Any]] = {}
        self.received = self.unbelieved = self.port = 0

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_post("/events", self._receive)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    def of_orders(self) -> dict[str, list[str]]:
        """Return the types of events about each order, in the order of arrival."""
        received: dict[str, list[str]] = defaultdict(list)
        for event in self.events.values():
            received[event["data"]["out_trade_no"]].append(event["type"])
        return received

    async def _receive(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.received += 1
        if not self._genuine(request, body):
            self.unbelieved += 1
            return web.Response(status=401)
        if self._chance.random() < DOWN:
            return web.Response(status=500)
        self.events.setdefault(request.headers["webhook-id"], json.loads(body))
        return web.Response(status=204)

    def _genuine(self, request: web.Request, body: bytes) -> bool:
        signed = (request.headers["webhook-id"], request.headers["webhook-timestamp"])
        key = base64.b64decode(self.secret.removeprefix("whsec_"))
        expected = base64.b64encode(hmac.digest(key, ".".join((*signed, "")).encode() + body, hashlib.sha256)).decode()
        return f"v1,{expected}" in request.headers["webhook-signature"].split(" ")
