"""Failures that nobody saw: each row of the list is a symptom that was reproduced, and what must be seen instead."""

from __future__ import annotations

import ast
import asyncio
import json
import re
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.errors import AutoReconnect, OperationFailure

from handlers.web.numbers import NUMBER, REFUND_NUMBER
from service.logs import FIELDS
from storage.embedded.servers import EmbeddedMongo, EmbeddedRedis, free_port
from storage.memory.tokens import MemoryTokens
from storage.mongo.driver import Driver
from storage.mongo.failures import FailureLog, describe
from storage.mongo.storage import SMALL, MongoStorage
from storage.stores.all import ORDERS
from tests.contract.samples import HOUR, NOW, a_payment, a_refund, a_refused, an_order
from tests.http.client import MERCHANT, Shop
from tests.storage.values import full_delivery
from tests.support.clock import ManualClock
from tests.support.core import Backend, Core
from tests.support.keys import key
from tests.support.manage import Manage
from tests.support.platform import Message, Platform
from tests.support.runtime import RandomIds
from tests.support.servers import running
from tests.support.service import API_KEY, ServiceProcess, overlay
from tests.support.simulator import SimulatorProcess
from wechat.account.client import AccountClient
from wechat.account.tokens import Credentials, Tokens
from wechat.diagnosis.diagnosis import explain
from wechat.diagnosis.health import Health, Sources
from wechat.diagnosis.snapshot import OrderSnapshot, RemoteStatus
from wechat.diagnosis.snapshot import Outcome as LookOutcome
from wechat.domain.deliveries import DeliveryState
from wechat.domain.errors import FenpayError, NotSent, OutcomeUnknown, SignatureInvalid
from wechat.domain.facts import Api, Received, RefundState, RemoteState, Transaction
from wechat.domain.metrics import Metric
from wechat.domain.orders import Order, TimelineEntry, TradeState
from wechat.notifications.refusals import RefusedMessage
from wechat.pay.certificates import CertificateRole
from wechat.support.contact import Contact
from wechat.support.transport import Transport

ROOT = Path(__file__).parents[2]
WRONG_KEY = "wrongAPIv3key0123456789abcdefghi"


@dataclass
class Installation:
    """A service with its own stores; ``restart`` stops the service and starts it with other settings."""

    directory: Path
    simulator: SimulatorProcess
    platform: Platform
    settings: dict[str, Any]
    service: ServiceProcess

    def restart(self, settings: dict[str, Any]) -> None:
        assert self.service.stop() == 0
        self.service = ServiceProcess.start(self.directory, settings, f"service-{time.monotonic_ns()}")

    def lines(self, event: str) -> list[dict[str, Any]]:
        """The log's lines of one kind."""
        return [line for line in map(json.loads, self.service.log.splitlines()) if line["event"] == event]


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    directory = tmp_path_factory.mktemp("hidden")
    simulator = SimulatorProcess.start(directory / "wechat")
    with running(EmbeddedMongo(directory / "mongo")) as mongo, running(EmbeddedRedis(directory / "redis")) as redis:
        known = simulator.credentials
        settings = overlay(free_port(), simulator.url, known, mongo.url, redis.url, directory)
        service = ServiceProcess.start(directory, settings)
        made = Installation(directory, simulator, Platform(known, directory / "wechat"), settings, service)
        yield made
        assert made.service.stop() == 0
        assert made.service.defects == []
    assert simulator.stop() == 0


@pytest.fixture
async def shop(installation: Installation) -> AsyncIterator[Shop]:
    async with Shop(installation.service.url, installation.simulator) as shop:
        yield shop
    installation.simulator.control("DELETE", "faults")


async def get(shop: Shop, target: str) -> Any:
    told = await shop.ask("GET", target, headers=MERCHANT | {"Accept-Language": "zh"})
    assert told.status == 200, told.body
    return told.json()


async def why(shop: Shop, number: str) -> str:
    return str((await get(shop, f"/api/orders/{number}/why"))["sentence"])


# -- C1: every refused notification leaves a trace -----------------------------------------------------------------------

Write = Callable[[Platform, dict[str, Any]], Message]


def v2_with_another_key(platform: Platform, order: dict[str, Any]) -> Message:
    return platform.v2_signed(platform.v2_fields(order), key="another-key-0123456789-0123456789")


