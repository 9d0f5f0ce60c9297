"""The pages' own files: styles, scripts, pictures."""

from __future__ import annotations

import json
import secrets
from typing import Any

from tornado.web import HTTPError, StaticFileHandler

from handlers.web.base import HTTP_CODES, HTTP_TEXTS
from wechat.domain.errors import FenpayError


class StaticFiles(StaticFileHandler):
    """Files that browsers revalidate on every use, answered 304 while unchanged.

    Modules import each other by plain names, so a browser that kept some of them would mix two releases.
    """

    def set_default_headers(self) -> None:
        self.clear_header("Server")
        self.set_header("X-Content-Type-Options", "nosniff")

    def set_extra_headers(self, path: str) -> None:
        self.set_header("Cache-Control", "no-cache")

    def parse_url_path(self, url_path: str) -> str:
        """Answer 404 to a path with a NUL, which the file functions of Python refuse."""
        if "\0" in url_path:
            raise HTTPError(404)
        return super().parse_url_path(url_path)

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Write errors in the same shape as all other handlers."""
        text = HTTP_TEXTS.get(status_code, FenpayError.text)
        code = HTTP_CODES.get(status_code, "ERROR")
        self.set_header("Content-Type", "application/json; charset=utf-8")
        self.finish(json.dumps({"code": code, "message": text.zh, "request_id": secrets.token_hex(8)}))
