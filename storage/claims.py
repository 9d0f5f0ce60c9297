"""First come, first served keys in MongoDB. The key is the primary key, so one insert decides the race."""

from __future__ import annotations

from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError

from storage.codec import claim_from_document, claim_to_document
from storage.driver import Collection, answering
from wechat.domain.errors import StoreUnavailable
from wechat.models import Claim

RACES = 3


class MongoClaims:
    """``ClaimStore`` on a collection whose ``_id`` is the key. A claim ends when the TTL index removes it."""

    def __init__(self, collection: Collection) -> None:
        self._claims = collection

    @answering
    async def claim(self, claim: Claim) -> Claim:
        fields = claim_to_document(claim)
        key = {"_id": fields.pop("_id")}
        for _ in range(RACES):
            try:
                held = await self._claims.find_one_and_update(
                    key, {"$setOnInsert": fields}, upsert=True, return_document=ReturnDocument.AFTER
                )
            except DuplicateKeyError:  # two upserts met; the next look finds the winner's
                continue
            if held:
                return claim_from_document(held)
        raise StoreUnavailable

    @answering
    async def replace(self, held: Claim, claim: Claim) -> bool:
        still_held = {"_id": held.key, "out_trade_no": held.out_trade_no, "digest": held.digest}
        fields = claim_to_document(claim)
        del fields["_id"]
        result = await self._claims.update_one(still_held, {"$set": fields})
        return result.matched_count == 1
