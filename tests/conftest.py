"""Tests log as the service does: structlog's own default draws every traceback with its locals, which takes seconds.

No logger is cached: the simulation silences logs, and counts the errors that a worker logs, by a configuration of its
own.
"""

from __future__ import annotations

import re
import signal

import pytest
import structlog
from hypothesis import HealthCheck, settings

from service import logs

logs.setup("warning", "json")
structlog.configure(cache_logger_on_first_use=False)
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as a shell starts what runs in the background
    signal.signal(signal.SIGINT, signal.default_int_handler)  # what the tests start would inherit it, and miss Ctrl-C
settings.register_profile(
    "fenpay", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)  # a busy machine is no fault
settings.load_profile("fenpay")

_ADDRESS = re.compile(r" at 0x[0-9a-f]+")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Refuse a name that differs from process to process: the two that run the tests would not agree on them."""
    if addressed := [item.nodeid for item in items if _ADDRESS.search(item.nodeid)]:
        raise pytest.UsageError(f"give these cases an id without a memory address: {addressed[:5]}")
