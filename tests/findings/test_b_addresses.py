"""Addresses (B5): international names, dots, ports, IPv6 and its zones; accepted in one form, or refused with a sentence.

And behind a real nginx, whatever Host header it is made to pass, no page leads to itself.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError

from scripts.programs import NO_NGINX, nginx
from service.settings.sections import AccountSettings, HttpSettings
from service.settings.values import BaseUrl
from service.settings.webhooks import WebhookSettings, check_webhook_url
from storage.embedded.servers import EmbeddedRedis, free_port
from tests.deploy.conftest import certificate  # noqa: F401 - fixture
from tests.support.deployment import Backend, render_nginx, wait_until_listening
from tests.support.service import ServiceProcess, overlay
from tests.support.simulator import SimulatorProcess

GIVEN = {
    "https://支付.example.com": "https://xn--bnq875c.example.com",
    "https://BÜCHER.example": "https://xn--bcher-kva.example",
    "https://faß.example": "https://xn--fa-hia.example",
    "https://ｐａｙ.example.com": "https://pay.example.com",
    "https://支付。example。com": "https://xn--bnq875c.example.com",
    "https://xn--bnq875c.example.com": "https://xn--bnq875c.example.com",
    "https://pay.example.com.:443/": "https://pay.example.com",
    "http://pay_1.internal:80": "http://pay_1.internal",
    "http://[0:0:0:0:0:0:0:1]:8888": "http://[::1]:8888",
    "http://[2001:DB8::A]": "http://[2001:db8::a]",
    "http://192.0.2.1:8080": "http://192.0.2.1:8080",
}
WRONG = (
    "http://[::ffff:192.0.2.1]", "http://[fe80::1%25eth0]", "http://[fe80::1%eth0]", "http://[::1", "http://[]",
    "http://127.1", "http://0x7f000001", "http://2130706433", "http://192.0.2.256", "http://192.0.2.01",
    "https://pay..example.com", "https://.example.com", "https://-pay.example.com", "https://pay-.example.com",
    "https://pay.example.com:0", "https://pay.example.com:65536", "https://pay.example.com:x", "https://:443",
    "https://user@pay.example.com", "https://user:word@pay.example.com", "https://pay example.com",
    "https://pay.exam\nple.com", "https://pay.example.com\\@evil.example", "https://" + "a" * 64 + ".example",
    "https://" + ".".join(["a" * 60] * 5), "https://\u202epay.example.com", "https://pay\u200b\ud800.example.com",
    "//pay.example.com", "https:/pay.example.com", "javascript://pay.example.com",
)  # fmt: skip


@pytest.mark.parametrize(("given", "plain"), GIVEN.items())
def test_b5_a_host_is_written_as_it_comes_in_the_host_header(given: str, plain: str) -> None:
    assert HttpSettings(public_base_url=given).public_base_url == plain
    assert TypeAdapter(BaseUrl).validate_python(f"{given.rstrip('/')}/path/") == f"{plain}/path"
    assert check_webhook_url(f"{given.rstrip('/')}/Hook?a=%41") == f"{plain}/Hook?a=%41"


@pytest.mark.parametrize("given", WRONG, ids=ascii)
def test_b5_what_is_no_address_is_refused_with_a_sentence_and_not_shown(given: str) -> None:
    values: dict[type[BaseModel], dict[str, object]] = {
        HttpSettings: {"public_base_url": given},
        AccountSettings: {"appid": "wx1234567890", "appsecret": "0123456789abcdef", "js_origins": (given,)},
        WebhookSettings: {"name": "erp", "url": given, "secrets": ("whsec_" + "A" * 32,), "allow_private": True},
    }
    for model, written in values.items():
        with pytest.raises(ValidationError) as refused:
            model.model_validate(written)
        [error] = refused.value.errors()
        assert re.search("address|host", error["msg"])
        assert "word" not in error["msg"]


@pytest.mark.parametrize("given", ["localhost", "10.0.0.0/8", "", " 127.0.0.1", "127.1", "*"])
def test_b5_a_proxy_is_an_address(given: str) -> None:
    with pytest.raises(ValidationError, match="IP address"):
        HttpSettings(public_base_url="https://pay.example.com", trusted_proxies=(given,))
    plain = HttpSettings(public_base_url="https://pay.example.com", trusted_proxies=("0:0:0:0:0:0:0:1",))
    assert plain.trusted_proxies == ("::1",)


@pytest.fixture(scope="module")
def named(
    tmp_path_factory: pytest.TempPathFactory,
    simulator: SimulatorProcess,
    redis: EmbeddedRedis,
) -> Iterator[int]:
    """The port of a service whose public address is https://pay.example.com."""
    directory, port = tmp_path_factory.mktemp("named"), free_port()
    settings = overlay(port, simulator.url, simulator.credentials, "memory", redis.url, directory)
    settings["http"] |= {"public_base_url": "https://pay.example.com"}
    settings["redis"] |= {"prefix": "b5:"}
    service = ServiceProcess.start(directory, settings)
    yield port
    assert service.stop() == 0
    assert service.defects == []


HOSTS = ("$http_host", "$host", "$host:$server_port", "$host:443", "Pay.Example.com", "pay.example.com")


@pytest.fixture(params=HOSTS)
async def front(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    certificate: tuple[Path, Path],  # noqa: F811
    named: int,
) -> AsyncIterator[str]:
    """The shipped nginx before a service at https://pay.example.com, with the Host header that it is made to pass."""
    program = nginx()
    assert program, NO_NGINX
    port, config = free_port(), tmp_path / "nginx.conf"
    text = render_nginx(tmp_path, certificate, port, [Backend(named), Backend(named)])
    assert "Host $http_host;" in text
    config.write_text(text.replace("Host $http_host;", f"Host {request.param};"))
    process = await asyncio.create_subprocess_exec(program, "-p", tmp_path, "-c", config)
    await wait_until_listening(port)
    yield f"https://127.0.0.1:{port}"
    process.terminate()
    await process.wait()


async def test_b5_behind_nginx_no_page_leads_to_itself(front: str) -> None:
    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    asked = {"Host": "pay.example.com"}
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trusting)) as client:
        async with client.get(f"{front}/", headers=asked, allow_redirects=False) as page:
            assert page.status == 200
        async with client.get(f"{front}/", headers={"Host": "other.example"}, allow_redirects=False) as page:
            assert page.headers.get("Location", "https://pay.example.com/") == "https://pay.example.com/"
