"""Tests log as the service does: structlog's own default draws every traceback with its locals, which takes seconds."""

from __future__ import annotations

from service import logs

logs.setup("warning", "json")
