"""deploy/nginx.conf and deploy/supervisor.conf, run for real with nothing changed but ports, paths and users."""

from __future__ import annotations

import asyncio
import re
import signal
import subprocess
import sys
from pathlib import Path

import aiohttp
import psutil
import pytest
from yarl import URL

from server import HTTP_LIMITS
from tests.support.deployment import ROOT, Site, are_both_free, render_supervisor, wait_until_ready


def test_nginx_lets_go_of_idle_connections_before_the_service_does() -> None:
    site = (ROOT / "deploy" / "nginx.conf").read_text()
    upstream = re.search(r"upstream fenpay \{.*?keepalive_timeout (\d+)s;.*?\n\}", site, re.DOTALL)
    assert upstream
    assert int(upstream[1]) < HTTP_LIMITS["idle_connection_timeout"]


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


async def test_the_consoles_live_pages_come_through_at_once(site: Site) -> None:
    for backend in site.backends:
        backend.streams = True
    async with asyncio.timeout(5), site.client.get(f"{site.url}/console/live") as answer:
        assert await answer.content.readuntil(b"\n\n") == b"event: order\ndata: {}\n\n"
    [head] = [head for backend in site.backends for head in backend.heard]
    assert "X-Real-IP: 127.0.0.1" in head and f"Host: {site.url.removeprefix('https://')}" in head


@pytest.mark.parametrize("path", ["/console", "/console/login?next=%2Fconsole%2Forders", "/console/orders/T-1|*@x"])
async def test_addresses_of_the_console_arrive_as_they_were_asked(site: Site, path: str) -> None:
    async with site.client.get(URL(site.url + path, encoded=True)) as answer:
        assert answer.status == 200
    [head] = [head for backend in site.backends for head in backend.heard]
    assert head.startswith(f"GET {path} HTTP/1.")


@pytest.mark.parametrize("path", ["/metrics", "/readyz", "/readyz?verbose", "/healthz"])
async def test_what_names_hosts_and_addresses_is_for_this_machine_only(site: Site, path: str) -> None:
    answers = {}
    for address in ("127.0.0.1", "127.0.0.2"):  # the second stands for anybody elsewhere
        connector = aiohttp.TCPConnector(local_addr=(address, 0), ssl=site.trusting)
        async with aiohttp.ClientSession(connector=connector) as client, client.get(site.url + path) as answer:
            answers[address] = answer.status
    assert answers == {"127.0.0.1": 200, "127.0.0.2": 403}


# -- supervisor -------------------------------------------------------------------------------------------------------


def test_supervisor_runs_two_processes_brings_a_killed_one_back_and_stops_both(tmp_path: Path, settings: Path) -> None:
    ports = next(str(first) for first in range(200, 600) if are_both_free(first))
    config = tmp_path / "supervisor.conf"
    config.write_text(render_supervisor(tmp_path, settings, ports))
    command = [sys.executable, "-m", "supervisor.supervisord", "-c", str(config)]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL) as supervisord:
        try:
            for port in (int(f"{ports}88"), int(f"{ports}89")):
                wait_until_ready(port)
            children = psutil.Process(supervisord.pid).children()
            assert len(children) == 2
            children[0].kill()
            children[0].wait(5)
            for port in (int(f"{ports}88"), int(f"{ports}89")):
                wait_until_ready(port)
            children = psutil.Process(supervisord.pid).children()
        finally:
            supervisord.send_signal(signal.SIGTERM)
        assert supervisord.wait(20) == 0
    assert [child for child in children if child.is_running()] == []
