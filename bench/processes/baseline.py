"""The baseline: a bare Tornado handler that makes the service's writes and its POST to WeChat, and nothing else.

The same number of writes, of documents of the same size, through the same group commit into collections with the same
indexes; one aiohttp POST. No parsing, no checks, no signatures, no states. What the service takes beyond this is the
cost of its guarantees.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import secrets
from datetime import UTC, datetime
from typing import Any
from urllib.request import urlopen

import aiohttp
import uvloop
from tornado.web import Application, RequestHandler

from service.clocks import SystemClock
from service.runtime import SystemRandom
from storage.group_commit import GroupCommit
from storage.mongo.documents import MongoDocuments
from storage.mongo.driver import Database, connect
from storage.mongo.storage import MongoStorage
from storage.stores.all import NOTIFICATIONS, NUMBERS, ORDERS
from wechat.pay.v2.mutual_tls import client_context

TEXT = "x" * 700  # stands for the fields of an order that are not indexed
DATABASE = "floor"
WRITE = "x" * 16  # the id of a write

Document = dict[str, Any]


class Writes:
    """The documents of one order, from its placing to its refund."""

    def __init__(self, database: Database, session: aiohttp.ClientSession, upstream: str, secure: str) -> None:
        self._orders, self._numbers, self._notifications = (
            GroupCommit(MongoDocuments(database, name)) for name in (ORDERS, NUMBERS, NOTIFICATIONS)
        )
        self._session = session
        self._upstream = upstream
        self._secure = secure
        self._unpaid: list[Document] = []
        self._unrefunded: list[Document] = []

    async def order(self, body: bytes) -> None:
        """Make two writes and one POST, as placing an order does."""
        number, now = secrets.token_hex(12), datetime.now(UTC)
        order = {"_id": number, "rev": 1, "trade_state": "NOTPAY", "created_at": now, "due_at": now, "keys": [number]}
        order |= {"text": TEXT, "timeline": [{"at": now}]}
        await self._orders.insert(order, WRITE)
        prepay = await self._post(self._upstream, body)
        order = await self._change(order, {"prepay": prepay})
        self._unpaid.append(order)
        self._unrefunded.append(order)

    async def refund(self, body: bytes) -> None:
        """Make a read, three writes and one POST, as a refund does: its number, then reserved, then answered."""
        await self._refund(self._upstream, body)

    async def refund_secure(self, body: bytes) -> None:
        """Do as ``refund``, with the POST over mutual TLS."""
        await self._refund(self._secure, body)

    async def _refund(self, upstream: str, body: bytes) -> None:
        number, now = secrets.token_hex(12), datetime.now(UTC)
        identity = self._unrefunded.pop()["_id"]
        await self._numbers.insert({"_id": number, "order": identity}, WRITE)
        order = await self._orders.get(identity) or {}
        refunded = {"trade_state": "REFUND", "refund_states": ["REQUESTED"], "refund_changed_at": now, "due_at": now}
        order = await self._change(order, refunded)
        answer = await self._post(upstream, body)
        await self._change(order, {"refund_states": ["PROCESSING"], "answer": answer})

    async def notify(self, body: bytes) -> None:
        """Make three writes, as a notification does: its payment's number and the message, then applied."""
        order, now = self._unpaid.pop(), datetime.now(UTC)
        message = {"_id": secrets.token_hex(32), "raw": body, "out_trade_no": order["_id"], "expires_at": now}
        number = {"_id": secrets.token_hex(14), "order": order["_id"]}
        await asyncio.gather(self._notifications.insert(message, WRITE), self._numbers.insert(number, WRITE))
        await self._change(order, {"trade_state": "SUCCESS", "paid_at": now})

    async def nothing(self, body: bytes) -> None:
        """Make no write, as a JS-SDK signature does."""

    async def _change(self, order: Document, changes: Document) -> Document:
        """Add a line to the timeline and apply ``changes``, by compare-and-set."""
        changed = order | changes | {"rev": order["rev"] + 1, "timeline": [*order["timeline"], {"at": order["due_at"]}]}
        await self._orders.replace(changed, order["rev"], WRITE)
        return changed

    async def _post(self, upstream: str, body: bytes) -> bytes:
        async with self._session.post(upstream, data=body) as answer:
            return await answer.read()


class Baseline(RequestHandler):
    """``/order``, ``/refund``, ``/refund_secure``, ``/notify`` and ``/nothing``."""

    def initialize(self, writes: Writes) -> None:
        self.writes = writes

    async def post(self, kind: str) -> None:
        await getattr(self.writes, kind)(self.request.body)
        self.write(b'{"code":"SUCCESS"}')


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--mongo", required=True)
    parser.add_argument("--simulator", required=True)
    arguments = parser.parse_args()
    storage = MongoStorage(arguments.mongo, DATABASE, clock=SystemClock(), random=SystemRandom())
    if problems := await storage.problems():  # makes the service's indexes
        raise SystemExit(problems[0].en)
    database = connect(arguments.mongo, DATABASE).database
    keys = json.load(urlopen(f"{arguments.simulator}/simulator/credentials"))  # noqa: S310, ASYNC210
    tls = client_context(keys["merchant_cert_pem"], keys["merchant_private_key_pem"], keys["secure_ca_pem"])
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=50, ssl=tls)) as session:
        upstream, secure = f"{arguments.simulator}/pay/unifiedorder", f"{keys['secure_url']}/secapi/pay/refund"
        writes = Writes(database, session, upstream, secure)
        routes = [(r"/(order|refund|refund_secure|notify|nothing)", Baseline, {"writes": writes})]
        Application(routes, log_function=lambda _: None).listen(arguments.port, "127.0.0.1")
        print("floor listening", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main())
