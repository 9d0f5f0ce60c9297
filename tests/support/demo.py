"""Start and stop the demo as a user does: ``manage.py demo``."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import psutil

from storage.embedded.servers import free_port

ROOT = Path(__file__).parents[2]


class Demo:
    """A running demo with all its processes."""

    def __init__(self, var: Path, **environment: str) -> None:
        self.var = var
        self.process = subprocess.Popen(
            [sys.executable, "manage.py", "demo", "--var", var],
            cwd=ROOT,
            env=os.environ | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.printed = self._until("Ctrl-C")
        self.children = psutil.Process(self.process.pid).children(recursive=True)

    @property
    def told(self) -> dict[str, str]:
        told: dict[str, str] = json.loads((self.var / "demo.json").read_text())
        return told

    def call(self, path: str, body: object = None) -> dict[str, Any]:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {self.told['api_key']}", "Content-Type": "application/json"}
        request = Request(self.told["base_url"] + path, data, headers)  # noqa: S310 - loopback
        with urlopen(request, timeout=10) as answer:  # noqa: S310 - loopback
            answered: dict[str, Any] = json.load(answer)
            return answered

    def end(self, number: signal.Signals) -> int:
        """Send a signal and wait; children that still run afterwards are an error."""
        self.process.send_signal(number)
        assert self.process.stdout is not None
        self.printed += self.process.stdout.read()
        status = self.process.wait(20)
        _, left = psutil.wait_procs(self.children, timeout=3)
        assert [child.cmdline() for child in left if child.status() != psutil.STATUS_ZOMBIE] == []
        return status

    def _until(self, text: str) -> str:
        assert self.process.stdout is not None
        printed = ""
        for line in self.process.stdout:
            printed += line
            if text in line:
                return printed
        raise AssertionError(printed)


@contextmanager
def demo(var: Path, **environment: str) -> Iterator[Demo]:
    running = Demo(var, PORT=str(free_port()), **environment)
    try:
        yield running
    finally:
        running.process.kill()
        running.process.wait()
