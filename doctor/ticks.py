"""Store which texts a person has compared in WeChat's consoles, beside the settings file.

A tick belongs to the compared text: after a change, for example of a domain, it is no longer valid.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from wechat.domain.errors import Bilingual, ConfigError


class Tick(NamedTuple):
    """``value`` was found in the console on the day ``at``."""

    value: str
    at: str


def ticks_file(settings: Path) -> Path:
    return settings.with_name(f"{settings.stem}.ticks.json")


def read_ticks(settings: Path) -> Mapping[str, Tick]:
    """Return ticks by the check's id; empty if there are none, or if the file has another format."""
    try:
        data = json.loads(ticks_file(settings).read_text(encoding="utf-8"))
        return {str(name): Tick(str(tick["value"]), str(tick["at"])) for name, tick in data.items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return {}


def write_ticks(settings: Path, values: Mapping[str, str]) -> None:
    """Store that ``values``, by the check's id, were compared today. Raises ConfigError."""
    file, today = ticks_file(settings), f"{datetime.now(UTC):%Y-%m-%d}"
    made = {**read_ticks(settings), **{name: Tick(value, today) for name, value in values.items()}}
    fresh = file.with_name(f"{file.name}.new")
    try:
        fresh.write_text(json.dumps({name: tick._asdict() for name, tick in made.items()}, indent=1), encoding="utf-8")
        fresh.replace(file)
    except OSError as error:
        why = error.strerror or "?"
        text = Bilingual(f"{file}：写不了（{why}）", f"{file}: cannot be written ({why})")
        raise ConfigError([text]) from None
