"""The processes of a benchmark: stores, simulator, services, baseline and, for each turn, a load generator."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import secrets
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.request import Request, urlopen

import psutil
import yaml

from bench.processes.platform import Platform
from bench.work import Requests
from scripts.overlay import overlay
from scripts.steps import ROOT
from simulator.state.pki import load_key
from storage.embedded.child_process import Process
from storage.embedded.servers import EmbeddedMongo, EmbeddedRedis, free_port

LOAD = (sys.executable, "-m", "bench.processes.load")
LOAD_S = 240.0
CLIENTS = 32
START_S = 60.0
REST_S = 5.0
REST_STEP_S = 0.2
QUIET = 0.06  # of a core: little more than the resolution of CPU times


@dataclass(frozen=True, slots=True)
class Turn:
    """The results of one run of the load generator, with the CPU of the servers."""

    count: int
    failed: int
    seconds: float
    p50_ms: float
    p99_ms: float
    cpu_s: float
    simulator_cpu_s: float
    answers: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Target:
    """A server under load."""

    url: str
    process: Process
    start_s: float = 0.0
    """Seconds from the start until the server listened, if measured."""

    def cpu_s(self) -> float:
        """Return the CPU seconds of the process and its children, such as a server's workers."""
        process = psutil.Process(self.process.pid)
        return sum(cpu_s(each.pid) for each in (process, *process.children(recursive=True)))

    def rest(self, at_least_s: float = 0.0) -> None:
        """Wait for ``at_least_s``, then until the server is idle, a few seconds more at most."""
        time.sleep(at_least_s)
        deadline, spent = time.monotonic() + REST_S, 1.0
        while spent > QUIET and time.monotonic() < deadline:
            before = self.cpu_s()
            time.sleep(REST_STEP_S)
            spent = (self.cpu_s() - before) / REST_STEP_S


