"""A TLS server under the name localhost, as nginx in front of a service: what it passes on is up to the test."""

from __future__ import annotations

import json
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from doctor.checks.network import STREAM_REST_S
from simulator.state.pki import load_server
from wechat.staff.operator import STREAM_CHECK
from wechat.support.identity import prove


class PublicServer:
    """``secret`` is the session secret behind it; ``status`` other than 200 is what a proxy says by itself."""

    def __init__(self, secret: str) -> None:
        self.secret = secret
        self.status = 200
        self.notify_status = 401
        self.notify_body = b'{"code":"FAIL","message":"x"}'
        self.stream_status = 200
        self.buffered = False
        self.endless = False
        self.files: dict[str, bytes] = {}
        self.answer: dict[str, Any] = {"scheme": "https", "real_ip": True, "address": "198.51.100.7"}
        self.url = ""

    def identity(self, nonce: str, host: str) -> bytes:
        return json.dumps({"proof": prove(self.secret, nonce), "host": host, **self.answer}).encode()


@contextmanager
def serving(server: PublicServer, folder: Path) -> Iterator[PublicServer]:
    """``server`` on a free port; its certificate is ``folder``/server.cert.pem."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            if parts.path == "/identity" and server.status == 200:
                host = str(server.answer.get("host", self.headers.get("Host", "")))
                self.reply(200, server.identity(parse_qs(parts.query)["nonce"][0], host))
            elif parts.path == STREAM_CHECK:
                self.stream()
            elif parts.path in server.files:
                self.reply(200, server.files[parts.path])
            else:
                self.reply(server.status if server.status != 200 else 404, b"<html>")

        def do_HEAD(self) -> None:
            self.reply(server.status, b"")

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.reply(server.notify_status, server.notify_body)

        def stream(self) -> None:
            """Its end comes with the messages where a proxy waits for it, or else later."""
            if server.stream_status != 200:
                self.reply(server.stream_status, b"<html>")
                return
            self.send_response(200)
            self.end_headers()
            if server.endless:
                with suppress(OSError):  # until the doctor closes the connection
                    while True:
                        self.wfile.write(b"x" * 4096)
                return
            self.wfile.write(b": open\n\n: idle\n\n")
            if not server.buffered:
                time.sleep(STREAM_REST_S + 0.1)
            self.wfile.write(b": idle\n\n")
            self.close_connection = True

        def reply(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Nothing is printed."""

    certified = load_server(folder)
    pair = folder / "pair.pem"
    pair.write_text(certified.certificate_pem + certified.key_pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair)
    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http.socket = context.wrap_socket(http.socket, server_side=True)
    thread = threading.Thread(target=http.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    server.url = f"https://localhost:{http.server_port}"
    try:
        yield server
    finally:
        http.shutdown()
        http.server_close()
        thread.join()
