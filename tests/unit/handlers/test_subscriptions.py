"""Plugins that subscribe to events: how they are found, and what their handlers' ends mean."""

from __future__ import annotations

import asyncio
import importlib
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, cast

import pytest

from handlers.web import plugin
from handlers.web.services import Services
from storage.memory.storage import MemoryStorage
from tests.support.clock import ManualClock
from tests.support.runtime import a_runtime
from tests.support.webhooks import an_event
from wechat.domain.deliveries import Event, Outcome
from wechat.domain.errors import ConfigError
from wechat.events.targets import Subscriber
from wechat.support.plugin_storage import PluginStorage

PAGE = Path(__file__).resolve().parents[3] / "docs" / "en" / "plugins.md"
CODE = re.compile(r"```python\n(.*?)```", re.DOTALL)
SERVICES = cast(Services, object())  # plugins of these tests do not look at it


@pytest.fixture
def module() -> Iterator[Callable[..., str]]:
    made: list[str] = []

    def make(name: str, **content: Any) -> str:
        sys.modules[name] = ModuleType(name)
        vars(sys.modules[name]).update(content)
        made.append(name)
        return name

    yield make
    for name in made:
        del sys.modules[name]


async def ignore(event: Event) -> None: ...


def test_a_plugin_may_subscribe_without_having_routes(module: Callable[..., str]) -> None:
    name = module("listener", subscriptions=lambda _: {"order.paid": ignore})
    assert plugin.load([name], SERVICES) == []
    [found] = plugin.subscribers([name], SERVICES)
    assert (found.name, found.wants("order.paid"), found.wants("order.closed")) == ("plugin:listener", True, False)


def test_a_plugin_that_subscribes_to_nothing_is_no_target(module: Callable[..., str]) -> None:
    names = [module("silent", subscriptions=lambda _: {}), module("router", routes=lambda _: [])]
    assert plugin.subscribers(names, SERVICES) == []


def test_an_event_that_does_not_exist_stops_the_start_and_is_named_with_the_plugin(module: Callable[..., str]) -> None:
    name = module("hopeful", subscriptions=lambda _: {"order.paid": ignore, "order.lost": ignore})
    with pytest.raises(ConfigError) as refused:
        plugin.subscribers([name], SERVICES)
    [problem] = refused.value.problems
    assert "hopeful subscribes to order.lost" in problem.en
    assert "hopeful 订阅了不存在的事件 order.lost" in problem.zh


def test_a_module_with_neither_routes_nor_subscriptions_is_no_plugin(module: Callable[..., str]) -> None:
    with pytest.raises(ConfigError, match="neither"):
        plugin.load([module("nothing")], SERVICES)


def documented(event_type: str) -> str:
    """The documentation's one example that subscribes to ``event_type``."""
    examples = [code for code in CODE.findall(PAGE.read_text(encoding="utf-8")) if "def subscriptions" in code]
    [example] = [code for code in examples if f'"{event_type}"' in code]
    return str(example)


async def test_the_example_of_other_notifications_works_as_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "complaints.py").write_text(documented("wechat.notification"), encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    [found] = plugin.subscribers(["complaints"], SERVICES)
    data = {"event_type": "COMPLAINT.CREATE", "resource": {"complaint_id": "200201820200101080076610000"}}
    event = replace(an_event("e1", "wechat.notification"), data=data)
    assert await found.deliver(event) == Outcome(True, "handled")
    sys.modules.pop("complaints")


async def test_the_example_in_the_documentation_works_as_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "points.py").write_text(documented("order.paid"), encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    runtime = a_runtime(ManualClock())
    records = PluginStorage(MemoryStorage(runtime.clock, runtime.random).plugin_records, "points", runtime)
    settings = SimpleNamespace(plugin_options=lambda _: {"per_yuan": 2})
    services = cast(Services, SimpleNamespace(plugin_storage=lambda _: records, settings=settings))
    [found] = plugin.subscribers(["points"], services)
    event = replace(an_event("e1"), data={**an_event().data, "openid": "oPayer"})
    for _ in range(2):
        assert await found.deliver(event) == Outcome(True, "handled")
    sys.modules.pop("points")
    assert await records.get(event.data["out_trade_no"]) == {"openid": "oPayer", "points": 72}


async def test_a_handler_is_given_the_event_of_its_type() -> None:
    seen: list[Event] = []

    async def keep(event: Event) -> None:
        seen.append(event)

    subscriber = Subscriber("shop", {"order.paid": keep, "order.closed": ignore})
    assert await subscriber.deliver(an_event()) == Outcome(True, "handled")
    assert await subscriber.deliver(an_event("e2", "order.closed")) == Outcome(True, "handled")
    assert seen == [an_event()]


async def test_a_handler_that_raises_or_takes_too_long_is_called_again_later() -> None:
    async def fail(_: Event) -> None:
        raise KeyError("out_trade_no")

    async def hang(_: Event) -> None:
        await asyncio.sleep(60)

    subscriber = Subscriber("shop", {"order.paid": fail, "order.closed": hang}, limit_s=0.05)
    assert await subscriber.deliver(an_event()) == Outcome(False, "raised")
    assert await subscriber.deliver(an_event("e2", "order.closed")) == Outcome(False, "timeout")


@pytest.mark.parametrize("name", sorted(plugin.MOVED))
def test_a_plugin_that_was_renamed_is_refused_by_its_new_name(name: str) -> None:
    assert importlib.import_module(plugin.MOVED[name]).routes
    with pytest.raises(ConfigError, match=re.escape(plugin.MOVED[name])):
        plugin.load([name], SERVICES)
