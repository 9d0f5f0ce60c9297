"""Storage for plugins, in the service's own database, with the service's own guarantees."""

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
        """The data under ``name``, None where there are none."""
        record = await self._records.get(record_key(self._plugin, name))
        return None if record is None else record.data

    async def insert(self, name: str, data: Data) -> bool:
        """Store ``data`` unless there are data under ``name``; whether it was stored. For what must happen once."""
        return await self._records.insert(PluginRecord(self._plugin, name, data))

    async def update(self, name: str, change: Callable[[Data], Data]) -> Data | None:
        """Replace the data under ``name`` by ``change(data)``, and return them; None where there are none.

        ``change`` returns new data, or what it was given where nothing is to change. It may be called several times,
        because another process may change the same data meanwhile.
        """
        done = await self._records.update(record_key(self._plugin, name), lambda held: _apply(held, change))
        return None if done is None else done.after.data


def _apply(held: PluginRecord, change: Callable[[Data], Data]) -> PluginRecord:
    data = change(held.data)
    return held if data is held.data else replace(held, data=data)
