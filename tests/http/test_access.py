"""Every route with no credentials, as a payer and as a merchant's system: each gets the class of answer it is due."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest
from tornado.web import create_signed_value

from handlers.web.numbers import NUMBER, REFUND_NUMBER
from tests.http.client import MERCHANT, Shop
from tests.support.route_requests import TABLE
from tests.support.service import SESSION_SECRET, ServiceProcess
from tests.support.simulator import SimulatorProcess

VERBS = ["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"]
ROWS = [line.split() for line in TABLE.read_text(encoding="utf-8").splitlines()]
ROUTES = {row[-2]: (row[0], row[1], row[2:-2]) for row in ROWS if not row[1].startswith("/console")}
"""The console's have tests of their own, by role."""
NOBODY = "20260301000000nobody"
HEX = re.compile(r"\(\[0-9a-f\]\{(\d+)\}\)")
STREAMS = {"/api/stream", "/api/events/stream"}
PAGES = {"home", "shop", "cashier", "oauth_authorize", "oauth_callback"}


def address(pattern: str) -> str:
    """An address that the route takes, about an order that is not there."""
    named = pattern.replace(NUMBER, NOBODY).replace(REFUND_NUMBER, NOBODY)
    named = named.replace(r"(MP_verify_[0-9A-Za-z]{1,64}\.txt)", "MP_verify_nothing.txt")
    named = named.replace("([a-z0-9_]{1,32}-[0-9]{2}-[0-9a-f]{8})", "stale-00-00000000")
    named = named.replace("([0-9A-Za-z._@-]{1,48})", "nobody")
    named = named.replace("([a-z0-9_]{1,48}-[0-9]{2}-[0-9a-f]{6})", "paid_late-00-000000")
    named = named.replace("([A-Za-z0-9_-]{1,32})", "nobody")
    dated = named.replace("([0-9]{4}-[0-9]{2}-[0-9]{2})", "2026-03-01")
    hexed = HEX.sub(lambda found: "0" * int(found[1]), dated)
    return hexed.replace(r"\.", ".")


async def stream_status(shop: Shop, target: str, headers: Mapping[str, str]) -> int:
    """The status alone: a stream has no end to wait for."""
    async with shop.session.get(shop.url + target, headers=headers) as response:
        return response.status


async def answer(shop: Shop, who: str, verb: str, target: str) -> tuple[int, dict[str, Any]]:
    if who == "payer":
        await shop.log_in()
    headers = {"Content-Type": "application/json", "X-Xsrftoken": shop.xsrf} | (MERCHANT if who == "merchant" else {})
    if target in STREAMS and verb == "GET" and who == "merchant":
        return await stream_status(shop, target, headers), {}
    response = await shop.ask(verb, target, b"{}" if verb == "POST" else None, headers)
    is_json = response.headers.get("Content-Type", "").startswith("application/json") and response.body
    return response.status, response.json() if is_json else {}


@pytest.mark.parametrize("who", ["nobody", "payer", "merchant"])
@pytest.mark.parametrize("name", sorted(ROUTES))
async def test_a_route_lets_in_whom_its_access_allows(shop: Shop, name: str, who: str) -> None:
    access, pattern, verbs = ROUTES[name]
    for verb in verbs:
        status, body = await answer(shop, who, verb, address(pattern))
        if access == "payer" and who != "payer":
            assert (status, body.get("code")) == ((302, None) if name in PAGES else (401, "UNAUTHORIZED"))
        elif access == "merchant" and who != "merchant":
            assert (status, body["code"]) == (401, "BAD_API_KEY")
        elif access == "operator":
            assert (status, body["code"]) == (401, "NOT_THE_OPERATOR")
        elif access == "wechat":
            assert status in (400, 401)
        else:
            assert status in (200, 302, 400, 403, 404, 410)
            assert body.get("code") not in ("UNAUTHORIZED", "BAD_API_KEY")


@pytest.mark.parametrize("name", sorted(name for name in ROUTES if ROUTES[name][0] != "operator"))
async def test_a_method_that_a_route_does_not_have_is_405(shop: Shop, name: str) -> None:
    access, pattern, verbs = ROUTES[name]
    who = {"payer": "payer", "merchant": "merchant"}.get(access, "nobody")
    for verb in VERBS:
        if verb not in verbs:
            status, body = await answer(shop, who, verb, address(pattern))
            assert status == 405, (verb, status)
            assert body.get("code", "METHOD_NOT_ALLOWED") in ("METHOD_NOT_ALLOWED", "FAIL")


