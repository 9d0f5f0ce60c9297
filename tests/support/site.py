"""A service with stores of its own, for tests that break them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from storage.embedded.servers import EmbeddedMongo, EmbeddedRedis, free_port
from tests.support.platform import Platform
from tests.support.servers import running
from tests.support.service import ServiceProcess, overlay
from tests.support.simulator import SimulatorProcess


@dataclass
class Site:
    """All servers behind one address, each of which a test can break."""

    service: ServiceProcess
    simulator: SimulatorProcess
    mongo: EmbeddedMongo
    redis: EmbeddedRedis
    platform: Platform
    settings: dict[str, Any]
    directory: Path


@contextmanager
def running_site(
    directory: Path, simulator: SimulatorProcess, state: Path, files: int = 0, **changes: Any
) -> Iterator[Site]:
    """Run a service for ``simulator``, with keys under ``state``. ``changes`` are settings by section, ``files`` is the
    limit of open files.

    At the end, its log must not report defects.
    """
    with running(EmbeddedMongo(directory / "mongo")) as mongo, running(EmbeddedRedis(directory / "redis")) as redis:
        settings = overlay(free_port(), simulator.url, simulator.credentials, mongo.url, redis.url, directory)
        for section, values in changes.items():
            settings[section] = settings.get(section, {}) | values if isinstance(values, dict) else values
        service = ServiceProcess.start(directory, settings, files=files)
        site = Site(service, simulator, mongo, redis, Platform(simulator.credentials, state), settings, directory)
        try:
            yield site
        finally:
            site.service.stop()
            simulator.control("DELETE", "faults")
    assert service.defects == []
