"""The floor: a bare Tornado handler that makes the service's writes and its POST to WeChat, and nothing else.

The same number of Motor writes, of documents of the same size, into collections with the same indexes and the same
durability; one aiohttp POST. No parsing, no checks, no signatures, no states. What the service takes beyond this is
what its promises cost.
"""

from __future__ import annotations

import argparse
import asyncio
import secrets
from datetime import UTC, datetime
from typing import Any

import aiohttp
import uvloop
from motor.motor_asyncio import AsyncIOMotorClient
from pymongo import ReturnDocument, WriteConcern
from tornado.web import Application, RequestHandler

from storage.mongo import MongoStorage

TEXT = "x" * 700  # what an order holds beside the fields that are indexed
DATABASE = "floor"


class Writes:
    """The documents of one order's life."""

    def __init__(self, database: Any, session: aiohttp.ClientSession, upstream: str) -> None:
        self._orders = database["orders"]
        self._notifications = database["notifications"]
        self._session = session
        self._upstream = upstream
        self._unpaid: list[str] = []

    async def order(self, body: bytes) -> None:
        """Two writes and one POST, as placing an order makes."""
        number, now = secrets.token_hex(12), datetime.now(UTC)
        await self._orders.insert_one(
            {
                "_id": number,
                "trade_state": "NOTPAY",
                "created_at": now,
                "next_check_at": now,
                "text": TEXT,
                "events": [],
            }
        )
        async with self._session.post(self._upstream, data=body) as answer:
            prepay = await answer.read()
        await self._orders.find_one_and_update(
            {"_id": number},
            {"$set": {"prepay": prepay}, "$push": {"events": {"at": now}}},
            return_document=ReturnDocument.AFTER,
        )
        self._unpaid.append(number)

    async def notify(self, body: bytes) -> None:
        """Two writes, as a notification makes: recorded, applied."""
        number, now = self._unpaid.pop(), datetime.now(UTC)
        await self._notifications.find_one_and_update(
            {"_id": secrets.token_hex(32)},
            {"$setOnInsert": {"raw": body, "out_trade_no": number, "first_at": now, "expires_at": now}},
            upsert=True,
            return_document=ReturnDocument.AFTER,
        )
        await self._orders.find_one_and_update(
            {"_id": number},
            {
                "$set": {"trade_state": "SUCCESS", "mchid": "m", "transaction_id": number, "paid_at": now},
                "$unset": {"next_check_at": ""},
                "$push": {"events": {"at": now}, "outbox": {"at": now}},
            },
            return_document=ReturnDocument.AFTER,
        )

    async def nothing(self, body: bytes) -> None:
        """No write at all, as a JS-SDK signature makes."""


class Floor(RequestHandler):
    """``/order``, ``/notify`` and ``/nothing``."""

    def initialize(self, writes: Writes) -> None:
        self.writes = writes

    async def post(self, kind: str) -> None:
        await getattr(self.writes, kind)(self.request.body)
        self.write(b'{"code":"SUCCESS"}')


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--mongo", required=True)
    parser.add_argument("--upstream", required=True)
    arguments = parser.parse_args()
    if problems := await MongoStorage(arguments.mongo, DATABASE).problems():  # makes the service's indexes
        raise SystemExit(problems[0].en)
    client: Any = AsyncIOMotorClient(arguments.mongo)
    database = client.get_database(DATABASE, write_concern=WriteConcern("majority", j=True))
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=50)) as session:
        writes = Writes(database, session, arguments.upstream)
        routes = [(r"/(order|notify|nothing)", Floor, {"writes": writes})]
        Application(routes, log_function=lambda _: None).listen(arguments.port, "127.0.0.1")
        print("floor listening", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main())
