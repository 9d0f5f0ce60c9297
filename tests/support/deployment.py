"""Nginx and supervisor as the deployment files configure them, on free ports."""

from __future__ import annotations

import asyncio
import socket
import ssl
import sys
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import aiohttp

from storage.embedded.servers import free_port

ROOT = Path(__file__).parents[2]


@dataclass
class Backend:
    """A stand-in for one process of the service: returns the request that it received, closes the connection after
    reading, or sends one event of a continuing stream."""

    port: int = field(default_factory=free_port)
    heard: list[str] = field(default_factory=list)
    hangs_up: bool = False
    streams: bool = False

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        self.heard.append(head)
        if self.streams:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\nevent: order\ndata: {}\n\n")
            await writer.drain()
            await reader.read()  # until the browser leaves
        elif not self.hangs_up:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
            await writer.drain()
        writer.close()


@dataclass
class Site:
    """The site of deploy/nginx.conf in front of two backends. ``trusting`` accepts its certificate."""

    url: str
    backends: list[Backend]
    client: aiohttp.ClientSession
    trusting: ssl.SSLContext

    async def post(self, path: str, body: bytes = b"{}", headers: Mapping[str, str] | None = None) -> int:
        async with self.client.post(self.url + path, data=body, headers=headers) as answer:
            return answer.status

    @property
    def heard(self) -> int:
        return sum(len(backend.heard) for backend in self.backends)


def render_nginx(directory: Path, certificate: tuple[Path, Path], port: int, backends: list[Backend]) -> str:
    site = (ROOT / "deploy" / "nginx.conf").read_text()
    changes = {
        "listen 80;": f"listen 127.0.0.1:{free_port()};",
        "listen 443 ssl;": f"listen 127.0.0.1:{port} ssl;",
        "127.0.0.1:8888": f"127.0.0.1:{backends[0].port}",
        "127.0.0.1:8889": f"127.0.0.1:{backends[1].port}",
        "/etc/fenpay/tls/fullchain.pem": str(certificate[0]),
        "/etc/fenpay/tls/privkey.pem": str(certificate[1]),
        "/var/log/nginx/": f"{directory}/",
    }
    for ours, here in changes.items():
        assert ours in site
        site = site.replace(ours, here)
    names = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    temp = "".join(f"{name}_temp_path {directory}/{name};" for name in names) + "access_log off;"
    return (
        f"daemon off; pid {directory}/nginx.pid; error_log {directory}/error.log;\n"
        f"events {{}}\nhttp {{ {temp}\n{site}\n}}\n"
    )


async def wait_until_listening(port: int) -> None:
    for _ in range(500):
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.01)
        else:
            writer.close()
            return
    raise AssertionError("nginx does not listen")


def render_supervisor(directory: Path, settings: Path, ports: str) -> str:
    """Return deploy/supervisor.conf for this machine. ``ports`` replaces the "88" that two digits follow in the
    port."""
    config = (ROOT / "deploy" / "supervisor.conf").read_text()
    changes = {
        "/opt/fenpay/.venv/bin/python": sys.executable,
        "directory=/opt/fenpay": f"directory={ROOT}",
        "/etc/fenpay/settings.yml": str(settings),
        "/var/log/fenpay": str(directory),
        "/run/": f"{directory}/",
        "user=root ": "",
        "user=fenpay": "",
        'PORT="88%': f'PORT="{ports}%',
    }
    for ours, here in changes.items():
        assert ours in config
        config = config.replace(ours, here)
    return config


def wait_until_ready(port: int, within_s: float = 20) -> None:
    deadline = time.monotonic() + within_s
    while True:
        try:
            with urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5):
                return
        except (URLError, OSError):
            assert time.monotonic() < deadline, f"nothing is ready on {port}"
            time.sleep(0.05)


def are_both_free(first: int) -> bool:
    try:
        for number in (f"{first}88", f"{first}89"):
            with closing(socket.socket()) as probe:
                probe.bind(("127.0.0.1", int(number)))
    except OSError:
        return False
    return True
