"""A merchant's notify address: keeps what arrives, answers what it is told."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple


class Received(NamedTuple):
    headers: Message
    body: bytes
    path: str = "/notify"


OK_V2 = b"<xml><return_code><![CDATA[SUCCESS]]></return_code><return_msg><![CDATA[OK]]></return_msg></xml>"


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128  # the five of the standard library refuse a crowd


class Sink:
    """Listens on loopback until closed."""

    def __init__(self) -> None:
        self.received: list[Received] = []
        self.answer: Callable[[Received], tuple[int, bytes]] = lambda _: (200, OK_V2)
        sink = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                message = Received(self.headers, self.rfile.read(int(self.headers["Content-Length"])), self.path)
                sink.received.append(message)
                status, body = sink.answer(message)
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                if 300 <= status < 400:
                    self.send_header("Location", "/elsewhere")
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self._server = _Server(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/notify"

    def wait(self, count: int, within_s: float = 10) -> list[Received]:
        """The messages, once there are ``count``."""
        deadline = time.monotonic() + within_s
        while len(self.received) < count and time.monotonic() < deadline:
            time.sleep(0.01)
        assert len(self.received) >= count, f"{len(self.received)} of {count} notifications"
        return self.received

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
