"""Describe each setting for people: its value without secrets, and its origin."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from pydantic import BaseModel, SecretStr

from service.settings import yaml_file
from service.settings.model import ENV_PREFIX, Settings

HIDDEN = "••••••"
PRIVATE = frozenset({"key", "other_key", "client_key", "merchant_key", "secret", "secrets", "password", "sha256"})
"""Names of fields that are never shown, whatever their type is."""


class Origin(StrEnum):
    """The origin of a value; the environment wins over files, and files over defaults."""

    DEFAULT = "default"
    FILE = "file"
    ENVIRONMENT = "environment"


class ShownSetting(NamedTuple):
    """``where``: the file's name or the variable's; empty for a default."""

    key: str
    value: str
    origin: Origin
    where: str = ""


def describe_settings(settings: Settings) -> list[ShownSetting]:
    """Return every setting, in the order of the sections, except plugins."""
    layers = list(_layers(settings.file, ())) if settings.file else []
    return [
        ShownSetting(key, value, *_origin_of(key, layers))
        for key, value in _flatten("", settings)
        if not key.startswith("plugins")
    ]


def _flatten(prefix: str, value: Any) -> Iterator[tuple[str, str]]:
    """Yield the leaves of ``value`` with their dotted keys."""
    if isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from _flatten(f"{prefix}.{name}" if prefix else name, getattr(value, name))
    elif isinstance(value, tuple | list) and any(isinstance(each, BaseModel) for each in value):
        for number, each in enumerate(value):
            yield from _flatten(f"{prefix}[{number}]", each)
    else:
        yield prefix, _show(prefix, value)


def _show(key: str, value: Any) -> str:
    if isinstance(value, SecretStr) or key.rpartition(".")[2] in PRIVATE:
        return HIDDEN if value else "–"
    if isinstance(value, tuple | list | set | frozenset):
        return ", ".join(_show(key, each) for each in value) or "–"
    text = "–" if value is None or value == "" else str(value)
    if "-----BEGIN" in text:
        return HIDDEN
    return _without_password(text) if "://" in text else text


def _without_password(address: str) -> str:
    """Return ``redis://user:word@host`` as ``redis://••••••@host``, without the query, which may hold a key."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return HIDDEN
    user, at, host = parts.netloc.rpartition("@")
    query = f"?{HIDDEN}" if parts.query else ""
    return f"{parts.scheme}://{HIDDEN if user else ''}{at}{host}{parts.path}{query}"


def _origin_of(key: str, layers: Sequence[tuple[str, Mapping[str, Any]]]) -> tuple[Origin, str]:
    path = key.partition("[")[0].split(".")
    variables = {ENV_PREFIX + "__".join(path[:length]).upper() for length in range(1, len(path) + 1)}
    for name in os.environ:
        if name.upper() in variables:
            return Origin.ENVIRONMENT, name
    for file, values in layers:
        if _has(values, path):
            return Origin.FILE, file
    return Origin.DEFAULT, ""


def _has(values: Any, path: Sequence[str]) -> bool:
    for part in path:
        if not isinstance(values, dict) or part not in values:
            return False
        values = values[part]
    return True


def _layers(path: Path, above: tuple[Path, ...]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Return the files that the settings were read from, the one that wins first."""
    values = yaml_file.parse(path.read_text(encoding="utf-8")) or {}
    yield path.name, values
    base = values.get("extends")
    if isinstance(base, str) and path.resolve() not in above:
        yield from _layers(path.parent / base, (*above, path.resolve()))
