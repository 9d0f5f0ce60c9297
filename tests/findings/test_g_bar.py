"""The reliability bar, row by row (G1 to G14), in the short form; ``SCALE=10`` makes crowds and times longer."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import socket
import time
from collections import Counter
from contextlib import AsyncExitStack, suppress
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import HealthCheck, example, given, settings
from pymongo import MongoClient

from storage.embedded.servers import EmbeddedMongo, EmbeddedRedis
from storage.mongo.driver import Driver
from storage.redis.token_cache import TokenCache
from storage.stores.all import (
    ALARMS,
    AUDIT,
    CALLS,
    COLLECTIONS,
    DAYS,
    DIFFERENCES,
    FAILED_LOGINS,
    NOTIFICATIONS,
    ORDERS,
    REFUSED,
    SUMMARIES,
)
from tests.findings.conftest import OpenSite
from tests.http.client import MERCHANT, Response, Shop
from tests.support.account import Account
from tests.support.clock import ManualClock
from tests.support.platform import Message
from tests.support.receiving import World
from tests.support.route_requests import Draft, Endpoint, drafts, endpoints
from tests.support.runtime import RecordedTelemetry
from tests.support.service import ServiceProcess
from tests.support.simulator import SimulatorProcess, ask
from tests.support.stored import DATABASE, make_due
from tests.support.tokens import STABLE, TICKET, Wechat
from wechat.domain.errors import Malformed, RemoteError
from wechat.domain.orders import TradeState
from wechat.support.circuit import HUNG_IN_A_ROW, RETRY_S, Circuits
from wechat.support.transport import Request, Transport

EXAMPLES = int(os.environ.get("EXAMPLES", "12"))
SCALE = int(os.environ.get("SCALE", "1"))
MOST_HEAD = 8_000
"""Bytes of a request line with its headers, above which the server closes the connection without an answer."""
BY_THEMSELVES = ("notify", "query", "worker")
"""Sources of changes that no request of a test makes."""


@pytest.mark.alone
@pytest.mark.parametrize("driver", ["motor", "pymongo"])
async def test_g8_a_frozen_store_is_used_again_within_5_s_whichever_the_driver(
    open_site: OpenSite, driver: Driver
) -> None:
    site = open_site(mongo={"driver": driver})
    assert site.mongo.pid is not None
    async with Shop(site.service.url, site.simulator) as shop:
        messages = [site.platform.v3(await shop.sold()) for _ in range(20)]

        await asyncio.gather(*(shop.notify(message) for message in messages))
        os.kill(site.mongo.pid, signal.SIGSTOP)
        try:
            refused = await notify_for(shop, messages, min(3 + SCALE, 12))
        finally:
            os.kill(site.mongo.pid, signal.SIGCONT)
        assert set(refused) == {503}
        async with asyncio.timeout(5):
            while set(await notify_for(shop, messages, 0.5)) != {200}:
                pass


@pytest.mark.parametrize(
    "target", ["%00", "css/fenpay.css%00", "%00/../css/fenpay.css", "css%00/x", "js/%e2%80%ae%00", "a" * 4000]
)
@pytest.mark.parametrize("headers", [{}, {"Range": "bytes=0-"}, {"If-None-Match": "*"}])
async def test_g10_a_file_that_no_disk_can_hold_is_not_found(shop: Shop, target: str, headers: dict[str, str]) -> None:
    assert (await shop.ask("GET", f"/static/{target}", headers=headers)).status == 404
    address = f"{shop.simulator.url}/simulator/static/{target}"
    assert (await shop.ask("GET", address, headers=headers)).status in (403, 404)


@pytest.fixture(scope="session")
async def opening(service: ServiceProcess, simulator: SimulatorProcess) -> tuple[dict[str, dict[str, str]], list[str]]:
    """The headers that open each kind of route, and orders that exist: unpaid, paid, closed."""
    async with Shop(service.url, simulator) as shop:
        await shop.log_in()
        numbers = [(await shop.sold())["out_trade_no"], await shop.scanned(), (await shop.sold())["out_trade_no"]]
        for number, act in ((numbers[1], "query"), (numbers[2], "close")):
            await shop.ask("POST", f"/api/orders/{number}/{act}", headers=MERCHANT)
        cookies = "; ".join(f"{name}={value}" for name, value in shop.cookies().items())
        browser = {"Cookie": cookies, "X-Xsrftoken": shop.xsrf}
    strangers: dict[str, dict[str, str]] = {kind: {} for kind in ("wechat", "staff", "operator")}
    return strangers | {"public": browser, "payer": browser, "merchant": MERCHANT}, numbers


@pytest.mark.parametrize("endpoint", endpoints(), ids=str)
def test_g10_whatever_is_sent_is_no_failure_of_ours_and_a_refusal_changes_nothing(
    endpoint: Endpoint,
    opening: tuple[dict[str, dict[str, str]], list[str]],
    service: ServiceProcess,
    mongo: EmbeddedMongo,
) -> None:
    headers, numbers = opening
    with MongoClient[dict[str, Any]](mongo.url) as client:
        before = stored_facts(client)

        @settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
        @given(drafts(endpoint, headers[endpoint.access.partition(":")[0]], numbers))
        @example(Draft(endpoint.method, f"/?limit={'x' * 9000}", {}, None))
        def send(draft: Draft) -> None:
            nonlocal before
            try:
                answer = ask(draft.method, service.url + draft.target, draft.body, draft.headers)
            except ConnectionResetError:  # refused before its body was read; a client may see the end before the answer
                if draft.head_bytes > MOST_HEAD:
                    assert differ(before, stored_facts(client)) == [], draft
                    return
                answer = ask(draft.method, service.url + draft.target, draft.body, draft.headers)
            after = stored_facts(client)
            assert answer.status < 500, (draft, answer.body)
            assert answer.status < 400 or differ(before, after) == [], draft
            before = after

        send()


BY_THEMSELVES_STORED = (
    NOTIFICATIONS,
    REFUSED,
    ALARMS,
    CALLS,
    SUMMARIES,
    AUDIT,
    FAILED_LOGINS,
    DAYS,
    DIFFERENCES,
)
"""Collections that refusals are noted in, or that workers write to when something is due."""


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/jssdk/config", b'{"url":"ORIGIN/\\ud800"}'),
        ("POST", "/jssdk/config", b'{"url":"ORIGIN/\\uDC00\\ud83d"}'),
        ("POST", "/api/orders", b'{"description":"x","total":1,"trade_type":"NATIVE","out_trade_no":"half-\\udfff"}'),
        ("POST", "/api/orders", b'{"\\ud800":1}'),
    ],
)
async def test_g10_half_of_a_character_is_refused_wherever_it_stands(
    shop: Shop, method: str, path: str, body: bytes
) -> None:
    data = body.replace(b"ORIGIN", shop.url.encode())
    answer = await shop.ask(method, path, data=data, headers=MERCHANT | {"Content-Type": "application/json"})
    assert (answer.status, answer.code) == (400, "BAD_JSON")


def stored_facts(client: MongoClient[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The stored documents, by collection and id; an order's value is its ``facts_of``.

    Timeline lines of workers and notifications are counted separately: they may pay or close an order that another
    test has left at any moment.
    """
    database = client[DATABASE]
    kept = [name for name in COLLECTIONS if name not in (ORDERS, *BY_THEMSELVES_STORED)]
    ids = {name: {str(found["_id"]): None for found in database[name].find({}, {"_id": 1})} for name in kept}
    orders = database[ORDERS].find({}, {"trade_state": 1, "total": 1, "refunds": 1, "timeline": 1})
    return ids | {ORDERS: {str(order["_id"]): facts_of(order) for order in orders}}


