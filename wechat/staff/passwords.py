"""Hash and check passwords with argon2id, in threads, a few at once: each takes 64 MB and a twentieth of a second."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from wechat.domain.ports import Runtime

AT_ONCE = 2
SALT_BYTES = 16


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether the password is right, and its new hash if the stored one has outdated parameters."""

    right: bool
    new_hash: str = ""


class Passwords:
    """Hashes passwords with the library's own parameters (RFC 9106, low memory)."""

    def __init__(self, runtime: Runtime) -> None:
        self._hasher = PasswordHasher()
        self._runtime = runtime
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._nobodys = ""

    async def hash(self, password: str) -> str:
        async with self._turns:
            return await self._hash(password)

    async def verify(self, password: str, stored: str) -> Verdict:
        """Check ``password`` against the hash ``stored``.

        Without a hash, for an unknown person, the same work is done and the password is wrong: timing reveals nothing.
        """
        async with self._turns:
            self._nobodys = self._nobodys or await self._hash(self._runtime.random.token(SALT_BYTES))
            right = await self._runtime.threads.run(lambda: self._verify(password, stored or self._nobodys))
            if not stored or not right:
                return Verdict(right=False)
            outdated = self._hasher.check_needs_rehash(stored)
            return Verdict(right=True, new_hash=await self._hash(password) if outdated else "")

    async def _hash(self, password: str) -> str:
        salt = bytes.fromhex(self._runtime.random.token(SALT_BYTES))
        return await self._runtime.threads.run(lambda: self._hasher.hash(password, salt=salt))

    def _verify(self, password: str, stored: str) -> bool:
        try:
            return self._hasher.verify(stored, password)
        except (VerificationError, InvalidHashError):
            return False
