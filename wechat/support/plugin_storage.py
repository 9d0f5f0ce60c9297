"""Storage for plugins, in the service's database, with the same guarantees as the service's own data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from wechat.domain.plugin_records import PluginRecord, record_key
from wechat.domain.ports import PluginRecordStore, Runtime
from wechat.support.update import Updater

Data = Mapping[str, Any]


class PluginStorage:
    """The records of one plugin, by name. Nothing is lost or written twice: each change is one compare-and-set.

    Every method raises StoreUnavailable when the database does not answer in time.
    """

    def __init__(self, store: PluginRecordStore, plugin: str, runtime: Runtime) -> None:
        self._plugin = plugin
        self._records = Updater(store, lambda record: record.key, runtime.random, remembered=0)

    async def get(self, name: str) -> Data | None:
        """Return the data under ``name``; None when there are none."""
        record = await self._records.get(record_key(self._plugin, name))
        return None if record is None else record.data

    async def insert(self, name: str, data: Data) -> bool:
        """Store ``data`` if ``name`` is free; return whether it was stored. Use it for what must happen only once."""
        return await self._records.insert(PluginRecord(self._plugin, name, data))

    async def update(self, name: str, change: Callable[[Data], Data]) -> Data | None:
        """Replace the data under ``name`` by ``change(data)`` and return them; None when there are none.

        ``change`` returns new data, or its argument when nothing is to change. It may be called several times, because
        another process may change the same data meanwhile.
        """
        done = await self._records.update(record_key(self._plugin, name), lambda held: _apply(held, change))
        return None if done is None else done.after.data


def _apply(held: PluginRecord, change: Callable[[Data], Data]) -> PluginRecord:
    data = change(held.data)
    return held if data is held.data else replace(held, data=data)
