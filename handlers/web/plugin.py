"""Plugins: modules named under ``plugins:`` in the settings, with ``routes(services) -> list[Route]``,
``subscriptions(services) -> Mapping[str, Handler]`` or both, and ``lifespan(services)`` where something of the plugin's
has to be opened before the first request and closed after the last one.

A built-in handler and a third party's are loaded alike. What cannot work stops the start and names the owner.
"""

from __future__ import annotations

import importlib
import traceback
from collections.abc import Iterable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from enum import StrEnum
from types import ModuleType
from typing import TYPE_CHECKING, Any

from tornado.routing import URLSpec

from wechat.domain.errors import Bilingual, ConfigError
from wechat.domain.events import EventType
from wechat.domain.staff import Permission
from wechat.events.targets import Subscriber

if TYPE_CHECKING:
    from handlers.web.base import BaseHandler
    from handlers.web.services import Services

MOVED = {
    "handlers.books": "handlers.merchant.books",
    "handlers.cashier": "handlers.payer.cashier",
    "handlers.events": "handlers.merchant.events",
    "handlers.health": "handlers.ops.health",
    "handlers.jssdk": "handlers.payer.jssdk",
    "handlers.merchant": "handlers.merchant.orders",
    "handlers.notify": "handlers.wechat.notify",
    "handlers.oauth": "handlers.payer.oauth",
    "handlers.orders": "handlers.payer.orders",
    "handlers.refunds": "handlers.merchant.refunds",
}
"""Plugin names of release 0.1.0, which settings files may still have, and today's names."""


class Access(StrEnum):
    """The callers that a route admits; only ``BaseHandler.prepare`` enforces it."""

    PUBLIC = "public"  # anybody
    PAYER = "payer"  # a browser with a session from OAuth
    MERCHANT = "merchant"  # a system with an API key
    WECHAT = "wechat"  # WeChat itself: the message authenticates the sender, not the connection
    STAFF = "staff"  # a person in the console whose role has the route's permission
    OPERATOR = "operator"  # the command line of whoever may read the settings


@dataclass(frozen=True, kw_only=True)
class Route:
    """A route of a handler. The access level has no default, so that no route exists without one; ``permission`` goes
    with STAFF."""

    pattern: str
    handler: type[BaseHandler]
    access: Access
    name: str
    permission: Permission | None = None


@dataclass(frozen=True, slots=True)
class Owned:
    """A route and its plugin."""

    route: Route
    plugin: str


def load(plugins: Sequence[str], services: Services) -> list[Owned]:
    """Return the routes of all ``plugins``. Raises ConfigError for a plugin that cannot be loaded, and for duplicate
    routes."""
    owned = [Owned(route, plugin) for plugin in plugins for route in _routes(plugin, services)]
    for entry in owned:
        _check_permission(entry)
    for what in ("pattern", "name"):
        seen: dict[str, str] = {}
        for entry in owned:
            value = getattr(entry.route, what)
            if value in seen:
                raise _double(what, value, seen[value], entry.plugin)
            seen[value] = entry.plugin
    return owned


def subscribers(plugins: Sequence[str], services: Services) -> list[Subscriber]:
    """Return the plugins' subscriptions to events. Raises ConfigError for an unknown event."""
    found = []
    for plugin in plugins:
        if handlers := _call(plugin, "subscriptions", services):
            _must_exist(plugin, handlers)
            found.append(Subscriber(plugin, handlers))
    return found


async def start_all(plugins: Sequence[str], services: Services, stack: AsyncExitStack) -> None:
    """Enter each plugin's ``lifespan(services)``, if it has one; ``stack`` leaves them in reverse order.

    Raises ConfigError for a plugin that cannot start.
    """
    for plugin in plugins:
        lifespan = _call(plugin, "lifespan", services)
        if lifespan is None:
            continue
        try:
            await stack.enter_async_context(lifespan)
        except Exception as error:  # whatever a module of others raises
            raise ConfigError([_cannot_load(plugin, error)]) from error


def url_specs(owned: Sequence[Owned], services: Services) -> list[URLSpec]:
    """Return the routes as Tornado's URLSpec."""
    return [
        URLSpec(entry.route.pattern, entry.route.handler, _arguments(entry.route, services), name=entry.route.name)
        for entry in owned
    ]


