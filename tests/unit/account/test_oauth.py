"""From a code to a payer: each code is exchanged once, and what cannot pay is refused."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiohttp import web

from handlers.payer.oauth import safe_next
from storage.memory.tokens import MemoryTokens
from tests.support.account import Account, refuse
from tests.support.clock import ManualClock
from tests.support.oauth import THEIRS
from wechat.account.client import AccountClient
from wechat.account.oauth import SPENT_CODE, Grant, OAuth, Scope
from wechat.account.tokens import Credentials
from wechat.domain.errors import AccountRefused, BadRequest, Forbidden, OutcomeUnknown
from wechat.support.transport import Transport

EXCHANGE, REFRESH, USERINFO, AUTH = (
    "/sns/oauth2/access_token",
    "/sns/oauth2/refresh_token",
    "/sns/userinfo",
    "/sns/auth",
)
STATE = "0123456789abcdef0123456789abcdef"
OPENID = "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o"
GRANT = {"access_token": "a", "expires_in": 7200, "refresh_token": "r", "openid": OPENID, "scope": "snsapi_base"}


@pytest.fixture
def store(clock: ManualClock) -> MemoryTokens:
    return MemoryTokens(clock)


@pytest.fixture
def oauth(account: Account, transport: Transport, store: MemoryTokens) -> OAuth:
    account.replies[EXCHANGE] = lambda _: GRANT
    return OAuth(
        AccountClient(transport, account.url), Credentials("wx1", "s3cret"), "https://open.weixin.qq.com", store
    )


def test_the_authorise_address_has_wechats_order_and_ends_in_its_fragment(oauth: OAuth) -> None:
    assert oauth.authorize_url("https://pay.example.com/oauth/callback", "ab12") == (
        "https://open.weixin.qq.com/connect/oauth2/authorize?appid=wx1"
        "&redirect_uri=https%3A%2F%2Fpay.example.com%2Foauth%2Fcallback"
        "&response_type=code&scope=snsapi_base&state=ab12#wechat_redirect"
    )
    assert "&scope=snsapi_userinfo&" in oauth.authorize_url("https://x", "s", Scope.USERINFO)


async def test_a_code_becomes_an_openid(oauth: OAuth, account: Account) -> None:
    assert await oauth.openid("code", STATE) == OPENID
    assert account.queries == [{"appid": "wx1", "secret": "s3cret", "code": "code", "grant_type": "authorization_code"}]


async def test_two_requests_with_one_code_are_one_exchange(oauth: OAuth, account: Account) -> None:
    account.delay_s = 0.1
    assert set(await asyncio.gather(*(oauth.openid("code", STATE) for _ in range(10)))) == {OPENID}
    assert await oauth.openid("code", STATE) == OPENID
    assert account.calls[EXCHANGE] == 1


async def test_two_codes_are_two_exchanges(oauth: OAuth, account: Account) -> None:
    await asyncio.gather(oauth.openid("one", STATE), oauth.openid("two", STATE))
    assert account.calls[EXCHANGE] == 2


@pytest.mark.parametrize("errcode", sorted(SPENT_CODE))
async def test_a_spent_code_is_told_alike_to_all_who_bring_it(oauth: OAuth, account: Account, errcode: int) -> None:
    account.delay_s = 0.05
    account.replies[EXCHANGE] = refuse(errcode)
    payload = await asyncio.gather(*(oauth.openid("code", STATE) for _ in range(5)), return_exceptions=True)
    assert [error.errcode for error in payload if isinstance(error, AccountRefused)] == [errcode] * 5
    assert account.calls[EXCHANGE] == 1


async def test_after_an_unknown_outcome_the_same_code_asks_for_a_fresh_authorisation(
    oauth: OAuth, account: Account
) -> None:
    account.replies[EXCHANGE] = lambda _: web.Response(status=502)
    with pytest.raises(OutcomeUnknown):
        await oauth.openid("code", STATE)
    with pytest.raises(AccountRefused) as refused:
        await oauth.openid("code", STATE)
    assert refused.value.errcode in SPENT_CODE
    assert account.calls[EXCHANGE] == 1


async def test_a_snapshot_user_cannot_pay_whichever_request_learns_of_it(oauth: OAuth, account: Account) -> None:
    account.delay_s = 0.05
    account.replies[EXCHANGE] = lambda _: GRANT | {"is_snapshotuser": 1}
    payload = await asyncio.gather(oauth.openid("code", STATE), oauth.openid("code", STATE), return_exceptions=True)
    assert [error.public_code for error in payload if isinstance(error, Forbidden)] == ["SNAPSHOT_USER"] * 2


@pytest.mark.parametrize("answer", [{}, {"openid": OPENID}, GRANT | {"openid": ""}, GRANT | {"openid": 1}, [], "x"])
async def test_an_answer_without_an_openid_is_an_unknown_outcome(oauth: OAuth, account: Account, answer: Any) -> None:
    account.replies[EXCHANGE] = lambda _: answer
    with pytest.raises(OutcomeUnknown):
        await oauth.openid("code", STATE)


async def test_nothing_that_is_stored_shows_the_code(oauth: OAuth, store: MemoryTokens) -> None:
    await oauth.openid("CANARY", STATE)
    assert "CANARY" not in repr(vars(store._values))


async def test_a_grant_is_refreshed_checked_and_shows_its_user(oauth: OAuth, account: Account) -> None:
    account.replies |= {
        REFRESH: lambda _: GRANT | {"access_token": "b"},
        AUTH: lambda request: {"errcode": 0 if request.query["access_token"] == "b" else 40001, "errmsg": "ok"},
        USERINFO: lambda _: {"openid": OPENID, "nickname": "甲", "headimgurl": "https://x/0", "privilege": []},
    }
    grant = await oauth.refresh("r")
    assert grant == Grant(OPENID, "b", "r", "snsapi_base")
    assert await oauth.valid(grant)
    assert not await oauth.valid(Grant(OPENID, "a", "r", "snsapi_base"))
    assert (await oauth.userinfo(grant)).nickname == "甲"
    assert account.queries[-1] == {"access_token": "b", "openid": OPENID, "lang": "zh_CN"}


OURS = [
    "/",
    "/pay/20260301120506abc",
    "/?sku=coffee&quantity=2",
    "/pay/a_b-c|d*e",
    "/a/b/",
    "/pay/20260301120506abc?by=wx",
]


@pytest.mark.parametrize("path", OURS)
def test_a_path_of_this_site_is_a_place_to_return_to(path: str) -> None:
    assert safe_next(path) == path


@pytest.mark.parametrize("path", THEIRS)
def test_no_other_place_is(path: str) -> None:
    with pytest.raises(BadRequest):
        safe_next(path)
