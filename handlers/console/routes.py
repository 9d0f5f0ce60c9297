"""Build the routes of the console's pages; none if the settings turn the console off."""

from __future__ import annotations

from typing import NamedTuple

from handlers.console.base import ConsoleHandler
from handlers.web.plugin import Access, Route
from handlers.web.services import Services
from wechat.domain.staff import Permission


class Page(NamedTuple):
    """A page's address, and the permission that it requires."""

    pattern: str
    handler: type[ConsoleHandler]
    name: str
    permission: Permission


def console_routes(services: Services, *pages: Page) -> list[Route]:
    """Return a route for each page; none if the console is turned off."""
    if not services.settings.console.enabled:
        return []
    return [
        Route(pattern=pattern, handler=handler, access=Access.STAFF, name=name, permission=permission)
        for pattern, handler, name, permission in pages
    ]
