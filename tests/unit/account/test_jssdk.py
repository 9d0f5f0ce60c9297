"""wx.config is signed for pages of our own, and for no others."""

from __future__ import annotations

import re

import pytest

from storage.memory.tokens import MemoryTokens
from tests.support.account import Account
from tests.support.clock import ManualClock
from tests.support.runtime import a_runtime
from wechat.account.client import AccountClient
from wechat.account.jssdk import JsSdk
from wechat.account.page_signature import signature
from wechat.account.tokens import Credentials, Tokens
from wechat.domain.errors import Forbidden
from wechat.support.transport import Transport

TICKET = "sM4AOVdWfPE4DxkXGEs8VMCPGGVi4C3VM0P37wVUCFvkVAy"
ORIGINS = ("https://pay.example.com", "http://127.0.0.1:8888")
OURS = [
    "https://pay.example.com/",
    "https://pay.example.com/pay/1?by=wx&a=%E4%B8%AD",
    "https://pay.example.com",
    "http://127.0.0.1:8888/pay/20260301120506abc",
    "https://pay.example.com/?next=https://evil.com/",
    "https://pay.example.com/中文",
]
THEIRS = [
    "", "/", "/pay/1", "//pay.example.com/", "pay.example.com/", "https://evil.com/", "http://pay.example.com/",
    "https://pay.example.com:443/", "https://pay.example.com:8443/", "https://pay.example.com.evil.com/", "https://evil.com/pay.example.com",
    "https://evilpay.example.com/", "https://a.pay.example.com/", "https://pay.example.com@evil.com/", "https://u:p@pay.example.com/",
    "https://evil.com#https://pay.example.com/", "https://evil.com?https://pay.example.com/", "https://evil.com\\pay.example.com/",
    "https://pay.example.com\\@evil.com/", "https:pay.example.com/", "https:/pay.example.com/", "https:///pay.example.com/",
    "javascript:alert(1)//https://pay.example.com/", "data:text/html,x", "file:///etc/passwd", "ftp://pay.example.com/",
    "https://pay.example.com./", "https://PAY.example.com/", "https://pay.example.com\t/", "https://pay.example.com/ x", "https://pay.example.com/\n",
    " https://pay.example.com/", "https://pay。example.com/", "http://127.0.0.1:8889/", "http://127.0.0.1/", "http://localhost:8888/",
    "http://[::1]:8888/", "http://[", "null", "https://pay.example.com/" + "a" * 3000,
]  # fmt: skip


@pytest.fixture
def sdk(account: Account, transport: Transport, clock: ManualClock) -> JsSdk:
    account.replies |= {
        "/cgi-bin/stable_token": lambda _: {"access_token": "t", "expires_in": 7200},
        "/cgi-bin/ticket/getticket": lambda _: {"errcode": 0, "errmsg": "ok", "ticket": TICKET, "expires_in": 7200},
    }
    runtime = a_runtime(clock)
    tokens = Tokens(AccountClient(transport, account.url), Credentials("wx1", "s"), MemoryTokens(clock), runtime)
    return JsSdk("wx1", tokens, ORIGINS, runtime)


@pytest.mark.parametrize("url", OURS)
async def test_a_page_of_ours_is_signed_as_it_is_without_its_fragment(sdk: JsSdk, clock: ManualClock, url: str) -> None:
    config = await sdk.config(url + "#/somewhere")
    assert config.timestamp == int(clock.now().timestamp())
    assert config.signature == signature(TICKET, config.nonce_str, str(config.timestamp), url)


@pytest.mark.parametrize("url", THEIRS)
async def test_no_other_page_is_signed_and_the_ticket_is_not_even_fetched(
    sdk: JsSdk, account: Account, url: str
) -> None:
    with pytest.raises(Forbidden):
        await sdk.config(url)
    assert not account.calls


async def test_the_configuration_is_what_wx_config_takes_and_never_the_ticket(sdk: JsSdk) -> None:
    payload = (await sdk.config(OURS[0])).as_json()
    assert set(payload) == {"appId", "timestamp", "nonceStr", "signature", "jsApiList"}
    assert TICKET not in str(payload)
    assert re.fullmatch("[0-9a-f]{40}", str(payload["signature"]))


async def test_each_configuration_has_a_nonce_of_its_own(sdk: JsSdk) -> None:
    nonces = {(await sdk.config(OURS[0])).nonce_str for _ in range(50)}
    assert len(nonces) == 50
