"""Read the settings: a YAML file, then environment variables (``FENPAY_PAY__API=v2``), which win.

``load`` returns valid settings, or raises ``ConfigError`` with one sentence for each fault, which names the key and the
remedy and never shows the value.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, SettingsError

from service.settings import yaml_file
from service.settings.model import ENV_PREFIX, Settings
from service.settings.problems import find_problems
from service.settings.yaml_file import RepeatedKey
from wechat.domain.errors import Bilingual, ConfigError
from wechat.support.validation import describe_need


def load(path: Path) -> Settings:
    """Read the settings of ``path``, of the files it extends (``extends: other.yml``), and of the environment. Raises
    ConfigError."""
    settings = build(read(path))
    settings._file = path  # a private field, set by the loader only
    return settings


def build(values: dict[str, Any]) -> Settings:
    """Return settings from ``values`` and the environment. Raises ConfigError."""
    if strays := _stray_variables(Settings):
        raise ConfigError(strays)
    try:
        settings = Settings(**values)
    except ValidationError as error:
        raise ConfigError([_sentence(fault) for fault in error.errors()]) from None
    except SettingsError as error:
        raise ConfigError([_not_json(error)]) from None
    if problems := find_problems(settings):
        raise ConfigError(problems)
    return settings


def read(path: Path, above: tuple[Path, ...] = ()) -> dict[str, Any]:
    """Return the values of ``path``, merged over the files it extends and not yet checked; ``above`` are the files that
    extend it. Raises ConfigError."""
    try:
        text = path.read_text(encoding="utf-8")
        values, repeated = yaml_file.parse(text) or {}, yaml_file.find_repeated_keys(text)
    except OSError as error:
        why = error.strerror or "?"
        raise ConfigError(
            [Bilingual(f"读不到配置文件 {path}（{why}）", f"the settings file {path} cannot be read ({why})")]
        ) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError([_not_yaml(path, error)]) from None
    if repeated:
        raise ConfigError([_describe_repeated_key(path, key) for key in repeated])
    if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
        raise ConfigError([Bilingual(f"{path} 的顶层应是键值对", f"{path} must hold keys and values")])
    base = values.pop("extends", None)
    if base is None:
        return values
    if not isinstance(base, str) or path.resolve() in above:
        raise ConfigError([Bilingual("extends：要求另一个文件的路径", "extends: must be the path of another file")])
    return _merge(read(path.parent / base, (*above, path.resolve())), values)


def _not_yaml(path: Path, error: Exception) -> Bilingual:
    """Return an error that names the line without quoting it; it may hold a secret."""
    mark = getattr(error, "problem_mark", None)
    zh, en = (f"第 {mark.line + 1} 行", f" (line {mark.line + 1})") if mark else ("", "")
    return Bilingual(f"{path} {zh}不是合法的 YAML", f"{path} is not valid YAML{en}")


def _describe_repeated_key(path: Path, key: RepeatedKey) -> Bilingual:
    return Bilingual(
        f"{key.key}：在 {path} 第 {key.first} 行和第 {key.again} 行各写了一次，只留一个",
        f"{key.key}: stands on line {key.first} and on line {key.again} of {path}; keep one of them",
    )


def _merge(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _merge(merged[key], value) if both else value
    return merged


def _sentence(fault: ErrorDetails) -> Bilingual:
    location, kind = fault["loc"], fault["type"]
    key = ".".join(str(part) for part in location)
    if kind == "extra_forbidden":
        return Bilingual(
            f"{key}：没有这个设置，请检查拼写或删除",
            f"{key}: there is no such setting; check its spelling or remove it",
        )
    if kind == "missing":
        env = ENV_PREFIX + "__".join(str(part) for part in location).upper()
        return Bilingual(
            f"{key}：缺少，请在设置文件或环境变量 {env} 中给出", f"{key}: missing; set it in the file or as {env}"
        )
    if kind == "string_type" and isinstance(fault["input"], int | float):
        return Bilingual(
            f'{key}：要求文字，请加引号，如 {location[-1]}: "…"',
            f'{key}: must be a text; put it in quotes, as in {location[-1]}: "…"',
        )
    wanted = describe_need(fault)
    return Bilingual(f"{key}：要求{wanted.zh}", f"{key}: must {wanted.en}")


def _stray_variables(settings_cls: type[BaseSettings]) -> list[Bilingual]:
    """Return variables with our prefix that name no setting; pydantic would ignore them.

    Below the first level the sections themselves refuse unknown keys.
    """
    named = [name for name in os.environ if name.upper().startswith(ENV_PREFIX)]
    strays = [
        name
        for name in sorted(named)
        if name.upper().removeprefix(ENV_PREFIX).partition("__")[0].lower() not in settings_cls.model_fields
    ]
    return [
        Bilingual(
            f"环境变量 {name}：没有这个设置，请检查拼写或删除",
            f"the variable {name}: there is no such setting; check it or unset it",
        )
        for name in strays
    ]


def _not_json(error: SettingsError) -> Bilingual:
    """Return an error for a list or a section in an environment variable that cannot be parsed."""
    found = re.search(r'field "(\w+)"', str(error))
    name = ENV_PREFIX + (found[1].upper() if found else "…")
    return Bilingual(f"{name}：要求一段 JSON", f"{name}: must be JSON")
