"""Write the demo's files to ``var/``: keys, secrets, the settings overlay and ``demo.json``, readable by their owner
only.

Secrets are created once and kept; values that come from the simulator or depend on a port are written at each start.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from pathlib import Path
from typing import Any

import yaml

from scripts.overlay import overlay

Credentials = dict[str, Any]

KNOWN = Path("simulator", "credentials-seen.json")
"""Beside the simulator's state, so that both are deleted together."""
CONSOLE_USER = "demo"
"""The user of the login link. The password is still required before money moves."""
PASSWORD_BYTES = 9
FILES = {
    "merchant_private_key_pem": "apiclient_key.pem",
    "merchant_cert_pem": "apiclient_cert.pem",
    "public_key_pem": "pub_key.pem",
    "secure_ca_pem": "wechat_ca.pem",
}


def console_settings(base_url: str) -> dict[str, list[str]]:
    """Return the entries of WeChat's consoles for ``base_url``. Only pages under /pay/ may pay."""
    host = base_url.removeprefix("http://")
    return {"oauth_domains": [host], "js_domains": [host], "pay_directories": [f"{base_url}/pay/"]}


def load_credentials(var: Path) -> Credentials | None:
    """Return the simulator's credentials of the last start."""
    try:
        credentials: Credentials = json.loads((var / KNOWN).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return credentials


def load_shown(var: Path) -> dict[str, str]:
    """Return the contents of ``demo.json``: addresses, the API key, the console's user."""
    shown: dict[str, str] = json.loads((var / "demo.json").read_text(encoding="utf-8"))
    return shown


def load_session_secret(var: Path) -> str:
    return _load_or_create_secret(var / "secrets" / "session")


def write(var: Path, base_url: str, simulator_url: str, credentials: Credentials) -> None:
    """Write all files that the service needs to start, and ``demo.json`` for people."""
    _private(var / KNOWN, json.dumps(credentials))
    api_key = _load_or_create_secret(var / "secrets" / "api_key")
    settings = _settings(var, base_url, simulator_url, credentials)
    settings["session"] = {"secret": load_session_secret(var)}
    settings["merchants"] = [{"name": "demo", "sha256": hashlib.sha256(api_key.encode()).hexdigest()}]
    login_token = secrets.token_urlsafe(32)
    password = _load_or_create_secret(var / "secrets" / "console_password", PASSWORD_BYTES)
    settings["console"] = {"demo_login_sha256": hashlib.sha256(login_token.encode()).hexdigest()}
    _private(var / "demo.yml", yaml.safe_dump(settings, allow_unicode=True, sort_keys=False))
    shown = {
        "base_url": base_url,
        "simulator_url": simulator_url,
        "api_key": api_key,
        "console_url": f"{base_url}/console",
        "console_login_url": f"{base_url}/console/enter?token={login_token}",
        "console_user": CONSOLE_USER,
        "console_password": password,
    }
    _private(var / "demo.json", json.dumps(shown, indent=2) + "\n")


def _settings(var: Path, base_url: str, simulator_url: str, credentials: Credentials) -> dict[str, Any]:
    """Return the overlay, with PEM files under the names that merchants know, and all data in ``var``."""

    def file(name: str) -> str:
        path = var / "keys" / FILES[name]
        _private(path, credentials[name])
        return str(path)

    settings = overlay(base_url, simulator_url, credentials, file)
    settings["shop"] = {"landing": True}
    settings["http"]["verify_files"] = str(var / "verify")
    directories = {"books": "bills", "mongo": "mongo", "redis": "redis"}
    return settings | {section: {"directory": str(var / name)} for section, name in directories.items()}


def _load_or_create_secret(path: Path, size: int = 32) -> str:
    """Return the secret in ``path``, created from ``size`` random bytes the first time."""
    if not path.exists():
        _private(path, secrets.token_urlsafe(size))
    return path.read_text(encoding="ascii")


def _private(path: Path, text: str) -> None:
    """Write ``path`` in one step, readable by its owner only."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.new")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        os.fchmod(file.fileno(), 0o600)
        file.write(text)
    draft.replace(path)
