"""The ``webhooks`` section of the settings: the receivers of events, and the keys that sign the messages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr

from service.settings.addresses import NUMERIC, normalise_origin, split_address
from wechat.domain.events import OF_ORDERS, EventType
from wechat.events.signature import parse_secret
from wechat.events.webhooks import is_public
from wechat.support.validation import Needs


def check_webhook_url(url: str) -> str:
    """Return ``url`` with a normalised host; path and query stay as they are. Raises Needs."""
    parts = split_address(url)
    if "#" in url:
        raise Needs("https 完整地址，不含用户名和 #", "an absolute https address without user name and #")
    return normalise_origin(parts) + url[url.index("://") + 3 + len(parts.netloc) :]


def _webhook_secret(secret: SecretStr) -> SecretStr:
    try:
        parse_secret(secret.get_secret_value())
    except ValueError:
        raise Needs("whsec_ 加 24–64 字节的 base64", "whsec_ and 24 to 64 bytes in base64") from None
    return secret


def _events(value: object) -> object:
    return OF_ORDERS if value == "all" else value


def _private_literal(host: str) -> bool:
    """Whether ``host`` is an IP address that is not public; a name is checked at each connection."""
    try:
        return not is_public(host)
    except ValueError:
        return NUMERIC.search(host) is not None


Secret = Annotated[SecretStr, AfterValidator(_webhook_secret)]


class WebhookSettings(BaseModel):
    """A receiver of events."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    name: str = Field(pattern=r"^[A-Za-z0-9_-]{1,32}$")
    url: Annotated[str, AfterValidator(check_webhook_url)]
    secrets: tuple[Secret, ...] = Field(min_length=1, max_length=4)
    events: Annotated[tuple[EventType, ...], BeforeValidator(_events)] = OF_ORDERS
    allow_private: bool = False

    @property
    def keys(self) -> list[bytes]:
        return [parse_secret(secret.get_secret_value()) for secret in self.secrets]

    @property
    def safe(self) -> bool:
        """Whether the address uses TLS and is no literal private address, or belongs to a declared receiver in the own
        network."""
        parts = urlsplit(self.url)
        return self.allow_private or (parts.scheme == "https" and not _private_literal(parts.hostname or ""))


def webhook_problems(webhooks: Sequence[WebhookSettings]) -> list[tuple[str, str, str]]:
    """Return the problems among several webhooks, as key and sentence in both languages."""
    found = [
        (
            f"webhooks.{hook.name}.url",
            "要求 https 的公网地址；内网接收方请设 allow_private: true",
            "must be a public https address; for a receiver in your own network set allow_private: true",
        )
        for hook in webhooks
        if not hook.safe
    ]
    for what, values in (
        ("name", [hook.name for hook in webhooks]),
        ("secrets", [key for hook in webhooks for key in hook.keys]),
    ):
        if len(set(values)) < len(values):
            found.append((f"webhooks.{what}", "每个接收方各用各的，不能重复", "must differ from receiver to receiver"))
    return found
