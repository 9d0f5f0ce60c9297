"""The way to WeChat and back: bound to the browser that set out, once, and never off this site."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from urllib.parse import parse_qs, quote, urlsplit

import pytest

from tests.http.client import Response, Shop, path_of
from tests.support.oauth import THEIRS
from tests.support.service import ServiceProcess
from tests.support.simulator import SimulatorProcess


@pytest.fixture
async def victim(service: ServiceProcess, simulator: SimulatorProcess) -> AsyncIterator[Shop]:
    async with Shop(service.url, simulator) as shop:
        yield shop


async def start_authorization(shop: Shop, user: int = 0) -> str:
    """Go to WeChat as ``user``; the address that WeChat sends the browser back to."""
    shop.cookie("wxsim_user", shop.users[user]["id"])
    out = await shop.get("/oauth/authorize?next=/")
    back = await shop.get(out.at.partition("#")[0])
    return back.at


def logged_in(response: Response) -> bool:
    return any("fenpay_session=" in value for value in response.headers.getall("Set-Cookie", []))


async def test_the_journey_ends_where_it_was_to_with_a_session(shop: Shop) -> None:
    response = await shop.log_in(next_page="/pay/20260301120506abc?by=wx")
    assert (response.status, response.at) == (302, "/pay/20260301120506abc?by=wx")
    [cookie] = [value for value in response.headers.getall("Set-Cookie") if value.startswith("fenpay_session=")]
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert (await shop.post("/orders", {"sku": "coffee"})).status == 201


async def test_wechat_is_asked_in_its_own_order_with_a_state_of_128_bits(shop: Shop) -> None:
    response = await shop.get("/oauth/authorize?next=/")
    assert response.at.endswith("#wechat_redirect")
    query = urlsplit(response.at).query
    assert [pair.partition("=")[0] for pair in query.split("&")] == [
        "appid",
        "redirect_uri",
        "response_type",
        "scope",
        "state",
    ]
    [state] = parse_qs(query)["state"]
    assert len(state) == 32
    assert state.isalnum()
    again = await shop.get("/oauth/authorize?next=/")
    assert state not in again.at


@pytest.mark.parametrize("change", ["missing", "empty", "wrong", "cut", "twice", "not ASCII"])
async def test_a_wrong_state_gives_no_session(shop: Shop, change: str) -> None:
    back = await start_authorization(shop)
    [state] = parse_qs(urlsplit(back).query)["state"]
    wrong = {"missing": "", "empty": "&state=", "wrong": f"&state={'0' * 32}", "cut": f"&state={state[:-1]}",
             "twice": f"&state={state}&state=x", "not ASCII": "&state=%E7%8A%B6"}[change]  # fmt: skip
    response = await shop.get(path_of(back).replace(f"&state={state}", wrong))
    assert response.status == 403
    assert not logged_in(response)


async def test_an_attackers_code_in_the_victims_browser_gives_no_session(shop: Shop, victim: Shop) -> None:
    back = await start_authorization(shop)
    assert (await victim.get(back)).status == 403
    await start_authorization(victim)
    response = await victim.get(back)
    assert response.status == 403
    assert not logged_in(response)


async def test_a_state_serves_one_code(shop: Shop) -> None:
    back = await start_authorization(shop)
    assert (await shop.get(back)).status == 302
    [code] = parse_qs(urlsplit(back).query)["code"]
    response = await shop.get(back.replace(code, "0" * 32))
    assert response.status == 403
    assert not logged_in(response)


async def test_wechat_may_open_the_same_address_twice(shop: Shop) -> None:
    back = await start_authorization(shop)
    first, second = await shop.get(back), await shop.get(back)
    assert [response.status for response in (first, second)] == [302, 302]
    assert logged_in(first)
    assert logged_in(second)


async def test_the_journeys_cookie_must_be_the_one_we_signed(shop: Shop) -> None:
    back = await start_authorization(shop)
    changed = shop.cookies()["fenpay_oauth"][:-1] + "x"
    shop.session.cookie_jar.clear()
    shop.cookie("fenpay_oauth", changed)
    assert (await shop.get(back)).status == 403


@pytest.mark.parametrize("code", ["", "code=authdeny&"])
async def test_a_refusal_by_the_user_ends_in_a_sentence(shop: Shop, simulator: SimulatorProcess, code: str) -> None:
    """E7. WeChat brings back no code, or a word in its place; neither is exchanged, and the payer is not asked again."""
    back = await start_authorization(shop)
    [state] = parse_qs(urlsplit(back).query)["state"]
    before = exchanges(simulator)
    response = await shop.get(f"/oauth/callback?{code}state={state}")
    assert (response.status, "未授权登录" in response.body.decode()) == (403, True)
    assert not logged_in(response)
    assert exchanges(simulator) == before


@pytest.mark.parametrize("code", ["", "%00", "a b", "a%0d%0aSet-Cookie:x=y", "%E7%A0%81", "x" * 300, "<script>"])
async def test_a_code_of_another_shape_is_not_asked_after(shop: Shop, simulator: SimulatorProcess, code: str) -> None:
    back = await start_authorization(shop)
    [state] = parse_qs(urlsplit(back).query)["state"]
    before = exchanges(simulator)
    response = await shop.get(f"/oauth/callback?code={code}&state={state}")
    assert response.status in (400, 403)
    assert exchanges(simulator) == before


async def test_a_spent_code_starts_the_journey_once_more_and_not_for_ever(shop: Shop) -> None:
    shop.cookie("wxsim_user", shop.users[0]["id"])
    at = (await shop.get("/oauth/authorize?next=/")).at
    for turn in range(2):
        [state] = parse_qs(urlsplit(at).query)["state"]
        response = await shop.get(f"/oauth/callback?code=neverissued{turn}&state={state}")
        if turn == 0:
            assert response.status == 302
            at = response.at
    assert response.status == 502
    assert "neverissued" not in response.body.decode()


async def test_a_code_is_exchanged_once_however_often_it_comes(shop: Shop, simulator: SimulatorProcess) -> None:
    back = await start_authorization(shop)
    before = exchanges(simulator)
    responses = await asyncio.gather(*(shop.get(back) for _ in range(10)))
    assert {answer.status for answer in responses} == {302}
    assert exchanges(simulator) == before + 1


async def test_a_new_login_is_a_new_session(shop: Shop) -> None:
    await shop.log_in(0)
    first = shop.cookies()["fenpay_session"]
    await shop.log_in(1)
    assert shop.cookies()["fenpay_session"] != first
    order = (await shop.post("/orders", {"sku": "penny"})).json()
    assert (await shop.stored(order["out_trade_no"]))["openid"] == shop.users[1]["openid"]


@pytest.mark.parametrize("path", [path for path in THEIRS if path not in ("", "/\x00", "/\ud800")])
async def test_no_return_path_leads_off_this_site(shop: Shop, path: str) -> None:
    response = await shop.get(f"/oauth/authorize?next={quote(path, safe='')}")
    assert response.status == 400, response.headers


@pytest.mark.parametrize(
    "uri", ["http://evil.example/", "@evil.example/", "//evil.example/", "/\\evil.example", "evil.example"]
)
async def test_a_page_asked_for_under_another_name_redirects_to_ours_only(service: ServiceProcess, uri: str) -> None:
    parts = urlsplit(service.url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    writer.write(f"GET {uri} HTTP/1.1\r\nHost: other.example\r\nConnection: close\r\n\r\n".encode())
    answer = (await reader.read()).decode()
    writer.close()
    for line in answer.splitlines():
        if line.lower().startswith("location:"):
            assert urlsplit(line.partition(": ")[2]).netloc == parts.netloc


def exchanges(simulator: SimulatorProcess) -> int:
    return int(simulator.control("GET", "stats")["served"].get("/sns/oauth2/access_token", 0))
