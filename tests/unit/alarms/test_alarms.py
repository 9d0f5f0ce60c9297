"""Alarms: their life, and the ways to people, each against a receiver on this machine."""

from __future__ import annotations

import asyncio
import base64
import email.policy
import hashlib
import hmac
import re
from collections.abc import AsyncIterator
from email import message_from_bytes
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from aiohttp import web
from pydantic import TypeAdapter

from service.parts.alarm_channels import build_channels
from service.settings.alarms import AlarmChannel
from tests.contract.samples import NOW, NUMBER
from tests.support.clock import ManualClock
from tests.support.core import Backend
from wechat.alarms.announcer import MOST_IN_MESSAGE, RETRIES, Announcer, Channel, ChannelFailed
from wechat.alarms.board import AlarmBoard
from wechat.alarms.texts import MEANINGS, sentence, step
from wechat.domain.alarms import MOST_OF_KIND, Alarm, new_alarm
from wechat.domain.errors import MismatchReason, NotFound
from wechat.domain.labels import MISMATCHES
from wechat.domain.metrics import Metric


class Recorded:
    """A channel that keeps what it is sent, or fails."""

    def __init__(self, name: str = "ops") -> None:
        self.name, self.lang = name, "en"
        self.sent: list[str] = []
        self.fails = False

    async def send(self, title: str, text: str, alarms: object) -> None:
        if self.fails:
            raise ChannelFailed("refused")
        self.sent.append(f"{title}\n{text}")

    async def close(self) -> None: ...


class AlarmFixture:
    """A board over memory with one channel."""

    def __init__(self) -> None:
        self.clock = ManualClock(NOW)
        self.backend = Backend(self.clock)
        self.channel = Recorded()
        self.announcer = Announcer([self.channel], self.backend.runtime())
        self.board = AlarmBoard(self.backend.stores().alarms, self.announcer, self.backend.runtime())

    async def alarm(self, kind: str = "paid_late", subject: str = NUMBER, error: str = "") -> None:
        self.board.raise_alarm(kind, subject, error)
        await self.board.work()

    async def open(self) -> list[Alarm]:
        return list(await self.board.latest(1000, only_open=True))


async def test_an_alarm_is_raised_seen_and_stays_seen_when_it_comes_again() -> None:
    alarm_fixture = AlarmFixture()
    await alarm_fixture.alarm()
    await alarm_fixture.alarm()
    [alarm] = await alarm_fixture.open()
    assert (alarm.count, alarm.subject) == (2, NUMBER)
    alarm_fixture.clock.advance(60)
    seen = await alarm_fixture.board.see(alarm.id, "shop")
    assert (seen.seen_by, seen.seen_at) == ("shop", alarm_fixture.clock.now())
    await alarm_fixture.alarm()
    assert await alarm_fixture.open() == []
    [kept] = await alarm_fixture.board.latest(10, only_open=False)
    assert (kept.count, kept.seen_by) == (3, "shop")


async def test_an_alarm_that_was_cleared_begins_anew() -> None:
    alarm_fixture = AlarmFixture()
    await alarm_fixture.alarm("health_token", "", "40164")
    alarm_fixture.board.clear("health_token")
    await alarm_fixture.board.work()
    assert await alarm_fixture.open() == []
    alarm_fixture.clock.advance(60)
    await alarm_fixture.alarm("health_token", "", "40164")
    [alarm] = await alarm_fixture.open()
    assert (alarm.count, alarm.first_at) == (1, alarm_fixture.clock.now())


async def test_of_each_kind_so_many_are_kept() -> None:
    alarm_fixture = AlarmFixture()
    for i in range(MOST_OF_KIND + 10):
        alarm_fixture.clock.advance(1)
        await alarm_fixture.alarm(subject=f"order-{i:04}")
    await alarm_fixture.alarm("books_differ", "2026-03-01")
    assert len(await alarm_fixture.open()) == MOST_OF_KIND + 1


async def test_an_id_names_the_alarm_and_not_its_place() -> None:
    alarm_fixture = AlarmFixture()
    await alarm_fixture.alarm()
    for wrong in ("paid_late-00-000000", "paid_late-01-000000"):
        with pytest.raises(NotFound):
            await alarm_fixture.board.see(wrong, "shop")
    assert len(await alarm_fixture.open()) == 1


async def test_what_comes_together_is_one_message_with_the_sentence_and_the_command() -> None:
    alarm_fixture = AlarmFixture()
    for i in range(MOST_IN_MESSAGE + 5):
        await alarm_fixture.alarm(subject=f"order-{i:04}")
    await alarm_fixture.alarm(subject="order-0000")  # again: nobody has to hear of it twice
    await alarm_fixture.announcer.flush(alarm_fixture.channel)
    [message] = alarm_fixture.channel.sent
    assert message.startswith("Fenpay: 15 alarms\n• the payer paid after the order was closed")
    assert "  manage.py why order-0000\n" in message
    assert message.endswith("5 more: manage.py alarms list")


