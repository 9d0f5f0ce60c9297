"""Find sample values that must be replaced: those of deploy/settings.production.yml and of WeChat's documents.

Otherwise a forgotten one would be found at the first payment.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

_APPIDS = ("wx0000000000000000", "wx8888888888888888", "wxd678efh567hg6787", "wxd930ea5d5a258f4f")
SAMPLES: Mapping[str, tuple[str, ...]] = {
    "account.appid": _APPIDS,
    "pay.app_appid": _APPIDS,
    "pay.mchid": ("1900000000", "1900009191", "1230000109", "10000100"),
    "pay.v2.key": ("192006250b4c09247ec02edce69f6a2d",),
    "pay.v3.public_key_id": ("PUB_KEY_ID_0", "PUB_KEY_ID_0000000000000024101100397200000006"),
}
"""Samples by key, exactly as in the template or in the documents (https://pay.weixin.qq.com/doc)."""
EXAMPLE_HOST = re.compile(r"(^|\.)example(\.(com|org|net))?$", re.IGNORECASE)
"""Names that RFC 2606 reserves for documents."""


def find_placeholders(values: Mapping[str, Any]) -> list[str]:
    """Return the keys (dotted) of ``values``, nested as in the file, that still hold a sample."""
    found = [key for key, samples in SAMPLES.items() if str(look_up(values, key)) in samples]
    url = str(look_up(values, "http.public_base_url") or "")
    if EXAMPLE_HOST.search(_host(url)):
        found.append("http.public_base_url")
    hooks = values.get("webhooks") or ()
    return found + [
        f"webhooks.{hook.get('name')}.url"
        for hook in hooks
        if isinstance(hook, Mapping) and EXAMPLE_HOST.search(_host(str(hook.get("url"))))
    ]


def look_up(values: Mapping[str, Any], key: str) -> Any:
    """Return the value under a dotted key; None if there is none."""
    found: Any = values
    for name in key.split("."):
        found = found.get(name) if isinstance(found, Mapping) else None
    return found


def _host(url: str) -> str:
    try:
        return (urlsplit(url).hostname or "").rstrip(".")
    except ValueError:
        return ""
