"""The way from outside, over real TLS: each fault on it is told apart."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from doctor.checks import network
from doctor.checks.network import SPOOFED, Identity
from doctor.report import Status
from storage.embedded.servers import free_port
from tests.doctor.public_server import PublicServer, serving
from tests.doctor.site import NOW, VALUES, Site

OK, WARN, FAIL, SKIP = Status.OK, Status.WARN, Status.FAIL, Status.SKIP


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


@pytest.fixture
def server(tmp_path: Path, site: Site, monkeypatch: pytest.MonkeyPatch) -> Iterator[PublicServer]:
    """In front of the site's service; its certificate is believed here."""
    folder = tmp_path / "tls"
    folder.mkdir()
    with serving(PublicServer(VALUES["session"]["secret"]), folder) as server:
        monkeypatch.setenv("SSL_CERT_FILE", str(folder / "server.cert.pem"))
        site.set("http.public_base_url", server.url)
        yield server


ADDRESSES: dict[str, tuple[str, Status, str]] = {
    "no https": ("http://pay.shop.test", FAIL, "is not an https address"),
    "no address": ("pay.shop.test", FAIL, "is not an https address"),
    "a path": ("https://pay.shop.test/shop", FAIL, "has a path"),
    "this machine": ("https://localhost", FAIL, "not a public domain name"),
    "a private address": ("https://10.0.0.1", FAIL, "not a public domain name"),
    "a port": ("https://pay.shop.test:8443", WARN, "port 8443"),
    "capital letters": ("https://Pay.Shop.test", WARN, "capital letters"),
}


@pytest.mark.parametrize("name", ADDRESSES)
async def test_a_public_address_that_wechat_cannot_use(site: Site, name: str) -> None:
    url, status, says = ADDRESSES[name]
    site.set("http.public_base_url", url)
    judgement = await site.look("web.base_url")
    assert judgement.status is status
    assert says in judgement.seen.en
    assert judgement.fix.en


async def test_a_way_in_order(site: Site, server: PublicServer) -> None:
    for check in ("web.tls", "web.reaches", "web.proxy", "web.stream"):
        judgement = await site.look(check)
        assert judgement.status is OK, judgement


INDUCED: dict[str, tuple[str, Status, str, Callable[[PublicServer], object]]] = {
    "another service's secret": ("web.reaches", FAIL, "another service", lambda s: setattr(s, "secret", "x" * 40)),
    "a service that does not run": ("web.reaches", WARN, "is not running", lambda s: setattr(s, "status", 502)),
    "another web server": ("web.reaches", FAIL, "it is not Fenpay", lambda s: setattr(s, "status", 404)),
    "no X-Real-IP": ("web.proxy", FAIL, "does not set X-Real-IP", lambda s: s.answer.update(real_ip=False)),
    "an X-Real-IP that a client made up": (
        "web.proxy",
        FAIL,
        "can forge",
        lambda s: s.answer.update(address=SPOOFED),
    ),
    "another Host": (
        "web.proxy",
        FAIL,
        "the Host header that arrives is fenpay",
        lambda s: s.answer.update(host="fenpay"),
    ),
    "no X-Forwarded-Proto": ("web.proxy", WARN, "X-Forwarded-Proto is", lambda s: s.answer.update(scheme="")),
    "a stream that is held back": ("web.stream", FAIL, "until the end", lambda s: setattr(s, "buffered", True)),
}


@pytest.mark.parametrize("name", INDUCED)
async def test_a_fault_on_the_way_is_found(site: Site, server: PublicServer, name: str) -> None:
    check, status, says, induce = INDUCED[name]
    induce(server)
    judgement = await site.look(check)
    assert judgement.status is status
    assert says in judgement.seen.en
    assert judgement.fix.en


async def test_a_console_that_is_not_open_to_the_public_has_no_stream_to_check(
    site: Site, server: PublicServer
) -> None:
    server.stream_status = 403
    judgement = await site.look("web.stream")
    assert judgement.status is SKIP
    assert "returned 403" in judgement.seen.en


@pytest.mark.timeout(20)
async def test_an_answer_without_an_end_is_not_read_for_ever(site: Site, server: PublicServer) -> None:
    server.endless = True
    judgement = await site.look("web.stream")
    assert judgement.status is FAIL


async def test_a_certificate_that_nobody_vouches_for(
    site: Site, server: PublicServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    judgement = await site.look("web.tls")
    assert judgement.status is FAIL
    assert "certificate is not trusted" in judgement.seen.en


async def test_nobody_listens_at_the_public_address(site: Site) -> None:
    site.set("http.public_base_url", f"https://localhost:{free_port()}")
    for check in ("web.tls", "web.reaches"):
        judgement = await site.look(check)
        assert judgement.status is FAIL
        assert "connection was refused" in judgement.seen.en
    for check in ("web.proxy", "web.stream"):
        assert (await site.look(check)).status is SKIP


async def test_a_public_name_that_cannot_be_looked_up(site: Site) -> None:
    site.set("http.public_base_url", "https://pay.shop.invalid")
    judgement = await site.look("web.dns")
    assert judgement.status is FAIL
    assert "pay.shop.invalid: The host name cannot be resolved" in judgement.seen.en


@pytest.mark.parametrize(("found", "status"), [(["93.184.216.34"], OK), (["10.0.0.5"], WARN), (["::1"], WARN)])
def test_a_name_that_leads_inside(found: list[str], status: Status) -> None:
    assert network.judge_addresses("pay.shop.test", found).status is status


@pytest.mark.parametrize(("days", "status"), [(60, OK), (20, WARN), (1, WARN)])
def test_the_end_of_our_own_certificate(days: int, status: Status) -> None:
    assert network.judge_tls(NOW + timedelta(days=days), NOW).status is status


def test_one_answer_may_have_several_faults() -> None:
    judgement = network.judge_proxy(Identity(True, "x", "http", False, SPOOFED), "pay.shop.test")
    assert judgement.status is FAIL
    assert judgement.seen.en.count(";") == 3
    assert judgement.fix.en.count("X-Real-IP") == 1


def hook(site: Site, url: str, *, private: bool) -> None:
    site.set("webhooks", [{"name": "erp", "url": url, "secrets": ["whsec_" + "QUJD" * 11], "allow_private": private}])


async def test_a_receiver_of_webhooks_that_is_there(site: Site, server: PublicServer) -> None:
    site.set("http.public_base_url", "https://pay.shop.test")
    hook(site, f"{server.url}/hook", private=True)
    assert (await site.look("webhooks.answer")).status is OK
    server.status = 503
    judgement = await site.look("webhooks.answer")
    assert judgement.status is WARN
    assert "erp: returned 503" in judgement.seen.en


@pytest.mark.parametrize(
    ("url", "private", "says"),
    [
        ("https://erp.shop.invalid/hook", False, "host name cannot be resolved"),
        (f"http://localhost:{free_port()}/hook", True, "connection was refused"),
    ],
    ids=["no name", "no server"],
)
async def test_a_receiver_of_webhooks_that_is_not_there(site: Site, url: str, private: bool, says: str) -> None:
    hook(site, url, private=private)
    judgement = await site.look("webhooks.answer")
    assert judgement.status is FAIL
    assert says in judgement.seen.en


async def test_a_receiver_with_a_public_name_and_a_private_address(site: Site) -> None:
    hook(site, "https://localhost/hook", private=False)
    judgement = await site.look("webhooks.answer")
    assert judgement.status is FAIL
    assert "a private address" in judgement.seen.en
    assert "allow_private: true" in judgement.fix.en
