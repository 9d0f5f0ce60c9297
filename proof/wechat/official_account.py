"""WeChat's side of one Official Account: access tokens, jsapi tickets, and calls that need a token.

All times are arguments. ``issued`` and ``refused`` are the times of token calls that succeeded and failed.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from urllib.parse import parse_qs, urlsplit

from wechat.support.transport import Answer, Request

LIFE = timedelta(hours=2)
OVERLAP = timedelta(minutes=5)
"""How long a token and its successor are both valid."""
CLASSIC_A_DAY = 200
"""The daily limit of cgi-bin/token for a test account."""
STABLE_A_MINUTE = 10_000


class Trouble(StrEnum):
    """The endpoint's answer while it does not work."""

    CREDENTIALS = "refuses the credentials"
    ADDRESS = "refuses the address"
    BUSY = "is busy"


_TROUBLES: dict[Trouble, dict[str, Any]] = {
    Trouble.CREDENTIALS: {"errcode": 40125, "errmsg": "invalid appsecret"},
    Trouble.ADDRESS: {"errcode": 40164, "errmsg": "invalid ip 10.0.0.1, not in whitelist"},
    Trouble.BUSY: {"errcode": -1, "errmsg": "system error"},
}
_BAD_TOKEN = {"errcode": 40001, "errmsg": "invalid credential, access_token is invalid or not latest"}


@dataclass(slots=True)
class Credential:
    """A token or a ticket, valid until ``ends_at``."""

    value: str
    ends_at: datetime

    def is_good(self, now: datetime) -> bool:
        return now < self.ends_at


class OfficialAccount:
    """An Official Account. ``trouble`` is set while its endpoint does not work; ``_call_times`` are those of token
    calls within the span of their limit."""

    def __init__(self, appid: str, secret: str) -> None:
        self._appid = appid
        self._secret = secret
        self.tokens: dict[str, Credential] = {}
        self.tickets: dict[str, Credential] = {}
        self.trouble: Trouble | None = None
        self.issued: list[datetime] = []
        self.refused: list[datetime] = []
        self._call_times: list[datetime] = []

    def answer(self, request: Request, now: datetime) -> Answer:
        """Return WeChat's answer: always 200, with an ``errcode`` for an error."""
        address = urlsplit(request.target)
        query = {name: values[0] for name, values in parse_qs(address.query).items()}
        result = self._act(address.path, query, json.loads(request.body) if request.body else {}, now)
        return Answer(200, {}, json.dumps(result).encode())

    def revoke(self, now: datetime, *, at_once: bool) -> None:
        """End the current token, as when another system fetches one."""
        for token in self.tokens.values():
            token.ends_at = min(token.ends_at, now if at_once else now + OVERLAP)
        self._make(self.tokens, "token", now)

    def ticket_of(self, signature: str, text: str) -> Credential | None:
        """Return the ticket that signed ``text``, in which ``{}`` stands for the ticket."""
        for ticket in self.tickets.values():
            if hashlib.sha1(text.format(ticket.value).encode(), usedforsecurity=False).hexdigest() == signature:
                return ticket
        return None

    def _act(self, path: str, query: dict[str, str], body: dict[str, str], now: datetime) -> dict[str, Any]:
        if path == "/cgi-bin/stable_token":
            return self._give_token(body, now, classic=False)
        if path == "/cgi-bin/token":
            return self._give_token(query, now, classic=True)
        token = self.tokens.get(query.get("access_token", ""))
        if token is None or not token.is_good(now):
            return _BAD_TOKEN
        if path == "/cgi-bin/ticket/getticket":
            ticket = self._renew(self.tickets, "ticket", now)
            return {"errcode": 0, "errmsg": "ok", "ticket": ticket.value, "expires_in": _seconds(ticket, now)}
        return {"subscribe": 1, "openid": query.get("openid", "")}

    def _give_token(self, asked: dict[str, str], now: datetime, *, classic: bool) -> dict[str, Any]:
        if self.trouble:
            self.refused.append(now)
            return _TROUBLES[self.trouble]
        if (asked["appid"], asked["secret"], asked["grant_type"]) != (self._appid, self._secret, "client_credential"):
            return _TROUBLES[Trouble.CREDENTIALS]
        if limit := self._limit(now, classic=classic):
            return limit
        self.issued.append(now)
        if classic:
            self.revoke(now, at_once=False)
        token = self._renew(self.tokens, "token", now)
        return {"access_token": token.value, "expires_in": _seconds(token, now)}

    def _limit(self, now: datetime, *, classic: bool) -> dict[str, Any] | None:
        """Count a token call; return the refusal if there were too many, otherwise None."""
        span, most = (timedelta(days=1), CLASSIC_A_DAY) if classic else (timedelta(minutes=1), STABLE_A_MINUTE)
        self._call_times = [*(at for at in self._call_times if now - at < span), now]
        if len(self._call_times) <= most:
            return None
        return {"errcode": 45009 if classic else 45011, "errmsg": "reach max api quota limit"}

    def _renew(self, held: dict[str, Credential], kind: str, now: datetime) -> Credential:
        """Return the current credential; in its last five minutes its successor, beside which it stays valid."""
        current = next(reversed(held.values()), None)
        if current is None or now >= current.ends_at - OVERLAP:
            current = self._make(held, kind, now)
        return current

    def _make(self, held: dict[str, Credential], kind: str, now: datetime) -> Credential:
        made = Credential(f"{kind}-{len(held) + 1:06}-of-the-account", now + LIFE)
        held[made.value] = made
        return made


def _seconds(credential: Credential, now: datetime) -> int:
    """Return the remaining validity in whole seconds."""
    return int((credential.ends_at - now).total_seconds())
