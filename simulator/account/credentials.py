"""Credentials issued by the Official Account: access tokens, tickets, OAuth codes and users' grants.

All of them expire in simulated time and survive a restart. Sources, all on developers.weixin.qq.com: getAccessToken,
getStableAccessToken, JS-SDK (appendix 1), Wechat_webpage_authorization.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from itertools import islice
from typing import Any

from simulator.state.clock import Clock
from simulator.state.journal import Journal

TOKEN_LIFE_S = 7200.0
OVERLAP_S = 300.0
CODE_LIFE_S = 300.0
REFRESH_LIFE_S = 30 * 86400.0
FORCED_A_DAY = 20
FORCED_APART_S = 30.0
KEPT = 50_000

NOT_LATEST = 40001
STALE = "invalid credential, access_token is invalid or not latest"
CLASSIC, STABLE, TICKET = "classic", "stable", "jsapi"


class AccountError(Exception):
    """``errcode`` and WeChat's message for it."""

    def __init__(self, errcode: int, errmsg: str) -> None:
        super().__init__(f"{errcode} {errmsg}")
        self.errcode = errcode
        self.errmsg = errmsg


@dataclass(frozen=True, slots=True)
class Issued:
    """An account-wide credential of ``kind`` was issued; the previous one expires at ``old_dies_s``."""

    kind: str
    value: str
    expires_s: float
    old_dies_s: float
    forced_at_s: float | None = None


@dataclass(frozen=True, slots=True)
class ExpiredAll:
    """The operator expired every account-wide credential."""

    at_s: float


@dataclass(frozen=True, slots=True)
class CodeIssued:
    code: str
    openid: str
    scope: str
    expires_s: float


@dataclass(frozen=True, slots=True)
class CodeUsed:
    code: str


@dataclass(frozen=True, slots=True)
class Granted:
    """A user's access_token, valid until ``expires_s``, and the refresh_token that renews it."""

    access_token: str
    refresh_token: str
    openid: str
    scope: str
    expires_s: float
    refresh_expires_s: float


@dataclass(frozen=True, slots=True)
class _Life:
    """The end of an account-wide credential's validity; ``replaced``: it ended early, because a newer one was
    issued."""

    kind: str
    ends_s: float
    replaced: bool = False