def table(owned: Sequence[Owned]) -> str:
    """Return the routes as text, as ``server.py --routes`` prints them: access (``staff:permission`` for the console),
    pattern, methods, name, plugin."""
    rows = [
        (
            _label(entry.route),
            entry.route.pattern,
            " ".join(methods(entry.route.handler)),
            entry.route.name,
            entry.plugin,
        )
        for entry in owned
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def _label(route: Route) -> str:
    return f"{route.access}:{route.permission}" if route.permission else str(route.access)


def methods(handler: type[BaseHandler]) -> list[str]:
    """The HTTP methods that ``handler`` implements itself."""
    return [verb for verb in handler.SUPPORTED_METHODS if any(verb.lower() in vars(c) for c in _own_classes(handler))]


def _own_classes(handler: type[BaseHandler]) -> list[type]:
    return [cls for cls in handler.__mro__ if not cls.__module__.startswith("tornado.") and cls is not object]


def _routes(plugin: str, services: Services) -> list[Route]:
    return list(_call(plugin, "routes", services) or [])


def _call(plugin: str, name: str, services: Services) -> Any:
    """Call the plugin's function ``name``; None if there is none. Raises ConfigError if the function fails."""
    function = getattr(_module(plugin), name, None)
    try:
        return function(services) if function else None
    except Exception as error:  # whatever a module of others raises
        raise ConfigError([_cannot_load(plugin, error)]) from error


def _module(plugin: str) -> ModuleType:
    """Import the plugin. Raises ConfigError if it cannot be imported or is not a plugin."""
    if plugin in MOVED:
        name = MOVED[plugin]
        raise ConfigError(
            [Bilingual(f"plugins：{plugin} 已改名为 {name}", f"plugins: {plugin} has been renamed; write {name}")]
        )
    try:
        module = importlib.import_module(plugin)
    except Exception as error:  # a third party's module may raise anything while it is imported
        raise ConfigError([_cannot_load(plugin, error)]) from error
    if not any(callable(getattr(module, name, None)) for name in ("routes", "subscriptions")):
        raise ConfigError(
            [
                Bilingual(
                    f"plugins：{plugin} 没有 routes(services)，也没有 subscriptions(services)",
                    f"plugins: {plugin} has neither routes(services) nor subscriptions(services)",
                )
            ]
        )
    return module


def _cannot_load(plugin: str, error: Exception) -> Bilingual:
    """Describe the error, with the last line of the plugin's own code in its traceback."""
    frames = traceback.extract_tb(error.__traceback__)
    others = ("<", __file__, importlib.__file__)
    lines = [f"{frame.filename}:{frame.lineno}" for frame in frames if not frame.filename.startswith(others)]
    what = ", ".join([f"{type(error).__name__}: {error}", *lines[-1:]])
    return Bilingual(f"plugins：无法加载 {plugin}（{what}）", f"plugins: {plugin} cannot be loaded ({what})")


def _must_exist(plugin: str, event_types: Iterable[str]) -> None:
    if unknown := sorted(set(event_types) - set(EventType)):
        wrong, available = ", ".join(unknown), ", ".join(EventType)
        raise ConfigError(
            [
                Bilingual(
                    f"plugins：{plugin} 订阅了不存在的事件 {wrong}；可用的有 {available}",
                    f"plugins: {plugin} subscribes to {wrong}, which does not exist; there are {available}",
                )
            ]
        )


def _arguments(route: Route, services: Services) -> dict[str, Any]:
    permission = {"permission": route.permission} if route.permission else {}
    return {"services": services, "access": route.access, **permission}


def _check_permission(entry: Owned) -> None:
    """Raise ConfigError for a STAFF route without a permission, and for any other route with one."""
    route = entry.route
    if (route.access is Access.STAFF) != (route.permission is not None):
        raise ConfigError(
            [
                Bilingual(
                    f"plugins：{entry.plugin} 的 {route.name}：permission 与 Access.STAFF 要一起给出",
                    f"plugins: {route.name} of {entry.plugin}: Access.STAFF and permission go together",
                )
            ]
        )


def _double(what: str, value: str, first: str, second: str) -> ConfigError:
    return ConfigError(
        [
            Bilingual(
                f"plugins：{first} 与 {second} 的 {what} 重复：{value}",
                f"plugins: {first} and {second} both have the {what} {value}",
            )
        ]
    )