def v3_with_another_key(platform: Platform, order: dict[str, Any]) -> Message:
    return platform.v3_signed(platform.v3_body(order), key=key("ours"))


def with_an_unknown_serial(platform: Platform, order: dict[str, Any]) -> Message:
    return platform.v3_signed(platform.v3_body(order), serial="PUB_KEY_ID_0000000000000001")


def six_minutes_old(platform: Platform, order: dict[str, Any]) -> Message:
    return platform.v3_signed(platform.v3_body(order), skew_s=-360)


def without_a_nonce(platform: Platform, order: dict[str, Any]) -> Message:
    message = platform.v3(order)
    return Message(message.body, {name: value for name, value in message.headers.items() if name != "Wechatpay-Nonce"})


def of_broken_json(platform: Platform, order: dict[str, Any]) -> Message:
    return platform.v3_signed(b"{" + platform.v3_body(order))


REFUSED: list[tuple[Write, int, str, str]] = [
    (v2_with_another_key, 401, "sign_wrong", "签名验证失败"),
    (v3_with_another_key, 401, "sign_wrong", "签名验证失败"),
    (with_an_unknown_serial, 401, "unknown_serial", "没有该序列号"),
    (six_minutes_old, 401, "stale", "相差 5 分钟以上"),
]


@pytest.mark.parametrize(("write", "status", "reason", "words"), REFUSED)
async def test_c1_a_refused_notification_is_in_the_log_in_the_store_and_in_why(
    shop: Shop, installation: Installation, write: Write, status: int, reason: str, words: str
) -> None:
    order = await shop.sold()
    number, message = order["out_trade_no"], write(installation.platform, order)
    assert (await shop.notify(message)).status == status
    [line] = [line for line in installation.lines("notification_refused") if line["out_trade_no"] == number]
    assert (line["reason"], line["level"], line["serial"]) == (
        reason, "warning", message.headers.get("Wechatpay-Serial", ""),
    )  # fmt: skip
    if message.headers.get("Wechatpay-Serial"):
        assert installation.platform.serial in line["serials"]
        assert line["age_s"] in ((360, 361) if reason == "stale" else (0, 1))
    kept = (await get(shop, f"/api/notifications/refused?reason={reason}"))["notifications"]
    [copy] = [one for one in kept if one["out_trade_no"] == number]
    shown = await get(shop, f"/api/notifications/refused/{copy['id']}")
    assert shown["body"].encode() == message.body
    assert shown["headers"].items() >= message.headers.items()
    told = await why(shop, number)
    assert words in told
    assert "没有到达" not in told


@pytest.mark.parametrize(
    ("write", "status", "reason"), [(without_a_nonce, 401, "headers_mixed"), (of_broken_json, 400, "malformed")]
)
async def test_c1_what_cannot_be_read_leaves_a_trace_too(
    shop: Shop, installation: Installation, write: Write, status: int, reason: str
) -> None:
    before = len(installation.lines("notification_refused"))
    assert (await shop.notify(write(installation.platform, await shop.sold()))).status == status
    assert len(installation.lines("notification_refused")) == before + 1
    assert (await get(shop, f"/api/notifications/refused?reason={reason}"))["notifications"]


async def test_c1_with_a_wrong_apiv3_key_why_names_it_and_a_replay_settles_the_payment(
    shop: Shop, installation: Installation
) -> None:
    """An operator's steps: the payment is not booked, ``why`` names the key, the key is corrected, replay books the payment."""
    wrong = json.loads(json.dumps(installation.settings))
    wrong["pay"]["v3"]["key"] = WRONG_KEY
    installation.restart(wrong)
    manage = Manage(installation.service.url, API_KEY)
    number = await shop.scanned()
    order = await shop.stored(number)
    paid = shop.simulator.order(number)["transaction_id"]
    message = installation.platform.v3(order | {"openid": None}, transaction_id=paid)
    for _ in range(2):
        assert (await shop.notify(message)).status == 400
    told = await get(shop, f"/api/orders/{number}/why")
    assert "APIv3密钥解不开通知内容" in told["sentence"]
    assert "没有到达" not in told["sentence"]
    ran = await manage("notify", "list", "--reason", "aead_tag", "--json")
    [copy] = ran.json()["notifications"]
    assert (copy["seen"], copy["out_trade_no"]) == (2, None)
    assert "pay.v3.key" in copy["fix"]
    ran = await manage("notify", "replay", copy["id"], "--json")
    assert (ran.code, ran.error()["code"]) == (1, "REFUSED_AGAIN")
    assert await shop.state(number) == "NOTPAY"

    installation.restart(installation.settings)
    ran = await manage("notify", "verify", copy["id"], "--json")
    assert (ran.code, ran.json()["out_trade_no"]) == (0, number)
    assert await shop.state(number) == "NOTPAY"
    ran = await manage("notify", "replay", copy["id"], "--json")
    assert (ran.code, ran.json()) == (0, {"accepted": True, "verdict": "applied"})
    assert await shop.state(number) == "SUCCESS"
    again = await manage("notify", "replay", copy["id"])
    assert (again.code, again.out.strip()) == (0, "✔ 校验通过，已处理（applied）")
    shown = await manage("notify", "show", copy["id"])
    assert shown.code == 0
    assert "Wechatpay-Serial" in shown.out


