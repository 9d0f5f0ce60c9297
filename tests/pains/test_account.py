"""Tokens, log-in and pages: what other systems, WeChat's browser and people's thumbs do to them."""

from __future__ import annotations

import asyncio

import pytest

from storage.memory.tokens import MemoryTokens
from tests.contract.samples import an_order
from tests.sign_explain.signing import TICKET as TICKET_VALUE
from tests.sign_explain.signing import sha1
from tests.support.account import Account, refuse
from tests.support.clock import ManualClock
from tests.support.ordering import Service
from tests.support.runtime import a_runtime
from tests.support.tokens import CLASSIC, STABLE, TICKET, Wechat
from wechat.account.client import AccountClient
from wechat.account.jssdk import JsSdk
from wechat.account.oauth import OAuth
from wechat.account.page_signature import signature
from wechat.account.tokens import Credentials
from wechat.diagnosis.diagnosis import explain
from wechat.diagnosis.health import Health, Sources
from wechat.diagnosis.snapshot import OrderSnapshot, Outcome, RemoteStatus
from wechat.domain.errors import AccountRefused, Forbidden, RemoteError
from wechat.domain.orders import TimelineEntry
from wechat.sign_explain.model import Keys, Kind
from wechat.sign_explain.signature import explain as explain_signature
from wechat.support.contact import Contact
from wechat.support.transport import Transport

PAGE = "https://pay.example.com/pay/1"


@pytest.fixture
def wechat(account: Account, transport: Transport, clock: ManualClock) -> Wechat:
    return Wechat(account, transport, clock)


async def test_every_worker_needs_a_token_and_one_fetches_it(wechat: Wechat) -> None:
    processes = [wechat.process() for _ in range(4)]
    tokens = await asyncio.gather(*(process.access_token() for process in processes for _ in range(50)))
    assert set(tokens) == {"token-1"}
    assert wechat.account.calls == {STABLE: 1}


async def test_another_system_ends_our_token_and_the_call_is_made_again_once(wechat: Wechat) -> None:
    tokens, asked = wechat.process("classic"), []

    async def ask(token: str) -> str:
        asked.append(token)
        if token == "classic-1":
            raise AccountRefused("x", 40001, "invalid credential, access_token is invalid or not latest")
        return "told"

    assert await tokens.call(ask) == "told"
    assert asked == ["classic-1", "classic-2"]
    assert wechat.account.calls == {CLASSIC: 2}


async def test_a_system_that_keeps_ending_our_token_is_named(wechat: Wechat, clock: ManualClock) -> None:
    tokens = wechat.process("classic")

    async def ask(token: str) -> str:
        raise AccountRefused("x", 40001, "invalid credential")

    for _ in range(3):
        with pytest.raises(AccountRefused):
            await tokens.call(ask)
        clock.advance(60)
    runtime = a_runtime(clock)
    core = Service(clock).core
    sources = Sources(None, tokens, Contact(), core.receiver, {}, lambda: asyncio.sleep(0), clock)
    [check] = [
        check for check in Health(sources, runtime, lambda kind, subject: None).checks() if check.name == "token"
    ]
    assert not check.ok
    assert "另有系统在用同一 AppID 获取" in check.text.zh
    assert "account.token_call on stable" in check.text.en
    clock.advance(3600)
    assert not tokens.taken


async def test_the_tickets_quota_is_used_up_and_the_old_one_serves_on(wechat: Wechat, clock: ManualClock) -> None:
    tokens = wechat.process()
    first = await tokens.jsapi_ticket()
    wechat.account.replies[TICKET] = refuse(45009, "reach max api daily quota limit")
    clock.advance(7200 - 200)
    assert {await tokens.jsapi_ticket() for _ in range(100)} == {first}
    await asyncio.sleep(0.05)
    assert wechat.account.calls[TICKET] == 2  # once more, and then not before the quota begins anew
    clock.advance(300)
    with pytest.raises(RemoteError) as refused:
        await tokens.jsapi_ticket()
    assert "45009" in str(refused.value)


async def test_the_allow_list_lacks_our_address_which_is_named(wechat: Wechat) -> None:
    wechat.account.replies[STABLE] = refuse(40164, "invalid ip 198.51.100.7 ipv6 ::ffff:198.51.100.7, not in whitelist")
    with pytest.raises(AccountRefused) as refused:
        await wechat.process().access_token()
    assert "198.51.100.7" in refused.value.advice.next_step.zh


