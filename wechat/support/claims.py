"""Claims of an Idempotency-Key or of a payer's open basket: the first request that claims a key holds it."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from wechat.domain.errors import IdempotencyMismatch, StoreUnavailable
from wechat.domain.numbers import Claim
from wechat.domain.ports import ClaimStore, Runtime
from wechat.support.update import Updater

ROUNDS = 3


class Claims:
    """Claims keys for numbers."""

    def __init__(self, store: ClaimStore, runtime: Runtime) -> None:
        self._claims = Updater(store, lambda claim: claim.key, runtime.random, remembered=0)

    async def claim(self, claim: Claim) -> Claim:
        """Store ``claim`` unless its key is held, and return the claim that holds the key.

        Raises IdempotencyMismatch when the holding request was a different one.
        """
        for _ in range(ROUNDS):
            if await self._claims.insert(claim):
                return claim
            held = await self._claims.get(claim.key)
            if held is not None:
                if held.digest != claim.digest:
                    raise IdempotencyMismatch
                return held
        raise StoreUnavailable  # each time, the claim that held the key expired before it could be read

    async def pass_on(self, held: Claim, number: str, expires_at: datetime) -> bool:
        """Replace the claim ``held`` by one of ``number`` until ``expires_at``.

        False when another request has changed the claim.
        """
        following = replace(held, number=number, expires_at=expires_at)
        change = await self._claims.update(held.key, lambda claim: following if claim == held else claim)
        return change is not None and change.happened
