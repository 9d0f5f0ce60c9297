"""The bar behind the shipped nginx and supervisor (G4, G7, G14)."""

from __future__ import annotations

import asyncio
import os
import ssl
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest

from scripts.programs import nginx
from storage.embedded.servers import free_port
from tests.deploy.conftest import certificate, settings, site  # noqa: F401 - fixtures
from tests.support.deployment import (
    ROOT,
    Backend,
    Site,
    are_both_free,
    render_nginx,
    render_supervisor,
    wait_until_listening,
    wait_until_ready,
)

CODE = "021aCODEofVictim0000"


def logs_in(directory: Path) -> dict[str, str]:
    return {file.name: file.read_text() for file in directory.glob("*.log")}


async def test_g14_no_oauth_code_stands_in_nginx_logs(site: Site, tmp_path: Path) -> None:  # noqa: F811
    for backend in site.backends:
        for backend.hangs_up in (False, True):
            async with site.client.get(f"{site.url}/oauth/callback?code={CODE}&state=0") as answer:
                assert answer.status in (200, 502)
    logs = logs_in(tmp_path)
    assert "/oauth/callback" in logs["fenpay.log"]
    assert [name for name, text in logs.items() if CODE in text] == []
    config = (ROOT / "deploy" / "nginx.conf").read_text()
    assert config.count("access_log ") == config.count("server {")


@dataclass
class Fleet:
    """Two supervised processes behind nginx, all as shipped."""

    url: str
    supervisor: Path
    ports: str
    client: aiohttp.ClientSession


@pytest.fixture
async def fleet(tmp_path: Path, certificate: tuple[Path, Path], settings: Path) -> AsyncIterator[Fleet]:  # noqa: F811
    program = nginx()
    assert program
    ports = next(str(first) for first in range(200, 600) if are_both_free(first))
    supervisor, config, port = tmp_path / "supervisor.conf", tmp_path / "nginx.conf", free_port()
    supervisor.write_text(render_supervisor(tmp_path, settings, ports))
    backends = [Backend(int(f"{ports}{number}")) for number in (88, 89)]
    config.write_text(render_nginx(tmp_path, certificate, port, backends))
    daemon = await asyncio.create_subprocess_exec(sys.executable, "-m", "supervisor.supervisord", "-c", supervisor)
    front = await asyncio.create_subprocess_exec(program, "-p", tmp_path, "-c", config)
    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    try:
        for backend in backends:
            await asyncio.to_thread(wait_until_ready, backend.port)
        await wait_until_listening(port)
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trusting)) as client:
            yield Fleet(f"https://127.0.0.1:{port}", supervisor, ports, client)
    finally:
        for process in (front, daemon):
            process.terminate()
            await process.wait()


async def test_g4_the_documented_restart_drops_no_request(fleet: Fleet) -> None:
    answers: Counter[object] = Counter()

    async def post(path: str) -> None:
        try:
            async with fleet.client.post(fleet.url + path, data=b"{}") as answer:
                answers[answer.status] += 1
        except aiohttp.ClientError as error:
            answers[type(error).__name__] += 1

    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    restart = await asyncio.create_subprocess_exec(
        ROOT / "deploy" / "restart.sh",
        str(fleet.supervisor),
        env=os.environ | {"PATH": path, "FENPAY_PORTS": fleet.ports},
        stdout=subprocess.DEVNULL,
    )
    tasks = []
    while restart.returncode is None:
        tasks += [asyncio.create_task(post(path)) for path in ("/api/orders", "/notify")]
        with suppress(TimeoutError):
            await asyncio.wait_for(restart.wait(), 0.04)
    await asyncio.gather(*tasks)
    assert restart.returncode == 0
    assert set(answers) == {401, 400}
    assert answers.total() > 200


@pytest.mark.alone
async def test_g7_slow_bodies_through_nginx_are_cut_within_10_s(fleet: Fleet) -> None:
    port = int(fleet.url.rpartition(":")[2])
    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE

    async def send_slowly(path: str) -> float:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trusting)
        started = time.monotonic()
        writer.write(f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n".encode())
        answer = asyncio.create_task(reader.read())
        with suppress(ConnectionError):
            while not answer.done() and time.monotonic() - started < 20:
                writer.write(b"x")
                await asyncio.wait({answer}, timeout=1)
        answer.cancel()
        writer.close()
        return time.monotonic() - started

    spent_s = await asyncio.gather(*(send_slowly(path) for path in ("/notify", "/api/orders", "/orders", "/") * 5))
    assert max(spent_s) < 10