class Credentials:
    """Issue and check all credentials."""

    def __init__(self, journal: Journal, clock: Clock) -> None:
        self._journal = journal
        self._clock = clock
        self._current: dict[str, Issued] = {}
        self._lives: dict[str, _Life] = {}
        self._forced: list[float] = []
        self._codes: dict[str, CodeIssued] = {}
        self._used: dict[str, None] = {}
        self._grants: dict[str, Granted] = {}
        self._refresh: dict[str, Granted] = {}
        journal.on(Issued, self._apply_issue)
        journal.on(ExpiredAll, self._apply_expired_all)
        journal.on(CodeIssued, self._apply_code)
        journal.on(CodeUsed, lambda fact: self._used.update({fact.code: None}))
        journal.on(Granted, self._apply_grant)

    def classic_token(self) -> tuple[str, int]:
        """Issue a new token; the previous one is valid for five more minutes."""
        return self._issue(CLASSIC, self._clock.now_s() + OVERLAP_S)

    def stable_token(self, force: bool) -> tuple[str, int]:
        """Return the current token, renewed in its last five minutes; ``force`` replaces it at once.

        Raises AccountError 45009 when forced too often in a day; of two forced calls within 30 s, the second changes
        nothing.
        """
        now_s = self._clock.now_s()
        if force and not (self._forced and now_s < self._forced[-1] + FORCED_APART_S):
            if sum(at_s > now_s - 86400 for at_s in self._forced) >= FORCED_A_DAY:
                raise AccountError(45009, "reach max api daily quota limit")
            return self._issue(STABLE, now_s, forced_at_s=now_s)
        return self._renew(STABLE)

    def ticket(self) -> tuple[str, int]:
        """Return the jsapi_ticket, renewed in its last five minutes."""
        return self._renew(TICKET)

    def tickets(self) -> list[str]:
        """Return every jsapi_ticket that is valid now."""
        now_s = self._clock.now_s()
        return [value for value, life in self._lives.items() if life.kind == TICKET and now_s < life.ends_s]

    def check_token(self, token: str) -> None:
        """Raise AccountError 41001, 40014, 42001, 40001 for a token that is missing, malformed, expired, replaced."""
        if not token:
            raise AccountError(41001, "access_token missing")
        if len(token) < 16:
            raise AccountError(40014, "invalid access_token")
        life = self._lives.get(token)
        over = life is not None and self._clock.now_s() >= life.ends_s
        if life is None or life.kind == TICKET or (over and life.replaced):
            raise AccountError(NOT_LATEST, STALE)
        if over:
            raise AccountError(42001, "access_token expired")

    def expire_all(self) -> None:
        self._journal.write(ExpiredAll(self._clock.now_s()))

    def issue_code(self, openid: str, scope: str) -> str:
        code = f"simcode{secrets.token_hex(12)}"
        self._journal.write(CodeIssued(code, openid, scope, self._clock.now_s() + CODE_LIFE_S))
        return code

    def use_code(self, code: str) -> Granted:
        """Exchange a code, once. Raises AccountError 41008, 40029, 40163, 42003."""
        if not code:
            raise AccountError(41008, "missing code")
        issued = self._codes.get(code)
        if issued is None:
            raise AccountError(40029, "invalid code")
        if code in self._used:
            raise AccountError(40163, "code been used")
        if self._clock.now_s() >= issued.expires_s:
            raise AccountError(42003, "oauth_code expired")
        self._journal.write(CodeUsed(code))
        return self._grant(issued.openid, issued.scope)

    def refresh(self, refresh_token: str) -> Granted:
        """Extend a valid access_token, or issue a new one. Raises AccountError 41003, 40030, 42002."""
        if not refresh_token:
            raise AccountError(41003, "missing refresh_token")
        grant = self._refresh.get(refresh_token)
        if grant is None:
            raise AccountError(40030, "invalid refresh_token")
        now_s = self._clock.now_s()
        if now_s >= grant.refresh_expires_s:
            raise AccountError(42002, "refresh_token expired")
        value = grant.access_token if now_s < grant.expires_s else _token()
        grant = Granted(value, refresh_token, grant.openid, grant.scope, now_s + TOKEN_LIFE_S, grant.refresh_expires_s)
        self._journal.write(grant)
        return grant

    def check_grant(self, access_token: str, openid: str) -> Granted:
        """Return the grant of a user's valid access_token. Raises AccountError 41001, 40001, 42001, 40003."""
        if not access_token:
            raise AccountError(41001, "access_token missing")
        grant = self._grants.get(access_token)
        if grant is None:
            raise AccountError(NOT_LATEST, STALE)
        if self._clock.now_s() >= grant.expires_s:
            raise AccountError(42001, "access_token expired")
        if grant.openid != openid:
            raise AccountError(40003, "invalid openid")
        return grant

    def _renew(self, kind: str) -> tuple[str, int]:
        current = self._current.get(kind)
        now_s = self._clock.now_s()
        if current is None or now_s >= current.expires_s - OVERLAP_S:
            return self._issue(kind, now_s + OVERLAP_S)
        return current.value, int(current.expires_s - now_s)

    def _issue(self, kind: str, old_dies_s: float, forced_at_s: float | None = None) -> tuple[str, int]:
        value = f"simticket{secrets.token_urlsafe(48)}" if kind == TICKET else _token()
        self._journal.write(Issued(kind, value, self._clock.now_s() + TOKEN_LIFE_S, old_dies_s, forced_at_s))
        return value, int(TOKEN_LIFE_S)

    def _grant(self, openid: str, scope: str) -> Granted:
        now_s = self._clock.now_s()
        granted = Granted(_token(), _token(), openid, scope, now_s + TOKEN_LIFE_S, now_s + REFRESH_LIFE_S)
        self._journal.write(granted)
        return granted

    def _apply_issue(self, fact: Issued) -> None:
        old = self._current.get(fact.kind)
        if old:
            replaced = fact.old_dies_s < old.expires_s
            self._lives[old.value] = _Life(fact.kind, min(old.expires_s, fact.old_dies_s), replaced)
        self._current[fact.kind] = fact
        self._lives[fact.value] = _Life(fact.kind, fact.expires_s)
        if fact.forced_at_s is not None:
            self._forced = [*self._forced[-FORCED_A_DAY:], fact.forced_at_s]
        _bound(self._lives)

    def _apply_expired_all(self, fact: ExpiredAll) -> None:
        for value, life in self._lives.items():
            self._lives[value] = _Life(life.kind, min(life.ends_s, fact.at_s), life.replaced)
        self._current.clear()

    def _apply_code(self, fact: CodeIssued) -> None:
        self._codes[fact.code] = fact
        _bound(self._codes)
        _bound(self._used)

    def _apply_grant(self, fact: Granted) -> None:
        self._grants[fact.access_token] = fact
        self._refresh[fact.refresh_token] = fact
        _bound(self._grants)
        _bound(self._refresh)


def _token() -> str:
    return f"simtoken{secrets.token_urlsafe(72)}"


def _bound(things: dict[str, Any]) -> None:
    """Remove the oldest half when there are too many."""
    if len(things) > KEPT:
        for key in list(islice(things, KEPT // 2)):
            del things[key]
