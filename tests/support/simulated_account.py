"""Calls of the simulator's Official Account, as a merchant makes them."""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import parse_qs, quote, urlencode, urlsplit

from tests.simulator.merchant import Merchant
from tests.support.simulator import Answer, ask

REDIRECT = "http://127.0.0.1:8888/oauth/callback"


class Account:
    """Calls of the Official Account API by hand."""

    def __init__(self, merchant: Merchant) -> None:
        self.simulator = merchant.simulator
        self.known = merchant.known
        self.app = {"appid": self.known["appid"], "secret": self.known["appsecret"]}

    def get(self, path: str, **query: str) -> dict[str, Any]:
        answer = ask("GET", f"{self.simulator.url}{path}?{urlencode(query)}")
        assert answer.status == 200
        payload = answer.json()
        assert isinstance(payload, dict)
        return payload

    def errcode(self, path: str, **query: str) -> int:
        """Return the errcode of a refusal, whose message carries a trace id."""
        payload = self.get(path, **query)
        assert re.search(r" rid: [0-9a-f]{8}-[0-9a-f]{8}-[0-9a-f]{8}$", payload["errmsg"])
        return int(payload["errcode"])

    def stable(self, **changed: Any) -> dict[str, Any]:
        body = {"grant_type": "client_credential", **self.app, **changed}
        payload = ask("POST", f"{self.simulator.url}/cgi-bin/stable_token", json.dumps(body)).json()
        assert isinstance(payload, dict)
        return payload

    def classic(self, **changed: str) -> dict[str, Any]:
        return self.get("/cgi-bin/token", **{"grant_type": "client_credential", **self.app, **changed})

    def ticket(self, token: str) -> dict[str, Any]:
        return self.get("/cgi-bin/ticket/getticket", access_token=token, type="jsapi")

    def authorize(self, scope: str = "snsapi_base", user: str = "jia", **changed: str) -> Answer:
        """Request the authorise page, with the user's cookie."""
        query = {
            "appid": self.known["appid"],
            "redirect_uri": REDIRECT,
            "response_type": "code",
            "scope": scope,
            "state": "s1",
        } | changed
        cookie = {"Cookie": f"wxsim_user={user}"} if user else {}
        return ask("GET", f"{self.simulator.url}/connect/oauth2/authorize?{urlencode(query)}", headers=cookie)

    def decide(self, user: str, scope: str = "snsapi_userinfo") -> Answer:
        """Submit a button of the page."""
        query = (
            f"appid={self.known['appid']}&redirect_uri={quote(REDIRECT, safe='')}"
            f"&response_type=code&scope={scope}&state=s1"
        )
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        body = urlencode({"query": query, "user": user})
        return ask("POST", f"{self.simulator.url}/connect/oauth2/authorize", body, form)

    def code(self, scope: str = "snsapi_base") -> str:
        answer = self.authorize() if scope == "snsapi_base" else self.decide("jia", scope)
        return parse_qs(urlsplit(answer.headers["Location"]).query)["code"][0]

    def exchange(self, code: str, **changed: str) -> dict[str, Any]:
        query = {**self.app, "code": code, "grant_type": "authorization_code", **changed}
        return self.get("/sns/oauth2/access_token", **query)

    def advance(self, seconds: float) -> None:
        self.simulator.control("POST", "clock", {"advance_s": seconds})