async def test_a_reader_of_pages_gets_a_page_for_an_unknown_address(shop: Shop) -> None:
    response = await shop.get("/nope", Accept="text/html,application/xhtml+xml")
    assert (response.status, response.headers["Content-Type"]) == (404, "text/html; charset=UTF-8")
    assert "Content-Security-Policy" in response.headers
    assert b"NOT_FOUND" in response.body


@pytest.mark.parametrize(
    "path",
    [
        "/nothing",
        "/orders/",
        "/orders/x",
        "/api",
        "/.git/config",
        "/%00",
        "/api/orders/a/b/c",
        "//",
    ],
)
@pytest.mark.parametrize("verb", ["GET", "POST", "DELETE"])
async def test_an_unknown_address_is_a_plain_404(shop: Shop, path: str, verb: str) -> None:
    response = await shop.ask(verb, path)
    assert response.status == 404
    body = response.json()
    assert set(body) == {"code", "message", "request_id"}
    assert body["code"] == "NOT_FOUND"
    assert body["request_id"] == response.headers["X-Request-Id"]


@pytest.mark.parametrize(
    "path",
    [
        "/static/nothing.css",
        "/static/",
        "/static/../server.py",
        "/static/..%2fserver.py",
        "/static/%2e%2e/settings.yml",
    ],
)
async def test_a_file_that_is_not_the_pages_own_is_told_in_json(shop: Shop, path: str) -> None:
    response = await shop.get(path)
    assert response.status in (403, 404)
    assert set(response.json()) == {"code", "message", "request_id"}
    assert "Server" not in response.headers


@pytest.mark.parametrize(
    "header",
    ["", "Bearer", "Bearer ", "Bearer wrong", "Basic dGVzdA==", "test-api-key-of-a-merchants-system", "Bearer  test-api-key-of-a-merchants-system",
     "Token test-api-key-of-a-merchants-system", "Bearer test-api-key-of-a-merchants-system ", "Bearer TEST-API-KEY-OF-A-MERCHANTS-SYSTEM", "Bearer é",
     "Bearer None", "Bearer " + "x" * 4000],
)  # fmt: skip
async def test_a_wrong_api_key_opens_nothing(shop: Shop, header: str) -> None:
    response = await shop.ask(
        "GET", "/api/orders", headers={"Authorization": header.strip() if header.endswith("  ") else header}
    )
    if header == "Bearer test-api-key-of-a-merchants-system ":  # blanks around a header's value are not part of it
        assert response.status == 200
    else:
        assert (response.status, response.code) == (401, "BAD_API_KEY")


async def test_the_hash_of_a_key_is_not_the_key(shop: Shop) -> None:
    digest = hashlib.sha256(MERCHANT["Authorization"].removeprefix("Bearer ").encode()).hexdigest()
    assert (await shop.ask("GET", "/api/orders", headers={"Authorization": f"Bearer {digest}"})).status == 401


@pytest.mark.parametrize("token", [None, "", "0" * 32, "x", "2|aaaa|bbbb|1", "é"])
async def test_a_browsers_post_needs_the_token_of_its_own_pages(shop: Shop, token: str | None) -> None:
    await shop.log_in()
    headers = {"Content-Type": "application/json"} | ({} if token is None else {"X-Xsrftoken": token})
    for target in ("/orders", f"/orders/{NOBODY}/pay", f"/orders/{NOBODY}/close", f"/orders/{NOBODY}/query"):
        response = await shop.ask("POST", target, b'{"sku":"coffee"}', headers)
        assert (response.status, response.code) == (403, "FORBIDDEN")


@pytest.mark.parametrize("site", ["same-site", "cross-site"])
async def test_a_token_that_another_site_has_planted_is_of_no_use(shop: Shop, site: str) -> None:
    await shop.log_in()
    headers = {"Content-Type": "application/json", "X-Xsrftoken": shop.xsrf}
    for target in ("/orders", f"/orders/{NOBODY}/pay", f"/orders/{NOBODY}/close", f"/orders/{NOBODY}/query"):
        response = await shop.ask("POST", target, b'{"sku":"coffee"}', headers | {"Sec-Fetch-Site": site})
        assert (response.status, response.code) == (403, "FORBIDDEN")
    own = await shop.ask("POST", f"/orders/{NOBODY}/query", b"", headers | {"Sec-Fetch-Site": "same-origin"})
    assert own.status == 404


