"""The pages' own files: styles, scripts, pictures."""

from __future__ import annotations

from tornado.web import StaticFileHandler


class StaticFiles(StaticFileHandler):
    """Asked for anew each time and answered 304 while unchanged.

    Modules import each other by plain names, so a browser that kept some of them would mix two releases.
    """

    def set_default_headers(self) -> None:
        self.clear_header("Server")
        self.set_header("X-Content-Type-Options", "nosniff")

    def set_extra_headers(self, path: str) -> None:
        self.set_header("Cache-Control", "no-cache")
