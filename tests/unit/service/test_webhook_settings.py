"""Settings of webhooks: only a public https address is told of payments, unless the settings say otherwise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from service.settings.loading import build, load
from tests.support.addresses import FORBIDDEN
from tests.support.service import overlay
from tests.support.settings import KNOWN
from tests.support.webhooks import KEY, OTHER_KEY, secret_of
from wechat.domain.errors import ConfigError
from wechat.domain.events import OF_ORDERS, EventType

HOOK: dict[str, Any] = {"name": "erp", "url": "https://erp.example.com/fenpay?shop=1", "secrets": [secret_of(KEY)]}
OTHER = HOOK | {"name": "crm", "secrets": [secret_of(OTHER_KEY)]}


@pytest.fixture
def base(tmp_path: Path) -> dict[str, Any]:
    """Settings that work, without webhooks."""
    ours = overlay(8899, "http://127.0.0.1:9", KNOWN, "mongodb://127.0.0.1:1", "redis://127.0.0.1:1", tmp_path)
    file = tmp_path / "base.yml"
    file.write_text(yaml.safe_dump(ours), encoding="utf-8")
    made = load(file).model_dump(mode="json", exclude={"account", "pay", "session"})
    return made | {name: ours[name] for name in ("account", "pay", "session")}


def refusal(base: dict[str, Any], *hooks: dict[str, Any]) -> str:
    with pytest.raises(ConfigError) as refused:
        build(base | {"webhooks": list(hooks)})
    return str(refused.value)


def test_a_webhook_is_told_of_everything_unless_it_says_of_what(base: dict[str, Any]) -> None:
    hooks = [HOOK, OTHER | {"events": ["order.paid"], "allow_private": True, "url": "http://10.0.0.1:8080/"}]
    first, second = build(base | {"webhooks": hooks}).webhooks
    assert (first.keys, first.events, second.events) == ([KEY], OF_ORDERS, (EventType.ORDER_PAID,))
    [all_of_them] = build(base | {"webhooks": [HOOK | {"events": "all"}]}).webhooks
    assert all_of_them.events == OF_ORDERS


@pytest.mark.parametrize(
    "url",
    [
        *(url for url in FORBIDDEN if "localhost" not in url),
        "http://erp.example.com/",
        "https://user:pass@erp.example.com/",
        "https://user@erp.example.com/",
        "ftp://erp.example.com/",
        "file:///etc/passwd",
        "erp.example.com",
        "https:///x",
        "https://erp.example.com/#x",
        "https://erp.example.com:99999/",
        "https://[::1",
        "https://a..b.example/",
        "https://.example.com/",
        f"https://{'a' * 64}.example.com/",
        "https://[fec0::1]/",
    ],
)
def test_an_address_that_is_not_public_https_stops_the_start(base: dict[str, Any], url: str) -> None:
    assert "webhooks." in refusal(base, HOOK | {"url": url})


@pytest.mark.parametrize(
    "change",
    [
        {"name": "a b"},
        {"name": ""},
        {"secrets": []},
        {"secrets": ["whsec_short"]},
        {"events": ["order.paid", "order.lost"]},
        {"events": "some"},
        {"allow_privat": True},
    ],
)
def test_a_wrong_key_is_named_and_its_value_is_not_shown(base: dict[str, Any], change: dict[str, Any]) -> None:
    said = refusal(base, HOOK | change)
    [key] = change
    assert f"webhooks.0.{key}" in said
    assert "whsec_short" not in said


def test_two_webhooks_share_neither_name_nor_secret(base: dict[str, Any]) -> None:
    assert "webhooks.name" in refusal(base, HOOK, OTHER | {"name": "erp"})
    assert "webhooks.secrets" in refusal(base, HOOK, OTHER | {"secrets": [secret_of(KEY)]})
