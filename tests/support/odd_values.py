"""Undocumented values that a field of WeChat's may have; ABSENT means no field at all."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any


class Absent(Enum):
    """An enum, because its representation, which names test cases, is the same in every process."""

    ABSENT = "absent"


ABSENT = Absent.ABSENT
ODD: tuple[object, ...] = (ABSENT, "", None, 0, True, 1.5, [], {}, "new", 2**53 + 1, 2**63)
"""Values in JSON."""
TEXTS: tuple[object, ...] = (ABSENT, "", "0", "new", "1.5", "9007199254740993")
"""Values in XML, which has only texts."""


def changed(fields: Mapping[str, Any], name: str, value: object) -> dict[str, Any]:
    """Return ``fields`` with ``value`` for ``name``, or without it if the value is ABSENT."""
    return {key: held for key, held in {**fields, name: value}.items() if held is not ABSENT}