@pytest.mark.alone
async def test_c1_a_flood_of_forgeries_writes_few_lines_and_few_copies(shop: Shop, installation: Installation) -> None:
    order = await shop.sold()
    forged = [v3_with_another_key(installation.platform, order) for _ in range(20)]
    lines = len(installation.service.log.splitlines())
    started, sent = time.monotonic(), 0
    while time.monotonic() - started < 3:
        told = await asyncio.gather(*(shop.notify(message) for message in forged))
        assert {answer.status for answer in told} == {401}
        sent += len(forged)
    spent = time.monotonic() - started
    written = installation.service.log.splitlines()[lines:]
    assert sent > 100
    assert len(written) <= 10 * spent + 30  # ten a second, after the first few at once
    kept = (await get(shop, "/api/notifications/refused?reason=sign_wrong&limit=100"))["notifications"]
    assert len(kept) <= 20
    metrics = (await shop.get("/metrics")).body.decode()
    [left_out] = [
        line for line in metrics.splitlines()
        if line.startswith('fenpay_refused_notifications_not_kept_total{reason="sign_wrong"}')
    ]  # fmt: skip
    assert float(left_out.split()[-1]) > sent / 2
    assert (await shop.notify(installation.platform.v3(order))).status == 200


# -- C4: nothing that is logged is lost ------------------------------------------------------------------------------------


def test_c4_every_field_of_every_log_call_is_on_the_allow_list() -> None:
    unlisted = [f"{place} {name}" for place, names in logged_fields() for name in names if name not in FIELDS]
    assert unlisted == []


def test_c4_the_fields_that_were_lost_are_found_in_the_calls() -> None:
    """Check that ``logged_fields`` finds known fields, so the test above cannot pass on an empty list."""
    found = {name for _, names in logged_fields() for name in names}
    assert {"out_refund_no", "worker", "reason", "suppressed"} <= found


def logged_fields() -> Iterator[tuple[str, list[str]]]:
    """Each call of a logger of the service, and the fields that it names."""
    for package in ("server.py", "service", "handlers", "wechat", "storage"):
        path = ROOT / package
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call) and re.match(r"log\.(debug|info|warning|error)$", ast.unparse(node.func)):
                    yield f"{file.relative_to(ROOT)}:{node.lineno}", list(field_names(node))


def field_names(call: ast.Call) -> Iterator[str]:
    """Names of keyword arguments; of ``**fields``, every text in the expression that is a key."""
    for keyword in call.keywords:
        if keyword.arg not in (None, "exc_info"):
            yield str(keyword.arg)
        for node in ast.walk(keyword.value) if keyword.arg is None else ():
            if isinstance(node, ast.Dict):
                yield from (str(key.value) for key in node.keys if isinstance(key, ast.Constant))


# -- C11: no query argument is ignored -----------------------------------------------------------------------------------

ROUTES = [line.split()[:3] for line in (ROOT / "tests" / "routes.txt").read_text(encoding="utf-8").splitlines()]
SAMPLES = {
    NUMBER: "20260301120506abc",
    REFUND_NUMBER: "R20260301120506abc",
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})": "2026-03-01",
    r"([0-9a-f]{32})": "0" * 32,
    r"([0-9a-f]{24})": "0" * 24,
    r"([a-z0-9_]{1,32}-[0-9]{2}-[0-9a-f]{8})": "stale-00-00000000",
    r"([a-z0-9_]{1,48}-[0-9]{2}-[0-9a-f]{6})": "paid_late-00-000000",
    r"(MP_verify_[0-9A-Za-z]{1,64}\.txt)": "MP_verify_1.txt",
    r"\.": ".",
}
PAGES = {"/", "/shop", "/pay/20260301120506abc", "/oauth/authorize", "/oauth/callback"}
"""Links to them carry what WeChat and campaigns have added, which must not cost a sale."""


