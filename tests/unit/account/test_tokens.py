"""The shared credentials: one refresh for however many need it, in one process or several."""

from __future__ import annotations

import asyncio
import traceback
from datetime import UTC, datetime
from typing import Any

import pytest

from storage.memory.tokens import MemoryTokens
from tests.support.account import Account, refuse
from tests.support.clock import ManualClock
from tests.support.tokens import LIFE_S, STABLE, TICKET, Wechat
from wechat.account.tokens import QUOTA_REST_S, REST_S, Tokens
from wechat.domain.errors import AccountRefused, OutcomeUnknown, RemoteError
from wechat.domain.ports import Token
from wechat.support.transport import Transport


@pytest.fixture
def wechat(account: Account, transport: Transport, clock: ManualClock) -> Wechat:
    return Wechat(account, transport, clock)


async def let_tasks_run() -> None:
    """Let background renewals finish."""
    for _ in range(20):
        await asyncio.sleep(0.001)


async def test_a_thousand_needs_at_once_are_one_call(wechat: Wechat) -> None:
    wechat.account.delay_s = 0.05
    tokens = wechat.process()
    values = await asyncio.gather(*(tokens.access_token() for _ in range(1000)))
    assert set(values) == {"token-1"}
    assert wechat.account.calls == {STABLE: 1}
    assert (wechat.refreshes("failed"), wechat.refreshes("ok")) == (0, 1)


async def test_the_needs_of_four_processes_are_one_call(wechat: Wechat) -> None:
    wechat.account.delay_s = 0.05
    processes = [wechat.process() for _ in range(4)]
    values = await asyncio.gather(*(process.access_token() for process in processes for _ in range(250)))
    assert set(values) == {"token-1"}
    assert wechat.account.calls == {STABLE: 1}


async def test_the_stable_call_is_a_post_that_never_forces(wechat: Wechat) -> None:
    await wechat.process().access_token()
    assert wechat.account.bodies == [{"grant_type": "client_credential", "appid": "wx1", "secret": "secret-0123456789"}]


async def test_the_classic_call_is_a_get(wechat: Wechat) -> None:
    assert await wechat.process("classic").access_token() == "classic-1"
    assert wechat.account.queries == [
        {"grant_type": "client_credential", "appid": "wx1", "secret": "secret-0123456789"}
    ]


async def test_a_ticket_is_fetched_once_with_the_shared_token(wechat: Wechat) -> None:
    tokens = wechat.process()
    tickets = await asyncio.gather(*(tokens.jsapi_ticket() for _ in range(100)))
    assert set(tickets) == {"ticket-2"}
    assert wechat.account.queries[-1] == {"access_token": "token-1", "type": "jsapi"}
    assert wechat.account.calls == {STABLE: 1, TICKET: 1}


async def test_a_value_is_kept_until_its_last_minutes(wechat: Wechat) -> None:
    tokens = wechat.process()
    await tokens.access_token()
    wechat.clock.advance(LIFE_S - 301)
    assert await tokens.access_token() == "token-1"
    await let_tasks_run()
    assert wechat.account.calls[STABLE] == 1


@pytest.mark.parametrize(("step_s", "calls"), [(3600, 1), (-3600, 1), (2 * 3600, 2)])
async def test_a_step_of_the_clock_is_no_storm_of_refreshes(wechat: Wechat, step_s: int, calls: int) -> None:
    """L: an hour ahead or back costs nothing, and beyond a token's life one refresh for all who need it."""
    processes = [wechat.process() for _ in range(4)]
    await asyncio.gather(*(process.access_token() for process in processes))
    wechat.clock.advance(step_s)
    await asyncio.gather(*(process.access_token() for process in processes for _ in range(50)))
    await let_tasks_run()
    assert wechat.account.calls[STABLE] == calls


async def test_a_token_does_not_live_longer_because_the_clock_is_set_back(wechat: Wechat) -> None:
    tokens = wechat.process()
    await tokens.jsapi_ticket()
    wechat.clock.step(-3600)
    wechat.clock.advance(LIFE_S + 1)
    assert await tokens.jsapi_ticket() == "ticket-4"
    assert wechat.account.calls == {STABLE: 2, TICKET: 2}


async def test_a_pause_does_not_last_longer_because_the_clock_is_set_back(wechat: Wechat) -> None:
    wechat.account.replies[STABLE] = refuse(-1)
    tokens = wechat.process()
    await failure(tokens)
    wechat.clock.step(-3600)
    wechat.clock.advance(REST_S + 1)
    await failure(tokens)
    assert wechat.account.calls[STABLE] == 2


async def test_near_its_end_the_old_value_is_served_while_a_new_one_is_fetched(wechat: Wechat) -> None:
    tokens = wechat.process()
    await tokens.access_token()
    wechat.clock.advance(LIFE_S - 200)
    assert set(await asyncio.gather(*(tokens.access_token() for _ in range(100)))) == {"token-1"}
    await let_tasks_run()
    assert await tokens.access_token() == "token-2"
    assert wechat.account.calls[STABLE] == 2