class Stack:
    """Redis and the simulator, running from entry to exit, and the processes started beside them; on loopback, in
    ``directory``."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._stack = ExitStack()
        self.api_key = secrets.token_urlsafe(24)

    def __enter__(self) -> Self:
        redis = EmbeddedRedis(self._directory / "redis")
        redis.start()
        self._stack.callback(redis.stop)
        self._redis_url = redis.url
        self.simulator = self._simulator()
        self.keys: Mapping[str, Any] = self.control("credentials")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def mongo(self, name: str = "mongo") -> EmbeddedMongo:
        """Start a new database."""
        mongo = EmbeddedMongo(self._directory / name)
        mongo.start()
        self._stack.callback(mongo.stop)
        return mongo

    def service(
        self,
        mongo_url: str,
        *,
        name: str = "service",
        port: int = 0,
        platform: Platform | None = None,
        webhooks: Sequence[str] = (),
        driver: str = "motor",
        calls: bool = True,
        login_token: str = "",
        counts: str = "",
    ) -> Target:
        """Start a service as the simulator's merchant; it accepts signatures of ``platform`` if given. ``calls``:
        whether it records its calls. ``login_token`` logs in to the console, once. ``counts``: the file to which it
        writes how often its functions were called, if any."""
        url = f"http://127.0.0.1:{port or free_port()}"
        credentials = {**self.keys, **(platform.credentials if platform else {})}
        settings = overlay(url, self.simulator.url, credentials) | {
            "session": {"secret": secrets.token_hex(32)},
            "books": {"directory": str(self._directory / name / "bills")},
            "mongo": {"url": mongo_url, "driver": driver},
            "redis": {"url": self._redis_url},
            "calls": {"enabled": calls},
            "console": {"demo_login_sha256": hashlib.sha256(login_token.encode()).hexdigest() if login_token else ""},
            "webhooks": [_webhook(number, webhook) for number, webhook in enumerate(webhooks)],
            "merchants": [{"name": "bench", "sha256": hashlib.sha256(self.api_key.encode()).hexdigest()}],
        }
        file = self._directory / f"{name}.yml"
        file.write_text(yaml.safe_dump(settings, allow_unicode=True))
        started = time.monotonic()
        program = ["-m", "bench.processes.profiled", counts] if counts else [str(ROOT / "server.py")]
        process = self._spawn(name, *program, "--settings", str(file))
        process.wait_for(re.compile("listening"), START_S)
        return Target(url, process, time.monotonic() - started)

    def platform(self) -> Platform:
        """Return the simulator's own key, which merchants with its credentials accept."""
        key = load_key(self._directory / "simulator", "public_key")
        return Platform(key, str(self.keys["public_key_id"]))

    def baseline(self, mongo_url: str) -> Target:
        port = free_port()
        at = ("--port", str(port), "--mongo", mongo_url, "--simulator", self.simulator.url)
        process = self._spawn("floor", "-m", "bench.processes.baseline", *at)
        process.wait_for(re.compile("floor listening"), START_S)
        return Target(f"http://127.0.0.1:{port}", process)

    def spawn(self, name: str, argv: Sequence[str], env: Mapping[str, str], cwd: Path | None = None) -> Process:
        """Start a process that ends with the stack; ``env`` extends the current environment."""
        process = Process(name, argv, self._directory / f"{name}.log", env=os.environ | dict(env), cwd=cwd)
        self._stack.callback(process.stop)
        return process

    def drive(
        self,
        target: Target,
        requests: Requests,
        *,
        clients: int = CLIENTS,
        keep_answers: bool = False,
        seconds: float = LOAD_S,
    ) -> Turn:
        """Send ``requests``, for ``seconds`` at most; count the unsuccessful answers.

        ``keep_answers`` keeps the bodies of successful answers.
        """
        if not requests:
            return Turn(0, 0, 0, 0, 0, 0, 0)
        file = self._directory / "requests"
        file.write_text("\n".join(json.dumps(self._with_payer(request)) for request in requests))
        before = (target.cpu_s(), self.simulator.cpu_s())
        how = ("--clients", str(clients), "--seconds", str(seconds), *(["--answers"] * keep_answers))
        done = subprocess.run(
            [*LOAD, str(file), "--url", target.url, *how],
            cwd=ROOT,
            check=True,
            capture_output=True,
            timeout=300,
        )
        spent = (target.cpu_s() - before[0], self.simulator.cpu_s() - before[1])
        seen = json.loads(done.stdout)
        failed = sum(count for status, count in seen["statuses"].items() if status not in ("200", "201", "202"))
        return Turn(seen["count"], failed, seen["seconds"], seen["p50_ms"], seen["p99_ms"], *spent, seen["answers"])

    def ask(self, service: Target, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Call ``service``'s merchant API: POST with a body, GET without."""
        return _json(service.url + path, body, {"Authorization": f"Bearer {self.api_key}"})

    def control(self, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Call the simulator's ``/simulator/``: POST with a body, GET without."""
        return _json(f"{self.simulator.url}/simulator/{path}", body, {})

    def unpaid(self, service: Target, count: int) -> list[dict[str, Any]]:
        """Return the newest unpaid orders, read page by page from the service itself; at most ``count``."""
        found: list[dict[str, Any]] = []
        cursor: str | None = ""
        while len(found) < count and cursor is not None:
            page = self.ask(service, f"/api/orders?trade_state=NOTPAY&limit=100&cursor={cursor}")
            found += page["orders"]
            cursor = page["next_cursor"]
        return found[:count]

    def _with_payer(self, request: dict[str, Any]) -> dict[str, Any]:
        user = self.keys["users"][0]["openid"]
        return request | {"body": request["body"].replace('"openid": ""', f'"openid": "{user}"')}

    def _spawn(self, name: str, *arguments: str) -> Process:
        return self.spawn(name, [sys.executable, *arguments], {"PYTHONPATH": str(ROOT)})

    def _simulator(self) -> Target:
        state = str(self._directory / "simulator")
        process = self._spawn("simulator", "-m", "simulator", "--port", "0", "--state", state)
        return Target(process.wait_for(re.compile(r"listening on (http://\S+)"), START_S)[1], process)


def cpu_s(pid: int) -> float:
    """Return the CPU seconds that a process has used so far."""
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


def _webhook(number: int, url: str) -> dict[str, Any]:
    key = base64.b64encode(secrets.token_bytes(32)).decode()
    return {"name": f"receiver{number}", "url": url, "secrets": [f"whsec_{key}"], "allow_private": True}


def _json(url: str, body: Mapping[str, Any] | None, headers: Mapping[str, str]) -> dict[str, Any]:
    data = None if body is None else json.dumps(body).encode()
    request = Request(url, data, {"Content-Type": "application/json", **headers})  # noqa: S310
    answer: dict[str, Any] = json.load(urlopen(request))  # noqa: S310
    return answer