def facts_of(order: dict[str, Any]) -> tuple[int, tuple[object, ...], object]:
    """The number of timeline lines of workers and notifications; the total, refunds and other lines; the state."""
    lines = [(line["at"], line["what"]) for line in order["timeline"] if line["source"] not in BY_THEMSELVES]
    refunds = [(refund["out_refund_no"], refund["refund"]) for refund in order.get("refunds", ())]
    return len(order["timeline"]) - len(lines), (order["total"], refunds, lines), order["trade_state"]


def differ(before: dict[str, dict[str, Any]], after: dict[str, dict[str, Any]]) -> list[object]:
    """The changes that a request has made.

    The state of an order may differ where workers or notifications have added a line to the order.
    """
    changed: list[object] = [name for name in before if before[name].keys() != after[name].keys()]
    for key, (others, own, state) in before[ORDERS].items():
        others_then, own_then, state_then = after[ORDERS].get(key, (others, own, state))
        if own != own_then or (state != state_then and others == others_then):
            changed.append((key, own, state, own_then, state_then))
    return changed


async def notify_for(shop: Shop, messages: list[Message], seconds: float) -> list[int]:
    """The statuses of 50 notifications a second for so long."""
    tasks: list[asyncio.Task[Response]] = []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        tasks.append(asyncio.create_task(shop.notify(messages[len(tasks) % len(messages)])))
        await asyncio.sleep(0.02)
    return [answer.status for answer in await asyncio.gather(*tasks)]