async def test_an_error_speaks_the_readers_language_chinese_first(shop: Shop) -> None:
    chinese = (await shop.get("/nothing")).json()["message"]
    assert chinese == "页面不存在"
    for header, message in [("en", "This page does not exist"), ("en-GB,en;q=0.9,zh;q=0.8", "This page does not exist"),
                            ("zh-CN,zh;q=0.9,en;q=0.8", chinese), ("fr", chinese), ("*", chinese), ("é,,;q=x", chinese)]:  # fmt: skip
        assert (await shop.get("/nothing", **{"Accept-Language": header})).json()["message"] == message


async def test_no_answer_names_the_software_or_may_be_sniffed_or_kept(shop: Shop) -> None:
    for response in (
        await shop.get("/"),
        await shop.get("/nothing"),
        await shop.get("/orders/123456"),
        await shop.get("/livez"),
    ):
        assert "Server" not in response.headers
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.headers["Cache-Control"] == "no-store"


@pytest.fixture
async def browsers(service: ServiceProcess, simulator: SimulatorProcess) -> AsyncIterator[list[Shop]]:
    """Two browsers: 用户甲 and 用户乙."""
    async with Shop(service.url, simulator) as one, Shop(service.url, simulator) as two:
        await one.log_in(0)
        await two.log_in(1)
        yield [one, two]


async def test_another_payers_order_is_a_404_on_every_route(browsers: list[Shop]) -> None:
    one, two = browsers
    order = (await one.post("/orders", {"sku": "coffee"})).json()
    number = order["out_trade_no"]
    assert (await one.get(f"/orders/{number}")).status == 200
    assert (await two.get(f"/orders/{number}")).code == "ORDER_NOT_FOUND"
    assert (await two.get(f"/pay/{number}")).status == 404
    for act in ("pay", "query", "close"):
        assert (await two.post(f"/orders/{number}/{act}")).code == "ORDER_NOT_FOUND"
    assert (await one.get(f"/orders/{number}")).json()["trade_state"] == "NOTPAY"


@pytest.mark.parametrize("where", ["body", "query", "cookie", "header"])
async def test_an_openid_that_a_browser_claims_counts_for_nothing(browsers: list[Shop], where: str) -> None:
    one, two = browsers
    number = (await one.post("/orders", {"sku": "tea"})).json()["out_trade_no"]
    openid = one.users[0]["openid"]
    headers = {"X-Openid": openid, "Openid": openid} if where == "header" else {}
    if where == "cookie":
        two.cookie("openid", openid)
    query = f"?openid={openid}" if where == "query" else ""
    assert (await two.get(f"/orders/{number}{query}", **headers)).status == (400 if query else 404)
    body = {"sku": "tea"} | ({"openid": openid} if where == "body" else {})
    response = await two.post(f"/orders{query}", body, **headers)
    if query:
        assert (response.status, response.code) == (400, "UNKNOWN_ARGUMENT")
    elif where == "body":
        assert (response.status, response.code) == (400, "UNKNOWN_FIELD")
    else:
        assert response.json()["out_trade_no"] != number


@pytest.mark.parametrize("change", ["cut", "flipped", "another's name", "unsigned", "empty", "old"])
async def test_a_session_that_was_tampered_with_is_none(browsers: list[Shop], change: str) -> None:
    one, two = browsers
    good = one.cookies()["fenpay_session"]
    bad = {
        "cut": good[:-1],
        "flipped": good[:-1] + ("0" if good[-1] != "0" else "1"),
        "another's name": two.cookies()["fenpay_oauth"],
        "unsigned": '{"openid": "x"}',
        "empty": "",
        "old": good.replace(good.split("|")[2], "10:1000000000"),
    }[change]
    one.cookie("fenpay_session", bad)
    assert (await one.post("/orders", {"sku": "coffee"})).status == 401


async def test_a_session_of_another_account_is_none(browsers: list[Shop]) -> None:
    """The service was moved to another Official Account: its openids are others'."""
    one, _ = browsers
    appid = one.simulator.credentials["appid"]
    for given, status in ((appid, 201), ("wx0000000000000000", 401)):
        value = json.dumps({"openid": one.users[0]["openid"], "appid": given})
        one.cookie("fenpay_session", create_signed_value(SESSION_SECRET, "fenpay_session", value).decode())
        assert (await one.post("/orders", {"sku": "coffee"})).status == status
