"""What a plugin may rely on when it keeps something."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from storage.store import SCHEMA
from tests.storage.backing import Backing, Storage
from tests.support.clock import ManualClock
from tests.support.runtime import a_runtime
from wechat.support.plugin_storage import PluginStorage

RACERS = 20


def of_plugin(storage: Storage, clock: ManualClock, plugin: str = "points") -> PluginStorage:
    return PluginStorage(storage.plugin_records, plugin, a_runtime(clock))


def one_more(data: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"count": data["count"] + 1}


async def test_data_are_stored_once_and_come_back(storage: Storage, clock: ManualClock) -> None:
    points = of_plugin(storage, clock)
    assert await points.get("a") is None
    assert await points.insert("a", {"count": 1})
    assert not await points.insert("a", {"count": 2})
    assert await points.get("a") == {"count": 1}


async def test_no_change_is_lost_between_two_processes(backing: Backing, clock: ManualClock) -> None:
    first, second = of_plugin(backing.open(), clock), of_plugin(backing.open(), clock)
    await first.insert("a", {"count": 0})
    await asyncio.gather(*((first, second)[i % 2].update("a", one_more) for i in range(RACERS)))
    assert await first.get("a") == {"count": RACERS}


async def test_a_change_that_changes_nothing_writes_nothing(storage: Storage, clock: ManualClock) -> None:
    points = of_plugin(storage, clock)
    await points.insert("a", {"count": 0})
    assert await points.update("a", lambda data: data) == {"count": 0}
    stored = await storage.plugin_records.get("points:a")
    assert stored is not None
    assert (stored.rev, stored.document["schema"]) == (1, SCHEMA)


async def test_what_is_not_there_is_not_changed(storage: Storage, clock: ManualClock) -> None:
    assert await of_plugin(storage, clock).update("a", one_more) is None


@pytest.mark.parametrize("other", ["thanks", "point"])
async def test_plugins_do_not_see_each_others_data(storage: Storage, clock: ManualClock, other: str) -> None:
    await of_plugin(storage, clock).insert("a:b", {"count": 0})
    assert await of_plugin(storage, clock, other).get("a:b") is None
