"""``--live`` against the WeChat simulator: what is right is accepted, and each fault is named by the check that meets it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, time, timedelta
from pathlib import Path
from typing import NamedTuple

import pytest

from doctor.checks import console, wechat
from doctor.report import Status
from storage.embedded.servers import free_port
from tests.doctor.live import Live
from tests.doctor.public_server import PublicServer, serving
from tests.doctor.site import NOW, VALUES, Site
from tests.support.keys import certificate_pem, private_pem, public_pem
from tests.support.simulator import SimulatorProcess

OK, WARN, FAIL, SKIP = Status.OK, Status.WARN, Status.FAIL, Status.SKIP
STABLE = "/cgi-bin/stable_token"


@pytest.fixture(scope="module")
def simulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimulatorProcess]:
    process = SimulatorProcess.start(tmp_path_factory.mktemp("wechat"))
    yield process
    assert process.stop() == 0


@pytest.fixture
def live(simulator: SimulatorProcess, tmp_path: Path) -> Iterator[Live]:
    yield Live(simulator, tmp_path)
    simulator.control("DELETE", "faults")


@pytest.mark.parametrize(
    "check",
    ["hosts", "clock", "v3", "v2", "keys", "allow_list", "token", "ticket", "bill"],
)
async def test_what_is_right_is_accepted(live: Live, check: str) -> None:
    judgement = await live.look(f"wechat.{check}")
    assert judgement.status is OK, judgement


@pytest.mark.parametrize(("now", "day"), [("2026-03-02T10:04", "2026-02-28"), ("2026-03-02T10:05", "2026-03-01")])
def test_the_bill_that_is_asked_for_is_there_at_any_hour(now: str, day: str) -> None:
    moment = datetime.fromisoformat(f"{now}+08:00")
    assert wechat.day_of_latest_bill(moment, time(10, 5)).isoformat() == day


class Fault(NamedTuple):
    """``induce`` breaks settings or simulator; the check ``id`` then has ``status`` and sees ``says``."""

    id: str
    status: Status
    says: str
    induce: Callable[[Live], object]


def exchange_pair(live: Live) -> None:
    live.set("pay.v3.merchant_key", private_pem()).set("pay.v3.merchant_cert", certificate_pem())


def without_certificates(live: Live) -> None:
    live.set("pay.v3.public_key", None).set("pay.v3.public_key_id", None)
    live.refuse("/v3/certificates", "RESOURCE_NOT_EXISTS")


FAULTS: dict[str, Fault] = {
    "another APIv2 key": Fault(
        "wechat.v2",
        FAIL,
        "pay.v2.key is not the APIv2 key of",
        lambda live: live.set("pay.v2.key", "Abcdefgh0123456789abcdefgh012345"),
    ),
    "another merchant's key pair": Fault("wechat.v3", FAIL, "has no valid certificate ABCDEF01", exchange_pair),
    "another merchant number": Fault("wechat.v3", FAIL, "", lambda live: live.set("pay.mchid", "sim1900000999")),
    "another AppID over APIv2": Fault(
        "wechat.v2", FAIL, "", lambda live: live.set("account.appid", "wxsim00000000000")
    ),
    "another APIv3 key": Fault(
        "wechat.keys",
        FAIL,
        "APIv3 key is wrong",
        lambda live: live.set("pay.v3.key", "Zyxwvuts9876543210zyxwvuts987654"),
    ),
    "no platform certificate, where the settings want one": Fault(
        "wechat.keys",
        FAIL,
        "use the WeChat Pay public key",
        without_certificates,
    ),
    "another merchant's public key": Fault(
        "wechat.keys",
        FAIL,
        "pay.v3.public_key or its ID is wrong",
        lambda live: live.set("pay.v3.public_key", public_pem()),
    ),
    "a switch that is over": Fault(
        "wechat.keys",
        WARN,
        "the switch is complete",
        lambda live: live.refuse("/v3/certificates", "RESOURCE_NOT_EXISTS"),
    ),
    "platform certificates that the settings do not take": Fault(
        "wechat.keys", WARN, "until the switch is complete", lambda live: live.set("pay.v3.certificates", False)
    ),
    "another AppSecret": Fault(
        "wechat.token", FAIL, "40125", lambda live: live.set("account.appsecret", "0" * 31 + "1")
    ),
    "an address that is not allowed": Fault(
        "wechat.allow_list",
        FAIL,
        "40164",
        lambda live: live.refuse(STABLE, "40164", "invalid ip 198.51.100.7 ipv6 ::ffff:198.51.100.7, not in whitelist"),
    ),
    "a ticket that WeChat does not give": Fault(
        "wechat.ticket", FAIL, "HTTP_500", lambda live: live.break_down("/cgi-bin/ticket/getticket")
    ),
    "a product without bills": Fault(
        "wechat.bill", FAIL, "NO_AUTH", lambda live: live.refuse("/v3/bill/tradebill", "NO_AUTH")
    ),
    "a bill that is still made": Fault(
        "wechat.bill", WARN, "still making", lambda live: live.refuse("/v3/bill/tradebill", "STATEMENT_CREATING")
    ),
    "a host that nobody answers on": Fault(
        "wechat.hosts",
        FAIL,
        "CONNECTION_REFUSED",
        lambda live: live.set("pay.base_urls", [f"http://127.0.0.1:{free_port()}"]),
    ),
    "a name that cannot be looked up": Fault(
        "wechat.hosts", FAIL, "DNS_FAILED", lambda live: live.set("account.api_url", "https://wechat.invalid")
    ),
}


@pytest.mark.parametrize("name", FAULTS)
async def test_a_fault_is_named_with_what_to_do(live: Live, name: str) -> None:
    fault = FAULTS[name]
    fault.induce(live)
    judgement = await live.look(fault.id)
    assert judgement.status is fault.status, judgement
    assert fault.says in judgement.seen.en
    assert judgement.fix.zh
    assert judgement.fix.en


async def test_the_address_to_enter_is_named(live: Live) -> None:
    live.refuse(STABLE, "40164", "invalid ip 198.51.100.7 ipv6 ::ffff:198.51.100.7, not in whitelist")
    judgement = await live.look("wechat.allow_list")
    assert "198.51.100.7" in judgement.fix.zh
    assert (await live.look("wechat.token")).status is SKIP


@pytest.mark.parametrize(("apart_s", "status"), [(0, OK), (61, WARN), (-61, WARN), (300, FAIL), (-400, FAIL)])
def test_a_clock_that_is_off(apart_s: int, status: Status) -> None:
    assert wechat.judge_clock(NOW + timedelta(seconds=apart_s), NOW).status is status


@pytest.mark.parametrize(
    ("status", "body", "judged", "says"),
    [
        (401, b'{"code":"FAIL","message":"x"}', OK, "401"),
        (401, b"<html>log in</html>", FAIL, "instead of 401"),
        (200, b"ok", FAIL, "another program answers"),
        (302, b"", FAIL, "does not follow"),
        (404, b"", FAIL, "gets 404"),
        (502, b"", WARN, "is not running"),
    ],
)
async def test_a_notification_with_a_bad_signature_from_outside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int, body: bytes, judged: Status, says: str
) -> None:
    site = Site(tmp_path)
    server = PublicServer(VALUES["session"]["secret"])
    server.notify_status, server.notify_body = status, body
    (tmp_path / "tls").mkdir()
    with serving(server, tmp_path / "tls"):
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "tls" / "server.cert.pem"))
        site.set("http.public_base_url", server.url)
        judgement = await site.look("web.notify")
    assert judgement.status is judged
    assert says in judgement.seen.en


async def test_the_texts_to_compare_are_exact(tmp_path: Path) -> None:
    site = Site(tmp_path)
    fixes = {check.id: (await site.look(check.id)).fix.en for check in console.CHECKS if check.id.startswith("console")}
    assert fixes == {
        "console.oauth_domain": "pay.shop.test",
        "console.js_domain": "pay.shop.test",
        "console.pay_directory": "https://pay.shop.test/pay/",
        "console.appid": "wx0123456789abcdef + 1900000109",
    }