def filled(pattern: str) -> str:
    for part, sample in SAMPLES.items():
        pattern = pattern.replace(part, sample)
    assert "(" not in pattern, pattern
    return pattern


@pytest.mark.parametrize(
    ("method", "path"),
    [
        (method, filled(pattern))
        for access, pattern, *_ in ROUTES
        if access != "operator" and not pattern.startswith("/console")  # they turn strangers away before they read
        for method in ("GET", "POST")
        if filled(pattern) not in PAGES
    ],
)
async def test_c11_an_unknown_query_argument_is_a_400(shop: Shop, method: str, path: str) -> None:
    if path.startswith(("/orders", "/client-errors")):  # only these ask for a session
        await shop.log_in()
    told = await shop.ask(method, f"{path}?created_after=1", headers=MERCHANT | {"X-Xsrftoken": shop.xsrf})
    if told.status == 405:
        return
    assert told.status == 400, told.body
    if path != "/notify":
        assert (told.code, told.json()["field"]) == ("UNKNOWN_ARGUMENT", "created_after")


async def test_c11_the_error_lists_the_known_arguments(shop: Shop) -> None:
    told = await shop.ask("GET", "/api/orders?created_after=1", headers=MERCHANT | {"Accept-Language": "en"})
    assert "known are: trade_state, limit, cursor" in told.json()["message"]


async def test_c11_a_page_takes_what_wechat_adds_to_a_shared_link(shop: Shop) -> None:
    assert (await shop.get("/?from=singlemessage&isappinstalled=0")).status == 200


def test_c11_each_argument_that_is_read_is_declared_by_its_method() -> None:
    """A handler that reads an argument which it does not declare would refuse it."""
    classes = [
        (file.name, made, {ast.unparse(base) for base in made.bases})
        for file in sorted((ROOT / "handlers").rglob("*.py"))
        for made in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(made, ast.ClassDef)
    ]
    pages = {"PageHandler"}  # and what is derived from it: a page takes what others add to its address
    while derived := {made.name for _, made, bases in classes if bases & pages} - pages:
        pages |= derived
    undeclared = []
    for file, made, _ in classes:
        if made.name not in pages:
            text = ast.unparse(made)
            declared = " ".join(re.findall(r"@takes_query\((.*)\)", text))
            read = re.findall(r"get_query_argument\('(\w+)'", text)
            undeclared += [f"{file}: {name}" for name in read if f"'{name}'" not in declared]
    assert undeclared == ["base.py: limit"]  # of ApiHandler.page_limit, for those that call it


# -- C6: placing an order ends in time -----------------------------------------------------------------------------------


@pytest.mark.alone
async def test_c6_placing_an_order_while_wechat_hangs_ends_within_ten_seconds_and_says_so(
    shop: Shop, installation: Installation
) -> None:
    installation.simulator.control("POST", "faults", {"path": "/v3/*", "fault": "timeout_before"})
    number, started = "HANGS-20260301", time.monotonic()
    told = await shop.sell(shop.sale(out_trade_no=number), **{"Accept-Language": "zh"})
    spent = time.monotonic() - started
    assert (told.status, told.code) == (503, "OUTCOME_UNKNOWN")
    assert "微信没有按时回应，订单已保留" in told.json()["message"]
    assert spent < 10.5
    assert await shop.state(number) == "NOTPAY"
    installation.simulator.control("DELETE", "faults")
    again = await shop.sell(shop.sale(out_trade_no=number))
    assert (again.status, again.json()["pay"]["package"][:10]) == (201, "prepay_id=")


# -- C5: the sentence names the cause --------------------------------------------------------------------------------------


def a_case(order: Order, look: RemoteStatus, **more: Any) -> OrderSnapshot:
    return OrderSnapshot(order, look, (), order.refunds, NOW + HOUR / 2, **more)


def told(state: RemoteState) -> RemoteStatus:
    order = an_order()
    return RemoteStatus(LookOutcome.TOLD, Transaction(order.appid, order.mchid, order.out_trade_no, state, order.total))


