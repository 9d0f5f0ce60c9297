"""The routes of the console's pages: none where the settings turn the console off."""

from __future__ import annotations

from typing import NamedTuple

from handlers.console.base import ConsoleHandler
from handlers.web.plugin import Access, Route
from handlers.web.services import Services
from wechat.domain.staff import Permission


class Page(NamedTuple):
    """An address of the console, for whoever has ``permission``."""

    pattern: str
    handler: type[ConsoleHandler]
    name: str
    permission: Permission


def console_routes(services: Services, *pages: Page) -> list[Route]:
    """The route of each page; none where there is no console."""
    if not services.settings.console.enabled:
        return []
    return [
        Route(pattern=pattern, handler=handler, access=Access.STAFF, name=name, permission=permission)
        for pattern, handler, name, permission in pages
    ]
