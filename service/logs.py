"""Write logs as JSON lines, built from an allow-list of fields.

Fields that are not listed are left out, so no secret has to be removed. An openid is masked; JSON escapes control
characters.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from typing import Any

import orjson
import structlog

FIELDS = frozenset(
    {
        "event", "level", "timestamp", "logger", "exception",
        "request_id", "method", "path", "status", "duration_s",
        "out_trade_no", "openid", "total", "state", "kind", "call", "host", "result", "name",
        "fingerprint", "error", "quiet_until", "serials", "port", "url", "signal", "pid", "server",
        "reason", "api", "serial", "age_s", "suppressed", "out_refund_no", "worker", "target",
        "slip", "real_url",
    }
)  # fmt: skip
MASKED = frozenset({"openid"})
MAX_TEXT = 2000


def setup(level: str, form: str) -> None:
    """Send structlog and the standard library's logging to stderr, one line per record."""
    chain: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    renderer = structlog.processors.JSONRenderer(_to_json) if form == "json" else _console()
    structlog.configure(
        processors=[*chain, allowed_only, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=chain,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, allowed_only, renderer],
        )
    )
    # Libraries print addresses and bodies below WARNING; the service logs what it needs of them itself.
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)


def allowed_only(logger: Any, method: str, entry: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Keep the fields of the allow-list, masked and bounded."""
    return {name: _mask_value(name, value) for name, value in entry.items() if name in FIELDS}


def mask(value: str) -> str:
    """Return the first four and last four characters of an identifier."""
    return f"{value[:4]}…{value[-4:]}" if len(value) > 12 else "…"


def _mask_value(name: str, value: Any) -> Any:
    if name in MASKED:
        return mask(str(value))
    if not isinstance(value, str):
        return value
    return value[-MAX_TEXT:] if name == "exception" else value[:MAX_TEXT]  # a traceback's end matters most


def _to_json(entry: object, **_: object) -> str:
    return orjson.dumps(entry, default=repr).decode()


def _console() -> structlog.typing.Processor:
    return structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
