"""The people of the console: added, given a role, a password, disabled."""

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
    """Everybody who may log in. Each change takes effect with the person's next request."""

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
        """Everybody, by name."""
        return await self._store.all()

    async def add(self, name: str, role: Role, password: str) -> StaffMember:
        """Raises BadRequest for a name or a password that will not do, Conflict for a name that is taken."""
        name = check_name(name)
        now = self._clock.now()
        member = StaffMember(name, role, await self._passwords.hash(check_password(password, name)), now, now)
        if not await self._updater.insert(member):
            text = Bilingual(f"用户 {name} 已存在", f"There is a user {name} already")
            raise Conflict(text, code="USER_EXISTS", field="name")
        return member

    async def set_password(self, name: str, password: str) -> StaffMember:
        """Replace the password; all sessions end. Raises BadRequest, NotFound."""
        hashed = await self._passwords.hash(check_password(password, name))
        now = self._clock.now()
        return await self.update(name, lambda member: replace(member, password=hashed, sessions_from=now))

    async def set_role(self, name: str, role: Role) -> StaffMember:
        """Raises NotFound."""
        return await self.update(name, lambda member: member if member.role is role else replace(member, role=role))

    async def disable(self, name: str) -> StaffMember:
        """Let the person in no more; all sessions end. Raises NotFound."""
        now = self._clock.now()
        return await self.update(
            name, lambda member: replace(member, disabled_at=now, sessions_from=now) if member.active else member
        )

    async def enable(self, name: str) -> StaffMember:
        """Let the person log in again. Raises NotFound."""
        return await self.update(name, lambda member: member if member.active else replace(member, disabled_at=None))

    def new_totp_secret(self) -> str:
        """A key for a code generator; it counts after ``set_up_totp``."""
        return new_secret(self._random)

    def totp_uri(self, secret: str, name: str, shop: str) -> str:
        """What a code generator reads from a QR code. Raises BadRequest."""
        return provisioning_uri(check_secret(secret), name, shop)

    async def set_up_totp(self, name: str, secret: str, code: str) -> list[str]:
        """Have the person log in with codes from now on, after ``code`` has proved that they have them; the recovery
        codes. Raises CodeRefused, NotFound, BadRequest for a key that is none."""
        step, codes = find_step(check_secret(secret), code, self._clock.now()), new_recovery_codes(self._random)
        digests = tuple(recovery_digest(each) for each in codes)
        await self.update(name, lambda member: replace(member, totp_secret=secret, totp_step=step, recovery=digests))
        return codes

    async def remove_totp(self, name: str) -> StaffMember:
        """Have the person log in without codes, until they set up a generator anew; sessions end. Raises NotFound."""
        now = self._clock.now()
        return await self.update(name, lambda member: replace(member, totp_secret="", recovery=(), sessions_from=now))

    async def update(self, name: str, transition: Callable[[StaffMember], StaffMember]) -> StaffMember:
        """Change a person by a pure function; the person afterwards. Raises NotFound, and what the function raises."""
        change = await self._updater.update(name, transition)
        if change is None:
            raise NotFound(Bilingual("没有这个用户", "There is no such user"), code="USER_NOT_FOUND")
        return change.after
