"""The processes of a benchmark: stores, simulator, service, floor and, for each turn, a load generator."""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import socket
import subprocess
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.request import Request, urlopen

import psutil
import yaml

from bench.platform import Platform
from bench.work import Requests
from storage.embedded import EmbeddedMongo, EmbeddedRedis
from storage.lifeline import Process

ROOT = Path(__file__).parent.parent


@dataclass(frozen=True, slots=True)
class Turn:
    """What one run of the load generator saw, and what CPU it cost."""

    count: int
    failed: int
    seconds: float
    p50_ms: float
    p99_ms: float
    cpu_s: float
    simulator_cpu_s: float


@dataclass(frozen=True, slots=True)
class Target:
    """Something that takes load."""

    url: str
    process: Process


class Stack:
    """Started on entry, stopped on exit; everything on loopback and in ``directory``."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._stack = ExitStack()
        self.platform = Platform()
        self.api_key = secrets.token_urlsafe(24)

    def __enter__(self) -> Self:
        mongo, redis = EmbeddedMongo(self._directory / "mongo"), EmbeddedRedis(self._directory / "redis")
        for server in (mongo, redis):
            server.start()
            self._stack.callback(server.stop)
        self._mongo_url, self._redis_url = mongo.url, redis.url
        self.simulator = self._simulator()
        self.keys: Mapping[str, Any] = json.load(urlopen(f"{self.simulator.url}/simulator/credentials"))  # noqa: S310
        self._port = _free_port()
        self.base_url = f"http://127.0.0.1:{self._port}"
        self.floor = self._floor()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def start_service(self) -> None:
        """The service as the simulator's merchant."""
        self._write_settings(self.keys["public_key_pem"], self.keys["public_key_id"])
        self.service = self._serve()

    def restart_service_with_our_platform_key(self) -> None:
        """The same, believing our own platform key, so that v3 notifications can be made here."""
        self.service.process.stop()
        self._write_settings(self.platform.public_pem, self.platform.key_id)
        self.service = self._serve()

    def drive(self, target: Target, requests: Requests) -> Turn:
        """Send ``requests``; those not answered with success are counted."""
        if not requests:
            return Turn(0, 0, 0, 0, 0, 0, 0)
        file = self._directory / "requests"
        file.write_text("\n".join(json.dumps(self._with_payer(request)) for request in requests))
        watched = [psutil.Process(p.process.pid) for p in (target, self.simulator)]
        before = [_cpu_s(process) for process in watched]
        done = subprocess.run(
            [sys.executable, "-m", "bench.load", str(file), "--url", target.url],
            cwd=ROOT,
            check=True,
            capture_output=True,
            timeout=300,
        )
        spent = [_cpu_s(process) - start for process, start in zip(watched, before, strict=True)]
        seen = json.loads(done.stdout)
        failed = sum(count for status, count in seen["statuses"].items() if status not in ("200", "201"))
        return Turn(seen["count"], failed, seen["seconds"], seen["p50_ms"], seen["p99_ms"], *spent)

    def resident_mb(self) -> float:
        return float(psutil.Process(self.service.process.pid).memory_info().rss) / 2**20

    def unpaid(self, count: int) -> list[dict[str, Any]]:
        """Orders of this run that wait for a payment, read page by page from the service itself."""
        found: list[dict[str, Any]] = []
        cursor = ""
        while len(found) < count:
            page = self._get(f"/api/orders?trade_state=NOTPAY&limit=100&cursor={cursor}")
            found += page["orders"]
            cursor = page["next_cursor"] or ""
        return found[:count]

    def _with_payer(self, request: dict[str, Any]) -> dict[str, Any]:
        user = self.keys["users"][0]["openid"]
        return request | {"body": request["body"].replace('"openid": ""', f'"openid": "{user}"')}

    def _get(self, path: str) -> dict[str, Any]:
        request = Request(self.base_url + path, headers={"Authorization": f"Bearer {self.api_key}"})  # noqa: S310
        page: dict[str, Any] = json.load(urlopen(request))  # noqa: S310
        return page

    def _spawn(self, name: str, *arguments: str) -> Process:
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        process = Process(name, [sys.executable, *arguments], self._directory / f"{name}.log", env=environment)
        self._stack.callback(process.stop)
        return process

    def _simulator(self) -> Target:
        state = str(self._directory / "simulator")
        process = self._spawn("simulator", "-m", "simulator", "--port", "0", "--state", state)
        return Target(process.wait_for(re.compile(r"listening on (http://\S+)"), 20)[1], process)

    def _floor(self) -> Target:
        port = _free_port()
        upstream = f"{self.simulator.url}/pay/unifiedorder"
        process = self._spawn(
            "floor", "-m", "bench.floor", "--port", str(port), "--mongo", self._mongo_url, "--upstream", upstream
        )
        process.wait_for(re.compile("floor listening"), 20)
        return Target(f"http://127.0.0.1:{port}", process)

    def _serve(self) -> Target:
        process = self._spawn("service", str(ROOT / "server.py"), "--settings", str(self._directory / "bench.yml"))
        process.wait_for(re.compile("listening"), 20)
        return Target(self.base_url, process)

    def _write_settings(self, public_key: str, public_key_id: str) -> None:
        keys = self.keys
        values = {
            "extends": str(ROOT / "settings.yml"),
            "simulator_url": self.simulator.url,
            "http": {"port": self._port, "public_base_url": self.base_url},
            "session": {"secret": secrets.token_hex(32)},
            "account": {
                "appid": keys["appid"],
                "appsecret": keys["appsecret"],
                "api_url": self.simulator.url,
                "open_url": self.simulator.url,
                "js_url": f"{self.simulator.url}/open/js/jweixin-1.6.0.js",
            },
            "pay": {
                "mchid": keys["mchid"],
                "base_urls": [self.simulator.url],
                "v2": {"key": keys["api_v2_key"]},
                "v3": {
                    "key": keys["api_v3_key"],
                    "merchant_key": keys["merchant_private_key_pem"],
                    "merchant_cert": keys["merchant_cert_pem"],
                    "public_key": public_key,
                    "public_key_id": public_key_id,
                },
            },
            "mongo": {"url": self._mongo_url},
            "redis": {"url": self._redis_url},
            "merchants": [{"name": "bench", "sha256": hashlib.sha256(self.api_key.encode()).hexdigest()}],
        }
        (self._directory / "bench.yml").write_text(yaml.safe_dump(values, allow_unicode=True))


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
