"""The subject of the checks: a settings file with its values, and its machine."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from doctor import machine as machines
from doctor.machine import Machine
from service.settings import loading
from service.settings.model import ENV_PREFIX, Environment, Settings
from service.settings.placeholders import look_up
from wechat.domain.errors import Bilingual, ConfigError
from wechat.pay.key_files import read_text

T = TypeVar("T")

PEM_KEYS = (
    "pay.v3.merchant_key",
    "pay.v3.merchant_cert",
    "pay.v3.public_key",
    "pay.v2.client_cert",
    "pay.v2.client_key",
    "pay.v2.ca",
)
SECRET_KEYS = ("pay.v3.merchant_key", "pay.v2.client_key")
"""Settings of keys that no other user may read."""


class KeyGiven(NamedTuple):
    """A key as its setting gives it: the path, if it names a file, and the text, if that can be read."""

    setting: str
    path: Path | None
    text: str | None
    error: str = ""


@dataclass(frozen=True, slots=True)
class Subject:
    """``values`` are the merged files with the environment, unchecked; ``settings`` is None if they are not valid."""

    file: Path
    machine: Machine
    values: Mapping[str, Any]
    settings: Settings | None
    file_problems: Sequence[Bilingual] = ()
    value_problems: Sequence[Bilingual] = ()
    _asked: dict[str, asyncio.Task[Any]] = field(default_factory=dict, compare=False, repr=False)

    async def once(self, name: str, ask: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Return the answer to ``ask``, computed once per ``name`` and shared by all checks that need it."""
        if name not in self._asked:
            self._asked[name] = asyncio.create_task(ask(), name=name)
        answer: T = await asyncio.shield(self._asked[name])
        return answer

    @property
    def production(self) -> bool:
        """Whether real money moves; also True for settings that do not say demo."""
        return str(self.value("environment") or Environment.PRODUCTION) != Environment.DEMO

    def value(self, key: str) -> Any:
        """Return the value under a dotted key, unchecked; None if there is none."""
        return look_up(self.values, key)

    def text(self, key: str) -> str:
        found = self.value(key)
        return "" if found is None else str(found)

    def key(self, setting: str) -> KeyGiven | None:
        """Return the key that the setting of a PEM gives; None if it is not set."""
        given = self.text(setting)
        if not given:
            return None
        if "-----BEGIN" in given:
            return KeyGiven(setting, None, given.replace("\\n", "\n"))
        try:
            return KeyGiven(setting, Path(given), read_text(Path(given).read_bytes()))
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else str(error)
            return KeyGiven(setting, Path(given), None, why or "?")


def read(file: Path, machine: Machine | None = None) -> Subject:
    """Return the subject of ``file``. Never raises: faults of the settings are part of the subject."""
    machine = machine or machines.read_machine()
    try:
        values = loading.read(file)
    except ConfigError as error:
        return Subject(file, machine, {}, None, file_problems=error.problems)
    merged = _under_environment(values)
    try:
        return Subject(file, machine, merged, loading.build(values))
    except ConfigError as error:
        return Subject(file, machine, merged, None, value_problems=error.problems)


def readable_by_others(path: Path) -> bool | None:
    """Whether users besides the owner and its group can read or write; None if that cannot be found out."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return None
    return bool(mode & (stat.S_IRWXO | stat.S_IWGRP))


def _under_environment(values: dict[str, Any]) -> dict[str, Any]:
    """Return ``values`` with the texts of environment variables in their places."""
    merged = dict(values)
    for name, text in os.environ.items():
        if name.upper().startswith(ENV_PREFIX):
            *sections, key = name.upper().removeprefix(ENV_PREFIX).lower().split("__")
            at = merged
            for section in sections:
                inner = at.get(section)
                at[section] = dict(inner) if isinstance(inner, Mapping) else {}
                at = at[section]
            at[key] = text
    return merged
