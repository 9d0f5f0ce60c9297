"""The floor: a bare Tornado handler that makes the service's writes and its POST to WeChat, and nothing else.

The same number of Motor writes, of documents of the same size, into collections with the same indexes and the same
durability; one aiohttp POST. No parsing, no checks, no signatures, no states. What the service takes beyond this is
what its promises cost.
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
from motor.motor_asyncio import AsyncIOMotorClient
from pymongo import ReturnDocument, WriteConcern
from tornado.web import Application, RequestHandler

from storage.old_storage import MongoStorage
from wechat.pay.mutual_tls import client_context

TEXT = "x" * 700  # what an order holds beside the fields that are indexed
DATABASE = "floor"


class Writes:
    """The documents of one order's life."""

    def __init__(self, database: Any, session: aiohttp.ClientSession, upstream: str, secure: str) -> None:
        self._orders = database["orders"]
        self._refunds = database["refunds"]
        self._notifications = database["notifications"]
        self._session = session
        self._upstream = upstream
        self._secure = secure
        self._unpaid: list[str] = []
        self._unrefunded: list[str] = []

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
        prepay = await self._posted(self._upstream, body)
        await self._orders.find_one_and_update(
            {"_id": number},
            {"$set": {"prepay": prepay}, "$push": {"events": {"at": now}}},
            return_document=ReturnDocument.AFTER,
        )
        self._unpaid.append(number)
        self._unrefunded.append(number)

    async def refund(self, body: bytes) -> None:
        """A read, five writes and one POST, as a refund makes: stored, put aside, marked, sent, answered, noted."""
        await self._refunded(self._upstream, body)

    async def refund_secure(self, body: bytes) -> None:
        """The same over mutual TLS."""
        await self._refunded(self._secure, body)

    async def _refunded(self, upstream: str, body: bytes) -> None:
        number, order, now = secrets.token_hex(12), {"_id": self._unrefunded.pop()}, datetime.now(UTC)
        line = {"events": {"at": now}}
        await self._orders.find_one(order)
        await self._refunds.insert_one(
            {"_id": number, "out_trade_no": order["_id"], "created_at": now, "next_check_at": now, "text": TEXT}
        )
        await self._orders.update_one(order, {"$set": {f"refunds.{number}": 1, "last_refund_at": now}, "$push": line})
        await self._change(self._refunds, {"_id": number}, {"$set": {"next_check_at": now}, "$push": line})
        answer = await self._posted(upstream, body)
        done = {"state": "PROCESSING", "next_check_at": now, "answer": answer}
        await self._change(self._refunds, {"_id": number}, {"$set": done, "$push": line})
        await self._change(self._orders, order, {"$set": {"trade_state": "REFUND"}, "$push": line})

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

    async def _change(self, collection: Any, wanted: dict[str, Any], change: dict[str, Any]) -> None:
        await collection.find_one_and_update(wanted, change, return_document=ReturnDocument.AFTER)

    async def _posted(self, upstream: str, body: bytes) -> bytes:
        async with self._session.post(upstream, data=body) as answer:
            return await answer.read()


class Floor(RequestHandler):
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
    if problems := await MongoStorage(arguments.mongo, DATABASE).problems():  # makes the service's indexes
        raise SystemExit(problems[0].en)
    client: Any = AsyncIOMotorClient(arguments.mongo)
    database = client.get_database(DATABASE, write_concern=WriteConcern("majority", j=True))
    keys = json.load(urlopen(f"{arguments.simulator}/simulator/credentials"))  # noqa: S310, ASYNC210
    tls = client_context(keys["merchant_cert_pem"], keys["merchant_private_key_pem"], keys["secure_ca_pem"])
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=50, ssl=tls)) as session:
        upstream, secure = f"{arguments.simulator}/pay/unifiedorder", f"{keys['secure_url']}/secapi/pay/refund"
        writes = Writes(database, session, upstream, secure)
        routes = [(r"/(order|refund|refund_secure|notify|nothing)", Floor, {"writes": writes})]
        Application(routes, log_function=lambda _: None).listen(arguments.port, "127.0.0.1")
        print("floor listening", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main())
