"""A record that a plugin keeps in the service's own database. A pure value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class PluginRecord:
    """A record of ``plugin`` under ``name``. ``data`` is BSON: texts, numbers, aware times, lists and mappings."""

    plugin: str
    name: str
    data: Mapping[str, Any]

    @property
    def key(self) -> str:
        return record_key(self.plugin, self.name)


def record_key(plugin: str, name: str) -> str:
    return f"{plugin}:{name}"