SILENCES: list[tuple[FenpayError, str, str]] = [
    (NotSent("query", wire_message="ClientConnectorDNSError"), "无法连接微信支付（ClientConnectorDNSError）", "why"),
    (OutcomeUnknown("query", http_status=502), "没有给出可用的应答（HTTP 502）", "why"),
    (OutcomeUnknown("query", wire_message="TimeoutError"), "没有给出可用的应答（TimeoutError）", "why"),
    (OutcomeUnknown("query", unverified="unknown_serial"), "验签未通过（没有该序列号", "doctor --live"),
    (OutcomeUnknown("query", unverified="stale"), "验签未通过（通知时间与本机时间相差", "doctor --live"),
]


@pytest.mark.parametrize(("error", "words", "step"), SILENCES)
def test_c5_why_wechat_is_silent_is_named(error: FenpayError, words: str, step: str) -> None:
    sentence, next_step = explain(a_case(an_order(), RemoteStatus(LookOutcome.UNKNOWN, error=error)))
    assert words in sentence.zh
    assert next_step.startswith(f"manage.py {step}")


def test_c5_refusals_for_several_reasons_are_told_one_by_one() -> None:
    kept = [a_refused("stale-00", seen=2), a_refused("sign_wrong-00"), a_refused("sign_wrong-01", seen=3)]
    sentence, _ = explain(a_case(an_order(), told(RemoteState.SUCCESS), unverified=tuple(kept)))
    assert "相差 5 分钟以上被拒绝（2 次）" in sentence.zh
    assert "签名验证失败被拒绝（4 次）" in sentence.zh


def test_c5_mismatches_for_several_reasons_are_told_one_by_one() -> None:
    received = [
        Received(str(i), Api.V3, "payment", i + 1, verdict, NOW, NOW) for i, verdict in enumerate(("total", "appid"))
    ]
    case = OrderSnapshot(an_order(), told(RemoteState.SUCCESS), tuple(received), (), NOW + HOUR / 2)
    sentence, _ = explain(case)
    assert "金额不一致被拒绝（1 次）" in sentence.zh
    assert "AppID 不一致被拒绝（2 次）" in sentence.zh


@pytest.mark.parametrize(("state", "unknown"), [(RefundState.CLOSED, False), (RefundState.REFUSED, True)])
def test_c5_a_refund_that_wechat_closed_is_our_own(state: RefundState, *, unknown: bool) -> None:
    paid = an_order(trade_state=TradeState.SUCCESS, payments=(a_payment(),), refunds=(a_refund(state=state),))
    sentence, _ = explain(a_case(paid, told(RemoteState.REFUND)))
    assert ("本系统未记录的退款" in sentence.zh) is unknown


def test_c5_an_order_that_was_refused_at_wechat_did_not_simply_run_out_of_time() -> None:
    refused = TimelineEntry(NOW, "prepay_refused", "v3", detail={"code": "NO_AUTH"})
    closed = TimelineEntry(NOW + HOUR / 4, "closed", "worker")
    order = an_order(trade_state=TradeState.CLOSED, timeline=(refused, closed))
    sentence, _ = explain(a_case(order, RemoteStatus(LookOutcome.NO_SUCH_ORDER)))
    assert sentence.zh.startswith("微信支付没有该订单：下单被拒绝（NO_AUTH）；")


def test_c5_an_event_that_its_receiver_has_not_got_is_mentioned() -> None:
    paid = an_order(trade_state=TradeState.SUCCESS, payments=(a_payment(),))
    dead = full_delivery()
    pending = replace(dead, target="crm", state=DeliveryState.PENDING, due_at=NOW + HOUR)
    sentence, step = explain(a_case(paid, told(RemoteState.SUCCESS), deliveries=(dead, pending)))
    assert "事件 order.paid 未能推送给 erp（500），已放弃" in sentence.zh
    assert "事件 order.paid 推送给 crm 失败 2 次（500）" in sentence.zh
    assert step == f"manage.py events resend {dead.event.id} --target erp"


# -- C2: readiness says what the service cannot do --------------------------------------------------------------------------


