"""Events through the whole service: an order is paid in the store, its receivers hear of it, the merchant sees to it."""

from __future__ import annotations

import html
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

import pytest

from storage.embedded.servers import EmbeddedMongo, free_port
from tests.contract.samples import a_storage, an_order, paid
from tests.simulator.sink import Sink
from tests.support.console import ConsoleBrowser, Operator
from tests.support.manage import Manage
from tests.support.servers import running
from tests.support.service import API_KEY, ServiceProcess, overlay, wait_until
from tests.support.settings import KNOWN
from tests.support.webhooks import KEY, OTHER_KEY, secret_of
from wechat.domain.staff import Role
from wechat.events.signature import sign

DATABASE = "events"


class Shop:
    """The service, its store, and one receiver that works and one that does not."""

    def __init__(self, service: ServiceProcess, mongo: EmbeddedMongo, good: Sink, bad: Sink) -> None:
        self.service = service
        self.mongo = mongo
        self.good = good
        self.bad = bad

    async def paid(self, number: str) -> None:
        storage = a_storage(self.mongo.url, DATABASE)
        assert await storage.orders.insert(paid(an_order(number), f"T-{number}", datetime.now(UTC)), "write-1")
        await storage.close()

    def ask(self, method: str, path: str, key: str = API_KEY) -> tuple[int, bytes]:
        connection = HTTPConnection(urlsplit(self.service.url).netloc, timeout=5)
        try:
            connection.request(method, path, headers={"Authorization": f"Bearer {key}"})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def call(self, method: str, path: str, key: str = API_KEY) -> tuple[int, Any]:
        status, body = self.ask(method, path, key)
        return status, json.loads(body)

    def events(self, query: str = "") -> list[dict[str, Any]]:
        status, answer = self.call("GET", f"/api/events{query}")
        assert status == 200
        found: list[dict[str, Any]] = answer["events"]
        return found


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    directory = tmp_path_factory.mktemp("events")
    good, bad = Sink(), Sink()
    bad.answer = lambda _: (500, b"")
    hooks = [
        {"name": name, "url": sink.url, "secrets": [secret_of(key)], "allow_private": True}
        for name, sink, key in (("good", good, KEY), ("bad", bad, OTHER_KEY))
    ]
    with running(EmbeddedMongo(directory / "mongo")) as mongo:
        ours = overlay(free_port(), "http://127.0.0.1:9", KNOWN, mongo.url, "redis://127.0.0.1:1", directory)
        ours["mongo"]["database"] = DATABASE
        service = ServiceProcess.start(directory, ours | {"webhooks": hooks})
        yield Shop(service, mongo, good, bad)
        service.stop()
        assert service.defects == []
    good.close()
    bad.close()


async def test_a_paid_order_is_told_and_each_delivery_can_be_looked_at(shop: Shop) -> None:
    await shop.paid("20260301-looked-at")
    [message] = shop.good.wait(1)
    assert json.loads(message.body)["data"]["out_trade_no"] == "20260301-looked-at"
    shop.bad.wait(1)
    [delivered] = wait_until(lambda: shop.events("?state=delivered"))
    [pending] = wait_until(lambda: [event for event in shop.events("?state=pending") if event["attempts"]])
    assert (delivered["target"], delivered["id"], delivered["due_at"]) == ("good", message.headers["webhook-id"], None)
    assert (delivered["type"], delivered["out_trade_no"]) == ("order.paid", "20260301-looked-at")
    assert [attempt["result"] for attempt in delivered["attempts"]] == ["200"]
    assert (pending["target"], pending["attempts"][0]["result"]) == ("bad", "500")


async def test_a_developer_sees_why_a_receiver_refused_and_what_was_signed(shop: Shop) -> None:
    shop.bad.answer = lambda _: (500, "<script>库存</script>\n".encode())
    await shop.paid("20260301-refused")
    event = wait_until(lambda: _tried(_of(shop, "20260301-refused", "bad", "pending")))
    assert event["attempts"][-1]["answer"] == {"content_type": "", "text": "<script>库存</script>"}
    wait_until(lambda: _of(shop, "20260301-refused", "good", "delivered"))
    assert "<script>库存</script>" in (await Manage(shop.service.url, API_KEY)("events", "list")).out
    status, support = shop.ask("GET", "/api/orders/20260301-refused/support")
    assert (status, "库存" in support.decode()) == (200, False)  # it goes to others, and an answer may name a person
    await Operator(shop.service.url).add_person("dev", Role.DEVELOPER)
    async with ConsoleBrowser(shop.service.url, "dev") as browser:
        assert (await browser.log_in()).status == 302
        target = f"/console/deliveries/{event['id']}"
        assert f'href="{target}"' in await browser.page("/console/orders/20260301-refused")
        page = await browser.page(target)
    assert "&lt;script&gt;库存&lt;/script&gt;" in page and "<script>库存" not in page
    for sink, key in ((shop.good, KEY), (shop.bad, OTHER_KEY)):
        message = next(one for one in sink.received if one.headers["webhook-id"] == event["id"])
        timestamp, signature = message.headers["webhook-timestamp"], message.headers["webhook-signature"]
        signed = f"{event['id']}.{timestamp}.{message.body.decode()}"
        assert sign(key, event["id"], int(timestamp), message.body) == signature
        assert signed in html.unescape(page) and f"webhook-timestamp: {timestamp}" in page
        assert signature not in html.unescape(page) and secret_of(key) not in page


