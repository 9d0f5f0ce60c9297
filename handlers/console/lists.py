"""What the pages of lists share: a choice of states and the way to older entries."""

from __future__ import annotations

from enum import StrEnum
from typing import TypeVar

from handlers.console.base import ConsoleHandler
from wechat.domain.errors import BadRequest, Bilingual

PAGE = 50
E = TypeVar("E", bound=StrEnum)


class ListHandler(ConsoleHandler):
    """A page of a list. ``state`` and ``cursor`` are in its address."""

    def chosen(self, states: type[E]) -> E | None:
        """The state that is asked for; None for all. Raises BadRequest."""
        value = self.get_query_argument("state", "")
        if value and value not in list(states):
            names = ", ".join(states)
            raise BadRequest(Bilingual(f"state 可取 {names}", f"state is one of {names}"), field="state")
        return states(value) if value else None

    @property
    def cursor(self) -> str:
        return self.get_query_argument("cursor", "")
