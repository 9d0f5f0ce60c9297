"""``manage.py demo`` as a user starts and stops it."""

from __future__ import annotations

import os
import random
import re
import signal
import socket
import stat
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.demo import ROOT, Demo, demo

START_S = 60


@pytest.fixture(scope="module")
def var(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data folder of one install, which the tests of this module start one after another."""
    return tmp_path_factory.mktemp("install") / "var"


@pytest.mark.alone
def test_a_second_start_keeps_the_key_and_the_orders_and_takes_seconds(var: Path) -> None:
    sale = {"description": "扫码", "total": 1, "trade_type": "NATIVE"}
    with demo(var) as first:
        key, number = first.told["api_key"], first.call("/api/orders", sale)["out_trade_no"]
        assert stat.S_IMODE((var / "demo.json").stat().st_mode) == 0o600
        assert stat.S_IMODE((var / "demo.yml").stat().st_mode) == 0o600
        assert first.end(signal.SIGINT) == 0
    started = time.monotonic()
    with demo(var, FENPAY_PAY__API="v2") as second:
        assert time.monotonic() - started < 10  # 3 s on an idle machine
        assert second.told["api_key"] == key
        assert second.call(f"/api/orders/{number}")["trade_state"] == "NOTPAY"
        assert second.call("/api/orders", sale)["api"] == "v2"
        assert second.end(signal.SIGTERM) == 0


def test_a_killed_demo_leaves_no_process(var: Path) -> None:
    with demo(var) as killed:
        assert len(killed.children) >= 4
        assert killed.end(signal.SIGKILL) == -signal.SIGKILL


def test_a_taken_port_moves_on_and_says_so(var: Path) -> None:
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        running = Demo(var, PORT=str(port))
        assert f"{port} is taken" in running.printed
        assert running.told["base_url"] != f"http://127.0.0.1:{port}"
        assert running.end(signal.SIGTERM) == 0


def test_e14_two_demos_started_together_run_side_by_side(tmp_path: Path) -> None:
    """Each looks for free ports while the other one is looking, too."""
    port = random.randrange(20000, 30000, 100)  # below the ephemeral range, out of which others take ports meanwhile
    wanted = {"PORT": str(port), "SIMULATOR_PORT": str(port + 50)}
    with ThreadPoolExecutor() as pool:
        first, second = pool.map(lambda name: Demo(tmp_path / name, **wanted), ("one", "two"))
    try:
        addresses = [address for demo in (first, second) for address in addresses_of(demo)]
        assert len(set(addresses)) == 4
        ports = [int(address.rpartition(":")[2]) for address in addresses]
        assert set(map(int, wanted.values())) <= set(ports)
        late = next(demo for demo in (first, second) if f"port {wanted['SIMULATOR_PORT']} is taken" in demo.printed)
        assert "微信模拟器" in late.printed
    finally:
        assert [running.end(signal.SIGTERM) for running in (first, second)] == [0, 0]


def addresses_of(demo: Demo) -> list[str]:
    """The addresses of the demo's service and simulator."""
    found = re.search(r"simulator\s+(http://127\.0\.0\.1:\d+)/simulator/", demo.printed)
    assert found
    return [demo.told["base_url"], found[1]]


@pytest.mark.parametrize("name", ["PORT", "SIMULATOR_PORT"])
@pytest.mark.parametrize("value", ["abc", "0", "65536", "-1", "8888.0"])
def test_e14_a_port_that_is_none_is_a_sentence(tmp_path: Path, name: str, value: str) -> None:
    command = [sys.executable, "manage.py", "demo", "--var", str(tmp_path / "var")]
    ended = subprocess.run(
        command, cwd=ROOT, env=os.environ | {name: value}, capture_output=True, text=True, check=False, timeout=30
    )
    assert (ended.returncode, "Traceback" in ended.stderr) == (1, False)
    assert f"{name} is a port from 1 to 65535" in ended.stderr


def test_a_child_that_dies_ends_the_demo_with_its_name(var: Path) -> None:
    with demo(var) as running:
        [service] = [child for child in running.children if child.cmdline()[1:2] == ["server.py"]]
        service.kill()
        assert running.process.stdout is not None
        printed = running.process.stdout.read()
        assert running.process.wait(20) == 1
        assert "service" in printed
        assert "service.log" in printed


def test_a_second_demo_in_one_directory_is_refused(var: Path) -> None:
    with demo(var) as running:
        other = subprocess.run(
            [sys.executable, "manage.py", "demo", "--var", var], cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert other.returncode == 1
        assert "already running" in other.stderr
        assert running.end(signal.SIGTERM) == 0
