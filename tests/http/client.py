"""A browser and a merchant's system, as far as the service can tell."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from types import TracebackType
from typing import Any, NamedTuple, Self
from urllib.parse import urlsplit

import aiohttp
from multidict import CIMultiDictProxy
from yarl import URL

from tests.support.platform import Message
from tests.support.service import API_KEY
from tests.support.simulator import SimulatorProcess

MERCHANT = {"Authorization": f"Bearer {API_KEY}"}


class Response(NamedTuple):
    """An HTTP response, its body read."""

    status: int
    headers: CIMultiDictProxy[str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        return str(self.json()["code"])

    @property
    def at(self) -> str:
        return self.headers["Location"]


class Shop:
    """A browser with its cookies, and the merchant's system with its API key."""

    def __init__(self, url: str, simulator: SimulatorProcess) -> None:
        self.url = url
        self.simulator = simulator
        self.users = simulator.credentials["users"]
        self._session: aiohttp.ClientSession | None = None
        self.xsrf = secrets.token_hex(16)
        self.address = f"10.{secrets.randbelow(256)}.{secrets.randbelow(256)}.{secrets.randbelow(256)}"
        """The client address in X-Real-IP for log-ins; hundreds of browsers at one address would reach its limit."""

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(keepalive_timeout=5)  # the service ends idle connections after 10 s
        self.session = aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.CookieJar(unsafe=True))
        self.cookie("_xsrf", self.xsrf)
        return self

    async def __aexit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        await self.session.close()

    def cookie(self, name: str, value: str) -> None:
        self.session.cookie_jar.update_cookies({name: value}, URL(self.url))

    def cookies(self) -> dict[str, str]:
        return {cookie.key: cookie.value for cookie in self.session.cookie_jar}

    async def ask(
        self,
        method: str,
        target: str,
        data: bytes | str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """Send a request to ``target`` (a path of the service or a whole address) without following redirects."""
        address = URL(self.url + target if target.startswith("/") else target, encoded=True)
        async with self.session.request(method, address, data=data, headers=headers, allow_redirects=False) as answer:
            return Response(answer.status, answer.headers, await answer.read())

    async def get(self, target: str, **headers: str) -> Response:
        return await self.ask("GET", target, headers=headers)

    async def post(self, target: str, body: Any = None, **headers: str) -> Response:
        """POST JSON with the XSRF token, as the pages' scripts do. A ``body`` of bytes is sent unchanged."""
        data = body if isinstance(body, bytes) else json.dumps(body if body is not None else {})
        return await self.ask(
            "POST", target, data, {"X-Xsrftoken": self.xsrf, "Content-Type": "application/json"} | headers
        )

    async def sell(self, body: Any = None, **headers: str) -> Response:
        """POST /api/orders by the merchant's system."""
        data = body if isinstance(body, bytes) else json.dumps(body if body is not None else self.sale())
        return await self.ask("POST", "/api/orders", data, MERCHANT | headers)

    def sale(self, **changed: Any) -> dict[str, Any]:
        """A valid body for POST /api/orders with ``changed`` fields; None removes a field."""
        body = {"description": "咖啡", "total": 1800, "openid": self.users[0]["openid"], "trade_type": "JSAPI"}
        return {name: value for name, value in (body | changed).items() if value is not None}

    async def sold(self, **changed: Any) -> dict[str, Any]:
        """A placed order."""
        response = await self.sell(self.sale(**changed))
        assert response.status == 201, response.body
        order: dict[str, Any] = response.json()
        return order

    async def scanned(self, scenario: str = "lost_notification", **changed: Any) -> str:
        """Place a NATIVE order and pay it at the simulator with ``scenario``; return its number."""
        order = await self.sold(trade_type="NATIVE", openid=None, **changed)
        response = self.simulator.control("POST", "scan", {"code_url": order["code_url"], "scenario": scenario})
        assert response["err_msg"] == "scan:ok"
        return str(order["out_trade_no"])

    async def stored(self, out_trade_no: str) -> dict[str, Any]:
        """The merchant's view of an order."""
        response = await self.ask("GET", f"/api/orders/{out_trade_no}", headers=MERCHANT)
        assert response.status == 200, response.body
        order: dict[str, Any] = response.json()
        return order

    async def state(self, out_trade_no: str) -> str:
        return str((await self.stored(out_trade_no))["trade_state"])

    async def notify(self, message: Message, target: str = "", **headers: str) -> Response:
        return await self.ask("POST", target or "/notify", message.body, message.headers | headers)

    async def log_in(self, user: int = 0, next_page: str = "/") -> Response:
        """Log in through OAuth as ``user``, by index; return the last response."""
        self.cookie("wxsim_user", self.users[user]["id"])
        out = await self.get(f"/oauth/authorize?next={next_page}", **{"X-Real-IP": self.address})
        assert out.status == 302, out.body
        back = await self.get(out.at.partition("#")[0])
        assert back.status == 302, back.body
        return await self.get(back.at, **{"X-Real-IP": self.address})


def path_of(url: str) -> str:
    parts = urlsplit(url)
    return parts.path + (f"?{parts.query}" if parts.query else "")
