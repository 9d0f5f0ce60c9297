"""Starts the simulator as people do, a process of its own on a free port, and speaks to its control calls."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
LINE = "simulator listening on "


class SimulatorProcess:
    """One simulator over one state directory; ``kill`` and ``start`` again keep the state."""

    def __init__(self, process: subprocess.Popen[str], url: str) -> None:
        self.process = process
        self.url = url

    @classmethod
    def start(cls, state: Path, speed: float = 1.0, port: int = 0) -> SimulatorProcess:
        """Start it and wait for its line."""
        command = [sys.executable, "-m", "simulator", "--port", str(port), "--state", str(state), "--speed", str(speed)]
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line.startswith(LINE):
            process.kill()
            process.wait()
            raise RuntimeError(f"the simulator did not start: {line!r}")
        return cls(process, line.removeprefix(LINE).strip())

    @property
    def credentials(self) -> dict[str, Any]:
        """What a merchant is given: GET /simulator/credentials."""
        return self.control("GET", "credentials")

    def order(self, out_trade_no: str) -> dict[str, Any]:
        """The truth about an order."""
        return self.control("GET", f"orders/{out_trade_no}")

    def control(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """A control call under /simulator/; the JSON it answers, of an error too."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(f"{self.url}/simulator/{path}", data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                told = json.loads(answer.read())
        except urllib.error.HTTPError as error:
            told = json.loads(error.read())
        assert isinstance(told, dict)
        return told

    def stop(self) -> int:
        """SIGTERM; the exit status."""
        self.process.terminate()
        return self._reap()

    def kill(self) -> None:
        """SIGKILL, as a power cut would."""
        self.process.kill()
        self._reap()

    def _reap(self) -> int:
        status = self.process.wait(10)
        if self.process.stdout:
            self.process.stdout.close()
        return status
