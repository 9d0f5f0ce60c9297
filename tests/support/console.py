"""People at the console: added by the operator's requests, logged in over HTTP."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import re
import secrets
import time
from collections.abc import Callable, Mapping
from http.cookies import SimpleCookie
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import aiohttp
from yarl import URL

from handlers.console.audit import COLUMNS
from handlers.console.texts.audit import ACTS
from tests.http.client import Response
from tests.support.service import SESSION_SECRET
from wechat.domain.staff import Role
from wechat.staff.operator import sign_request

PASSWORD = "a-password-for-tests"
"""The password of each person that ``add_person`` adds."""
XSRF = re.compile(r'name="_xsrf" value="([^"]+)"')


class Operator:
    """The command line's requests, signed with the service's secret."""

    def __init__(self, url: str, secret: str = SESSION_SECRET) -> None:
        self.url = url
        self._secret = secret

    async def ask(self, method: str, target: str, body: Any = None) -> Response:
        data = b"" if body is None else json.dumps(body).encode()
        nonce = secrets.token_hex(16)
        headers = {"Authorization": sign_request(self._secret, method, target, data, int(time.time()), nonce)}
        return await send(method, self.url + target, data, headers)

    async def add_person(self, name: str, role: Role, password: str = PASSWORD) -> None:
        response = await self.ask("POST", "/api/users", {"name": name, "role": role.value, "password": password})
        assert response.status == 201, response.body


async def send(method: str, address: str, data: bytes, headers: Mapping[str, str]) -> Response:
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, URL(address, encoded=True), data=data, headers=headers) as answer,
    ):
        return Response(answer.status, answer.headers, await answer.read())


class ConsoleBrowser:
    """A browser at the console, with its cookies; it requests Chinese unless told otherwise. Each has its own address,
    so that failed logins of one test do not count for another."""

    def __init__(self, url: str, name: str = "") -> None:
        self.url = url
        self.name = name
        self.address = f"10.{secrets.randbelow(256)}.{secrets.randbelow(256)}.{secrets.randbelow(256)}"

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(keepalive_timeout=5)  # the service ends idle connections after 10 s
        self.http = aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.CookieJar(unsafe=True))
        return self

    async def __aexit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        await self.http.close()

    async def ask(self, method: str, target: str, data: Any = None, **headers: str) -> Response:
        """Send one request and return the response; redirects are not followed."""
        address = URL(self.url + target, encoded=True)
        sent = {"X-Real-IP": self.address, "Accept-Language": "zh-CN"} | headers
        async with self.http.request(method, address, data=data, headers=sent, allow_redirects=False) as answer:
            return Response(answer.status, answer.headers, await answer.read())

    async def get(self, target: str, **headers: str) -> Response:
        return await self.ask("GET", target, **headers)

    async def page(self, target: str, **headers: str) -> str:
        """Return the text of a page, whose status must be 200."""
        response = await self.get(target, **headers)
        assert response.status == 200, (response.status, response.body)
        return response.body.decode()

    async def post(self, target: str, fields: Mapping[str, str] | None = None, **headers: str) -> Response:
        """Post a form with the XSRF token, as a page does."""
        return await self.ask("POST", target, {"_xsrf": await self.xsrf(), **(fields or {})}, **headers)

    async def xsrf(self) -> str:
        """Return the XSRF token of this browser's forms."""
        if "_xsrf" not in self.cookies():
            await self.get("/console/login")
        return self.cookies()["_xsrf"]

    async def log_in(self, name: str = "", password: str = PASSWORD, **fields: str) -> Response:
        """Submit the login form; return the response."""
        self.name = name or self.name
        form = {"name": self.name, "password": password, **fields}
        return await self.post("/console/login", form)

    async def audit_log(self, subject: str) -> list[dict[str, str]]:
        """Return the audit entries about ``subject`` that an administrator finds, the latest first."""
        answer = await self.get(f"/console/audit.csv?subject={quote(subject, safe='')}")
        [_, *rows] = csv.reader(io.StringIO(answer.body.decode("utf-8-sig")))
        codes = {text.zh: act for act, text in ACTS.items()}
        act = COLUMNS.index("act")
        return [{**dict(zip(COLUMNS, row, strict=True)), "act": codes[row[act].partition("：")[0]]} for row in rows]

    def cookies(self) -> dict[str, str]:
        return {str(cookie.key): str(cookie.value) for cookie in self.http.cookie_jar}

    def set_cookie(self, name: str, value: str, path: str = "/console") -> None:
        cookie: SimpleCookie = SimpleCookie()
        cookie[name] = value
        cookie[name]["path"] = path
        self.http.cookie_jar.update_cookies(cookie, URL(self.url))


async def eventually(browser: ConsoleBrowser, target: str, condition: Callable[[str], bool]) -> str:
    """Return the page once ``condition`` holds for it: figures follow within seconds."""
    for _ in range(60):
        if condition(page := await browser.page(target)):
            return page
        await asyncio.sleep(0.3)
    raise AssertionError(target)
