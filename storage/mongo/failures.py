"""Describe why MongoDB gave no answer: the host, the reason, and the setting to check."""

from __future__ import annotations

import os
import re
import time
from urllib.parse import urlsplit

import structlog
from pymongo.errors import OperationFailure, PyMongoError

from wechat.domain.errors import Bilingual

AUTHENTICATION = frozenset({18, 8000})
NOT_ALLOWED = 13
AGAIN_S = 600.0
"""Pause before the same reason is logged again."""
_HOST = re.compile(r"([A-Za-z0-9_.\-]+:\d{1,5})")
_ERRNO = re.compile(r"\[Errno (\d+)\]")
_REASON = re.compile(
    r"timed out|connection closed|certificate verify failed|nodename nor servname|Name or service not known"
)

log = structlog.get_logger("storage")


def describe(error: PyMongoError, hosts: str = "") -> Bilingual:
    """Return a sentence about ``error``, which names one of the ``hosts`` or all, without user and password."""
    text = str(error)
    if isinstance(error, OperationFailure) and error.code in AUTHENTICATION:
        return Bilingual(
            "MongoDB 拒绝了用户名或密码；请核对 mongo.url（特殊字符要百分号转义）与 authSource",
            "MongoDB refused the user name or password; check mongo.url (percent-encode special characters) and "
            "authSource",
        )
    if isinstance(error, OperationFailure) and error.code == NOT_ALLOWED:
        return Bilingual(
            "MongoDB 用户没有这个数据库的 readWrite 权限", "the MongoDB user has no readWrite role on the database"
        )
    if isinstance(error, OperationFailure) and not error.timeout:
        return Bilingual(
            f"MongoDB 拒绝了操作（错误码 {error.code}）", f"MongoDB refused the operation (code {error.code})"
        )
    host = _HOST.search(text)
    where = f" {host[1] if host else hosts}".rstrip()
    if "replica set" in text.lower():
        return Bilingual(
            f"MongoDB{where} 不属于 mongo.url 里 replicaSet 指定的副本集；请核对副本集名称，单机请去掉 replicaSet",
            f"MongoDB{where} is no member of the replica set that mongo.url names; check replicaSet, and leave it out "
            "for a standalone server",
        )
    number, found = _ERRNO.search(text), _REASON.search(text)
    reason = os.strerror(int(number[1])) if number else found[0] if found else type(error).__name__
    return Bilingual(f"MongoDB{where} 没有应答（{reason}）", f"MongoDB{where} does not answer ({reason})")


class FailureLog:
    """Log why a database does not answer: each reason once, then rarely."""

    def __init__(self) -> None:
        self._logged: dict[str, float] = {}
        self._hosts = ""

    def connect(self, url: str) -> None:
        """Set the hosts of the address in use."""
        self._hosts = urlsplit(url).netloc.rpartition("@")[2]

    def report(self, error: PyMongoError) -> Bilingual:
        """Return the sentence about ``error``; log it unless it was logged recently."""
        text = describe(error, self._hosts)
        now = time.monotonic()
        if now - self._logged.get(text.en, -AGAIN_S) >= AGAIN_S:
            self._logged = {known: at for known, at in self._logged.items() if now - at < AGAIN_S} | {text.en: now}
            log.error("store_unavailable", error=text.en)
        return text


FAILURES = FailureLog()
"""The log of this process."""
