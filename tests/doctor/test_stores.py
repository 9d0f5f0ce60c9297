"""MongoDB and Redis: judged by what they say, and asked where they really run."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from pymongo.errors import ConfigurationError, OperationFailure, ServerSelectionTimeoutError
from redis.exceptions import AuthenticationError, ResponseError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeout

from doctor.checks import stores
from doctor.report import Status
from storage.embedded.servers import EmbeddedMongo, EmbeddedRedis, free_port
from storage.mongo import facts as mongo
from storage.mongo.facts import MongoFacts
from storage.redis import facts as redis
from storage.redis.facts import RedisFacts
from tests.doctor.site import NOW, Site
from tests.support.servers import running

OK, WARN, FAIL, SKIP = Status.OK, Status.WARN, Status.FAIL, Status.SKIP
GOOD = MongoFacts(version=(7, 0), set_name="rs0", members=3, local_time=NOW)
GOOD_REDIS = RedisFacts(version="7.2.4", policy="noeviction")

MONGO_FAULTS: dict[str, tuple[stores.MongoJudge, MongoFacts, Status, str]] = {
    "a secondary": (stores.judge_mongo, replace(GOOD, writable=False), FAIL, "not the primary"),
    "an ancient MongoDB": (stores.judge_version, replace(GOOD, version=(3, 6)), FAIL, "4.2 or later"),
    "an old MongoDB": (stores.judge_version, replace(GOOD, version=(5, 0)), WARN, "no longer maintained"),
    "a standalone": (stores.judge_replica_set, replace(GOOD, set_name="", members=0), WARN, "standalone"),
    "a replica set of one": (stores.judge_replica_set, replace(GOOD, members=1), WARN, "has only 1 members"),
    "a majority that is away": (
        stores.judge_write_concern,
        replace(GOOD, majority_error="waiting for replication timed out"),
        FAIL,
        "not acknowledged",
    ),
    "an address that reads from secondaries": (
        stores.judge_write_concern,
        replace(GOOD, overruled=mongo.find_overruled_options("mongodb://h/?readPreference=secondaryPreferred&w=1")),
        WARN,
        "readPreference, w in the address has no effect",
    ),
    "a user who may only read": (
        stores.judge_roles,
        replace(GOOD, missing_actions=("insert", "update")),
        FAIL,
        "missing permissions: insert, update",
    ),
    "an index that is missing": (
        stores.judge_indexes,
        replace(GOOD, missing_indexes=("order_documents.due",)),
        WARN,
        "order_documents.due",
    ),
    "orders of the old release": (stores.judge_old_release, replace(GOOD, old_release=True), FAIL, "0.1.0"),
}
REDIS_FAULTS: dict[str, tuple[stores.RedisJudge, RedisFacts, Status, str]] = {
    "a Redis that evicts": (
        stores.judge_eviction,
        replace(GOOD_REDIS, policy="allkeys-lru"),
        WARN,
        "locks and tokens are deleted",
    ),
    "a Redis that evicts what expires": (
        stores.judge_eviction,
        replace(GOOD_REDIS, policy="volatile-ttl", memory_limit=1 << 20),
        WARN,
        "volatile-ttl",
    ),
    "a Redis Cluster": (stores.judge_redis_mode, replace(GOOD_REDIS, mode="cluster"), FAIL, "not supported"),
    "a Sentinel": (stores.judge_redis_mode, replace(GOOD_REDIS, mode="sentinel"), FAIL, "not a data node"),
    "a replica": (stores.judge_redis_mode, replace(GOOD_REDIS, role="slave"), FAIL, "read-only replica"),
}


@pytest.mark.parametrize("name", MONGO_FAULTS)
def test_a_fault_of_mongodb_is_judged(name: str) -> None:
    judge, facts, status, says = MONGO_FAULTS[name]
    assert judge(GOOD, True).status in (OK, SKIP)
    judgement = judge(facts, True)
    assert judgement.status is status
    assert says in judgement.seen.en
    assert judgement.fix.en


@pytest.mark.parametrize("name", REDIS_FAULTS)
def test_a_fault_of_redis_is_judged(name: str) -> None:
    judge, facts, status, says = REDIS_FAULTS[name]
    assert judge(GOOD_REDIS, True).status is OK
    judgement = judge(facts, True)
    assert judgement.status is status
    assert says in judgement.seen.en
    assert judgement.fix.en


@pytest.mark.parametrize(("apart_s", "status"), [(1, OK), (30, WARN), (90, FAIL), (-90, FAIL)])
def test_two_clocks_that_differ(apart_s: int, status: Status) -> None:
    assert stores.judge_clocks(NOW + timedelta(seconds=apart_s), NOW).status is status


@pytest.mark.parametrize(
    ("url", "status"),
    [
        ("mongodb://127.0.0.1:27017/?replicaSet=rs0", OK),
        ("mongodb://user:word@10.0.0.5:27017", OK),
        ("mongodb://10.0.0.5:27017", WARN),
        ("mongodb://db.internal", WARN),
    ],
)
async def test_a_store_without_a_password_on_the_network(tmp_path: Path, url: str, status: Status) -> None:
    site = Site(tmp_path)
    site.set("mongo.url", url)
    judgement = await site.look("mongo.password")
    assert judgement.status is status


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (OperationFailure("Authentication failed.", 18), "refuses the user name or the password"),
        (OperationFailure("command requires authentication", 13), "wants a user name"),
        (ServerSelectionTimeoutError("db:27017: [Errno -2] Name or service not known"), "cannot be looked up"),
        (ServerSelectionTimeoutError('No replica set members match selector "Primary()"'), "replica set"),
        (ServerSelectionTimeoutError("db:27017: [SSL: CERTIFICATE_VERIFY_FAILED] self-signed"), "not trusted"),
        (ConfigurationError("Unknown option x, and more"), "not a usable address"),
    ],
)
def test_why_mongodb_does_not_answer_is_told_with_its_host_and_without_its_password(
    error: Exception, says: str
) -> None:
    text = mongo.describe_failure(error, "mongodb://user:word@db:27017/?replicaSet=rs0")  # type: ignore[arg-type]  # each is a PyMongoError
    assert text.en.startswith("db:27017")
    assert says in text.en
    assert "word" not in text.en.replace("password", "")


async def test_a_mongodb_and_a_redis_that_are_not_there(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.set("mongo.url", f"mongodb://127.0.0.1:{free_port()}")
    site.set("redis.url", f"redis://127.0.0.1:{free_port()}")
    for check in ("mongo.answers", "redis.answers"):
        judgement = await site.look(check)
        assert judgement.status is FAIL
        assert "refuses the connection" in judgement.seen.en
    assert (await site.look("mongo.version")).status is SKIP


async def test_servers_that_run_are_asked(tmp_path: Path) -> None:
    with (
        running(EmbeddedMongo(tmp_path / "mongo")) as mongo_server,
        running(EmbeddedRedis(tmp_path / "redis")) as server,
    ):
        seen = await mongo.read_facts(mongo_server.url, "fenpay")
        assert seen.trouble is None
        assert seen.version
        assert seen.majority_error == ""
        assert "order_documents.due" in seen.missing_indexes
        kept = await redis.read_facts(server.url)
        assert kept.trouble is None
        assert kept.role == "master"


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (AuthenticationError("WRONGPASS invalid username-password pair"), "refuses the password"),
        (ResponseError("NOAUTH Authentication required."), "or wants one"),
        (RedisConnectionError("Error -2 connecting to cache:6379. Name or service not known."), "cannot be looked up"),
        (RedisTimeout("Timeout reading from cache:6379"), "did not answer in time"),
    ],
)
def test_why_redis_does_not_answer_is_told_with_its_host(error: Exception, says: str) -> None:
    text = redis.describe_failure(error, "cache:6379")
    assert text.en.startswith("cache:6379")
    assert says in text.en
