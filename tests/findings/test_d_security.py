"""Security, row by row (D1 to D6)."""

from __future__ import annotations

import asyncio
import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from urllib.parse import parse_qs, urlsplit

import pytest
from pymongo import ReadPreference

from handlers.web.scopes import scope_of
from storage.mongo.driver import Driver, connect
from tests.contract.samples import an_order
from tests.findings.conftest import OpenSite
from tests.http.client import Shop
from tests.support.clock import ManualClock
from tests.support.receiving import KNOWN, World
from tests.support.route_requests import endpoints
from tests.support.service import ROOT, ServiceProcess
from tests.support.v2_answers import FIELDS, gateway
from wechat.account.oauth import Grant
from wechat.account.tokens import Credentials
from wechat.domain.api_keys import Scope
from wechat.domain.errors import Malformed, OutcomeUnknown, SignatureInvalid
from wechat.domain.ports import Token
from wechat.pay.ciphers import AeadCipher
from wechat.pay.gateway import Merchant
from wechat.pay.v2.gateway import V2Gateway
from wechat.support.rate_limit import RateLimit

REPAIR = f"/api/reconciliations/2026-03-01/differences/{'0' * 32}/repair"


async def come_back(shop: Shop) -> dict[str, str]:
    """Start an authorization; the code and state that WeChat sends the browser back with."""
    out = await shop.get("/oauth/authorize?next=/")
    back = await shop.get(out.at.partition("#")[0])
    query = parse_qs(urlsplit(back.at).query)
    return {name: query[name][0] for name in ("code", "state")}


async def test_d1_a_used_code_signs_nobody_else_in(shop: Shop, service: ServiceProcess) -> None:
    """A thief who has read the victim's address, in a browser and with a state of his own or the victim's."""
    shop.cookie("wxsim_user", shop.users[0]["id"])
    victim = await come_back(shop)
    assert (await shop.get(f"/oauth/callback?code={victim['code']}&state={victim['state']}")).status == 302
    async with Shop(service.url, shop.simulator) as thief:
        thief.cookie("wxsim_user", thief.users[1]["id"])
        own = await come_back(thief)
        stolen = [f"/oauth/callback?code={victim['code']}&state={each['state']}" for each in (own, victim)]
        responses = [await thief.get(target) for target in stolen]
        assert [answer.status for answer in responses] == [302, 403]
        assert (
            urlsplit(responses[0].at).path == "/connect/oauth2/authorize"
        )  # refused by WeChat, so once more from the start
        assert "fenpay_session" not in thief.cookies()
        many = await asyncio.gather(*(thief.get(stolen[1]) for _ in range(10)))
        assert {answer.status for answer in many} == {403}
    async with Shop(service.url, shop.simulator) as another:
        assert (await another.get(stolen[0])).status == 403


SIGNED_FOR_SOMEBODY_ELSE = [
    {"mch_id": "1900000002"},
    {"mch_id": ""},
    {"appid": "wx0123456789abcdef"},
    {"appid": ""},
    {"nonce_str": ""},
    {"result_code": ""},
    {"result_code": "success"},
    {"result_code": "FAIL"},
    {"result_code": "FAIL", "err_code": ""},
]


@pytest.mark.parametrize("change", SIGNED_FOR_SOMEBODY_ELSE, ids=str)
async def test_d6_a_signed_v2_answer_decides_only_what_it_was_asked(change: dict[str, str]) -> None:
    """For another merchant or account, of no single use, or without a readable result: neither yes nor no."""
    with pytest.raises(OutcomeUnknown):
        await gateway(FIELDS | change).close(an_order())


# -- D3: what grows with clicks ----------------------------------------------------------------------------------------


async def test_d3_a_payers_clicks_are_limited_in_the_process_and_the_timeline_stays_short(
    open_site: OpenSite,
) -> None:
    site = open_site(log={"level": "info"})
    async with Shop(site.service.url, site.simulator) as shop, Shop(site.service.url, site.simulator) as another:
        await shop.log_in(0)
        await another.log_in(1)
        order = (await shop.post("/orders", {"sku": "coffee"})).json()
        site.simulator.control("POST", "faults", {"path": "/v3/*", "fault": "refuse", "code": "PARAM_ERROR"})
        clicks = [shop.post(f"/orders/{order['out_trade_no']}/query") for _ in range(300)]
        responses = await asyncio.gather(*clicks)
        limited = [answer for answer in responses if answer.status == 429]
        assert 100 < len(limited) < 201
        assert {(answer.code, answer.headers["Retry-After"]) for answer in limited} == {("TOO_MANY_REQUESTS", "1")}
        site.simulator.control("DELETE", "faults")
        assert (await another.post("/orders", {"sku": "coffee"})).status == 201
        assert (await shop.notify(site.platform.v3(order))).status == 200
        stored = await shop.stored(order["out_trade_no"])
        assert len(stored["timeline"]) < 20


