"""Bodies in JSON, read alike by WeChat's own calls and by the control calls."""

from __future__ import annotations

from typing import Any

import orjson


def read_json_object(raw: bytes) -> dict[str, Any] | None:
    """``raw`` as a JSON object: UTF-8, no NaN, no half of a character, sane nesting. None for anything else."""
    try:
        data = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return None
    return data if isinstance(data, dict) else None
