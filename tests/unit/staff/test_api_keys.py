"""API keys: rotated with an overlap, revoked in every process within seconds, and guessers bounded."""

from __future__ import annotations

import asyncio

import pytest

from storage.memory.storage import MemoryDatabase, MemoryStorage
from storage.stores.api_keys import ApiKeys as KeyStore
from tests.support.clock import ManualClock
from tests.support.runtime import RandomIds, a_runtime
from wechat.domain.api_keys import ApiKey, Scope
from wechat.domain.errors import BadRequest, Conflict, NotFound, StoreUnavailable, TooMany
from wechat.staff.api_keys import GUESSES, LOOKUPS, MOST_REMEMBERED, PREFIX, REMEMBERED_S, ApiKeys

HOUR_S = 3600
HOME = "203.0.113.7"


class CountingStore(KeyStore):
    """Counts what is read and what is written; ``broken`` has no answer to a write."""

    lookups = 0
    replaced = 0
    broken = False

    async def of_digest(self, digest: str) -> ApiKey | None:
        self.lookups += 1
        return await super().of_digest(digest)

    async def replace(self, *args: object) -> bool:
        if self.broken:
            raise StoreUnavailable
        self.replaced += 1
        return await super().replace(*args)  # type: ignore[arg-type] # handed on as they are


