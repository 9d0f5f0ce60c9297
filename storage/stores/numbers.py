"""Stores of refund numbers, transactions and Idempotency-Keys. The first document with a key stays; later ones are
refused."""

from __future__ import annotations

from storage.documents import Document, Documents
from storage.store import Codec, DocumentStore
from wechat.domain.errors import StoreUnavailable
from wechat.domain.numbers import Claim, NumberUse
from wechat.domain.ports import Random

WRITE_BYTES = 6


class Numbers:
    """``NumberStore``. A number is written once and never changed."""

    def __init__(self, documents: Documents, random: Random) -> None:
        self._store = DocumentStore(documents, NUMBER)
        self._random = random

    async def reserve(self, use: NumberUse) -> NumberUse:
        if await self._store.insert(use, self._random.token(WRITE_BYTES)):
            return use
        held = await self.get(use.number)
        if held is None:
            raise StoreUnavailable
        return held

    async def get(self, number: str) -> NumberUse | None:
        stored = await self._store.get(number)
        return stored.value if stored else None


class Claims(DocumentStore[Claim]):
    """``ClaimStore``. A claim ends when the database removes it after its expiry."""

    def __init__(self, documents: Documents) -> None:
        super().__init__(documents, CLAIM)


def _write_number(use: NumberUse) -> Document:
    return {"order": use.order_key}


def _read_number(document: Document) -> NumberUse:
    return NumberUse(document["_id"], document["order"])


def _write_claim(claim: Claim) -> Document:
    return {"number": claim.number, "digest": claim.digest, "expires_at": claim.expires_at}


def _read_claim(document: Document) -> Claim:
    return Claim(document["_id"], document["number"], document["digest"], document["expires_at"])


NUMBER = Codec(
    key=lambda use: use.number, write=_write_number, read=_read_number, fields=frozenset({"order"}), parts={}
)
CLAIM = Codec(
    key=lambda claim: claim.key,
    write=_write_claim,
    read=_read_claim,
    fields=frozenset({"number", "digest", "expires_at"}),
    parts={},
)
