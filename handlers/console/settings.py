"""The settings page: each setting without secrets and its origin, and the plugins with their routes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial

from handlers.console.base import ConsoleHandler
from handlers.console.routes import Page, console_routes
from handlers.console.texts.settings import ACCESS, ORIGINS, TEXTS
from handlers.web import plugin
from handlers.web.plugin import Route
from handlers.web.services import Services
from service.settings.origins import describe_settings
from wechat.domain.staff import Permission


class SettingsHandler(ConsoleHandler):
    """Read-only: settings are changed in their file or the environment, with a restart."""

    texts = TEXTS

    async def get(self) -> None:
        shown = await asyncio.to_thread(partial(describe_settings, self.services.settings))
        owned: Sequence[plugin.Owned] = self.settings["owned"]
        self.render_console(
            "settings.html", shown=shown, owned=owned, methods=plugin.methods, origins=ORIGINS, access_names=ACCESS
        )


def routes(services: Services) -> list[Route]:
    return console_routes(
        services, Page("/console/settings", SettingsHandler, "console_settings", Permission.READ_SETTINGS)
    )
