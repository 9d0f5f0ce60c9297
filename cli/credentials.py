"""Keys for explaining a signature: from options, each a value or a path, and from a settings file.

The settings are read leniently: whoever looks for a slip may have a file that cannot start a service yet.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from cli.problems import Exit, Problem
from wechat.domain.errors import Bilingual
from wechat.pay.key_files import PemContent, read_pem
from wechat.sign_explain.model import Keys

MOST_BYTES = 64 * 1024


def read_value(option: str, value: str) -> str:
    """Return ``value``, or the content of the file of that name without its final line break. Raises Problem."""
    try:
        path = Path(value)
        if "\n" in value or not path.is_file():
            return value.encode("utf-8", "replace").decode()
        return path.read_bytes()[:MOST_BYTES].decode("utf-8").removesuffix("\n").removesuffix("\r")
    except (OSError, ValueError):
        text = Bilingual(f"{option}：读不到文件 {value[:80]}", f"{option}: cannot read the file {value[:80]}")
        raise Problem(Exit.USAGE, "UNREADABLE_FILE", text) from None


def read_key(option: str, value: str | None) -> PemContent | None:
    """Return the key or certificate that an option gives. Raises Problem."""
    if value is None:
        return None
    found = read_pem(read_value(option, value))
    if found is None:
        text = Bilingual(
            f"{option}：不是可用的 PEM（RSA 私钥、公钥或证书），也不是文件",
            f"{option}: not a usable PEM (RSA private key, public key or certificate), and not a file",
        )
        raise Problem(Exit.USAGE, "NOT_A_PEM", text)
    return found


def find_keys(
    settings: Path | None,
    keys: Sequence[str],
    private_key: str | None,
    public_key: str | None,
    certificate: str | None,
    ticket: str | None,
) -> Keys:
    """Return all keys that options name; those of ``settings`` replace what no option names. Raises Problem."""
    base = of_settings(settings) if settings else Keys()
    public = read_key("--public-key", public_key)
    return replace(
        base,
        given=tuple(read_value("--key", key) for key in keys),
        ticket=read_value("--ticket", ticket) if ticket else "",
        private_key=read_key("--private-key", private_key) or base.private_key,
        public_key=public or base.public_key,
        certificate=read_key("--certificate", certificate) or base.certificate,
        public_key_id="" if public else base.public_key_id,
    )


def read_values(path: Path) -> Callable[[str], str]:
    """Return the texts of keys (dotted) from a settings file, the files that it extends and the environment, which
    wins; empty for a missing key. Raises Problem."""
    values = _read(path, ())

    def text(key: str) -> str:
        return os.environ.get("FENPAY_" + key.replace(".", "__").upper()) or str(_find(values, key) or "")

    return text


def of_settings(path: Path) -> Keys:
    """Return the keys in a settings file, the files that it extends and the environment. Raises Problem."""
    values, text = _read(path, ()), read_values(path)
    hooks = _find(values, "webhooks") or []
    secrets = [str(secret) for hook in hooks if isinstance(hook, dict) for secret in hook.get("secrets") or ()]
    return Keys(
        v2=text("pay.v2.key"),
        v3=text("pay.v3.key"),
        appsecret=text("account.appsecret"),
        webhook_secrets=tuple(secrets),
        private_key=_pem("pay.v3.merchant_key", text("pay.v3.merchant_key")),
        certificate=_pem("pay.v3.merchant_cert", text("pay.v3.merchant_cert")),
        public_key=_pem("pay.v3.public_key", text("pay.v3.public_key")),
        public_key_id=text("pay.v3.public_key_id"),
    )


def _pem(name: str, value: str) -> PemContent | None:
    return read_key(name, value) if value else None


def _find(values: Any, key: str) -> Any:
    for part in key.split("."):
        values = values.get(part) if isinstance(values, dict) else None
    return values


def _read(path: Path, above: tuple[Path, ...]) -> Mapping[str, Any]:
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (OSError, ValueError, yaml.YAMLError):
        text = Bilingual(f"读不到配置文件 {path}", f"The settings file {path} cannot be read")
        raise Problem(Exit.USAGE, "UNREADABLE_FILE", text) from None
    if not isinstance(values, dict):
        return {}
    base = values.pop("extends", None)
    if not isinstance(base, str) or path.resolve() in above:
        return values
    return _merge(_read(path.parent / base, (*above, path.resolve())), values)


def _merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _merge(merged[key], value) if both else value
    return merged
