"""Build the settings that connect a service to a simulator."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from scripts.steps import ROOT

Credentials = Mapping[str, Any]


def overlay(
    base_url: str, simulator_url: str, credentials: Credentials, pem: Callable[[str], str] | None = None
) -> dict[str, Any]:
    """Return the values that override settings.yml: both APIs of the simulator's merchant, v2's refunds over mutual
    TLS.

    ``credentials`` is GET /simulator/credentials; without a secure port there are no refunds over v2. ``pem`` returns
    the setting for a PEM text by its name, for example a path; by default the text itself.
    """
    text = pem or (lambda name: str(credentials[name]))
    return {
        "extends": str(ROOT / "settings.yml"),
        "simulator_url": simulator_url,
        "http": {"port": int(base_url.rpartition(":")[2]), "public_base_url": base_url},
        "account": {
            "appid": credentials["appid"],
            "appsecret": credentials["appsecret"],
            "api_url": simulator_url,
            "open_url": simulator_url,
            "js_url": f"{simulator_url}/open/js/jweixin-1.6.0.js",
        },
        "pay": {
            "mchid": credentials["mchid"],
            "app_appid": credentials.get("app_appid", ""),
            "base_urls": [simulator_url],
            "v2": {"key": credentials["api_v2_key"], **_secure(credentials, text)},
            "v3": {
                "key": credentials["api_v3_key"],
                "merchant_key": text("merchant_private_key_pem"),
                "merchant_cert": text("merchant_cert_pem"),
                "public_key": text("public_key_pem"),
                "public_key_id": credentials["public_key_id"],
                "certificates": True,
            },
        },
    }


def _secure(credentials: Credentials, text: Callable[[str], str]) -> dict[str, Any]:
    """Return the settings of v2's refunds; empty if the simulator has no secure port."""
    if "secure_url" not in credentials:
        return {}
    return {
        "client_cert": text("merchant_cert_pem"),
        "client_key": text("merchant_private_key_pem"),
        "ca": text("secure_ca_pem"),
        "refund_urls": [credentials["secure_url"]],
    }
