"""Tests log as the service does: structlog's own default draws every traceback with its locals, which takes seconds."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

from service import logs

logs.setup("warning", "json")
settings.register_profile(
    "fenpay", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)  # a busy machine is no fault
settings.load_profile("fenpay")
