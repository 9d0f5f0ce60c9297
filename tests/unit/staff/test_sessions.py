"""When sessions end, how long an account has to wait, and which codes are taken: by a clock that a test moves."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from pyotp import TOTP

from storage.memory.storage import MemoryStorage
from tests.support.clock import ManualClock
from tests.support.runtime import RandomIds, a_runtime
from wechat.domain.errors import TooMany
from wechat.domain.staff import Role
from wechat.staff.members import Members
from wechat.staff.passwords import Passwords, Verdict
from wechat.staff.sessions import Login, LoginRefused, SessionRules, Sessions
from wechat.staff.totp import CodeRefused, find_step, use_code

PASSWORD = "correct horse battery"
RULES = SessionRules(timedelta(minutes=30), timedelta(hours=8))
SECRET = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"


class Door:
    """Sessions over memory."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        runtime = a_runtime(self.clock)
        store = MemoryStorage(self.clock, RandomIds())
        self.passwords = Passwords(runtime)
        self.members = Members(store.staff, self.passwords, runtime)
        self.sessions = Sessions(
            self.members, self.passwords, store.staff_sessions, store.failed_logins, RULES, runtime
        )
        self.tries = 0

    async def log_in(self, password: str = PASSWORD, name: str = "anna", code: str = "") -> str:
        """From an address of its own each time."""
        self.tries += 1
        return await self.sessions.log_in(Login(name, password, code, f"10.0.0.{self.tries}", "Firefox"))

    async def fail(self, times: int, name: str = "anna") -> None:
        for _ in range(times):
            with pytest.raises(LoginRefused):
                await self.log_in("wrong", name)

    async def is_in(self, session_id: str) -> bool:
        return await self.sessions.find(session_id) is not None


@pytest.fixture
async def door() -> Door:
    door = Door()
    await door.members.add("anna", Role.FINANCE, PASSWORD)
    return door


async def test_a_session_ends_when_it_is_idle(door: Door) -> None:
    session = await door.log_in()
    for _ in range(3):
        door.clock.advance(29 * 60)
        assert await door.is_in(session)
    door.clock.advance(30 * 60)
    assert not await door.is_in(session)


async def test_a_session_ends_after_its_longest_time_however_it_is_used(door: Door) -> None:
    session = await door.log_in()
    for _ in range(8 * 3 - 1):
        door.clock.advance(20 * 60)
        assert await door.is_in(session)
    door.clock.advance(20 * 60)
    assert not await door.is_in(session)


async def test_the_id_is_not_what_is_stored(door: Door) -> None:
    session = await door.log_in()
    [stored] = await door.sessions.active("anna")
    assert session not in repr(stored)
    assert not await door.is_in(stored.key)


@pytest.mark.parametrize("name", ["anna", "nobody"])
async def test_after_five_failures_the_wait_doubles_whether_the_account_exists_or_not(door: Door, name: str) -> None:
    await door.fail(5, name)
    waits = []
    for wait in (1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300):
        door.clock.advance(wait - 0.001)
        with pytest.raises(TooMany):
            await door.log_in(PASSWORD, name)
        door.clock.advance(0.001)
        await door.fail(1, name)
        waits.append(wait)
    assert len(waits) == 11


async def test_a_login_that_succeeds_takes_the_waits_away(door: Door) -> None:
    await door.fail(5)
    door.clock.advance(1)
    await door.log_in()
    await door.fail(5)


async def test_a_wrong_code_counts_as_a_failed_login(door: Door) -> None:
    await door.members.update("anna", lambda member: replace(member, totp_secret=SECRET))
    for _ in range(5):
        with pytest.raises(LoginRefused):
            await door.log_in(code="000000")
    with pytest.raises(TooMany):
        await door.log_in(code="000000")


async def test_guessing_the_proof_is_slowed_like_guessing_at_the_login(door: Door) -> None:
    visit = await door.sessions.find(await door.log_in())
    assert visit is not None
    for _ in range(5):
        with pytest.raises(LoginRefused):
            await door.sessions.step_up(visit, "wrong")
    with pytest.raises(TooMany):
        await door.sessions.step_up(visit, PASSWORD)


async def test_failed_logins_of_strangers_keep_nobody_from_the_proof(door: Door) -> None:
    visit = await door.sessions.find(await door.log_in())
    assert visit is not None
    await door.fail(5)
    with pytest.raises(TooMany):
        await door.log_in()
    assert await door.is_in(await door.sessions.step_up(visit, PASSWORD))


async def test_a_password_that_changes_while_the_old_one_is_checked_ends_that_login(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    verify = door.passwords.verify

    async def verify_slowly(password: str, stored: str) -> Verdict:
        verdict = await verify(password, stored)
        door.clock.advance(0.1)
        await door.members.set_password("anna", "another horse battery")
        door.clock.advance(0.1)
        return verdict

    monkeypatch.setattr(door.passwords, "verify", verify_slowly)
    assert not await door.is_in(await door.log_in())


async def test_the_proof_lasts_five_minutes_and_does_not_prolong_the_session(door: Door) -> None:
    visit = await door.sessions.find(await door.log_in())
    assert visit is not None
    assert not door.sessions.has_stepped_up(visit)
    session = await door.sessions.step_up(visit, PASSWORD)
    after = await door.sessions.find(session)
    assert after is not None
    assert after.session.expires_at == visit.session.expires_at
    assert door.sessions.has_stepped_up(after)
    door.clock.advance(5 * 60)
    assert not door.sessions.has_stepped_up(after)


@pytest.mark.parametrize(("steps", "taken"), [(-2, False), (-1, True), (0, True), (1, True), (2, False)])
def test_a_code_is_taken_half_a_minute_around_its_time(steps: int, taken: bool) -> None:
    now = ManualClock().now()
    code = TOTP(SECRET).at(now, counter_offset=steps)
    if taken:
        assert find_step(SECRET, code, now) == int(now.timestamp()) // 30 + steps
    else:
        with pytest.raises(CodeRefused):
            find_step(SECRET, code, now)


async def test_a_code_and_those_before_it_are_refused_once_it_was_used(door: Door) -> None:
    now = door.clock.now()
    member = replace(await door.members.set_role("anna", Role.ADMIN), totp_secret=SECRET)
    used = use_code(member, TOTP(SECRET).at(now), now)
    for offset in (0, -1):
        with pytest.raises(CodeRefused):
            use_code(used, TOTP(SECRET).at(now, counter_offset=offset), now)
    assert use_code(used, TOTP(SECRET).at(now, counter_offset=1), now).totp_step == used.totp_step + 1