@pytest.mark.alone
async def test_g3_a_thousand_waiters_in_four_processes_are_one_call_and_find_redis_there(
    redis: EmbeddedRedis,
) -> None:
    async with Account() as account, AsyncExitStack() as stack:
        transport = Transport(RecordedTelemetry())
        stack.push_async_callback(transport.close)
        wechat, caches = Wechat(account, transport, ManualClock()), []
        for _ in range(4):
            cache = TokenCache(redis.url, wechat.clock, "g3:")
            stack.push_async_callback(cache.close)
            caches.append((cache, wechat.process(store=cache)))
        account.delay_s = 0.3
        waiters = [tokens.jsapi_ticket() for _, tokens in caches for _ in range(250 * SCALE)]
        assert len(set(await asyncio.gather(*waiters))) == 1
        assert account.calls == {STABLE: 1, TICKET: 1}
        assert all([await cache.reachable() for cache, _ in caches])


async def test_g3_a_full_pool_is_not_an_absent_redis(redis: EmbeddedRedis) -> None:
    """500 values that one process stores at the same time are all read by another process."""
    one, two = (TokenCache(redis.url, ManualClock(), "g3-pool:") for _ in range(2))
    names = [f"name-{number}" for number in range(500)]
    assert all(await asyncio.gather(*(one.remember(name, name, 60) for name in names)))
    assert await asyncio.gather(*(two.recall(name) for name in names)) == names
    await one.close()
    await two.close()


@pytest.mark.alone
async def test_g5_whoever_waits_for_wechat_at_a_sigterm_is_answered_before_the_exit(open_site: OpenSite) -> None:
    site = open_site(http={"drain_s": 4})
    async with Shop(site.service.url, site.simulator) as shop:
        order = await shop.sold()
        site.simulator.control("POST", "faults", {"path": "/v3/*", "fault": "timeout_before"})
        waiting = [asyncio.create_task(shop.sell()) for _ in range(20)]
        waiting += [
            asyncio.create_task(shop.ask("POST", f"/api/orders/{order['out_trade_no']}/query", headers=MERCHANT))
        ]
        await asyncio.sleep(0.5)
        started = time.monotonic()
        os.kill(site.service.pid, signal.SIGTERM)
        answers = await asyncio.gather(*waiting)
        assert await asyncio.to_thread(site.service.stop) == 0
    assert {answer.status for answer in answers} == {503}
    assert time.monotonic() - started < 5


