"""Settings as people see them: no secret, and where each value comes from."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from service.settings.loading import load
from service.settings.origins import HIDDEN, Origin, ShownSetting, describe_settings
from tests.support.service import overlay
from tests.support.settings import KNOWN


@pytest.fixture
def file(tmp_path: Path) -> Path:
    settings = overlay(
        8899, "http://127.0.0.1:9", KNOWN, "mongodb://user:word@127.0.0.1:1", "redis://:word@h:1", tmp_path
    )
    path = tmp_path / "own.yml"
    path.write_text(yaml.safe_dump(settings, allow_unicode=True), encoding="utf-8")
    return path


def shown(file: Path) -> dict[str, ShownSetting]:
    return {each.key: each for each in describe_settings(load(file))}


def test_each_value_names_its_source(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FENPAY_BOOKS__KEEP_DAYS", "30")
    found = shown(file)
    assert found["books.keep_days"] == ("books.keep_days", "30", Origin.ENVIRONMENT, "FENPAY_BOOKS__KEEP_DAYS")
    assert (found["mongo.url"].origin, found["mongo.url"].where) == (Origin.FILE, "own.yml")
    assert found["pay.order_minutes"][2:] == (Origin.FILE, "settings.yml")
    assert found["http.trusted_proxies"].origin is Origin.FILE
    assert found["pay.v3.other_key"].origin is Origin.DEFAULT


def test_no_secret_is_shown(file: Path) -> None:
    found = shown(file)
    text = "\n".join(each.value for each in found.values())
    assert "word" not in text
    assert "-----BEGIN" not in text
    for key in ("session.secret", "account.appsecret", "pay.v3.key", "pay.v3.merchant_key", "pay.v2.key"):
        assert found[key].value == HIDDEN
    assert str(KNOWN["api_v3_key"]) not in text
    assert found["mongo.url"].value == f"mongodb://{HIDDEN}@127.0.0.1:1"