async def test_messages_have_a_limit_and_nothing_is_lost_by_it() -> None:
    alarm_fixture = AlarmFixture()
    for i in range(20):
        await alarm_fixture.alarm(subject=f"order-{i:04}")
        await alarm_fixture.announcer.flush(alarm_fixture.channel)
    assert len(alarm_fixture.channel.sent) == 5
    alarm_fixture.clock.advance(120)
    await alarm_fixture.announcer.flush(alarm_fixture.channel)
    assert alarm_fixture.channel.sent[5].startswith("Fenpay: 15 alarms")


async def test_a_channel_that_fails_is_tried_again_and_then_given_up_on() -> None:
    alarm_fixture = AlarmFixture()
    alarm_fixture.channel.fails = True
    await alarm_fixture.alarm()
    for _ in range(RETRIES):
        await alarm_fixture.announcer.flush(alarm_fixture.channel)
    alarm_fixture.channel.fails = False
    await alarm_fixture.announcer.flush(alarm_fixture.channel)
    assert alarm_fixture.channel.sent == []
    assert alarm_fixture.backend.telemetry.counted[(Metric.ALARM_MESSAGES, "ops", "failed")] == RETRIES


async def test_an_alarm_is_announced_though_the_store_is_away() -> None:
    alarm_fixture = AlarmFixture()
    alarm_fixture.backend.down.add("alarms")
    await alarm_fixture.alarm()
    await alarm_fixture.announcer.flush(alarm_fixture.channel)
    assert len(alarm_fixture.channel.sent) == 1


@pytest.mark.parametrize("kind", [*MEANINGS, "notify_total", "health_token"])
def test_each_kind_has_a_sentence_and_a_command(kind: str) -> None:
    alarm = new_alarm(kind, NUMBER, "error", NOW)
    assert sentence(alarm).zh
    assert step(alarm).startswith("manage.py ")


@pytest.mark.parametrize(
    ("kind", "subject", "error", "zh", "en"),
    [
        ("paid_late", NUMBER, "", f"（{NUMBER}）", f"goods not released ({NUMBER})"),
        ("books_differ", "2026-03-01", "3 differences", "（2026-03-01，3 条差异）", "(2026-03-01, 3 differences)"),
        ("bill_lines_unread", "2026-03-01", "lines 3, 5", "（2026-03-01，第 3、5 行）", "(2026-03-01, lines 3, 5)"),
        ("refund_not_now", NUMBER, "FREQUENCY_LIMITED", "FREQUENCY_LIMITED）", "FREQUENCY_LIMITED)"),
        ("health_token", "", "there is no token: 40164", "无法获取 access_token（40164）", "there is no token: 40164"),
        ("notify_total", NUMBER, "", "金额不一致", "the amount differs"),
        ("query_second_payment", NUMBER, "", "重复支付", "paid twice"),
    ],
)
def test_a_sentence_is_in_one_language(kind: str, subject: str, error: str, zh: str, en: str) -> None:
    said = sentence(new_alarm(kind, subject, error, NOW))
    assert zh in said.zh
    assert en in said.en
    assert not re.search(r"differences|lines|there is", said.zh)
    assert kind not in said.zh + said.en


@pytest.mark.parametrize("reason", MismatchReason)
def test_each_mismatch_has_words(reason: MismatchReason) -> None:
    assert MISMATCHES[reason]


# -- the ways to people ----------------------------------------------------------------------------------------------


class Robot:
    """An HTTP receiver that keeps what it gets and answers as it is told."""

    def __init__(self) -> None:
        self.got: list[tuple[str, dict[str, Any]]] = []
        self.answer: dict[str, Any] = {"errcode": 0, "errmsg": "ok"}
        self.url = ""

    async def take(self, request: web.Request) -> web.Response:
        self.got.append((str(request.rel_url), await request.json()))
        return web.json_response(self.answer)


@pytest.fixture
async def robot() -> AsyncIterator[Robot]:
    made = Robot()
    app = web.Application()
    app.router.add_post("/robot/send", made.take)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}/robot/send"
    yield made
    await runner.cleanup()


def channel_of(**settings: Any) -> Channel:
    """A channel as the settings describe it."""
    adapter: TypeAdapter[Any] = TypeAdapter(AlarmChannel)
    clock = ManualClock(NOW)
    [channel] = build_channels([adapter.validate_python(settings)], Backend(clock).runtime(), clock)
    return channel


async def send(channel: Channel) -> None:
    try:
        await channel.send("title", "text 中文", [new_alarm("paid_late", NUMBER, "", NOW)])
    finally:
        await channel.close()