@pytest.mark.alone
async def test_g9_while_wechat_is_known_to_hang_nobody_waits_for_it(account: Account, transport: Transport) -> None:
    async def call(path: str = "/hangs") -> tuple[str, float]:
        started = time.monotonic()
        try:
            await transport.send([account.url], Request(path, "GET", path))
        except RemoteError as error:
            return error.public_code, time.monotonic() - started
        return "answered", time.monotonic() - started

    account.replies = {"/hangs": lambda _: {}, "/answers": lambda _: {}}
    account.delay_s = 5
    first = await asyncio.gather(*(call() for _ in range(HUNG_IN_A_ROW)))
    assert {code for code, _ in first} == {"OUTCOME_UNKNOWN"}
    account.delay_s = 0
    code, spent_s = await call()
    assert code == "NOT_SENT"
    assert spent_s < 0.1
    assert (await call("/answers"))[0] == "answered"
    assert account.calls["/hangs"] == HUNG_IN_A_ROW


def test_g9_of_those_that_come_while_wechat_hangs_one_tries_and_its_answer_lets_all_in() -> None:
    clock = ManualClock()
    circuits = Circuits(10, clock.monotonic)

    def admitted(count: int = 5) -> int:
        return sum(circuits.admits("host", "call") for _ in range(count))

    for _ in range(HUNG_IN_A_ROW - 1):
        circuits.report("host", "call", hung=True)
    circuits.report("host", "call", hung=False)
    for _ in range(HUNG_IN_A_ROW):
        assert admitted() == 5
        circuits.report("host", "call", hung=True)
    assert admitted() == 0
    clock.advance(RETRY_S)
    assert admitted() == 1
    circuits.report("host", "call", hung=True)
    assert admitted() == 0
    clock.advance(RETRY_S)
    assert admitted() == 1
    circuits.report("host", "call", hung=False)
    assert admitted() == 5


async def half_open(url: str, stop: asyncio.Event) -> None:
    """Connect and send half a request, again whenever that is cut."""
    parts = urlsplit(url)
    while not stop.is_set():
        with suppress(OSError):
            reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
            writer.write(b"POST /notify HT")
            await asyncio.wait(
                {asyncio.create_task(reader.read()), asyncio.create_task(stop.wait())},
                return_when=asyncio.FIRST_COMPLETED,
            )
            writer.close()


@pytest.mark.alone
async def test_d2_g13_without_free_descriptors_genuine_messages_are_served_and_the_log_stays_short(
    open_site: OpenSite,
) -> None:
    """D2 as well: 80 descriptors and 150 half-open connections, which come again as soon as they are cut."""
    site = open_site(files=80, log={"level": "info"})
    async with Shop(site.service.url, site.simulator) as shop:
        orders = [await shop.sold() for _ in range(40)]
    stop, spent_s, statuses = asyncio.Event(), [], []
    attack = [asyncio.create_task(half_open(site.service.url, stop)) for _ in range(150)]
    await asyncio.sleep(0.5)
    lines, started = len(site.service.log.splitlines()), time.monotonic()
    for order in orders:
        async with Shop(site.service.url, site.simulator) as shop:
            sent = time.monotonic()
            statuses.append((await shop.notify(site.platform.v3(order))).status)
            spent_s.append(time.monotonic() - sent)
        await asyncio.sleep(0.1)
    lines = len(site.service.log.splitlines()) - lines - 2 * len(orders)  # "request" and "order_paid" of each
    seconds = time.monotonic() - started
    stop.set()
    await asyncio.gather(*attack)
    assert set(statuses) == {200}
    assert max(spent_s) < 1
    assert lines < 10 * seconds


