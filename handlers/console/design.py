"""The page that shows each component of the pages with its class names."""

from __future__ import annotations

from handlers.console.base import ConsoleHandler
from handlers.console.routes import Page, console_routes
from handlers.console.texts.design import TEXTS
from handlers.web.plugin import Route
from handlers.web.services import Services
from wechat.domain.staff import Permission

INKS = ("ink", "soft", "link", "green-ink", "red-ink", "amber-ink", "blue-ink")
BADGES = (("good", "badge good"), ("wait", "badge wait"), ("bad", "badge bad"), ("info", "badge info"), ("", "badge"))


class DesignHandler(ConsoleHandler):
    texts = TEXTS

    async def get(self) -> None:
        self.render_console("design.html", inks=INKS, badge_classes=BADGES)


def routes(services: Services) -> list[Route]:
    return console_routes(services, Page("/console/design", DesignHandler, "console_design", Permission.READ_SETTINGS))
