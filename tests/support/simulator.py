"""Start the simulator as people do, in a process of its own on a free port, and make its control calls."""

from __future__ import annotations

import http.client
import json
import ssl
import subprocess
import sys
from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from email.message import Message
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from wechat.domain.times import BEIJING, beijing_day

ROOT = Path(__file__).resolve().parents[2]
LINE = "simulator listening on "


class Answer(NamedTuple):
    """An HTTP answer; ``headers`` are case-insensitive."""

    status: int
    headers: Message
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


def ask(
    method: str,
    url: str,
    body: bytes | str | None = None,
    headers: Mapping[str, str] | None = None,
    timeout_s: float = 15,
    tls: ssl.SSLContext | None = None,
) -> Answer:
    """Send a request as given: no header is added but Host and lengths, no redirect followed. The body of an event
    stream is not read, because it does not end."""
    parts = urlsplit(url)
    connection = (
        http.client.HTTPSConnection(parts.netloc, timeout=timeout_s, context=tls)
        if tls
        else http.client.HTTPConnection(parts.netloc, timeout=timeout_s)
    )
    try:
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        payload = body.encode() if isinstance(body, str) else body
        connection.putrequest(method, target, skip_accept_encoding=True)
        for name, value in (headers or {}).items():
            connection.putheader(name, value)
        if payload is not None:
            connection.putheader("Content-Length", str(len(payload)))
        connection.endheaders(payload)
        response = connection.getresponse()
        endless = response.headers.get_content_type() == "text/event-stream"
        return Answer(response.status, response.headers, b"" if endless else response.read())
    finally:
        connection.close()


class SimulatorProcess:
    """A simulator over one state directory; ``kill`` and ``start`` again keep the state."""

    def __init__(self, process: subprocess.Popen[str], url: str) -> None:
        self.process = process
        self.url = url

    @classmethod
    def start(
        cls, state: Path, speed: float = 1.0, port: int = 0, calendar: str = "wall", wechat_hosts: bool = False
    ) -> SimulatorProcess:
        """Start the simulator and wait for its line."""
        command = [sys.executable, "-m", "simulator", "--port", str(port), "--state", str(state), "--speed", str(speed)]
        command += ["--calendar", calendar, *["--wechat-hosts"] * wechat_hosts]
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
        """The merchant's credentials: GET /simulator/credentials."""
        return self.control("GET", "credentials")

    def order(self, out_trade_no: str) -> dict[str, Any]:
        """Return the actual data of an order."""
        return self.control("GET", f"orders/{out_trade_no}")

    def control(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """Make a control call under /simulator/; return its JSON, also that of an error."""
        data = None if body is None else json.dumps(body)
        payload = ask(method, f"{self.url}/simulator/{path}", data, {"Content-Type": "application/json"}).json()
        assert isinstance(payload, dict)
        return payload

    def skip_to_next_noon(self) -> date:
        """Move the clock to noon of the next day in Beijing, when the bill of this day is available; return this day."""
        now = datetime.fromisoformat(self.control("GET", "clock")["now"])
        noon = datetime.combine(beijing_day(now) + timedelta(days=1), time(12), BEIJING)
        self.control("POST", "clock", {"advance_s": (noon - now).total_seconds()})
        return beijing_day(now)

    def stop(self) -> int:
        """Send SIGTERM; return the exit status."""
        self.process.terminate()
        return self._reap()

    def kill(self) -> None:
        """Send SIGKILL, as a power cut would."""
        self.process.kill()
        self._reap()

    def _reap(self) -> int:
        status = self.process.wait(10)
        if self.process.stdout:
            self.process.stdout.close()
        return status
