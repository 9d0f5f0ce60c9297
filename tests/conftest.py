"""Tests log as the service does: structlog's own default draws every traceback with its locals, which takes seconds."""

from __future__ import annotations

import pytest

from service import logs
from wechat.refunds import service

logs.setup("warning", "json")


@pytest.fixture(autouse=True)
def nothing_is_under_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test waits for a request of another process, but those of the simulation, whose time costs nothing."""
    monkeypatch.setattr(service, "UNDER_WAY_S", 0.0)
