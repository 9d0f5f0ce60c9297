"""Add the people of the console, set their roles, passwords and code generators, disable them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from wechat.domain.errors import Bilingual, Conflict, NotFound
from wechat.domain.ports import Runtime, StaffStore
from wechat.domain.staff import Role, StaffMember, check_name, check_password
from wechat.staff.passwords import Passwords
from wechat.staff.totp import (
    check_secret,
    find_step,
    new_recovery_codes,
    new_secret,
    provisioning_uri,
    recovery_digest,
)
from wechat.support.update import Updater


class Members:
    """All people who may log in. A change takes effect with the person's next request."""

    def __init__(self, store: StaffStore, passwords: Passwords, runtime: Runtime) -> None:
        self._store = store
        self._passwords = passwords
        self._clock = runtime.clock
        self._random = runtime.random
        self._updater = Updater(store, lambda member: member.name, runtime.random, remembered=0)

    async def get(self, name: str) -> StaffMember | None:
        stored = await self._store.get(name)
        return stored.value if stored else None

    async def all(self) -> Sequence[StaffMember]:
        """Return all people, by name."""
        return await self._store.all()

    async def add(self, name: str, role: Role, password: str) -> StaffMember:
        """Add a person. Raises BadRequest for an invalid name or password, Conflict for a taken name."""
        name = check_name(name)
        now = self._clock.now()
        member = StaffMember(name, role, await self._passwords.hash(check_password(password, name)), now, now)
        if not await self._updater.insert(member):
            text = Bilingual(f"用户 {name} 已存在", f"There is a user {name} already")
            raise Conflict(text, code="USER_EXISTS", field="name")
        return member

    async def set_password(self, name: str, password: str) -> StaffMember:
        """Replace the password and end all sessions. Raises BadRequest, NotFound."""
        hashed = await self._passwords.hash(check_password(password, name))
        now = self._clock.now()
        return await self.update(name, lambda member: replace(member, password=hashed, sessions_from=now))

    async def set_role(self, name: str, role: Role) -> StaffMember:
        """Change the role. Raises NotFound."""
        return await self.update(name, lambda member: member if member.role is role else replace(member, role=role))

    async def disable(self, name: str) -> StaffMember:
        """Refuse the person from now on and end all sessions. Raises NotFound."""
        now = self._clock.now()
        return await self.update(
            name, lambda member: replace(member, disabled_at=now, sessions_from=now) if member.active else member
        )

    async def enable(self, name: str) -> StaffMember:
        """Let the person log in again. Raises NotFound."""
        return await self.update(name, lambda member: member if member.active else replace(member, disabled_at=None))

    def new_totp_secret(self) -> str:
        """Create a key for a code generator; ``set_up_totp`` stores it."""
        return new_secret(self._random)

    def totp_uri(self, secret: str, name: str, shop: str) -> str:
        """Return the address in the QR code for a code generator. Raises BadRequest."""
        return provisioning_uri(check_secret(secret), name, shop)

    async def set_up_totp(self, name: str, secret: str, code: str) -> list[str]:
        """Require codes of a generator, after ``code`` has proved that the person has it. Return the recovery codes.

        Raises CodeRefused, NotFound, BadRequest for an invalid key.
        """
        step, codes = find_step(check_secret(secret), code, self._clock.now()), new_recovery_codes(self._random)
        digests = tuple(recovery_digest(each) for each in codes)
        await self.update(name, lambda member: replace(member, totp_secret=secret, totp_step=step, recovery=digests))
        return codes

    async def remove_totp(self, name: str) -> StaffMember:
        """Require no codes until a generator is set up again, and end all sessions. Raises NotFound."""
        now = self._clock.now()
        return await self.update(name, lambda member: replace(member, totp_secret="", recovery=(), sessions_from=now))

    async def update(self, name: str, transition: Callable[[StaffMember], StaffMember]) -> StaffMember:
        """Apply a pure function to a person and return the result. Raises NotFound, and the function's errors."""
        change = await self._updater.update(name, transition)
        if change is None:
            raise NotFound(Bilingual("没有这个用户", "There is no such user"), code="USER_NOT_FOUND")
        return change.after
