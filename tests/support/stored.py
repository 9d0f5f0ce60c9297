"""Read the contents of MongoDB from outside the service."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from pymongo import MongoClient

from storage.stores.all import CALLS, ORDERS, SUMMARIES

DATABASE = "fenpay"


def collection_sizes(url: str) -> dict[str, int]:
    """Return the number of documents in each collection."""
    with MongoClient[dict[str, Any]](url) as client:
        database = client[DATABASE]
        return {name: database[name].count_documents({}) for name in sorted(database.list_collection_names())}


def lasting_sizes(url: str) -> dict[str, int]:
    """Return the same without what workers write on the side: recorded calls and the figures of days."""
    return {name: size for name, size in collection_sizes(url).items() if name not in (CALLS, SUMMARIES)}


def order_document(url: str, out_trade_no: str) -> dict[str, Any]:
    """Return an order as it is stored."""
    [found] = order_documents(url, DATABASE, [out_trade_no])
    return found


def order_documents(url: str, database: str, numbers: list[str]) -> list[dict[str, Any]]:
    """Return orders as they are stored."""
    return documents(url, database, ORDERS, "out_trade_no", numbers)


def documents(url: str, database: str, collection: str, field: str, values: list[str]) -> list[dict[str, Any]]:
    """Return the documents of which ``field`` has one of ``values``."""
    with MongoClient[dict[str, Any]](url, tz_aware=True) as client:
        return list(client[database][collection].find({field: {"$in": values}}))


def everything(url: str) -> str:
    """Return all documents as text, to search for what must not be stored."""
    with MongoClient[dict[str, Any]](url) as client:
        database = client[DATABASE]
        return "\n".join(str(found) for name in database.list_collection_names() for found in database[name].find())


def make_due(url: str) -> None:
    """Set every unpaid order's next check to now."""
    with MongoClient[dict[str, Any]](url) as client:
        now = datetime.now(UTC)
        change = {"$set": {"next_check_at": now, "due_at": now}, "$inc": {"rev": 1}}
        client[DATABASE][ORDERS].update_many({"trade_state": "NOTPAY"}, change)
