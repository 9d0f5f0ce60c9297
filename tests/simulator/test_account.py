"""Tokens, tickets, codes and grants: each errcode they can give, and how long they live."""

from __future__ import annotations

from urllib.parse import parse_qs, quote, urlsplit

import pytest

from tests.simulator.merchant import Merchant
from tests.support.simulated_account import REDIRECT, Account
from tests.support.simulator import ask


@pytest.fixture(scope="module")
def account(merchant: Merchant) -> Account:
    return Account(merchant)


@pytest.mark.parametrize(
    ("changed", "errcode"),
    [
        ({"grant_type": "password"}, 40002),
        ({"appid": ""}, 41002),
        ({"secret": ""}, 41004),
        ({"appid": "wx0000000000000000"}, 40013),
        ({"secret": "0" * 32}, 40125),
    ],
)
def test_both_token_calls_refuse_wrong_credentials(account: Account, changed: dict[str, str], errcode: int) -> None:
    assert account.classic(**changed)["errcode"] == errcode
    assert account.stable(**changed)["errcode"] == errcode


def test_the_stable_token_is_a_post_of_json(account: Account) -> None:
    assert account.errcode("/cgi-bin/stable_token") == 43002
    assert ask("POST", f"{account.simulator.url}/cgi-bin/stable_token", "a=1").json()["errcode"] == 47001


def test_a_new_classic_token_leaves_the_old_one_five_minutes(account: Account) -> None:
    old, new = (account.classic()["access_token"] for _ in range(2))
    assert old != new
    assert account.ticket(old)["errcode"] == 0
    account.advance(301)
    assert account.ticket(old)["errcode"] == 40001
    assert account.ticket(new)["errcode"] == 0


def test_the_stable_token_stays_the_same_and_is_renewed_in_its_last_five_minutes(account: Account) -> None:
    account.simulator.control("POST", "tokens/expire")
    first = account.stable()
    assert account.stable()["access_token"] == first["access_token"]
    assert (first["expires_in"], account.stable()["expires_in"] <= 7200) == (7200, True)
    account.advance(6910)
    second = account.stable()
    assert second["access_token"] != first["access_token"]
    assert account.ticket(first["access_token"])["errcode"] == 0
    account.advance(300)
    assert account.ticket(first["access_token"])["errcode"] in (40001, 42001)


def test_forcing_replaces_the_stable_token_at_once_but_not_twice_in_30_s(account: Account) -> None:
    account.advance(60)
    old = account.stable()["access_token"]
    forced = account.stable(force_refresh=True)["access_token"]
    assert forced != old
    assert account.ticket(old)["errcode"] == 40001
    assert account.stable(force_refresh=True)["access_token"] == forced


def test_forcing_more_than_20_times_a_day_is_refused(account: Account) -> None:
    account.advance(2 * 86400)
    for _ in range(20):
        assert "access_token" in account.stable(force_refresh=True)
        account.advance(31)
    assert account.stable(force_refresh=True)["errcode"] == 45009


def test_classic_and_stable_tokens_leave_each_other_alone(account: Account) -> None:
    stable = account.stable()["access_token"]
    account.classic()
    account.classic()
    assert account.stable()["access_token"] == stable


def test_using_no_token_an_odd_one_an_unknown_one_or_an_expired_one_differs(account: Account) -> None:
    assert account.ticket("")["errcode"] == 41001
    assert account.ticket("short")["errcode"] == 40014
    assert account.ticket("simtoken" + "0" * 90)["errcode"] == 40001
    token = account.stable()["access_token"]
    account.simulator.control("POST", "tokens/expire")
    assert account.ticket(token)["errcode"] == 42001
    assert account.stable()["access_token"] != token


def test_a_ticket_is_the_same_until_its_last_five_minutes_and_no_token(account: Account) -> None:
    token = account.stable()["access_token"]
    first = account.ticket(token)
    assert (first["errmsg"], first["expires_in"] <= 7200) == ("ok", True)
    assert account.ticket(token)["ticket"] == first["ticket"]
    assert account.ticket(first["ticket"])["errcode"] == 40001
    assert account.errcode("/cgi-bin/ticket/getticket", access_token=token, type="wx_card") == 40097


def test_a_picked_user_passes_silently_with_snsapi_base(account: Account) -> None:
    answer = account.authorize()
    back = urlsplit(answer.headers["Location"])
    assert (answer.status, back.netloc, back.path) == (302, "127.0.0.1:8888", "/oauth/callback")
    assert parse_qs(back.query)["state"] == ["s1"]


def test_nobody_picked_or_snsapi_userinfo_shows_the_page(account: Account) -> None:
    for answer in (account.authorize(user=""), account.authorize("snsapi_userinfo")):
        assert answer.status == 200
        assert 'id="consent"' in answer.body.decode()