async def test_a_delivered_event_is_sent_again_on_request(shop: Shop) -> None:
    await shop.paid("20260301-sent-again")
    event = wait_until(lambda: _of(shop, "20260301-sent-again", "good", "delivered"))
    before = _count(shop.good, event["id"])
    assert shop.call("POST", f"/api/events/{event['id']}/resend")[1]["code"] == "NOTHING_TO_RESEND"
    status, answer = shop.call("POST", f"/api/events/{event['id']}/resend?target=good")
    assert (status, [sent["state"] for sent in answer["events"]]) == (202, ["pending"])
    wait_until(lambda: _count(shop.good, event["id"]) == before + 1)


async def test_the_command_line_lists_events_and_sends_a_delivered_one_again_if_it_is_meant(shop: Shop) -> None:
    await shop.paid("20260301-by-hand")
    event = wait_until(lambda: _of(shop, "20260301-by-hand", "good", "delivered"))
    manage, before = Manage(shop.service.url, API_KEY), _count(shop.good, event["id"])
    assert (await manage("events", "resend", event["id"], "--json")).error()["code"] == "NOTHING_TO_RESEND"
    listed = await manage("events", "list", "--state", "delivered", "--json")
    assert event in listed.json()["events"]
    assert event["id"] in (await manage("events", "list")).out
    assert (await manage("events", "resend", event["id"], "--target", "good")).code == 2
    no = await manage.on_a_terminal("events", "resend", event["id"], "--target", "good", answer="n\n")
    assert (no.code, _count(shop.good, event["id"])) == (1, before)
    sent = await manage("events", "resend", event["id"], "--target", "good", "--yes", "--json")
    assert (sent.code, [one["target"] for one in sent.json()["events"]]) == (0, ["good"])
    wait_until(lambda: _count(shop.good, event["id"]) == before + 1)


async def test_pages_follow_one_another(shop: Shop) -> None:
    await shop.paid("20260301-paged")
    wait_until(lambda: _of(shop, "20260301-paged", "bad", "pending"))
    _, first = shop.call("GET", "/api/events?limit=1")
    _, second = shop.call("GET", f"/api/events?limit=1&cursor={first['next_cursor']}")
    assert first["events"][0]["out_trade_no"] == second["events"][0]["out_trade_no"] == "20260301-paged"
    assert {first["events"][0]["target"], second["events"][0]["target"]} == {"good", "bad"}


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/api/events?state=lost", 400),
        ("GET", "/api/events?limit=0", 400),
        ("POST", "/api/events/000000000000000000000000/resend", 404),
        ("POST", "/api/events/x/resend", 404),
    ],
)
def test_what_cannot_be_is_refused(shop: Shop, method: str, path: str, status: int) -> None:
    assert shop.call(method, path)[0] == status


def test_events_are_for_who_has_the_key(shop: Shop) -> None:
    assert shop.call("GET", "/api/events", key="another")[0] == 401
    assert shop.call("POST", "/api/events/000000000000000000000000/resend", key="another")[0] == 401


def test_neither_the_log_nor_the_metrics_show_an_address_or_a_secret(shop: Shop) -> None:
    metrics = shop.ask("GET", "/metrics")[1].decode()
    assert 'fenpay_event_deliveries_total{result="delivered",target="good"}' in metrics
    for secret in (secret_of(KEY), secret_of(OTHER_KEY), shop.good.url, shop.bad.url, "库存"):
        assert secret not in shop.service.log + metrics


def _of(shop: Shop, number: str, target: str, state: str) -> dict[str, Any] | None:
    found = [e for e in shop.events(f"?state={state}") if (e["out_trade_no"], e["target"]) == (number, target)]
    return found[0] if found else None


def _tried(event: dict[str, Any] | None) -> dict[str, Any] | None:
    return event if event and event["attempts"] else None


def _count(sink: Sink, event_id: str) -> int:
    return sum(message.headers["webhook-id"] == event_id for message in sink.received)
