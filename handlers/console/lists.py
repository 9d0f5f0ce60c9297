"""The base of list pages: a filter by state, and pages."""

from __future__ import annotations

from enum import StrEnum
from typing import TypeVar

from handlers.console.base import ConsoleHandler
from handlers.web.query import read_choice

PAGE = 50
E = TypeVar("E", bound=StrEnum)


class ListHandler(ConsoleHandler):
    """A page of a list. Its address has ``state`` and ``cursor``."""

    def chosen(self, states: type[E]) -> E | None:
        """The state in the address; None for all states. Raises BadRequest."""
        value = self.get_query_argument("state", "")
        return read_choice(states, value, "state") if value else None

    @property
    def cursor(self) -> str:
        return self.get_query_argument("cursor", "")
