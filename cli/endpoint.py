"""The service that a command calls, and its key.

The key is never an argument, which every user of the machine could read: it comes from the environment or a file. The
variables begin with ``FENPAYCLI_``, because a service started from the same shell refuses to start with a ``FENPAY_``
variable that names no setting.
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from cli.problems import Exit, Problem
from wechat.domain.errors import Bilingual

URL_VARIABLE = "FENPAYCLI_URL"
KEY_VARIABLE = "FENPAYCLI_API_KEY"
SIMULATOR_VARIABLE = "FENPAYCLI_SIMULATOR_URL"
DEMO = Path(__file__).resolve().parents[1] / "var" / "demo.json"

_KEY = re.compile(r"[\x21-\x7e]{1,512}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The service at ``url``, and the ``key`` to call it with; ``demo``: it is the one that ``make run`` starts, with
    the WeChat simulator at ``simulator_url``."""

    url: str
    key: str = field(repr=False)
    demo: bool = False
    simulator_url: str = ""

    @property
    def local(self) -> bool:
        """Whether the service is on this machine, where no proxy and no eavesdropper is in between."""
        return _is_loopback(urlsplit(self.url).hostname or "")

    @property
    def next_step(self) -> str:
        """The command to run when the service does not answer."""
        return "make run" if self.demo else f"curl -s '{self.url}/readyz?verbose'"


def find(url: str | None, key_file: Path | None, environ: Mapping[str, str], demo: Path = DEMO) -> Endpoint:
    """Return the endpoint that options and environment name; the demo's if they name none. Raises Problem."""
    key = _from_file(key_file) if key_file else environ.get(KEY_VARIABLE, "")
    if not url and not key:
        return _of_demo(demo)
    if not url:
        text = Bilingual(f"没有服务地址：给出 --url 或 {URL_VARIABLE}", f"No address: give --url or set {URL_VARIABLE}")
        raise _build_config_problem("NO_URL", text, f"export {URL_VARIABLE}=https://pay.example.com")
    if not key:
        text = Bilingual(
            f"没有 Fenpay API Key：设置 {KEY_VARIABLE} 或给出 --key-file",
            f"No API key: set {KEY_VARIABLE} or give --key-file",
        )
        raise _build_config_problem("NO_KEY", text, f"read -rs {KEY_VARIABLE} && export {KEY_VARIABLE}")
    return Endpoint(check_address(url), _valid(key))


def _of_demo(file: Path) -> Endpoint:
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
        key, simulator_url = _valid(str(document["api_key"])), str(document.get("simulator_url", ""))
        return Endpoint(str(document["base_url"]), key, demo=True, simulator_url=simulator_url)
    except (OSError, ValueError, KeyError, TypeError):
        text = Bilingual(
            f"未找到可连接的服务：请先启动演示（make run），或设置 {URL_VARIABLE} 与 {KEY_VARIABLE}",
            f"No service found: start the demo (make run), or set {URL_VARIABLE} and {KEY_VARIABLE}",
        )
        raise _build_config_problem("NO_SERVICE", text, "make run") from None


def _from_file(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        text = Bilingual(f"读不到密钥文件 {file}", f"The key file {file} cannot be read")
        raise _build_config_problem("NO_KEY", text, f"ls -l '{file}'") from None


def _valid(key: str) -> str:
    """Return ``key`` if a header can carry it. Raises Problem, whose text does not show the key."""
    if not _KEY.fullmatch(key):
        text = Bilingual(
            "Fenpay API Key 为空，或含有空白等字符",
            "The API key is empty, or contains blanks or other invalid characters",
        )
        raise _build_config_problem("BAD_KEY", text, f"read -rs {KEY_VARIABLE} && export {KEY_VARIABLE}")
    return key


def check_address(url: str) -> str:
    """Return ``url`` without a final slash. The key is sent over https only, except on this machine. Raises Problem."""
    try:
        parts = urlsplit(url)
        plain = bool(parts.hostname) and parts.username is None and parts.port != 0
    except ValueError:
        plain = False
    if not plain or parts.scheme not in ("http", "https") or parts.query or parts.fragment or not url.isprintable():
        text = Bilingual(
            "--url 是 https://主机[:端口] 这样的地址", "--url must be an address such as https://host[:port]"
        )
        raise _build_config_problem("BAD_URL", text, f"export {URL_VARIABLE}=https://pay.example.com")
    if parts.scheme == "http" and not _is_loopback(parts.hostname or ""):
        text = Bilingual(
            "密钥不走明文：本机之外请用 https",
            "The key is not sent unencrypted: use https for addresses outside this machine",
        )
        raise _build_config_problem("NOT_HTTPS", text, f"export {URL_VARIABLE}=https://{parts.netloc}")
    return url.rstrip("/")


def check_receiver(url: str) -> str:
    """Return ``url`` if it is an address on this machine: events name payers and must not leave it. Raises Problem."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and parts.username is None and parts.port != 0 and url.isprintable()
        usable = usable and not parts.fragment and _is_loopback(parts.hostname or "")
    except ValueError:
        usable = False
    if not usable:
        text = Bilingual(
            "--forward-to 是本机的地址，如 http://127.0.0.1:3000/hook",
            "--forward-to must be an address on this machine, such as http://127.0.0.1:3000/hook",
        )
        raise Problem(Exit.USAGE, "BAD_RECEIVER", text)
    return url


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _build_config_problem(name: str, text: Bilingual, next_step: str) -> Problem:
    return Problem(Exit.CONFIG, name, text, next_step=next_step)
