"""The console behind an https address: its cookie's name and flags, forms of other sites, and acts that were cut
short."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from http.cookies import Morsel, SimpleCookie
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import pytest
import yaml
from prometheus_client import CollectorRegistry
from tornado.httpserver import HTTPServer
from tornado.testing import bind_unused_port

from handlers.web import plugin
from server import App
from service.compose import compose
from service.runtime import PrometheusTelemetry
from service.settings.loading import load
from tests.support.service import overlay
from tests.support.settings import KNOWN
from wechat.domain.approvals import Approval, ApprovalState
from wechat.domain.audit import Act
from wechat.domain.errors import StoreUnavailable
from wechat.domain.money import Fen
from wechat.domain.staff import Permission, Role
from wechat.staff.approvals import Approvals, PendingAct
from wechat.staff.audit import Actor

ADDRESS = "https://pay.shop.test"
PASSWORD = "correct horse battery"
NOWHERE = "redis://127.0.0.1:1"
NAME = "__Secure-fenpay_staff"


class Browser:
    """Sends the cookies that a test gives it, as a proxy that ends TLS passes them on."""

    def __init__(self, url: str, http: aiohttp.ClientSession, approvals: Approvals) -> None:
        self.approvals = approvals
        self._url = url
        self._http = http
        self.cookies: dict[str, str] = {}

    async def ask(
        self, target: str, fields: dict[str, str] | None = None, **headers: str
    ) -> tuple[int, str, dict[str, Morsel[str]]]:
        """Status, where it leads, and the cookies that were set; ``text`` is the page."""
        sent = {"Host": urlsplit(ADDRESS).netloc, "Cookie": "; ".join(f"{n}={v}" for n, v in self.cookies.items())}
        form = None if fields is None else {"_xsrf": self.cookies["_xsrf"], **fields}
        method = "GET" if form is None else "POST"
        async with self._http.request(
            method, self._url + target, data=form, headers=sent | headers, allow_redirects=False
        ) as answer:
            self.text = await answer.text()
            found = SimpleCookie()
            for line in answer.headers.getall("Set-Cookie", []):
                found.load(line)
            return answer.status, answer.headers.get("Location", ""), dict(found)

    async def log_in(self, **headers: str) -> tuple[int, dict[str, Morsel[str]]]:
        _, _, cookies = await self.ask("/console/login")
        self.cookies["_xsrf"] = cookies["_xsrf"].value
        assert cookies["_xsrf"]["secure"]
        status, _, cookies = await self.ask("/console/login", {"name": "anna", "password": PASSWORD}, **headers)
        return status, cookies


@pytest.fixture
async def browser(tmp_path: Path) -> AsyncIterator[Browser]:
    values = overlay(8899, "http://127.0.0.1:9", KNOWN, "memory", NOWHERE, tmp_path)
    values["http"]["public_base_url"] = ADDRESS
    file = tmp_path / "https.yml"
    file.write_text(yaml.safe_dump(values, allow_unicode=True), encoding="utf-8")
    settings = load(file)
    process = compose(settings, settings.mongo.url, settings.redis.url, PrometheusTelemetry(CollectorRegistry()))
    services = process.services
    for name in ("anna", "ben"):
        await services.staff.members.add(name, Role.FINANCE, PASSWORD)
    server = HTTPServer(App(services, plugin.load(settings.plugin_names, services)))
    listening, port = bind_unused_port()
    server.add_socket(listening)
    try:
        async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as http:
            yield Browser(f"http://127.0.0.1:{port}", http, services.staff.approvals)
    finally:
        server.stop()
        for part in reversed(process.closing):
            await part.close()


async def test_the_sessions_cookie_counts_by_its_secure_name_only(browser: Browser) -> None:
    status, cookies = await browser.log_in()
    session = cookies[NAME]
    assert status == 302
    assert session["secure"] and session["httponly"]
    assert (session["samesite"], session["path"], session["domain"]) == ("Strict", "/console", "")
    browser.cookies["fenpay_staff"] = session.value  # a page that was reached by http could plant this one
    status, target, _ = await browser.ask("/console/account")
    assert (status, target) == (302, "/console/login?next=%2Fconsole%2Faccount")
    browser.cookies[NAME] = session.value
    assert (await browser.ask("/console/account"))[0] == 200


async def test_the_sessions_cookie_is_taken_away_by_the_same_name(browser: Browser) -> None:
    _, cookies = await browser.log_in()
    browser.cookies[NAME] = cookies[NAME].value
    status, target, cookies = await browser.ask("/console/logout", {})
    assert (status, target, cookies[NAME].value) == (302, "/console/login", "")
    assert cookies[NAME]["secure"]  # without it, browsers do not take a cookie of this name
    assert (await browser.ask("/console/account"))[0] == 302


@pytest.mark.parametrize(
    ("site", "status"), [("same-site", 403), ("cross-site", 403), ("same-origin", 302), ("none", 302)]
)
async def test_a_form_of_another_site_is_refused_though_it_has_the_token(
    browser: Browser, site: str, status: int
) -> None:
    assert (await browser.log_in(**{"Sec-Fetch-Site": site}))[0] == status


async def test_an_act_that_was_cut_short_is_carried_out_by_whoever_confirmed_it(browser: Browser) -> None:
    _, cookies = await browser.log_in()
    browser.cookies[NAME] = cookies[NAME].value
    done: list[str] = []

    async def perform(approval: Approval) -> str:
        done.append(approval.id)
        if len(done) == 1:
            raise StoreUnavailable
        return "SUCCESS"

    browser.approvals.register(Act.REFUND, perform)
    for name in ("anna", "carla"):
        act = PendingAct(Act.REFUND, Permission.REFUND, f"order-{name}", Fen(90_000), "cold", {})
        approval = await browser.approvals.request(act, Actor("ben", "finance", ""))
        done.clear()
        with pytest.raises(StoreUnavailable):
            await browser.approvals.confirm(approval.id, Actor(name, "finance", ""))
    await browser.ask("/console/approvals")
    [target] = re.findall(r'action="(/console/approvals/[0-9a-f]+/confirm)"', browser.text)
    assert (await browser.ask(target, {"step_up": PASSWORD}))[0] == 302
    states = {each.subject: each.state for each in await browser.approvals.latest()}
    assert states == {"order-anna": ApprovalState.DONE, "order-carla": ApprovalState.CONFIRMED}