async def test_wecom_gets_its_text(robot: Robot) -> None:
    await send(channel_of(kind="wecom", name="ops", url=f"{robot.url}?key=1"))
    assert robot.got == [("/robot/send?key=1", {"msgtype": "text", "text": {"content": "title\ntext 中文"}})]


async def test_dingtalk_gets_its_signature(robot: Robot) -> None:
    await send(channel_of(kind="dingtalk", name="ops", url=f"{robot.url}?access_token=1", secret="SECabc"))
    [(target, body)] = robot.got
    query = parse_qs(urlsplit(target).query)
    moment = str(int(NOW.timestamp() * 1000))
    expected = base64.b64encode(hmac.new(b"SECabc", f"{moment}\nSECabc".encode(), hashlib.sha256).digest()).decode()
    assert query == {"access_token": ["1"], "timestamp": [moment], "sign": [expected]}
    assert body["text"]["content"].startswith("title\n")


async def test_feishu_gets_its_signature(robot: Robot) -> None:
    robot.answer = {"code": 0, "msg": "success"}
    await send(channel_of(kind="feishu", name="ops", url=robot.url, secret="abc"))
    [(_, body)] = robot.got
    moment = str(int(NOW.timestamp()))
    expected = base64.b64encode(hmac.new(f"{moment}\nabc".encode(), digestmod=hashlib.sha256).digest()).decode()
    assert (body["timestamp"], body["sign"], body["msg_type"]) == (moment, expected, "text")


async def test_a_webhook_gets_the_alarms_as_data(robot: Robot) -> None:
    await send(channel_of(kind="webhook", name="ops", url=robot.url))
    [(_, body)] = robot.got
    assert body["alarms"][0]["next"] == f"manage.py why {NUMBER}"


@pytest.mark.parametrize("kind", ["wecom", "dingtalk", "feishu"])
async def test_a_robot_that_refuses_is_no_success(robot: Robot, kind: str) -> None:
    robot.answer = {"errcode": 93000, "code": 19024, "errmsg": "invalid webhook url"}
    with pytest.raises(ChannelFailed, match="invalid webhook url"):
        await send(channel_of(kind=kind, name="ops", url=robot.url))


async def test_a_robot_that_is_away_is_no_success() -> None:
    with pytest.raises(ChannelFailed):
        await send(channel_of(kind="wecom", name="ops", url="http://127.0.0.1:9/x"))


def test_the_address_of_a_robot_is_a_secret_and_a_wrong_one_is_refused() -> None:
    adapter: TypeAdapter[Any] = TypeAdapter(AlarmChannel)
    made = adapter.validate_python({"kind": "wecom", "name": "ops", "url": "https://a.example/send?key=CANARY"})
    assert "CANARY" not in repr(made)
    with pytest.raises(ValueError, match="url"):
        adapter.validate_python({"kind": "wecom", "name": "ops", "url": "not an address"})


class MailBox:
    """An SMTP server that takes one mail at a time."""

    def __init__(self) -> None:
        self.mails: list[bytes] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 test\r\n")
        while line := await reader.readline():
            verb = line[:4].upper().strip()
            if verb == b"DATA":
                writer.write(b"354 go\r\n")
                self.mails.append(await reader.readuntil(b"\r\n.\r\n"))
            writer.write(b"221 bye\r\n" if verb == b"QUIT" else b"250 ok\r\n")
            await writer.drain()
            if verb == b"QUIT":
                break
        writer.close()


class RealThreads:
    async def run(self, work: Any) -> Any:
        return await asyncio.to_thread(work)


async def test_mail_is_sent_by_smtp() -> None:
    box = MailBox()
    server = await asyncio.start_server(box.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    adapter: TypeAdapter[Any] = TypeAdapter(AlarmChannel)
    made = adapter.validate_python(
        {
            "kind": "mail", "name": "mail", "host": "127.0.0.1", "port": port, "security": "none",
            "sender": "fenpay@example.com", "recipients": ["ops@example.com", "two@example.com"],
        }
    )  # fmt: skip
    clock = ManualClock(NOW)
    runtime = Backend(clock).runtime()
    [channel] = build_channels([made], type(runtime)(clock, runtime.random, runtime.telemetry, RealThreads()), clock)
    await send(channel)
    server.close()
    [raw] = box.mails
    mail = message_from_bytes(raw, policy=email.policy.default)
    assert (mail["Subject"], mail["To"]) == ("title", "ops@example.com, two@example.com")
    assert "text 中文" in mail.get_content()


async def test_a_mail_server_that_is_away_is_no_success() -> None:
    with pytest.raises(ChannelFailed, match=r"127\.0\.0\.1:9"):
        await send(
            channel_of(
                kind="mail",
                name="mail",
                host="127.0.0.1",
                port=9,
                security="none",
                sender="a@b.c",
                recipients=["d@e.f"],
            )
        )
