"""Read facts about a MongoDB server, for ``doctor``. Nothing is written.

Source of the commands: https://www.mongodb.com/docs/manual/reference/command/ (hello, buildInfo, connectionStatus).
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from datetime import datetime
from urllib.parse import parse_qsl, urlsplit

from pymongo.errors import ConfigurationError, OperationFailure, PyMongoError, ServerSelectionTimeoutError

from storage.mongo.driver import DURABLE, Connection, connect
from storage.mongo.storage import INDEXES, OLD_ORDERS
from storage.stores import all as stores
from wechat.domain.errors import Bilingual, ConfigError

AUTHENTICATION_FAILED, UNAUTHORIZED = 18, 13
NEEDED_ACTIONS = ("find", "insert", "update", "remove", "createIndex", "listIndexes", "listCollections")
OVERRULED = ("readPreference", "w", "wtimeoutMS", "journal", "readConcernLevel")


@dataclass(frozen=True, slots=True)
class MongoFacts:
    """``trouble`` is the reason why there is no answer; all other fields are then empty. ``majority_error`` is why a
    durable write would not be acknowledged; ``missing_actions`` is None if the server does not check permissions."""

    trouble: Bilingual | None = None
    version: tuple[int, ...] = ()
    set_name: str = ""
    members: int = 0
    router: bool = False
    writable: bool = True
    local_time: datetime | None = None
    majority_error: str = ""
    missing_actions: tuple[str, ...] | None = None
    missing_indexes: tuple[str, ...] = ()
    old_release: bool = False
    overruled: tuple[str, ...] = field(default=())


async def read_facts(url: str, database: str) -> MongoFacts:
    """Query the MongoDB at ``url``. Never raises: a failure is in ``trouble``."""
    try:
        connection = connect(url, database)
    except ConfigError as error:
        return MongoFacts(trouble=error.problems[0])
    try:
        return await _ask(connection, url)
    except PyMongoError as error:
        return MongoFacts(trouble=describe_failure(error, url), overruled=find_overruled_options(url))
    finally:
        await connection.close()


def find_overruled_options(url: str) -> tuple[str, ...]:
    """Return options of ``url`` that the service overrules: it writes to a majority and reads from the primary."""
    given = {name.lower() for name, _ in parse_qsl(urlsplit(url).query, keep_blank_values=True)}
    return tuple(name for name in OVERRULED if name.lower() in given)


def describe_failure(error: PyMongoError, url: str) -> Bilingual:
    """Describe the host and its failure, without the user and password of the address."""
    hosts = urlsplit(url).netloc.rpartition("@")[2]
    if isinstance(error, OperationFailure):
        other = (f"返回错误码 {error.code}", f"answered with code {error.code}")
        zh, en = _CODES.get(error.code or 0, other)
        return Bilingual(f"{hosts} {zh}", f"{hosts} {en}")
    said = str(error)
    if isinstance(error, ConfigurationError):
        return Bilingual(f"{hosts}：地址无效（{_first(said)}）", f"{hosts}: not a usable address ({_first(said)})")
    for word, zh, en in _REASONS:
        if word in said:
            return Bilingual(f"{hosts} {zh}", f"{hosts} {en}")
    if isinstance(error, ServerSelectionTimeoutError):
        return Bilingual(f"{hosts} 没有按时应答", f"{hosts} did not answer in time")
    return Bilingual(f"{hosts}：{type(error).__name__}", f"{hosts}: {type(error).__name__}")


_CODES = {
    AUTHENTICATION_FAILED: ("拒绝了用户名或密码", "refuses the user name or the password"),
    UNAUTHORIZED: ("要求用户名和密码", "wants a user name and a password"),
}
_REASONS = (
    (
        "Connection refused",
        "拒绝连接：没有在运行，或端口不对",
        "refuses the connection: it does not run, or not on this port",
    ),
    ("Name or service not known", "查不到地址", "cannot be looked up"),
    ("nodename nor servname", "查不到地址", "cannot be looked up"),
    ("No address associated", "查不到地址", "cannot be looked up"),
    ("Temporary failure in name resolution", "查不到地址：DNS 不可用", "cannot be looked up: there is no DNS"),
    ("CERTIFICATE_VERIFY_FAILED", "的证书不受信任", "shows a certificate that is not trusted"),
    ("SSL handshake failed", "的 TLS 握手失败", "and this machine found no common TLS"),
    (
        "No replica set members",
        "不是地址里写的副本集（replicaSet）",
        "is not a member of the replica set that the address names (replicaSet)",
    ),
    (
        "client is configured to connect to a replica set named",
        "的副本集名称不同",
        "is of a replica set of another name",
    ),
    ("No primary available", "没有可写的主节点", "has no primary to write to"),
    ("timed out", "连接超时", "cannot be connected to in time"),
)


async def _ask(connection: Connection, url: str) -> MongoFacts:
    database = connection.database
    hello = await database.command("hello")
    build = await database.command("buildInfo")
    return MongoFacts(
        version=tuple(int(part) for part in str(build.get("version", "0")).split(".")[:2] if part.isdigit()),
        set_name=str(hello.get("setName", "")),
        members=len(hello.get("hosts", ())),
        router=hello.get("msg") == "isdbgrid",
        writable=bool(hello.get("isWritablePrimary", hello.get("ismaster", True))),
        local_time=hello.get("localTime"),
        majority_error=await _try_majority(connection),
        missing_actions=await _missing_actions(connection),
        missing_indexes=await _missing_indexes(connection),
        old_release=await _has_old_orders(connection),
        overruled=find_overruled_options(url),
    )


async def _try_majority(connection: Connection) -> str:
    """Return why a durable write would not be acknowledged; empty if it would. Deletes a document that does not
    exist."""
    nothing = {"q": {"_id": "doctor: no such document"}, "limit": 1}
    if stores.CLAIMS not in await connection.database.list_collection_names():
        return ""  # nothing was ever written here
    command = {"delete": stores.CLAIMS, "deletes": [nothing], "writeConcern": DURABLE.document | {"wtimeout": 2000}}
    try:
        reply = await connection.database.command(command)
    except OperationFailure as error:
        return f"code {error.code}"
    concern = reply.get("writeConcernError")
    return str(concern.get("errmsg", "?")) if concern else ""


async def _missing_actions(connection: Connection) -> tuple[str, ...] | None:
    """Return the actions of the service that the user may not do; None without users, or if the server cannot tell."""
    try:
        status = await connection.database.command({"connectionStatus": 1, "showPrivileges": True})
    except OperationFailure:
        return None
    about = status.get("authInfo", {})
    if not about.get("authenticatedUsers"):
        return None
    name = str(getattr(connection.database, "name", ""))
    allowed: set[str] = set()
    for privilege in about.get("authenticatedUserPrivileges", ()):
        resource = privilege.get("resource", {})
        everywhere = resource.get("db") in ("", name) and not resource.get("collection")
        if everywhere or resource.get("anyResource"):
            allowed |= set(privilege.get("actions", ()))
    return tuple(action for action in NEEDED_ACTIONS if action not in allowed)


async def _missing_indexes(connection: Connection) -> tuple[str, ...]:
    missing = []
    for name, indexes in INDEXES.items():
        present: object = ()
        with contextlib.suppress(OperationFailure):  # a collection that is not there yet has none
            present = await connection.database[name].index_information()
        missing += [f"{name}.{index.document['name']}" for index in indexes if index.document["name"] not in present]  # type: ignore[operator]  # a mapping or nothing
    return tuple(missing)


async def _has_old_orders(connection: Connection) -> bool:
    names = await connection.database.list_collection_names()
    return OLD_ORDERS in names and stores.ORDERS not in names


def _first(text: str) -> str:
    return text.partition(",")[0].partition("\n")[0][:80]
