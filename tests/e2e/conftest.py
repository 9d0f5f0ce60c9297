"""The real thing in a real browser: simulator, stores, one service that pays over v3 and one over v2."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path

import pytest
from playwright.async_api import Browser, async_playwright

from scripts.programs import NO_CHROMIUM, chromium
from storage.embedded.servers import EmbeddedMongo, EmbeddedRedis, free_port
from tests.e2e.payer import Payer
from tests.support.servers import running
from tests.support.service import ServiceProcess, overlay
from tests.support.simulator import SimulatorProcess

BROWSER_ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest.fixture(scope="session")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("e2e")


@pytest.fixture(scope="session")
def simulator(directory: Path) -> Iterator[SimulatorProcess]:
    process = SimulatorProcess.start(directory / "wechat")
    yield process
    assert process.stop() == 0


@pytest.fixture(scope="session")
def services(directory: Path, simulator: SimulatorProcess) -> Iterator[Mapping[str, ServiceProcess]]:
    """The services, by the API version of their new orders. Both are registered in WeChat's consoles."""
    mongo, redis = EmbeddedMongo(directory / "mongo"), EmbeddedRedis(directory / "redis")
    with running(mongo), running(redis):
        started = {api: _service(api, directory, simulator, mongo.url, redis.url) for api in ("v3", "v2")}
        simulator.control("POST", "settings", registered(started))
        yield started
        assert [service.stop() for service in started.values()] == [0, 0]
        assert [line for service in started.values() for line in service.defects] == []


def registered(services: Mapping[str, ServiceProcess]) -> dict[str, list[str]]:
    """The domains and payment directories that the merchant has registered in WeChat's consoles."""
    hosts = [service.url.removeprefix("http://") for service in services.values()]
    return {
        "oauth_domains": hosts,
        "js_domains": hosts,
        "pay_directories": [f"{service.url}/pay/" for service in services.values()],
    }


def _service(api: str, directory: Path, simulator: SimulatorProcess, mongo: str, redis: str) -> ServiceProcess:
    settings = overlay(free_port(), simulator.url, simulator.credentials, mongo, redis, directory)
    settings["pay"]["api"] = api
    settings["mongo"]["database"] = f"fenpay_{api}"
    return ServiceProcess.start(directory, settings, api)


@pytest.fixture(scope="session")
async def browser() -> AsyncIterator[Browser]:
    path = chromium()
    if path is None:
        pytest.fail(NO_CHROMIUM, pytrace=False)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=BROWSER_ARGUMENTS)
        yield browser
        await browser.close()


@pytest.fixture
def service(services: Mapping[str, ServiceProcess]) -> ServiceProcess:
    """The service that pays over v3; most of what a page does is the same over both API versions."""
    return services["v3"]


@pytest.fixture
async def payer(browser: Browser, service: ServiceProcess, simulator: SimulatorProcess) -> AsyncIterator[Payer]:
    """A payer with a Chinese phone. The test fails if the browser has complained."""
    async with Payer.arrived(browser, service.url, simulator) as payer:
        yield payer
        assert payer.complaints == []
