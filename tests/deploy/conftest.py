"""A site behind nginx, its certificate, and settings for supervised processes."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import pytest
import yaml

from scripts.programs import NO_NGINX, nginx
from storage.embedded.servers import EmbeddedMongo, EmbeddedRedis, free_port
from tests.support.deployment import (
    ROOT,
    Backend,
    Site,
    render_nginx,
    wait_until_listening,
)
from tests.support.servers import running


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
    config.write_text(render_nginx(tmp_path, certificate, port, backends))
    subprocess.run([program, "-t", "-p", tmp_path, "-c", config], check=True, capture_output=True)  # noqa: ASYNC221
    process = await asyncio.create_subprocess_exec(program, "-p", tmp_path, "-c", config)
    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trusting)) as client:
        await wait_until_listening(port)
        yield Site(f"https://127.0.0.1:{port}", backends, client, trusting)
    process.terminate()
    await process.wait()
    for server in servers:
        server.close()


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