GRANT = {"access_token": "a", "expires_in": 7200, "refresh_token": "r", "openid": "o1", "scope": "snsapi_base"}
STATE = "0123456789abcdef0123456789abcdef"


def authorise(account: Account, transport: Transport, clock: ManualClock) -> OAuth:
    client, credentials = AccountClient(transport, account.url), Credentials("wx1", "s")
    return OAuth(client, credentials, "https://open.weixin.qq.com", MemoryTokens(clock))


async def test_the_phone_opens_the_log_in_address_twice(
    account: Account, transport: Transport, clock: ManualClock
) -> None:
    account.replies["/sns/oauth2/access_token"] = lambda _: GRANT
    oauth = authorise(account, transport, clock)
    assert await asyncio.gather(*(oauth.openid("code", STATE) for _ in range(5))) == 5 * ["o1"]
    assert account.calls == {"/sns/oauth2/access_token": 1}


async def test_a_snapshot_page_is_told_to_its_reader_and_gets_no_order(
    account: Account, transport: Transport, clock: ManualClock
) -> None:
    account.replies["/sns/oauth2/access_token"] = lambda _: GRANT | {"is_snapshotuser": 1}
    with pytest.raises(Forbidden) as refused:
        await authorise(account, transport, clock).openid("code", STATE)
    assert refused.value.public_code == "SNAPSHOT_USER"
    assert "使用完整服务" in refused.value.text.zh


@pytest.mark.parametrize(
    "url", ["https://evil.example/pay/1", "http://pay.example.com/pay/1", "https://pay.example.com.evil/"]
)
async def test_only_pages_of_ours_are_signed(wechat: Wechat, clock: ManualClock, url: str) -> None:
    sdk = JsSdk("wx1", wechat.process(), ["https://pay.example.com"], a_runtime(clock))
    with pytest.raises(Forbidden) as refused:
        await sdk.config(url)
    assert refused.value.public_code == "FOREIGN_URL"
    config = await sdk.config(f"{PAGE}#/x")
    assert config.signature == signature("ticket-2", config.nonce_str, str(config.timestamp), PAGE)


def signed(url: str) -> str:
    return sha1(f"jsapi_ticket={TICKET_VALUE}&noncestr=n1&timestamp=1772337906&url={url}")


@pytest.mark.parametrize(
    ("signed_url", "real_url", "code"),
    [
        (f"{PAGE}#/cart", "", "URL_WITH_FRAGMENT"),
        ("https://pay.example.com/", PAGE, "URL_DIFFERS"),
        (f"{PAGE}?a=1&amp;b=2", "", "HTML_ENTITY"),
    ],
    ids=["after the #", "an iPhone judges by the entry address", "&amp; for &"],
)
def test_an_invalid_wx_config_names_what_is_wrong_with_the_address(signed_url: str, real_url: str, code: str) -> None:
    text = (
        f'{{"appId":"wx1","timestamp":1772337906,"nonceStr":"n1","signature":"{signed(signed_url)}",'
        f'"url":"{signed_url}"{", "}"realAuthUrl":["{real_url or "https"}"]}}'
    )
    found = explain_signature(text.encode(), Keys(ticket=TICKET_VALUE), Kind.WX_CONFIG)
    assert code in [slip.code for slip in found.slips]


@pytest.mark.parametrize(
    ("code", "said", "names"),
    [
        ("当前页面的URL未注册", "当前页面的URL未注册：https://pay.example.com/pay/1", "支付授权目录"),
        ("调用支付JSAPI缺少参数：total_fee", "调用支付JSAPI缺少参数：total_fee", "prepay_id 无效"),
        ("支付验证签名失败", "get_brand_wcpay_request:fail · 支付验证签名失败", "签名之后参数值被改动"),
    ],
)
def test_what_the_payers_phone_refused_is_told_by_why(code: str, said: str, names: str) -> None:
    order = an_order()
    lines = [TimelineEntry(order.created_at, "page_refused", "payer", detail={"code": code, "said": said})]
    if code == "支付验证签名失败":
        lines.append(TimelineEntry(order.created_at, "page_slip", "payer", detail={"slip": "VALUE_CHANGED"}))
    order = an_order(timeline=tuple(lines))
    case = OrderSnapshot(order, RemoteStatus(Outcome.UNKNOWN), (), (), order.created_at)
    sentence, step = explain(case)
    assert said in sentence.zh
    assert names in sentence.zh
    assert step