async def test_while_a_refresh_fails_the_old_value_is_served_to_its_end(wechat: Wechat) -> None:
    tokens = wechat.process()
    await tokens.access_token()
    wechat.clock.advance(LIFE_S - 200)
    wechat.account.replies[STABLE] = refuse(-1)
    for _ in range(20):
        assert await tokens.access_token() == "token-1"
        await let_tasks_run()
        wechat.clock.advance(1)
    assert wechat.account.calls[STABLE] <= 1 + 20 / REST_S
    wechat.clock.advance(200)
    with pytest.raises(AccountRefused):
        await tokens.access_token()


async def test_what_another_process_renewed_is_taken_over(wechat: Wechat) -> None:
    one, two = wechat.process(), wechat.process()
    await one.access_token()
    await two.access_token()
    wechat.clock.advance(LIFE_S - 200)
    await one.access_token()
    await let_tasks_run()
    assert await two.access_token() == "token-2"
    assert wechat.account.calls[STABLE] == 2


@pytest.mark.parametrize("errcode", [40001, 40014, 42001])
async def test_of_a_hundred_callers_with_a_dead_token_one_refreshes(wechat: Wechat, errcode: int) -> None:
    tokens = wechat.process()

    async def ask(token: str) -> str:
        await asyncio.sleep(0.001)
        if token == "token-1":
            raise AccountRefused("call", errcode, "dead")
        return token

    assert set(await asyncio.gather(*(tokens.call(ask) for _ in range(100)))) == {"token-2"}
    assert wechat.account.calls[STABLE] == 2


class SlowStore(MemoryTokens):
    """Delivers late what it has read, while there is a ``gate``."""

    gate: asyncio.Event | None = None

    async def get(self, name: str) -> Token | None:
        gate, self.gate = self.gate, None
        token = await super().get(name)
        if gate:
            await gate.wait()
        return token


async def test_a_look_that_ends_after_a_renewal_starts_no_other(wechat: Wechat, clock: ManualClock) -> None:
    store, gate, second = SlowStore(clock), asyncio.Event(), asyncio.Event()
    tokens = wechat.process(store=store)

    async def ask(token: str, *, first: bool) -> str:
        if token == "token-1":
            if not first:
                await second.wait()
            store.gate = gate if first else None
            raise AccountRefused("call", 40001, "dead")
        return token

    late = asyncio.create_task(tokens.call(lambda token: ask(token, first=False)))
    early = asyncio.create_task(tokens.call(lambda token: ask(token, first=True)))
    await let_tasks_run()
    second.set()
    assert await late == "token-2"
    gate.set()
    assert await early == "token-2"
    assert wechat.account.calls[STABLE] == 2


async def test_a_value_that_is_rejected_while_it_is_read_is_not_kept(wechat: Wechat, clock: ManualClock) -> None:
    store, gate = SlowStore(clock), asyncio.Event()
    tokens = wechat.process(store=store)

    async def ask(token: str) -> str:
        if token == "token-1":
            clock.advance(LIFE_S - 100)  # so that the next caller reads the store
            store.gate = gate
            reading.append(asyncio.create_task(tokens.access_token()))
            await let_tasks_run()
            raise AccountRefused("call", 40001, "dead")
        return token

    reading: list[asyncio.Task[str]] = []
    assert await tokens.call(ask) == "token-2"
    gate.set()
    assert [await reading[0], await tokens.access_token()] == ["token-2"] * 2


async def test_a_dead_token_that_another_process_has_replaced_is_not_refreshed_again(wechat: Wechat) -> None:
    one, two = wechat.process(), wechat.process()
    await one.access_token()
    await two.access_token()

    async def ask(token: str) -> str:
        if token == "token-1":
            raise AccountRefused("call", 40001, "dead")
        return token

    assert [await one.call(ask), await two.call(ask)] == ["token-2", "token-2"]
    assert wechat.account.calls[STABLE] == 2


async def test_a_token_that_stays_dead_is_tried_twice_and_no_more(wechat: Wechat) -> None:
    asked: list[str] = []

    async def ask(token: str) -> None:
        asked.append(token)
        raise AccountRefused("call", 42001, "dead")

    tokens = wechat.process()
    with pytest.raises(AccountRefused):
        await tokens.call(ask)
    assert asked == ["token-1", "token-2"]
    assert await tokens.access_token() == "token-3"  # nobody is given one again that WeChat has called bad


async def test_another_refusal_is_not_a_reason_to_refresh(wechat: Wechat) -> None:
    async def ask(token: str) -> None:
        raise AccountRefused("call", 48001, "not yours")

    with pytest.raises(AccountRefused):
        await wechat.process().call(ask)
    assert wechat.account.calls[STABLE] == 1