async def test_d3_an_address_is_limited_where_wechat_is_asked(open_site: OpenSite) -> None:
    site = open_site(log={"level": "info"})
    async with Shop(site.service.url, site.simulator) as shop:
        responses = await asyncio.gather(*(shop.get("/jssdk/config?url=http://elsewhere.example/") for _ in range(200)))
        assert {answer.status for answer in responses} == {403, 429}
        assert (await shop.get("/livez")).status == 200
        other = await shop.get("/oauth/authorize?next=/", **{"X-Real-IP": "203.0.113.7"})
        assert other.status == 302


def test_d3_no_crowd_of_addresses_fills_the_memory() -> None:
    limit = RateLimit(ManualClock(), burst=1, per_s=1, most_keys=10)
    for number in range(1000):
        assert limit.take(str(number))
    assert not limit.take("999")
    assert len(limit._buckets) == 10


# -- D4: sessions, scopes, two values during a change ------------------------------------------------------------------

OLD, NEW = "old-session-secret-0123456789-0123456789", "new-session-secret-0123456789-0123456789"


async def test_d4_a_session_lives_through_a_change_of_the_secret_and_ends_at_the_revocation_point(
    open_site: OpenSite,
) -> None:
    site = open_site(session={"secret": OLD})
    changes: list[tuple[dict[str, object], int]] = [
        ({"secret": NEW, "other_secret": OLD}, 201),
        ({"secret": OLD, "other_secret": NEW}, 201),
        ({"secret": OLD, "valid_from": (datetime.now(UTC) + timedelta(minutes=5)).isoformat()}, 401),
        ({"secret": NEW}, 401),
    ]
    async with Shop(site.service.url, site.simulator) as shop:
        await shop.log_in()
        for number, (session, status) in enumerate(changes):
            await asyncio.to_thread(site.service.stop)
            changed = site.settings | {"session": session}
            site.service = await asyncio.to_thread(ServiceProcess.start, site.directory, changed, f"changed{number}")
            assert (await shop.post("/orders", {"sku": "coffee"})).status == status, session


@pytest.mark.parametrize("name", ["fenpay_session", "fenpay_oauth"])
@pytest.mark.parametrize(
    "value",
    [
        "x",
        "a|1|b",
        "1|2|3|4",
        "2|1:0|10:1|1:x|1:y|z",
        "2|1:9|10:1700000000|1:x|4:eA==|0",
        "9|",
        '{"openid":"x"}',
        "%00",
    ],
)
async def test_d4_a_cookie_in_any_form_is_no_failure_of_ours(shop: Shop, name: str, value: str) -> None:
    for target in ("/orders/none00", "/pay/none00", "/oauth/callback?code=a&state=0"):
        response = await shop.get(target, Cookie=f"{name}={value}")
        assert response.status in (302, 400, 401, 403), (target, response.body)


async def test_d4_an_api_key_does_what_its_scopes_say(open_site: OpenSite) -> None:
    keys = {
        "reader": ["read"],
        "till": ["read", "orders"],
        "office": ["refunds"],
        "boss": None,
        "accountant": ["read", "books"],
        "night": ["operate"],
    }
    merchants = [
        {"name": name, "sha256": hashlib.sha256(name.encode()).hexdigest()} | ({"scopes": scopes} if scopes else {})
        for name, scopes in keys.items()
    ]
    merchants.append({"name": "boss", "sha256": hashlib.sha256(b"boss-2").hexdigest()})  # during a change
    calls = {
        "read": ("GET", "/api/orders"),
        "orders": ("POST", "/api/orders/none00/close"),
        "refunds": ("POST", "/api/orders/none00/refunds"),
        "books": ("POST", REPAIR),
        "operate": ("POST", f"/api/events/{'0' * 24}/resend"),
    }
    site = open_site(merchants=merchants)
    async with Shop(site.service.url, site.simulator) as shop:
        for name, scopes in (keys | {"boss-2": None}).items():
            for scope, (method, path) in calls.items():
                response = await shop.ask(
                    method, path, b"{}" if method == "POST" else None, {"Authorization": f"Bearer {name}"}
                )
                may = scopes is None or scope in scopes or (scope == "books" and "operate" in scopes)
                assert (response.status == 403) is not may, (name, scope)
                assert response.status != 401
                if response.status == 403:
                    assert response.code == "SCOPE_MISSING"


