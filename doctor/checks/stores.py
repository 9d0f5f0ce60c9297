"""MongoDB and Redis: whether they answer, keep what they acknowledge, and allow what the service does."""

from __future__ import annotations

import ipaddress
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from doctor.check import Check, Part
from doctor.report import Judgement, fail, ok, paste, skip, warn
from doctor.subject import Subject
from service.settings.values import EMBEDDED, MEMORY
from storage.mongo import facts as mongo
from storage.mongo.facts import MongoFacts
from storage.redis import facts as redis
from storage.redis.facts import RedisFacts
from wechat.domain.errors import Bilingual

OLDEST, OLDEST_MAINTAINED = (4, 2), (7, 0)
CLOCKS_APART = timedelta(seconds=2)
CLOCKS_FAR_APART = timedelta(minutes=1)
LEAST_MEMBERS = 3

MongoJudge = Callable[[MongoFacts, bool], Judgement]
RedisJudge = Callable[[RedisFacts, bool], Judgement]


def judge_mongo(facts: MongoFacts, production: bool) -> Judgement:
    if facts.trouble:
        fix = paste("mongosh \"$MONGO_URL\" --eval 'db.hello()'")
        return fail(facts.trouble.zh, facts.trouble.en, fix)
    if not facts.writable:
        return fail("连到的不是主节点", "this is not the primary", paste("mongosh --eval 'rs.status()'"))
    return ok("有应答", "it responds")


def judge_version(facts: MongoFacts, production: bool) -> Judgement:
    shown = ".".join(map(str, facts.version))
    fix = paste("https://www.mongodb.com/docs/manual/release-notes/")
    if facts.version < OLDEST:
        return fail(f"{shown}，驱动要求 4.2 或更新", f"{shown}; the driver needs 4.2 or later", fix)
    if facts.version < OLDEST_MAINTAINED and production:
        return warn(f"{shown}，已停止维护", f"{shown}, which is no longer maintained", fix)
    return ok(shown, shown)


def judge_replica_set(facts: MongoFacts, production: bool) -> Judgement:
    if facts.router:
        return ok("分片集群", "a sharded cluster")
    fix = paste("mongosh --eval 'rs.initiate()'   # replication: {replSetName: rs0} in mongod.conf")
    if not facts.set_name:
        text = (
            "单机，没有副本；机器坏了订单就没了",
            "a standalone server without a replica: if the machine fails, the orders are lost",
        )
        return warn(*text, fix) if production else ok("单机", "a standalone server")
    if facts.members < LEAST_MEMBERS and production:
        more = paste("mongosh --eval 'rs.add(\"host:27017\")'")
        return warn(
            f"副本集 {facts.set_name} 只有 {facts.members} 个成员",
            f"the replica set {facts.set_name} has only {facts.members} members",
            more,
        )
    return ok(f"{facts.set_name}，{facts.members} 个成员", f"{facts.set_name}, {facts.members} members")


def judge_write_concern(facts: MongoFacts, production: bool) -> Judgement:
    """Confirm that every write waits for a majority and the journal, whatever the address says."""
    if facts.majority_error:
        return fail(
            f"多数派写入没有确认：{facts.majority_error}",
            f"a write to the majority is not acknowledged: {facts.majority_error}",
            paste("mongosh --eval 'rs.status().members'"),
        )
    if facts.overruled:
        names = ", ".join(facts.overruled)
        return warn(
            f"地址里的 {names} 不起作用：总是写多数派、读主节点",
            f"{names} in the address has no effect: Fenpay always writes to a majority and reads from the primary",
            Bilingual(f"从 mongo.url 删去 {names}", f"remove {names} from mongo.url"),
        )
    return ok("多数派并落盘", "majority and journal")


def judge_roles(facts: MongoFacts, production: bool) -> Judgement:
    if facts.missing_actions is None:
        return skip("没有启用用户", "no user is configured")
    if facts.missing_actions:
        names = ", ".join(facts.missing_actions)
        fix = paste('mongosh admin --eval \'db.grantRolesToUser("fenpay", [{role: "readWrite", db: "fenpay"}])\'')
        return fail(f"缺少权限：{names}", f"missing permissions: {names}", fix)
    return ok("权限足够", "the user has all permissions that are needed")