async def failure(tokens: Tokens) -> RemoteError:
    with pytest.raises(RemoteError) as failed:
        await tokens.access_token()
    return failed.value


async def test_a_failing_wechat_is_asked_once_in_five_seconds(wechat: Wechat) -> None:
    wechat.account.replies[STABLE] = refuse(-1)
    tokens = wechat.process()
    for _ in range(10):
        await asyncio.gather(*(failure(tokens) for _ in range(20)))
        wechat.clock.advance(1)
    assert wechat.account.calls[STABLE] == 2
    assert (wechat.refreshes("failed"), wechat.refreshes("ok")) == (2, 0)


async def test_processes_that_waited_for_a_failed_refresh_do_not_try_in_turn(wechat: Wechat) -> None:
    wechat.account.replies[STABLE] = refuse(-1)
    wechat.account.delay_s = 0.05
    await asyncio.gather(*(failure(wechat.process()) for _ in range(4)))
    assert wechat.account.calls[STABLE] == 1
    wechat.clock.advance(REST_S + 1)
    await failure(wechat.process())
    assert wechat.account.calls[STABLE] == 2


async def test_a_used_up_quota_stops_asking_until_midnight_in_beijing(wechat: Wechat) -> None:
    wechat.clock.advance((datetime(2026, 3, 1, 15, 58, tzinfo=UTC) - wechat.clock.now()).total_seconds())
    wechat.account.replies[STABLE] = refuse(45009)
    tokens = wechat.process()
    for _ in range(12):  # 23:58:00 to 23:59:50
        assert isinstance(await failure(tokens), AccountRefused)
        wechat.clock.advance(10)
    assert wechat.account.calls[STABLE] == 1
    wechat.clock.advance(1)
    await failure(tokens)
    assert wechat.account.calls[STABLE] == 2


async def test_too_many_a_minute_rests_a_minute(wechat: Wechat) -> None:
    wechat.account.replies[STABLE] = refuse(45011)
    tokens = wechat.process()
    await failure(tokens)
    wechat.clock.advance(QUOTA_REST_S - 1)
    await failure(tokens)
    assert wechat.account.calls[STABLE] == 1
    wechat.clock.advance(2)
    await failure(tokens)
    assert wechat.account.calls[STABLE] == 2


async def test_an_address_off_the_allow_list_is_named_in_the_cure(wechat: Wechat) -> None:
    wechat.account.replies[STABLE] = refuse(40164, "invalid ip 203.0.113.9 ipv6 ::ffff:203.0.113.9, not in whitelist")
    failed = await failure(wechat.process())
    assert "203.0.113.9" in failed.advice.next_step.zh
    assert "203.0.113.9" in failed.advice.next_step.en


async def test_a_wrong_secret_is_told_with_its_setting_and_without_its_value(wechat: Wechat) -> None:
    wechat.account.replies[STABLE] = refuse(40125, "invalid appsecret")
    failed = await failure(wechat.process())
    assert "account.appsecret" in str(failed)
    assert "secret-0123456789" not in str(failed)


@pytest.mark.parametrize(
    "answer",
    [{}, {"access_token": ""}, {"access_token": "t"}, {"access_token": 1, "expires_in": 7200}, {"access_token": "t", "expires_in": 0},
     {"access_token": "t", "expires_in": "7200"}, {"access_token": "t", "expires_in": True}, {"access_token": "t", "expires_in": -1}, [], "x", None],
)  # fmt: skip
async def test_an_answer_without_a_usable_token_is_an_unknown_outcome(wechat: Wechat, answer: Any) -> None:
    wechat.account.replies[STABLE] = lambda _: answer
    assert isinstance(await failure(wechat.process()), OutcomeUnknown)


async def test_a_failure_that_is_told_a_thousand_times_does_not_grow(wechat: Wechat) -> None:
    wechat.account.replies[STABLE] = refuse(-1)
    tokens = wechat.process()
    failures = [await failure(tokens) for _ in range(1000)]
    assert len(list(traceback.walk_tb(failures[-1].__traceback__))) < 20


async def test_a_late_holder_of_the_lock_does_not_overwrite_a_newer_token(wechat: Wechat) -> None:
    tokens = wechat.process()
    stale = wechat.account.replies[STABLE]

    def meanwhile(request: Any) -> Any:
        answer = stale(request)
        newer = Token("newer", wechat.clock.now(), datetime(2027, 1, 1, tzinfo=UTC), fence=99)
        asyncio.get_running_loop().create_task(wechat.store.save("access_token", newer))
        return answer

    wechat.account.replies[STABLE] = meanwhile
    await tokens.access_token()
    held = await wechat.store.get("access_token")
    assert held is not None
    assert held.value == "newer"
    assert await tokens.access_token() == "newer"
