"""Start the service as production does, ``server.py --settings FILE`` in a process of its own."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from scripts.overlay import overlay as in_front_of
from storage.embedded.child_process import Process

ROOT = Path(__file__).resolve().parents[2]
API_KEY = "test-api-key-of-a-merchants-system"
SESSION_SECRET = "test-session-secret-0123456789-0123456789"
LISTENING = re.compile(r'"event":"listening"')


def overlay(
    port: int, simulator_url: str, credentials: Mapping[str, Any], mongo: str, redis: str, directory: Path
) -> dict[str, Any]:
    """Return the settings of a service with both APIs, for a simulator and two stores."""
    settings = in_front_of(f"http://127.0.0.1:{port}", simulator_url, credentials)
    settings["http"]["verify_files"] = str(directory / "verify")
    return settings | {
        "session": {"secret": SESSION_SECRET},
        "books": {"directory": str(directory / "bills")},
        "mongo": {"url": mongo, "directory": str(directory / "mongo")},
        "redis": {"url": redis, "directory": str(directory / "redis")},
        "merchants": [{"name": "shop", "sha256": hashlib.sha256(API_KEY.encode()).hexdigest()}],
        "log": {"level": "debug"},
    }


class ServiceProcess:
    """A running service. ``log`` is its output so far."""

    def __init__(self, process: Process, url: str) -> None:
        self._process = process
        self.url = url

    @classmethod
    def start(
        cls, directory: Path, settings: Mapping[str, Any], name: str = "service", files: int = 0, **environment: str
    ) -> ServiceProcess:
        """Start the service with at most ``files`` open files, and wait until it listens. Raises ChildFailed."""
        file = directory / f"{name}.yml"
        file.write_text(yaml.safe_dump(dict(settings), allow_unicode=True), encoding="utf-8")
        argv = [sys.executable, str(ROOT / "server.py"), "--settings", str(file)]
        if files:
            argv = ["prlimit", f"--nofile={files}", *argv]
        process = Process(name, argv, directory / f"{name}.log", env=_environment() | environment)
        process.wait_for(LISTENING, 60)
        return cls(process, str(settings["http"]["public_base_url"]))

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.alive

    @property
    def log(self) -> str:
        return self._process.log.read_text(encoding="utf-8", errors="replace")

    @property
    def defects(self) -> list[str]:
        """Return the lines of the log that report defects."""
        words = ("crashed", "Traceback", "Logging error", "Uncaught", "never retrieved", "never awaited")
        return [line for line in self.log.splitlines() if any(word in line for word in words)]

    def stop(self) -> int:
        """Send SIGTERM; return the exit status."""
        return self._process.stop()

    def kill(self) -> None:
        """Send SIGKILL, as a power cut would."""
        self._process.kill()
        self._process.stop()


def run_server(*arguments: str, timeout_s: float = 20, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run ``server.py`` with ``arguments`` for starts that end by themselves."""
    return subprocess.run(
        [sys.executable, str(ROOT / "server.py"), *arguments],
        cwd=ROOT,
        env=_environment() | environment,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )


def wait_until(wanted: Any, timeout_s: float = 10.0) -> Any:
    """Return the first true value of ``wanted()``; fail when time runs out."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if found := wanted():
            return found
        time.sleep(0.02)
    raise AssertionError("it did not happen in time")


def _environment() -> dict[str, str]:
    """Return the environment without settings that a developer may have exported."""
    return {name: value for name, value in os.environ.items() if not name.startswith("FENPAY_")}
