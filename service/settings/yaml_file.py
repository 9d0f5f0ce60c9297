"""Parse a settings file: its YAML values, and keys that it repeats, of which YAML would keep the last."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import yaml


class RepeatedKey(NamedTuple):
    """A ``key`` (dotted) and the two lines of the file that give it, counted from 1."""

    key: str
    first: int
    again: int


def parse(text: str) -> Any:
    """Return the file's values. Raises yaml.YAMLError."""
    return yaml.safe_load(text)


def find_repeated_keys(text: str) -> list[RepeatedKey]:
    """Return the keys that a section gives more than once. Raises yaml.YAMLError."""
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    return list(_find_repeated_keys(root, "")) if root else []


def _find_repeated_keys(node: yaml.Node, above: str) -> Iterator[RepeatedKey]:
    if isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            yield from _find_repeated_keys(item, f"{above}{index}.")
    if not isinstance(node, yaml.MappingNode):
        return
    seen: dict[str, int] = {}
    for key, value in node.value:
        name = f"{above}{key.value if isinstance(key, yaml.ScalarNode) else '?'}"
        line = key.start_mark.line + 1
        if name in seen:
            yield RepeatedKey(name, seen[name], line)
        seen.setdefault(name, line)
        yield from _find_repeated_keys(value, f"{name}.")
