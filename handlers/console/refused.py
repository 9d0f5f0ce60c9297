"""A refused form of a page that has the same forms for each entry of a list."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Refused(NamedTuple):
    """The form as it was sent: the name of its entry and its own, what was typed (never a password), and the errors by
    field."""

    name: str
    form: str
    typed: str
    errors: Mapping[str, str]

    def error(self, name: str, form: str, field: str) -> str:
        """Return the error of a field of the page; empty for every field but the refused ones."""
        return self.errors.get(field, "") if (name, form) == (self.name, self.form) else ""

    def typed_in(self, name: str, form: str, otherwise: str) -> str:
        """Return what was typed in a form of the page; ``otherwise`` if nothing was, and for every other form."""
        return self.typed if self.typed and (name, form) == (self.name, self.form) else otherwise


NONE = Refused("", "", "", {})
