"""What MongoDB holds, seen from outside the service."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from pymongo import MongoClient

DATABASE = "fenpay"


def collection_sizes(url: str) -> dict[str, int]:
    """How many documents each collection has."""
    with MongoClient[dict[str, Any]](url) as client:
        database = client[DATABASE]
        return {name: database[name].count_documents({}) for name in sorted(database.list_collection_names())}


def document(url: str, collection: str, identity: str) -> dict[str, Any]:
    """One document as it is stored."""
    with MongoClient[dict[str, Any]](url, tz_aware=True) as client:
        found = client[DATABASE][collection].find_one({"_id": identity})
    assert found is not None
    return found


def documents(url: str, database: str, collection: str, identities: list[str]) -> list[dict[str, Any]]:
    """Those of ``identities`` as they are stored."""
    with MongoClient[dict[str, Any]](url, tz_aware=True) as client:
        return list(client[database][collection].find({"_id": {"$in": identities}}))


def everything(url: str) -> str:
    """All documents as text, to search for what must not be there."""
    with MongoClient[dict[str, Any]](url) as client:
        database = client[DATABASE]
        return "\n".join(str(found) for name in database.list_collection_names() for found in database[name].find())


def make_due(url: str) -> None:
    """Let every unpaid order's next look be now."""
    with MongoClient[dict[str, Any]](url) as client:
        now = datetime.now(UTC)
        client[DATABASE]["orders"].update_many({"trade_state": "NOTPAY"}, {"$set": {"next_check_at": now}})
