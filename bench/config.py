"""The settings of a service that is measured: the simulator's merchant, both generations of the API."""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.platform import Platform

ROOT = Path(__file__).parent.parent


@dataclass(frozen=True, slots=True)
class Around:
    """What a service stands among: the simulator and what it gives a merchant, the stores, a merchant's API key."""

    simulator_url: str
    keys: Mapping[str, Any]
    mongo_url: str
    redis_url: str
    api_key: str

    def settings(
        self, port: int, directory: Path, platform: Platform | None = None, webhooks: Sequence[str] = ()
    ) -> dict[str, Any]:
        """For a service on ``port``; ``platform`` is whose v3 messages it believes instead of the simulator's."""
        simulator, keys = self.simulator_url, self.keys
        return {
            "extends": str(ROOT / "settings.yml"),
            "simulator_url": simulator,
            "http": {"port": port, "public_base_url": f"http://127.0.0.1:{port}"},
            "session": {"secret": secrets.token_hex(32)},
            "account": {
                "appid": keys["appid"],
                "appsecret": keys["appsecret"],
                "api_url": simulator,
                "open_url": simulator,
                "js_url": f"{simulator}/open/js/jweixin-1.6.0.js",
            },
            "pay": {"mchid": keys["mchid"], "base_urls": [simulator], "v2": self._v2(), "v3": self._v3(platform)},
            "books": {"directory": str(directory / "bills")},
            "mongo": {"url": self.mongo_url},
            "redis": {"url": self.redis_url},
            "webhooks": [_webhook(number, url) for number, url in enumerate(webhooks)],
            "merchants": [{"name": "bench", "sha256": hashlib.sha256(self.api_key.encode()).hexdigest()}],
        }

    def _v2(self) -> dict[str, Any]:
        return {
            "key": self.keys["api_v2_key"],
            "client_cert": self.keys["merchant_cert_pem"],
            "client_key": self.keys["merchant_private_key_pem"],
            "ca": self.keys["secure_ca_pem"],
            "refund_urls": [self.keys["secure_url"]],
        }

    def _v3(self, platform: Platform | None) -> dict[str, Any]:
        return {
            "key": self.keys["api_v3_key"],
            "merchant_key": self.keys["merchant_private_key_pem"],
            "merchant_cert": self.keys["merchant_cert_pem"],
            "public_key": platform.public_pem if platform else self.keys["public_key_pem"],
            "public_key_id": platform.key_id if platform else self.keys["public_key_id"],
        }


def _webhook(number: int, url: str) -> dict[str, Any]:
    key = base64.b64encode(secrets.token_bytes(32)).decode()
    return {"name": f"receiver{number}", "url": url, "secrets": [f"whsec_{key}"], "allow_private": True}
