"""Read JSON bodies, for WeChat's own calls and the control calls alike."""

from __future__ import annotations

from typing import Any

import orjson


def read_json_object(raw: bytes) -> dict[str, Any] | None:
    """Parse ``raw`` as a JSON object: UTF-8, no NaN, no unpaired surrogate, limited nesting. Return None for anything
    else."""
    try:
        data = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return None
    return data if isinstance(data, dict) else None