async def read_slowly(url: str, target: str, stop: asyncio.Event) -> None:
    """Ask twenty times at once for ``target`` and take 64 bytes a second of the answers."""
    parts, loop = urlsplit(url), asyncio.get_running_loop()
    with socket.socket() as client, suppress(OSError):
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        client.setblocking(False)
        await loop.sock_connect(client, (parts.hostname, parts.port))
        await loop.sock_sendall(client, f"GET {target} HTTP/1.1\r\nHost: {parts.netloc}\r\n\r\n".encode() * 20)
        while not stop.is_set() and await loop.sock_recv(client, 64):
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), 1)


@pytest.mark.alone
async def test_g7_slow_readers_hold_no_genuine_message_up(open_site: OpenSite) -> None:
    site, stop = open_site(log={"level": "info"}), asyncio.Event()
    spent_s, statuses = [], []
    async with Shop(site.service.url, site.simulator) as shop:
        orders = [await shop.sold() for _ in range(40)]
        attack = [asyncio.create_task(read_slowly(shop.url, "/", stop)) for _ in range(100 * SCALE)]
        for order in orders:
            sent = time.monotonic()
            statuses.append((await shop.notify(site.platform.v3(order))).status)
            spent_s.append(time.monotonic() - sent)
            await asyncio.sleep(0.05)
        stop.set()
        await asyncio.gather(*attack)
    assert set(statuses) == {200}
    assert max(spent_s) < 1


@pytest.mark.alone
async def test_g6_a_flood_of_forged_messages_is_a_few_lines_and_delays_no_genuine_one(open_site: OpenSite) -> None:
    site = open_site(log={"level": "info"})
    async with Shop(site.service.url, site.simulator) as shop:
        orders = [await shop.sold() for _ in range(20)]
        forged = [site.platform.v3_signed(b"{}", serial=f"{number:040X}") for number in range(50)]
        started, stop = time.monotonic(), asyncio.Event()
        before, statuses, spent_s, sent = len(site.service.log.splitlines()), [], [], Counter[int]()

        async def flood() -> None:
            while not stop.is_set():
                sent[(await shop.notify(random.choice(forged))).status] += 1

        attack = [asyncio.create_task(flood()) for _ in range(20)]
        for order in orders:
            at = time.monotonic()
            statuses.append((await shop.notify(site.platform.v3(order))).status)
            spent_s.append(time.monotonic() - at)
            await asyncio.sleep(0.1)
        stop.set()
        await asyncio.gather(*attack)
    seconds = time.monotonic() - started
    lines = site.service.log.splitlines()[before:]
    refused = Counter(line.partition('"event":"')[2].partition('"')[0] for line in lines if "order_paid" not in line)
    refused["request"] -= len(orders)
    assert set(statuses) == {200}
    assert max(spent_s) < 1
    assert set(sent) == {401}
    assert sent[401] > 20 * seconds
    assert max(refused.values()) <= 10 * seconds + 10


@pytest.mark.alone
async def test_a9_g2_lost_notifications_are_queried_several_at_a_time(open_site: OpenSite) -> None:
    """Queried singly, 120 queries of 0.3 s would take 36 s; a worker sees a date set by another process within 15 s."""
    site = open_site(log={"level": "info"})
    async with Shop(site.service.url, site.simulator) as shop:
        numbers = await asyncio.gather(*(shop.scanned() for _ in range(120)))
        site.simulator.control("POST", "faults", {"path": "/v3/*", "fault": "delay", "ms": 300})
        make_due(site.mongo.url)
        deadline = time.monotonic() + 26
        while [number for number in numbers if await shop.state(number) != "SUCCESS"]:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.2)


@pytest.mark.parametrize("result_code", ["", "success", "OK", "SUCCESS ", "成功", "FAILED", "0"])
async def test_g11_a_signed_v2_notification_without_a_readable_result_is_not_acknowledged(
    world: World, result_code: str
) -> None:
    with pytest.raises(Malformed) as refused:
        await world.receive(world.write("v2", result_code=result_code))
    assert refused.value.reason == "result_code"
    assert world.state is TradeState.NOTPAY