class Office:
    """Two processes over the same memory."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        database = MemoryDatabase(self.clock)
        self.stores, self.processes = [], []
        for _ in range(2):
            storage = MemoryStorage(self.clock, RandomIds(), database)
            store = CountingStore(storage.api_keys._documents)
            self.stores.append(store)
            self.processes.append(ApiKeys(store, ["shop"], a_runtime(self.clock)))
        self.keys, self.other = self.processes
        self.store = self.stores[0]

    async def works(self, secret: str, keys: ApiKeys | None = None) -> bool:
        return await (keys or self.keys).find(secret, HOME) is not None


@pytest.fixture
def office() -> Office:
    return Office()


def guess(number: int) -> str:
    return f"{PREFIX}{number:064x}"


async def test_a_key_is_found_by_its_secret_which_is_not_kept(office: Office) -> None:
    key, secret = await office.keys.add("till-2", ["refunds", "read"], "anna")
    assert key.scopes == (Scope.READ, Scope.REFUNDS)
    found = await office.other.find(secret, HOME)
    assert found is not None
    assert (found.name, found.scopes, found.created_by) == ("till-2", key.scopes, "anna")
    assert secret not in repr(await office.keys.all())
    assert not await office.works(secret + "0")
    assert not await office.works("")


@pytest.mark.parametrize("name", ["shop", "till-2"])
async def test_a_name_is_given_once_also_after_it_was_revoked(office: Office, name: str) -> None:
    await office.keys.add("till-2", ["read"], "anna")
    await office.keys.revoke("till-2")
    with pytest.raises(Conflict):
        await office.other.add(name, ["read"], "ben")


@pytest.mark.parametrize(("name", "scopes"), [("", ["read"]), ("a b", ["read"]), ("x" * 33, ["read"]), ("till", []), ("till", ["all"])])  # fmt: skip
async def test_what_will_not_do_is_refused(office: Office, name: str, scopes: list[str]) -> None:
    with pytest.raises(BadRequest):
        await office.keys.add(name, scopes, "anna")
    assert await office.keys.all() == []


async def test_a_rotated_key_has_two_secrets_until_the_overlap_ends(office: Office) -> None:
    _, old = await office.keys.add("till", ["read"], "anna")
    key, new = await office.keys.rotate("till", 24)
    assert [secret.ends_at is not None for secret in key.secrets] == [True, False]
    assert [await office.works(secret) for secret in (old, new)] == [True, True]
    office.clock.advance(24 * HOUR_S - 1)
    assert [await office.works(secret) for secret in (old, new)] == [True, True]
    office.clock.advance(1)
    assert [await office.works(secret) for secret in (old, new)] == [False, True]


async def test_a_later_rotation_does_not_lengthen_an_overlap(office: Office) -> None:
    _, old = await office.keys.add("till", ["read"], "anna")
    await office.keys.rotate("till", 1)
    await office.keys.rotate("till", 48)
    with pytest.raises(Conflict):
        await office.keys.rotate("till", 48)
    office.clock.advance(HOUR_S)
    assert not await office.works(old)
    await office.keys.rotate("till", 48)


async def test_without_an_overlap_the_old_secret_ends_at_once(office: Office) -> None:
    _, old = await office.keys.add("till", ["read"], "anna")
    assert await office.works(old)
    _, new = await office.keys.rotate("till", 0)
    assert [await office.works(secret) for secret in (old, new)] == [False, True]


@pytest.mark.parametrize("hours", [-1, 169])
async def test_an_overlap_has_bounds(office: Office, hours: int) -> None:
    await office.keys.add("till", ["read"], "anna")
    with pytest.raises(BadRequest):
        await office.keys.rotate("till", hours)


async def test_a_revoked_key_stops_here_at_once_and_elsewhere_within_seconds(office: Office) -> None:
    _, secret = await office.keys.add("till", ["read"], "anna")
    assert [await office.works(secret, keys) for keys in office.processes] == [True, True]
    revoked = await office.keys.revoke("till")
    assert not revoked.active
    assert not await office.works(secret)
    office.clock.advance(REMEMBERED_S)
    assert not await office.works(secret, office.other)
    assert (await office.keys.revoke("till")).revoked_at == revoked.revoked_at
    with pytest.raises(Conflict):
        await office.keys.rotate("till", 1)


async def test_what_is_not_there_is_said(office: Office) -> None:
    for act in (office.keys.revoke("nobody"), office.keys.rotate("shop", 1)):
        with pytest.raises(NotFound):
            await act


async def test_many_requests_with_a_key_are_one_reading(office: Office) -> None:
    _, secret = await office.keys.add("till", ["read"], "anna")
    assert all(await asyncio.gather(*(office.works(secret) for _ in range(50))))
    assert office.store.lookups == 1
    office.clock.advance(REMEMBERED_S)
    assert await office.works(secret)
    assert office.store.lookups == 2


async def test_a_wrong_key_sent_again_and_again_is_one_reading_and_a_malformed_one_none(office: Office) -> None:
    for _ in range(50):
        assert not await office.works(guess(1))
        assert not await office.works("a-key-of-another-form")
    assert office.store.lookups == 1


async def test_a_guesser_is_slowed_and_a_key_in_use_is_not(office: Office) -> None:
    _, secret = await office.keys.add("till", ["read"], "anna")
    assert await office.works(secret)
    for number in range(GUESSES):
        assert not await office.works(guess(number))
    with pytest.raises(TooMany):
        await office.works(guess(GUESSES))
    office.clock.advance(REMEMBERED_S - 2)
    assert await office.works(secret)
    read = office.store.lookups
    office.clock.advance(2)
    assert await office.works(secret)
    assert office.store.lookups == read + 1


async def test_many_addresses_that_guess_are_slowed_together(office: Office) -> None:
    with pytest.raises(TooMany):
        for number in range(LOOKUPS + 1):
            await office.keys.find(guess(number), f"10.0.{number // 250}.{number % 250}")
    assert office.store.lookups == LOOKUPS


async def test_what_is_remembered_is_bounded(office: Office) -> None:
    for number in range(MOST_REMEMBERED + 50):
        office.clock.advance(0.02)
        await office.keys.find(guess(number), f"10.0.{number // 250}.{number % 250}")
    assert len(office.keys._found) == MOST_REMEMBERED


async def test_the_last_use_is_written_once_a_minute_and_nobody_waits_for_it(office: Office) -> None:
    _, secret = await office.keys.add("till", ["read"], "anna")
    for _ in range(30):
        assert await office.works(secret)
        await asyncio.sleep(0)
        office.clock.advance(1)
    assert office.store.replaced == 1
    first = (await office.keys.all())[0].used_at
    office.clock.advance(30)
    assert await office.works(secret)
    await settle(office.keys)
    assert office.store.replaced == 2
    last = (await office.keys.all())[0].used_at
    assert first is not None and last is not None
    assert (last - first).total_seconds() == 60


async def test_a_last_use_that_cannot_be_written_holds_up_nobody(office: Office) -> None:
    _, secret = await office.keys.add("till", ["read"], "anna")
    office.store.broken = True
    assert await office.works(secret)
    await office.keys.close()
    assert office.keys._writes == set()


async def settle(keys: ApiKeys) -> None:
    while keys._writes:
        await asyncio.wait(keys._writes)