def test_a_decision_sets_the_cookie_and_denying_brings_back_authdeny(account: Account) -> None:
    allowed, denied = account.decide("yi"), account.decide("")
    assert "wxsim_user=yi" in allowed.headers["Set-Cookie"]
    assert set(parse_qs(urlsplit(allowed.headers["Location"]).query)) == {"code", "state"}
    assert denied.headers["Location"] == f"{REDIRECT}?code=authdeny&state=s1"


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"appid": ""}, 10012),
        ({"appid": "wxother"}, 10016),
        ({"redirect_uri": ""}, 10011),
        ({"redirect_uri": "https://elsewhere.example/"}, 10003),
        ({"redirect_uri": "javascript:alert(1)"}, 10003),
        ({"response_type": "token"}, 10003),
        ({"scope": ""}, 10010),
        ({"scope": "snsapi_login"}, 10005),
        ({"state": "a-b"}, 10013),
    ],
)
def test_a_wrong_link_shows_wechats_error_page(account: Account, changed: dict[str, str], code: int) -> None:
    assert f'data-code="{code}"' in account.authorize(**changed).body.decode()


def test_the_parameters_come_in_wechats_order(account: Account) -> None:
    query = f"redirect_uri={quote(REDIRECT)}&appid={account.known['appid']}&response_type=code&scope=snsapi_base"
    page = ask("GET", f"{account.simulator.url}/connect/oauth2/authorize?{query}", headers={"Cookie": "wxsim_user=jia"})
    assert (page.status, 'data-code="10003"' in page.body.decode()) == (200, True)


def test_the_redirects_host_is_the_one_in_the_console_once_that_is_set(account: Account) -> None:
    account.simulator.control("POST", "settings", {"oauth_domains": ["127.0.0.1:9999"]})
    page = account.authorize().body.decode()
    account.simulator.control("POST", "settings", {"oauth_domains": None})
    assert 'data-code="10003"' in page


def test_a_code_is_exchanged_once(account: Account) -> None:
    code = account.code()
    grant = account.exchange(code)
    assert grant["openid"] == account.known["users"][0]["openid"]
    assert (grant["scope"], grant["expires_in"], "errcode" in grant) == ("snsapi_base", 7200, False)
    assert account.exchange(code)["errcode"] == 40163


def test_a_code_dies_after_five_minutes(account: Account) -> None:
    code = account.code()
    account.advance(301)
    assert account.exchange(code)["errcode"] == 42003


@pytest.mark.parametrize(
    ("changed", "errcode"),
    [
        ({"code": "nonsense"}, 40029),
        ({"code": ""}, 41008),
        ({"secret": "0" * 32}, 40125),
        ({"appid": "wx0"}, 40013),
        ({"appid": ""}, 41002),
        ({"secret": ""}, 41004),
        ({"grant_type": "x"}, 40002),
    ],
)
def test_an_exchange_is_refused_with_its_errcode(account: Account, changed: dict[str, str], errcode: int) -> None:
    query = {**account.app, "code": "x", "grant_type": "authorization_code", **changed}
    assert account.errcode("/sns/oauth2/access_token", **query) == errcode


def test_a_refresh_keeps_a_living_token_and_replaces_a_dead_one(account: Account) -> None:
    grant = account.exchange(account.code())
    query = {"appid": account.app["appid"], "grant_type": "refresh_token", "refresh_token": grant["refresh_token"]}
    assert account.get("/sns/oauth2/refresh_token", **query)["access_token"] == grant["access_token"]
    account.advance(7201)
    assert account.errcode("/sns/auth", access_token=grant["access_token"], openid=grant["openid"]) == 42001
    assert account.get("/sns/oauth2/refresh_token", **query)["access_token"] != grant["access_token"]
    account.advance(30 * 86400)
    assert account.errcode("/sns/oauth2/refresh_token", **query) == 42002


@pytest.mark.parametrize(
    ("changed", "errcode"),
    [
        ({"refresh_token": "x"}, 40030),
        ({"refresh_token": ""}, 41003),
        ({"appid": "x"}, 40013),
        ({"grant_type": "x"}, 40002),
    ],
)
def test_a_refresh_is_refused_with_its_errcode(account: Account, changed: dict[str, str], errcode: int) -> None:
    query = {"appid": account.app["appid"], "grant_type": "refresh_token", "refresh_token": "x", **changed}
    assert account.errcode("/sns/oauth2/refresh_token", **query) == errcode


def test_userinfo_wants_the_scope_and_the_openid_that_belong_to_the_token(account: Account) -> None:
    base, full = (account.exchange(account.code(scope)) for scope in ("snsapi_base", "snsapi_userinfo"))
    payload = account.get("/sns/userinfo", access_token=full["access_token"], openid=full["openid"], lang="zh_CN")
    assert (payload["nickname"], payload["openid"], "errcode" in payload) == ("用户甲", full["openid"], False)
    assert account.errcode("/sns/userinfo", access_token=base["access_token"], openid=base["openid"]) == 48001
    assert account.errcode("/sns/userinfo", access_token=full["access_token"], openid="o") == 40003
    assert account.errcode("/sns/userinfo", access_token="", openid="o") == 41001
    bad_language = {"access_token": full["access_token"], "openid": full["openid"], "lang": "xx"}
    assert account.errcode("/sns/userinfo", **bad_language) == 40097


def test_auth_tells_whether_a_users_token_works(account: Account) -> None:
    grant = account.exchange(account.code())
    assert account.get("/sns/auth", access_token=grant["access_token"], openid=grant["openid"])["errcode"] == 0
    assert account.errcode("/sns/auth", access_token="nonsense", openid=grant["openid"]) == 40001
