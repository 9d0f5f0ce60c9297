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
        """Store ``claim`` unless its key is held; the holder's claim either way.

        Raises IdempotencyMismatch when the holder asked for something else.
        """
        for _ in range(ROUNDS):
            if await self._claims.insert(claim):
                return claim
            held = await self._claims.get(claim.key)
            if held is not None:
                if held.digest != claim.digest:
                    raise IdempotencyMismatch
                return held
        raise StoreUnavailable  # it ends each time before it can be read

    async def pass_on(self, held: Claim, number: str, expires_at: datetime) -> bool:
        """Let the key stand for ``number``, until ``expires_at``, in place of what ``held`` says.

        False when somebody else has changed it.
        """
        following = replace(held, number=number, expires_at=expires_at)
        change = await self._claims.update(held.key, lambda claim: following if claim == held else claim)
        return change is not None and change.happened