def judge_indexes(facts: MongoFacts, production: bool) -> Judgement:
    """Warn about missing indexes. Never fails: the service creates those of small collections, and refuses POST
    requests until ``manage.py indexes`` has created the others."""
    if facts.missing_indexes:
        names = ", ".join(facts.missing_indexes[:5])
        more = Bilingual(
            "运行 manage.py indexes；数据少的集合，服务启动时也会自动建立",
            "run manage.py indexes; for small collections, the service creates them when it starts",
        )
        return warn(
            f"缺 {len(facts.missing_indexes)} 个：{names}", f"{len(facts.missing_indexes)} are missing: {names}", more
        )
    return ok("齐全", "all exist")


def judge_old_release(facts: MongoFacts, production: bool) -> Judgement:
    if facts.old_release:
        fix = paste("supervisorctl stop fenpay:* && .venv/bin/python manage.py migrate --settings …")
        return fail("里面是 0.1.0 的订单", "it contains orders of release 0.1.0", fix)
    return ok("没有旧版数据", "no data of an old release")


def judge_clocks(remote: datetime | None, local: datetime) -> Judgement:
    """Compare two machines' clocks; if they differ, one of them is wrong."""
    if remote is None:
        return skip("数据库没有说明", "the database does not report it")
    remote = remote.replace(tzinfo=local.tzinfo) if remote.tzinfo is None else remote
    apart = abs(local - remote)
    zh, en = f"与数据库相差 {apart.total_seconds():.0f} 秒", f"{apart.total_seconds():.0f} s from the database's clock"
    fix = paste("timedatectl status && chronyc tracking")
    if apart >= CLOCKS_FAR_APART:
        return fail(zh, en, fix)
    return warn(zh, en, fix) if apart > CLOCKS_APART else ok(zh, en)


def judge_redis(facts: RedisFacts, production: bool) -> Judgement:
    if facts.trouble:
        text = Bilingual('redis-cli -u "$REDIS_URL" ping', 'redis-cli -u "$REDIS_URL" ping')
        return fail(facts.trouble.zh, facts.trouble.en, text)
    return ok(f"有应答，版本 {facts.version}", f"it responds, version {facts.version}")


def judge_eviction(facts: RedisFacts, production: bool) -> Judgement:
    """Check that locks, tokens and OAuth states cannot be evicted before they expire."""
    if not facts.policy:
        return skip("不允许查看", "not allowed to read it")
    if facts.policy.startswith("allkeys") or (facts.policy.startswith("volatile") and facts.memory_limit):
        return warn(
            f"maxmemory-policy 是 {facts.policy}：内存不够时会删掉锁和令牌",
            f"maxmemory-policy is {facts.policy}: when memory is low, locks and tokens are deleted",
            paste("redis-cli config set maxmemory-policy noeviction && redis-cli config rewrite"),
        )
    return ok(facts.policy, facts.policy)


def judge_redis_mode(facts: RedisFacts, production: bool) -> Judgement:
    """Check the mode: the service uses one server; behind Sentinel it needs the address of the current master."""
    if facts.mode == "cluster":
        fix = Bilingual("redis.url 换成单机或主从的地址", "set redis.url to a server without cluster mode")
        return fail("这是 Redis Cluster，不支持", "this is a Redis Cluster, which is not supported", fix)
    if facts.mode == "sentinel":
        fix = paste("redis-cli -p 26379 sentinel get-master-addr-by-name mymaster")
        return fail("这是 Sentinel，不是数据节点", "this is a Sentinel, not a data node", fix)
    if facts.role != "master":
        return fail("这是只读的从节点", "this is a read-only replica", paste("redis-cli info replication"))
    return ok("单机或主节点", "a single server or the master")


def judge_exposure(host: str, protected: bool, name: str) -> Judgement:
    """Check that a store without a password is on this machine only."""
    if protected:
        return ok("有密码", "with a password")
    if host in ("localhost", "") or _is_loopback(host):
        return ok("只在本机", "on this machine only")
    return warn(
        f"{host} 上的 {name} 没有密码",
        f"{name} on {host} has no password",
        Bilingual(
            f"给 {name} 设置用户和密码，或只监听内网",
            f"give {name} a user and a password, or listen only on your internal network",
        ),
    )


def check_mongo_exposure(subject: Subject) -> Judgement:
    return _exposure(subject.text("mongo.url"), "MongoDB")


