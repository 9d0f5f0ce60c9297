"""The floor: a bare Tornado handler that makes the same Motor writes and the same aiohttp POST, and nothing else.

No parsing, no checks, no signatures, no states. What the service needs beyond this is what its promises cost.
"""

from __future__ import annotations

import argparse
import asyncio
import secrets
from datetime import UTC, datetime

import aiohttp
import uvloop
from motor.motor_asyncio import AsyncIOMotorClient
from pymongo import WriteConcern
from tornado.web import Application, RequestHandler


class Floor(RequestHandler):
    """``kind`` says which of the service's requests is imitated."""

    def initialize(self, database: object, session: aiohttp.ClientSession, upstream: str) -> None:
        self.orders = database["orders"]  # type: ignore[index]  # Motor has no types
        self.notifications = database["notifications"]  # type: ignore[index]
        self.session = session
        self.upstream = upstream

    async def post(self, kind: str) -> None:
        await getattr(self, kind)()
        self.write(b'{"code":"SUCCESS"}')

    async def order(self) -> None:
        """Two writes and one POST, as placing an order makes."""
        number = secrets.token_hex(12)
        await self.orders.insert_one({"_id": number, "body": self.request.body, "at": datetime.now(UTC)})
        async with self.session.post(self.upstream, data=self.request.body) as answer:
            text = await answer.read()
        await self.orders.find_one_and_update({"_id": number}, {"$set": {"prepay": text}})

    async def notify(self) -> None:
        """Three writes, as a notification makes: recorded, applied, concluded."""
        number = secrets.token_hex(12)
        await self.notifications.update_one({"_id": number}, {"$set": {"raw": self.request.body}}, upsert=True)
        await self.orders.find_one_and_update({"_id": number}, {"$set": {"paid": True}}, upsert=True)
        await self.notifications.update_one({"_id": number}, {"$set": {"verdict": "applied"}})

    async def nothing(self) -> None:
        """No write at all, as a JS-SDK signature makes."""


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--mongo", required=True)
    parser.add_argument("--upstream", required=True)
    arguments = parser.parse_args()
    client: object = AsyncIOMotorClient(arguments.mongo)
    database = client.get_database("floor", write_concern=WriteConcern("majority", j=True))  # type: ignore[attr-defined]
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=50)) as session:
        shared = {"database": database, "session": session, "upstream": arguments.upstream}
        Application([(r"/(order|notify|nothing)", Floor, shared)], log_function=lambda _: None).listen(
            arguments.port, "127.0.0.1"
        )
        print("floor listening", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main())