@pytest.mark.parametrize(
    ("scopes", "status"), [(["books"], 403), (["refunds"], 403), (["books", "refunds"], 404), (["operate"], 404)]
)
async def test_d4_a_repair_that_refunds_needs_the_scope_for_refunds(
    open_site: OpenSite, scopes: list[str], status: int
) -> None:
    merchants = [{"name": "script", "sha256": hashlib.sha256(b"script").hexdigest(), "scopes": scopes}]
    site = open_site(merchants=merchants)
    async with Shop(site.service.url, site.simulator) as shop:
        response = await shop.ask("POST", REPAIR, b'{"action":"refund"}', {"Authorization": "Bearer script"})
    assert response.status == status
    assert (response.code == "SCOPE_MISSING") is (status == 403)


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_d4_every_merchant_route_has_a_scope(method: str) -> None:
    found = {
        scope_of(method, each.pattern) for each in endpoints() if each.access == "merchant" and each.method == method
    }
    reading = {Scope.READ, Scope.OPERATE}  # events are streamed with the bodies that webhooks receive
    assert found == (reading if method == "GET" else set(Scope) - {Scope.READ})
    booking = {each.pattern for each in endpoints() if scope_of("POST", each.pattern) is Scope.BOOKS}
    assert booking and all(pattern.startswith("/api/reconciliations/") for pattern in booking)
    operating = {each.pattern for each in endpoints() if scope_of("GET", each.pattern) is Scope.OPERATE}
    assert operating == {"/api/events/stream"}


OTHER = "9876543210ABCDEFGHIJKLMNOPQRSTUV"


async def test_d4_messages_under_the_new_and_the_old_key_are_taken_during_a_change(world: World) -> None:
    platform = world.platform
    v2 = V2Gateway(world.v3._wire, Merchant(KNOWN["mchid"], KNOWN["appid"]), OTHER, other_key=KNOWN["api_v2_key"])
    for key in (OTHER, KNOWN["api_v2_key"]):
        message = platform.v2_signed(platform.v2_fields(world.wanted), key=key)
        assert v2.receive(message.headers, message.body).value.kind == "payment"
    message = platform.v2_signed(platform.v2_fields(world.wanted), key="x" * 32)
    with pytest.raises(SignatureInvalid):
        v2.receive(message.headers, message.body)
    sealed = {
        name: value
        for name, value in platform.seal(b"{}").items()
        if name in ("nonce", "associated_data", "ciphertext")
    }
    assert AeadCipher(OTHER, KNOWN["api_v3_key"]).open(**sealed) == b"{}"
    with pytest.raises(Malformed):
        AeadCipher(OTHER).open(**sealed)


# -- D5: what an address, a file, a repr or a header gives away --------------------------------------------------------


@pytest.mark.parametrize("driver", ["motor", "pymongo"])
@pytest.mark.parametrize(
    "said", ["readPreference=secondaryPreferred", "w=0", "w=1&journal=false", "readConcernLevel=local", "wtimeoutMS=1"]
)
async def test_d5_no_address_weakens_reads_and_writes(driver: Driver, said: str) -> None:
    connection = connect(f"mongodb://127.0.0.1:1/?{said}", "fenpay", driver)
    for each in (connection.database, connection.database["order_documents"]):
        options = cast(Any, each)
        assert options.read_preference.mode == ReadPreference.PRIMARY.mode
        assert options.write_concern.document == {"w": "majority", "j": True}
        assert options.read_concern.level == "majority"
    await connection.close()


SECRETS: dict[type[Any], dict[str, Any]] = {
    Credentials: {"appid": "wx1", "appsecret": "CANARY"},
    Token: {"value": "CANARY", "issued_at": datetime.now(UTC), "expires_at": datetime.now(UTC)},
    Grant: {"openid": "o", "access_token": "CANARY", "refresh_token": "CANARY", "scope": ""},
}


@pytest.mark.parametrize("kind", SECRETS, ids=lambda kind: kind.__name__)
def test_d5_no_repr_shows_a_secret(kind: type[Any]) -> None:
    assert "CANARY" not in repr(kind(**SECRETS[kind]))


def test_d5_browsers_are_told_to_come_over_https_only() -> None:
    config = (ROOT / "deploy" / "nginx.conf").read_text()
    assert config.count('add_header Strict-Transport-Security "max-age=31536000" always;') == 1
    assert "add_header" not in config.replace("add_header Strict", "")  # one in a location would take this one's place