def changed(settings: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """The settings with values by dotted name, and with a token cache of their own."""
    made: dict[str, Any] = json.loads(json.dumps(settings))
    for name, value in changes.items():
        *sections, key = name.split("__")
        section = made
        for each in sections:
            section = section[each]
        section[key] = value
    made["redis"]["prefix"] = f"c2-{time.monotonic_ns()}:"
    return made


async def readiness(shop: Shop) -> tuple[int, str]:
    told = await shop.ask("GET", "/readyz?verbose", headers={"Accept-Language": "en"})
    return told.status, told.body.decode()


async def test_c2_a_healthy_service_shows_a_plus_on_every_line(shop: Shop, installation: Installation) -> None:
    installation.restart(changed(installation.settings))
    status, text = await readiness(shop)
    assert status == 200
    assert all(line.startswith("[+]") for line in text.splitlines()), text
    names = [line[3:].split()[0] for line in text.splitlines()]
    assert names == [
        "mongo", "serving", "wechat", "pay", "keys", "token", "allow_list", "certificates", "clock", "notifications",
    ]  # fmt: skip
    assert (await shop.get("/readyz")).body == b"ok\n"


@pytest.mark.parametrize(
    ("changes", "line", "words"),
    [
        ({"account__appsecret": "an-invented-secret-0123456789abcd"}, "token", "40"),
        ({"pay__base_urls": ["http://127.0.0.1:9"]}, "wechat", "127.0.0.1:9"),
        ({"pay__mchid": "1900000999"}, "pay", "MCH_NOT_EXISTS"),
    ],
)
async def test_c2_what_is_invented_or_away_is_named_and_the_service_is_degraded(
    shop: Shop, installation: Installation, changes: dict[str, Any], line: str, words: str
) -> None:
    installation.restart(changed(installation.settings, **changes))
    status, text = await readiness(shop)
    assert status == 200
    assert text.startswith("degraded\n")
    [told] = [each for each in text.splitlines() if each.startswith(f"[!]{line} ")]
    assert words in told
    assert (await shop.get("/readyz")).body == b"degraded\n"
    document = (await shop.get("/healthz")).json()
    assert document["status"] == "degraded"
    assert [check["name"] for check in document["checks"] if not check["ok"] and check["name"] == line] == [line]


async def test_c2_an_address_that_is_not_on_the_allow_list_is_named(shop: Shop, installation: Installation) -> None:
    said = "invalid ip 203.0.113.9 ipv6 ::ffff:203.0.113.9, not in whitelist"
    fault = {"path": "/cgi-bin/stable_token", "fault": "refuse", "code": "40164", "message": said}
    installation.simulator.control("POST", "faults", fault)
    installation.restart(changed(installation.settings))
    _, text = await readiness(shop)
    [told] = [line for line in text.splitlines() if line.startswith("[!]allow_list ")]
    assert "203.0.113.9" in told


@pytest.mark.parametrize("ahead_s", [-600, 600])
def test_c2_a_clock_that_is_off_is_seen_by_wechats_date(ahead_s: int) -> None:
    contact, now = Contact(), 1_770_000_000.0
    contact.note_answer("h", {"Date": formatdate(now, usegmt=True)}, now + ahead_s - 0.1, now + ahead_s, 1.0)
    assert contact.clock_offset_s is not None
    assert abs(contact.clock_offset_s - ahead_s) <= 1
    contact.note_answer("h", {"Date": formatdate(now, usegmt=True)}, now - 0.1, now + 0.5, 2.0)
    assert contact.clock_offset_s == 0


async def test_c2_refusals_that_go_on_degrade_and_raise_an_alarm_that_is_listed_and_cleared() -> None:
    health_fixture = HealthFixture()
    for _ in range(3):
        health_fixture.refuse()
        health_fixture.clock.advance(20)
    assert [check.name for check in health_fixture.health.checks() if not check.ok] == ["notifications"]
    health_fixture.health.watch()
    health_fixture.health.watch()
    assert health_fixture.backend.telemetry.alarms("health_notifications") == 1
    assert health_fixture.backend.telemetry.measured[(Metric.HEALTH, "notifications")] == 0
    health_fixture.clock.advance(16 * 60)
    health_fixture.health.watch()
    assert health_fixture.cleared == ["health_notifications"]
    assert health_fixture.backend.telemetry.measured[(Metric.HEALTH, "notifications")] == 1


@pytest.mark.parametrize(("days", "ok"), [(-1, False), (7, False), (8, True)])
def test_c2_a_certificate_that_ends_soon_is_seen(days: int, *, ok: bool) -> None:
    health_fixture = HealthFixture({CertificateRole.MERCHANT: NOW + timedelta(days=days)})
    [check] = [check for check in health_fixture.health.checks() if check.name == "certificates"]
    assert check.ok is ok
    assert "the merchant API certificate expire" in check.text.en
    assert "商户API证书" in check.text.zh


class HealthFixture:
    """The checks over a core in memory."""

    def __init__(self, ends: dict[CertificateRole, datetime] | None = None) -> None:
        self.clock = ManualClock(NOW)
        self.backend = Backend(self.clock)
        self.core = Core(self.backend)
        self.cleared: list[str] = []
        runtime = self.backend.runtime()
        transport = Transport(self.backend.telemetry)
        tokens = Tokens(
            AccountClient(transport, "http://127.0.0.1:9"), Credentials("wx", "s"), MemoryTokens(self.clock), runtime
        )
        sources = Sources(
            None, tokens, transport.contact, self.core.receiver, ends or {}, lambda: asyncio.sleep(0), self.clock
        )
        self.health = Health(sources, runtime, lambda kind, subject: self.cleared.append(kind))

    def refuse(self) -> None:
        self.core.refusals.report(RefusedMessage(Api.V3, {}, b"", SignatureInvalid("sign_wrong")))


# -- C7: why the database does not answer --------------------------------------------------------------------------------


@pytest.mark.parametrize("driver", ["motor", "pymongo"])
@pytest.mark.parametrize(
    ("query", "words"),
    [("?replicaSet=rs0", "replicaSet"), ("", "Connection refused")],
    ids=["another replica set", "refused connection"],
)
async def test_c7_host_and_reason_of_a_database_that_does_not_answer_are_named(
    installation: Installation, driver: Driver, query: str, words: str
) -> None:
    url = installation.settings["mongo"]["url"].rstrip("/") if query else "mongodb://127.0.0.1:9"
    storage = MongoStorage(f"{url}/{query}", "c7", driver, clock=ManualClock(NOW), random=RandomIds())
    try:
        [problem] = await storage.problems()
    finally:
        await storage.close()
    assert words in problem.en
    assert "127.0.0.1:" in problem.en


def test_c7_a_wrong_password_is_named_and_not_shown() -> None:
    text = describe(OperationFailure("Authentication failed.", 18))
    assert "user name or password" in text.en
    assert "mongo.url" in text.zh


def test_c7_the_same_reason_is_logged_once(monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[str] = []

    class Log:
        def error(self, event: str, *, error: str) -> None:
            lines.append(error)

    monkeypatch.setattr("storage.mongo.failures.log", Log())
    failures = FailureLog()
    for _ in range(50):
        failures.report(AutoReconnect("db.example.com:27017: [Errno 111] Connection refused"))
    failures.report(AutoReconnect("db.example.com:27017: connection closed"))
    assert lines == [
        "MongoDB db.example.com:27017 does not answer (Connection refused)",
        "MongoDB db.example.com:27017 does not answer (connection closed)",
    ]


# -- C12: indexes --------------------------------------------------------------------------------------------------------


async def test_c12_money_waits_for_the_indexes_of_a_large_collection_which_have_a_command(
    shop: Shop, installation: Installation
) -> None:
    settings = changed(installation.settings, mongo__database="c12")
    with MongoClient[dict[str, Any]](settings["mongo"]["url"]) as client:
        client["c12"][ORDERS].insert_many([{"_id": str(i), "rev": 1} for i in range(SMALL + 1)])
    installation.restart(settings)
    told = await shop.sell(shop.sale(), **{"Accept-Language": "en"})
    assert (told.status, told.code) == (503, "NOT_INDEXED")
    assert "manage.py indexes" in told.json()["message"]
    assert (await shop.notify(installation.platform.v3(shop.sale(out_trade_no="C12-number")))).status == 503
    ready = await shop.ask("GET", "/readyz", headers={"Accept-Language": "en"})
    assert ready.status == 503
    assert b"order_documents lack indexes" in ready.body

    file = installation.directory / "c12.yml"
    file.write_text(json.dumps(settings), encoding="utf-8")
    ran = await Manage(installation.service.url, API_KEY)("indexes", "--settings", str(file))
    assert ran.code == 0, ran.err
    assert "order_documents.revision" in ran.out
    assert (await shop.get("/readyz")).status == 200
    assert (await shop.sell(shop.sale())).status == 201
    again = await Manage(installation.service.url, API_KEY)("indexes", "--settings", str(file))
    assert "0 indexes created" in again.out