def check_redis_exposure(subject: Subject) -> Judgement:
    return _exposure(subject.text("redis.url"), "Redis")


async def check_clocks(subject: Subject) -> Judgement:
    if early := _demo(subject.text("mongo.url")):
        return early
    facts = await _ask_mongo(subject)
    return judge_clocks(facts.local_time, subject.machine.now)


def _mongo(judge: MongoJudge) -> Callable[[Subject], Awaitable[Judgement]]:
    async def look(subject: Subject) -> Judgement:
        if early := _demo(subject.text("mongo.url")):
            return early
        facts = await _ask_mongo(subject)
        if facts.trouble and judge is not judge_mongo:
            return skip("MongoDB 没有应答", "MongoDB does not answer")
        return judge(facts, subject.production)

    return look


def _redis(judge: RedisJudge) -> Callable[[Subject], Awaitable[Judgement]]:
    async def look(subject: Subject) -> Judgement:
        if early := _demo(subject.text("redis.url")):
            return early
        facts = await subject.once("redis", lambda: redis.read_facts(subject.text("redis.url")))
        if facts.trouble and judge is not judge_redis:
            return skip("Redis 没有应答", "Redis does not answer")
        return judge(facts, subject.production)

    return look


async def _ask_mongo(subject: Subject) -> MongoFacts:
    url, database = subject.text("mongo.url"), subject.text("mongo.database") or "fenpay"
    return await subject.once("mongo", lambda: mongo.read_facts(url, database))


def _demo(url: str) -> Judgement | None:
    if url in ("", EMBEDDED, MEMORY):
        return skip("演示自带的", "bundled with the demo")
    return None


def _exposure(url: str, name: str) -> Judgement:
    if early := _demo(url):
        return early
    netloc = urlsplit(url).netloc
    host = netloc.rpartition("@")[2].partition(",")[0].rpartition(":")[0] or netloc.rpartition("@")[2]
    return judge_exposure(host.strip("[]"), "@" in netloc, name)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _row(check_id: str, zh: str, en: str, look: Callable[[Subject], object]) -> Check:
    return Check(check_id, Bilingual(zh, en), look, Part.STORES, bare=True)  # type: ignore[arg-type]  # judgements, now or awaited


CHECKS = (
    _row(
        "mongo.answers",
        "订单都在里面；连不上就不能收款",
        "orders are stored there; without it, payments are not possible",
        _mongo(judge_mongo),
    ),
    _row(
        "mongo.version",
        "停止维护的版本没有安全更新",
        "an unmaintained version gets no security updates",
        _mongo(judge_version),
    ),
    _row(
        "mongo.replica_set",
        "没有副本就没有第二份订单",
        "without replicas, there is no second copy of the orders",
        _mongo(judge_replica_set),
    ),
    _row(
        "mongo.write_concern",
        "没有多数派确认的付款会在切换主节点时丢失",
        "a payment that is not confirmed by a majority is lost when the primary changes",
        _mongo(judge_write_concern),
    ),
    _row(
        "mongo.roles", "少一项权限就有一种写入失败", "with a missing permission, some writes fail", _mongo(judge_roles)
    ),
    _row(
        "mongo.indexes",
        "没有索引的查询会读完整个集合",
        "without an index, a query reads the whole collection",
        _mongo(judge_indexes),
    ),
    _row(
        "mongo.old_release",
        "旧版订单要先迁移",
        "orders of an old release must be migrated first",
        _mongo(judge_old_release),
    ),
    _row("mongo.password", "能连上的人就能改订单", "anyone who can connect can change orders", check_mongo_exposure),
    _row("mongo.clock", "两台机器的时间不同，必有一台错", "if two clocks differ, one of them is wrong", check_clocks),
    _row(
        "redis.answers",
        "多个进程靠它共用 access_token",
        "processes use it to share the access_token",
        _redis(judge_redis),
    ),
    _row(
        "redis.eviction",
        "锁被删掉，两个进程会同时刷新令牌",
        "if a lock is deleted, two processes refresh a token at the same time",
        _redis(judge_eviction),
    ),
    _row(
        "redis.mode",
        "只读或分片的节点写不进去",
        "a replica or a cluster node does not accept writes",
        _redis(judge_redis_mode),
    ),
    _row("redis.password", "里面有 access_token", "it contains the access_token", check_redis_exposure),
)
