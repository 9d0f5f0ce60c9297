"""deploy/nginx.conf and deploy/supervisor.conf, run for real with nothing changed but ports, paths and users."""

from __future__ import annotations

import asyncio
import re
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import aiohttp
import psutil
import pytest
import yaml

from scripts.programs import NO_NGINX, nginx
from server import HTTP_LIMITS
from storage.embedded.servers import EmbeddedMongo, EmbeddedRedis, free_port
from tests.support.servers import running

ROOT = Path(__file__).parents[2]


@dataclass
class Backend:
    """A stand-in for one process of the service: answers with what it was sent, or hangs up after reading."""

    port: int = field(default_factory=free_port)
    heard: list[str] = field(default_factory=list)
    hangs_up: bool = False

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        self.heard.append(head)
        if not self.hangs_up:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
            await writer.drain()
        writer.close()


@dataclass
class Site:
    """The site of deploy/nginx.conf before two backends."""

    url: str
    backends: list[Backend]
    client: aiohttp.ClientSession

    async def post(self, path: str, body: bytes = b"{}", headers: Mapping[str, str] | None = None) -> int:
        async with self.client.post(self.url + path, data=body, headers=headers) as answer:
            return answer.status

    @property
    def heard(self) -> int:
        return sum(len(backend.heard) for backend in self.backends)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    directory = tmp_path_factory.mktemp("tls")
    cert, key = directory / "cert.pem", directory / "key.pem"
    request = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    subprocess.run(
        [*request, "-subj", "/CN=pay.example.com", "-days", "1", "-out", cert, "-keyout", key],
        check=True,
        capture_output=True,
    )
    return cert, key


@pytest.fixture
async def site(tmp_path: Path, certificate: tuple[Path, Path]) -> AsyncIterator[Site]:
    program = nginx()
    assert program, NO_NGINX
    backends = [Backend(), Backend()]
    servers = [await asyncio.start_server(backend.serve, "127.0.0.1", backend.port) for backend in backends]
    port, config = free_port(), tmp_path / "nginx.conf"
    config.write_text(_rendered(tmp_path, certificate, port, backends))
    subprocess.run([program, "-t", "-p", tmp_path, "-c", config], check=True, capture_output=True)  # noqa: ASYNC221
    process = await asyncio.create_subprocess_exec(program, "-p", tmp_path, "-c", config)
    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trusting)) as client:
        await _listening(port)
        yield Site(f"https://127.0.0.1:{port}", backends, client)
    process.terminate()
    await process.wait()
    for server in servers:
        server.close()


def test_nginx_lets_go_of_idle_connections_before_the_service_does() -> None:
    site = (ROOT / "deploy" / "nginx.conf").read_text()
    upstream = re.search(r"upstream fenpay \{.*?keepalive_timeout (\d+)s;.*?\n\}", site, re.DOTALL)
    assert upstream
    assert int(upstream[1]) < HTTP_LIMITS["idle_connection_timeout"]


def _rendered(directory: Path, certificate: tuple[Path, Path], port: int, backends: list[Backend]) -> str:
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


async def _listening(port: int) -> None:
    for _ in range(500):
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.01)
        else:
            writer.close()
            return
    raise AssertionError("nginx does not listen")


async def test_the_real_address_replaces_whatever_a_client_claims(site: Site) -> None:
    claims = {"X-Real-IP": "101.226.103.5", "X-Forwarded-For": "101.226.103.5", "X-Forwarded-Proto": "http"}
    assert await site.post("/api/orders", headers=claims) == 200
    [head] = [head for backend in site.backends for head in backend.heard]
    assert "X-Real-IP: 127.0.0.1\r\n" in head
    assert "X-Forwarded-Proto: https\r\n" in head
    assert "101.226.103.5" not in head


async def test_a_body_over_the_limit_never_reaches_the_service(site: Site) -> None:
    assert await site.post("/notify", b"x" * (64 * 1024 + 1)) == 413
    assert site.heard == 0


async def test_a_notification_whose_process_dies_is_given_to_the_other(site: Site) -> None:
    site.backends[0].hangs_up = True
    assert [await site.post("/notify") for _ in range(4)] == [200] * 4
    assert site.backends[0].heard


async def test_an_order_that_was_sent_is_not_sent_again(site: Site) -> None:
    for backend in site.backends:
        backend.hangs_up = True
    assert await site.post("/api/orders") == 502
    assert site.heard == 1


async def test_writes_are_limited_by_address_and_notifications_are_not(site: Site) -> None:
    orders = await asyncio.gather(*(site.post("/orders") for _ in range(180)))
    assert set(orders) == {200, 429}
    assert set(await asyncio.gather(*(site.post("/notify") for _ in range(180)))) == {200}


# -- supervisor -------------------------------------------------------------------------------------------------------


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[Path]:
    """Settings of a service on a database and a Redis of its own, for any number of processes."""
    with running(EmbeddedMongo(tmp_path / "mongo")) as mongo, running(EmbeddedRedis(tmp_path / "redis")) as redis:
        values = {
            "extends": str(ROOT / "settings.yml"),
            "http": {"public_base_url": "http://127.0.0.1", "verify_files": str(tmp_path)},
            "session": {"secret": "0123456789abcdef0123456789abcdef"},
            "account": {"appid": "wxsim0123456789", "appsecret": "0123456789abcdef"},
            "pay": {"api": "v2", "mchid": "sim1900000109", "v2": {"key": "0123456789ABCDEFGHIJKLMNOPQRSTUV"}},
            "mongo": {"url": mongo.url},
            "redis": {"url": redis.url},
        }
        file = tmp_path / "settings.yml"
        file.write_text(yaml.safe_dump(values))
        yield file


def _supervised(directory: Path, settings: Path, ports: str) -> str:
    """deploy/supervisor.conf for here. ``ports`` stands for the "88" that two digits follow in the port."""
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


def _ready(port: int, within_s: float = 20) -> None:
    deadline = time.monotonic() + within_s
    while True:
        try:
            with urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5):
                return
        except (URLError, OSError):
            assert time.monotonic() < deadline, f"nothing is ready on {port}"
            time.sleep(0.05)


def test_supervisor_runs_two_processes_brings_a_killed_one_back_and_stops_both(tmp_path: Path, settings: Path) -> None:
    ports = next(str(first) for first in range(200, 600) if _both_free(first))
    config = tmp_path / "supervisor.conf"
    config.write_text(_supervised(tmp_path, settings, ports))
    command = [sys.executable, "-m", "supervisor.supervisord", "-c", str(config)]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL) as supervisord:
        try:
            for port in (int(f"{ports}88"), int(f"{ports}89")):
                _ready(port)
            children = psutil.Process(supervisord.pid).children()
            assert len(children) == 2
            children[0].kill()
            children[0].wait(5)
            for port in (int(f"{ports}88"), int(f"{ports}89")):
                _ready(port)
            children = psutil.Process(supervisord.pid).children()
        finally:
            supervisord.send_signal(signal.SIGTERM)
        assert supervisord.wait(20) == 0
    assert [child for child in children if child.is_running()] == []


def _both_free(first: int) -> bool:
    try:
        for number in (f"{first}88", f"{first}89"):
            with closing(socket.socket()) as probe:
                probe.bind(("127.0.0.1", int(number)))
    except OSError:
        return False
    return True
