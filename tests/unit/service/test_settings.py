"""Settings: each fault is one sentence that names the key and the cure, and never shows a value."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from service.parts import gateways
from service.settings.loading import build, load
from storage.embedded.servers import free_port
from tests.support.keys import certificate_pem, private_pem
from tests.support.service import ServiceProcess, overlay, run_server
from tests.support.settings import KNOWN
from wechat.domain.errors import ConfigError
from wechat.domain.facts import Api

CANARY = "CANARY-0123456789-abcdefghijklmn"


@pytest.fixture(autouse=True)
def no_settings_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in [name for name in os.environ if name.startswith("FENPAY_")]:
        monkeypatch.delenv(name)
    yield


@pytest.fixture
def values(tmp_path: Path) -> dict[str, Any]:
    """Settings that work, with what settings.yml has written out."""
    file = tmp_path / "base.yml"
    ours = overlay(8899, "http://127.0.0.1:9", KNOWN, "mongodb://127.0.0.1:1", "redis://127.0.0.1:1", tmp_path)
    file.write_text(yaml.safe_dump(ours, allow_unicode=True), encoding="utf-8")
    return load(file).model_dump(mode="json", exclude={"account", "pay", "session"}) | {
        name: ours[name] for name in ("account", "pay", "session")
    }


def changed(values: dict[str, Any], key: str, value: Any) -> dict[str, Any]:
    """A copy with ``key`` (dotted) set to ``value``, or taken away when it is None."""
    made = copy.deepcopy(values)
    *path, last = key.split(".")
    part = made
    for name in path:
        part = part[name]
    if value is None:
        part.pop(last, None)
    else:
        part[last] = value
    return made


def told(values: dict[str, Any]) -> list[str]:
    with pytest.raises(ConfigError) as refused:
        build(values)
    return [problem.en for problem in refused.value.problems] + [problem.zh for problem in refused.value.problems]


def test_the_settings_of_the_demo_work(values: dict[str, Any]) -> None:
    settings = build(values)
    assert settings.notify_url == "http://127.0.0.1:8899/notify"
    assert settings.pay.api is Api.V3


BAD: list[tuple[str, Any]] = [
    ("nonsense", CANARY),
    ("pay.nonsense", CANARY),
    ("pay.v2.sing_type", "MD5"),
    ("environment", CANARY),
    ("http.port", CANARY),
    ("http.port", 70_000),
    ("http.port", -1),
    ("http.public_base_url", None),
    ("http.public_base_url", CANARY),
    ("http.public_base_url", f"https://pay.example.com/?{CANARY}"),
    ("http.public_base_url", "http://["),
    ("http.drain_s", 0),
    ("session.secret", None),
    ("session.secret", ""),
    ("session.secret", "CANARY-short"),
    ("session.secret", f" {CANARY}{CANARY} "),
    ("session.days", 0),
    ("account.appid", None),
    ("account.appid", CANARY),
    ("account.appsecret", ""),
    ("account.appsecret", "CANARY"),
    ("account.token_call", CANARY),
    ("account.api_url", CANARY),
    ("pay.api", "v1"),
    ("pay.mchid", ""),
    ("pay.mchid", "CANARY 1"),
    ("pay.order_minutes", 4),
    ("pay.order_minutes", "CANARY"),
    ("pay.max_total", 10**9),
    ("pay.v2.key", ""),
    ("pay.v2.key", "CANARY"),
    ("pay.v2.key", CANARY[:31]),
    ("pay.v2.key", CANARY + "x"),
    ("pay.v2.key", "x" * 32),
    ("pay.v2.key", " " * 32),
    ("pay.v2.key", "密" * 32),
    ("pay.v2.sign_type", "SHA1"),
    ("pay.v2.client_cert", f"/nowhere/{CANARY}.pem"),
    ("pay.v2.refund_urls", [CANARY]),
    ("pay.refund_api", CANARY),
    ("pay.late_policy", CANARY),
    ("pay.v3.key", ""),
    ("pay.v3.key", CANARY[:16]),
    ("pay.v3.key", KNOWN["api_v2_key"]),
    ("pay.v3.merchant_key", None),
    ("pay.v3.merchant_key", f"/nowhere/{CANARY}.pem"),
    ("pay.v3.public_key_id", "CANARY"),
    ("pay.v3.public_key", f"/nowhere/{CANARY}.pem"),
    ("mongo.url", CANARY),
    ("mongo.url", ""),
    ("mongo.url", f"http://{CANARY}"),
    ("mongo.database", "CANARY/x"),
    ("mongo.driver", CANARY),
    ("redis.url", CANARY),
    ("redis.url", ""),
    ("redis.url", "memory"),
    ("workers.loops", 0),
    ("workers.loops", 257),
    ("workers.loops", 1.5),
    ("workers.loops", CANARY),
    ("workers.nonsense", CANARY),
    ("merchants", [{"name": "shop", "sha256": CANARY}]),
    ("merchants", [{"name": "CANARY shop", "sha256": "0" * 64}]),
    ("shop.products", [{"sku": "a", "name": "n", "name_en": "n", "price": 1.5}]),
    ("shop.products", [{"sku": "a", "name": "n", "name_en": "n", "price": 0}]),
    ("shop.products", [{"sku": "a b", "name": "n", "name_en": "n", "price": 1}]),
    ("log.level", CANARY),
    ("plugins", []),
    ("plugins", CANARY),
]


@pytest.mark.parametrize(("key", "value"), BAD)
def test_a_fault_is_told_by_its_key_in_both_languages_without_its_value(
    values: dict[str, Any], key: str, value: Any
) -> None:
    sentences = told(changed(values, key, value))
    assert all(sentence.startswith(key) for sentence in sentences)
    assert all(len(sentence) > len(key) + 3 for sentence in sentences)
    assert "CANARY" not in "".join(sentences)


def test_every_fault_is_told_at_once(values: dict[str, Any]) -> None:
    broken = changed(changed(values, "pay.mchid", ""), "http.port", -1)
    assert {sentence[:9] for sentence in told(broken)} == {"pay.mchid", "http.port"}


def test_the_chosen_api_needs_its_section(values: dict[str, Any]) -> None:
    assert any(sentence.startswith("pay.v3: ") for sentence in told(changed(values, "pay.v3", None)))
    v2 = changed(changed(values, "pay.v3", None), "pay.api", "v2")
    assert build(v2).pay.v3 is None


@pytest.mark.parametrize(
    ("key", "equals"),
    [("pay.v3.key", "pay.v2.key"), ("pay.v2.key", "account.appsecret"), ("pay.v3.key", "account.appsecret")],
)
def test_one_secret_in_two_places_stops_the_start(values: dict[str, Any], key: str, equals: str) -> None:
    """The doctor has a check of its own; this one refuses the start."""
    values = changed(changed(values, equals, CANARY), key, CANARY)
    assert [line for line in told(values) if line.startswith(f"{key}: ") and f"equals {equals}" in line]


@pytest.mark.parametrize("gone", ["public_key", "public_key_id"])
def test_a_public_key_and_its_id_belong_together(values: dict[str, Any], gone: str) -> None:
    assert any("belong together" in sentence for sentence in told(changed(values, f"pay.v3.{gone}", None)))


def test_v3_needs_some_key_of_wechats(values: dict[str, Any]) -> None:
    without = changed(
        changed(changed(values, "pay.v3.public_key", None), "pay.v3.public_key_id", None), "pay.v3.certificates", False
    )
    assert any(sentence.startswith("pay.v3") for sentence in told(without))
    assert build(changed(without, "pay.v3.certificates", True))


PRODUCTION: dict[str, Any] = {
    "environment": "production",
    "simulator_url": None,
    "http.public_base_url": "https://pay.shop.test",
    "account.appid": "wx0123456789abcdef",
    "account.api_url": "https://api.weixin.qq.com",
    "account.open_url": "https://open.weixin.qq.com",
    "pay.mchid": "1900000109",
    "pay.base_urls": ["https://api.mch.weixin.qq.com"],
}


def production(values: dict[str, Any], **more: Any) -> dict[str, Any]:
    for key, value in (PRODUCTION | {name.replace("__", "."): value for name, value in more.items()}).items():
        values = changed(values, key, value)
    return values


def test_production_takes_real_accounts_behind_https(values: dict[str, Any]) -> None:
    assert build(production(values)).environment == "production"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("mongo.url", "embedded"),
        ("mongo.url", "memory"),
        ("redis.url", "embedded"),
        ("simulator_url", "http://127.0.0.1:9000"),
        ("http.public_base_url", "http://pay.shop.test"),
        ("http.public_base_url", "https://localhost"),
        ("http.public_base_url", "https://10.0.0.1"),
        ("http.public_base_url", "https://192.168.1.1"),
        ("http.public_base_url", "https://[::1]"),
        ("http.public_base_url", "https://pay.internal"),
        ("pay.base_urls", ["http://api.mch.weixin.qq.com"]),
        ("account.api_url", "http://api.weixin.qq.com"),
        ("console.demo_login_sha256", "0" * 64),
    ],
)
def test_production_refuses_the_demo(values: dict[str, Any], key: str, value: Any) -> None:
    sentences = told(changed(production(values), key, value))
    assert all(sentence.startswith(key) for sentence in sentences)


@pytest.mark.parametrize("word", ["embedded", "memory"])
def test_production_names_the_word_for_a_store_that_it_refuses_and_the_cure(values: dict[str, Any], word: str) -> None:
    assert told(changed(production(values), "mongo.url", word)) == [
        f"mongo.url: production does not use {word}; set a mongodb://… address",
        f"mongo.url：生产环境不用 {word}，请填 mongodb://…",
    ]


@pytest.mark.parametrize(
    ("url", "in_memory"), [("memory", True), ("embedded", False), ("mongodb://127.0.0.1:27017", False)]
)
def test_the_demo_takes_memory_for_its_orders(values: dict[str, Any], url: str, in_memory: bool) -> None:
    assert build(changed(values, "mongo.url", url)).in_memory is in_memory


@pytest.mark.parametrize("loops", [1, 16, 256])
def test_a_process_may_have_from_1_to_256_loops(values: dict[str, Any], loops: int) -> None:
    assert build(changed(values, "workers.loops", loops)).workers.loops == loops


def test_without_a_word_on_loops_there_are_sixteen(values: dict[str, Any]) -> None:
    assert build(changed(values, "workers", None)).workers.loops == 16


@pytest.mark.parametrize(("key", "value"), [("account.appid", "wxsim0123456789"), ("pay.mchid", "sim1900000109")])
def test_production_refuses_the_simulators_accounts(values: dict[str, Any], key: str, value: str) -> None:
    assert any(sentence.startswith("simulator_url") for sentence in told(changed(production(values), key, value)))


def test_the_environment_wins_over_the_file(values: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FENPAY_PAY__API", "v2")
    monkeypatch.setenv("FENPAY_HTTP__PORT", "9999")
    monkeypatch.setenv("FENPAY_CONSOLE__SECOND_PERSON_ABOVE", "50000")
    settings = build(values)
    assert settings.console.second_person_above == 50_000
    assert (settings.pay.api, settings.http.port) == (Api.V2, 9999)
    assert settings.pay.v3 is not None


@pytest.mark.parametrize("name", ["PLUGINS", "HTTP", "MERCHANTS"])
def test_a_variable_that_is_no_json_is_told_by_its_name(
    values: dict[str, Any], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(f"FENPAY_{name}", f"[{CANARY}")
    sentences = told(values)
    assert all(f"FENPAY_{name}" in sentence for sentence in sentences)
    assert "CANARY" not in "".join(sentences)


@pytest.mark.parametrize("name", ["FENPAY_PAI__API", "FENPAY_", "fenpay_htp__port"])
def test_a_variable_that_names_no_setting_stops_the_start(
    values: dict[str, Any], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, CANARY)
    with pytest.raises(ConfigError) as caught:
        build(values)
    [problem] = caught.value.problems
    assert name in problem.zh
    assert name in problem.en
    assert CANARY not in str(caught.value)


def test_no_secret_shows_when_settings_are_printed(values: dict[str, Any]) -> None:
    settings = build(values)
    shown = f"{settings!r} {settings} {settings.model_dump()} {settings.model_dump_json()}"
    for secret in (
        KNOWN["api_v2_key"],
        KNOWN["api_v3_key"],
        KNOWN["appsecret"],
        "PRIVATE KEY",
        values["session"]["secret"],
    ):
        assert secret not in shown


@pytest.mark.parametrize(
    "text",
    [
        "[",
        "- a",
        "x",
        "1: 2",
        "extends: 5",
        "extends: [a]",
        "extends: nowhere.yml",
        "extends: loop.yml",
        "\x00",
        "a: !!python/object:os.system x",
    ],
)
def test_a_file_that_is_no_settings_file_is_told(tmp_path: Path, text: str) -> None:
    file = tmp_path / "loop.yml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as refused:
        load(file)
    assert len(refused.value.problems) == 1


def test_a_file_builds_on_another(tmp_path: Path) -> None:
    (tmp_path / "below.yml").write_text("http: {port: 1, host: 127.0.0.1}\nlog: {level: info}")
    (tmp_path / "above.yml").write_text("extends: below.yml\nhttp: {port: 2}\n")
    with pytest.raises(ConfigError) as refused:
        load(tmp_path / "above.yml")
    assert not any(problem.en.startswith("http.port") for problem in refused.value.problems)


# the process ---------------------------------------------------------------------------------------------------------

Break = Callable[[dict[str, Any]], dict[str, Any]]
STARTS: dict[str, tuple[Break, str]] = {
    "an unknown key": (lambda v: changed(v, "pay.nonsense", CANARY), "pay.nonsense"),
    "a certificate given as a key": (
        lambda v: changed(v, "pay.v3.merchant_key", certificate_pem("ours")),
        "pay.v3.merchant_key",
    ),
    "a key of another certificate": (
        lambda v: changed(v, "pay.v3.merchant_key", private_pem("theirs")),
        "pay.v3.merchant_cert",
    ),
    "a plugin that is not there": (lambda v: changed(v, "plugins", ["handlers.nowhere"]), "plugins"),
    "a plugin twice": (lambda v: changed(v, "plugins", ["handlers.ops.health", "handlers.ops.health"]), "plugins"),
    "a password that is not escaped": (lambda v: changed(v, "mongo.url", f"mongodb://u:{CANARY}:x@h"), "mongo.url"),
    "a port of letters": (lambda v: changed(v, "redis.url", f"redis://h:{CANARY}"), "redis.url"),
}


@pytest.mark.parametrize("name", STARTS)
def test_a_start_that_cannot_work_ends_with_status_3_and_one_sentence(
    values: dict[str, Any], tmp_path: Path, name: str
) -> None:
    broken, key = STARTS[name]
    file = tmp_path / "broken.yml"
    file.write_text(yaml.safe_dump(broken(values), allow_unicode=True), encoding="utf-8")
    done = run_server("--settings", str(file))
    assert done.returncode == 3
    chinese, english = done.stderr.splitlines()
    assert chinese.startswith(f"✘ {key}：")
    assert english.startswith(f"  {key}: ")
    assert "CANARY" not in done.stderr + done.stdout


async def test_a_process_that_keeps_orders_in_memory_says_so_wherever_somebody_looks(
    values: dict[str, Any], tmp_path: Path
) -> None:
    port = free_port()
    ours = changed(values, "mongo.url", "memory")
    ours = changed(changed(ours, "http.port", port), "http.public_base_url", f"http://127.0.0.1:{port}")
    service = ServiceProcess.start(tmp_path, ours)
    try:
        assert "stored_in_memory" in service.log
        async with aiohttp.ClientSession(service.url) as http:
            ready = await (await http.get("/readyz?verbose")).text()
            page = await (await http.get("/")).text()
        assert "[+]mongo ok\n" in ready
        assert "[!]storage in memory: one process, and gone when it ends\n" in ready
        assert "订单仅保存在内存中，进程结束后丢失" in page
    finally:
        assert service.stop() == 0
    assert service.defects == []


def test_a_missing_settings_file_ends_with_status_3(tmp_path: Path) -> None:
    done = run_server("--settings", str(tmp_path / "nothing.yml"))
    assert done.returncode == 3
    assert "nothing.yml" in done.stderr


def test_half_a_client_certificate_is_told_by_the_other_half(values: dict[str, Any]) -> None:
    assert told(changed(values, "pay.v2.client_cert", certificate_pem("ours")))[0].startswith("pay.v2.client_key: ")
    assert told(changed(values, "pay.v2.client_key", private_pem("ours")))[0].startswith("pay.v2.client_cert: ")


def test_refunds_over_v3_need_the_v3_section(values: dict[str, Any]) -> None:
    values = changed(changed(changed(values, "pay.v3", None), "pay.api", "v2"), "pay.refund_api", "v3")
    assert any(line.startswith("pay.refund_api: ") for line in told(values))


@pytest.mark.parametrize(
    ("refund_api", "cert", "route"),
    [
        ("same", True, {Api.V2: Api.V2, Api.V3: Api.V3}),
        ("same", False, {Api.V3: Api.V3}),
        ("v3", True, {Api.V2: Api.V3, Api.V3: Api.V3}),
    ],
)
def test_the_settings_say_through_which_api_a_refund_goes(
    values: dict[str, Any], refund_api: str, cert: bool, route: dict[Api, Api]
) -> None:
    values = changed(values, "pay.refund_api", refund_api)
    if cert:
        values = changed(values, "pay.v2.client_cert", certificate_pem("ours"))
        values = changed(values, "pay.v2.client_key", private_pem("ours"))
    assert gateways.refund_route(build(values).pay) == route
