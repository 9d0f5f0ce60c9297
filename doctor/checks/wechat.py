"""Query WeChat for objects that do not exist: this verifies keys, numbers and the clock without any effect."""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Awaitable, Callable
from datetime import date, datetime, time, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path

from doctor.check import Check, Part
from doctor.live import WeChat, connect
from doctor.report import Judgement, combine, fail, ok, paste, skip, warn
from doctor.subject import Subject
from wechat.domain.errors import (
    AccountRefused,
    Bilingual,
    ConfigError,
    FenpayError,
    GatewayRefused,
    Malformed,
    OutcomeUnknown,
    RemoteError,
    SignatureInvalid,
)
from wechat.domain.facts import Api
from wechat.domain.times import BEIJING, beijing_day
from wechat.pay.bills.gateways import NotYet
from wechat.pay.bills.parser import BillKind
from wechat.pay.certificates import Certificates
from wechat.pay.ciphers import AeadCipher
from wechat.pay.codes import ORDER_NOT_EXIST
from wechat.pay.v2.gateway import V2Gateway
from wechat.pay.v3.gateway import V3Gateway
from wechat.support.transport import Request

CLOCK_WARN_S, CLOCK_FAIL_S = 60, 300
NOT_ALLOWED = 40164
NO_CERTIFICATES = ("RESOURCE_NOT_EXISTS", "NOT_FOUND", "SYSTEM_ERROR")

Ask = Callable[[WeChat], Awaitable[Judgement]]


def _live(ask: Ask) -> Callable[[Subject], Awaitable[Judgement]]:
    """Run ``ask`` over connections of its own; WeChat's refusal is a fault, with our advice."""

    async def look(subject: Subject) -> Judgement:
        try:
            async with connect(subject) as wechat:
                return await ask(wechat)
        except NotYet as error:
            return warn(error.text.zh, error.text.en, paste("manage.py doctor --live"))
        except ConfigError as error:
            return fail(error.text.zh, error.text.en, paste("manage.py doctor"))
        except RemoteError as error:
            return judge_refusal(error)
        except FenpayError as error:
            return fail(error.text.zh, error.text.en, paste("manage.py doctor --live"))

    return look


def judge_refusal(error: RemoteError) -> Judgement:
    """Return WeChat's code and message, the likeliest causes, and the next step."""
    said = f"{error.wire_code or error.public_code} {error.wire_message}".strip()
    causes_zh, causes_en = (
        "；".join(cause.zh for cause in error.advice.causes),
        "; ".join(cause.en for cause in error.advice.causes),
    )
    zh, en = f"{said}（{causes_zh}）" if causes_zh else said, f"{said} ({causes_en})" if causes_en else said
    return fail(zh, en, error.advice.next_step)


async def ask_hosts(wechat: WeChat) -> Judgement:
    """Check that each host that the service calls answers."""
    found = []
    for url in dict.fromkeys((*wechat.settings.pay.base_urls, wechat.settings.account.api_url)):
        try:
            await wechat.transport.send([url], Request("doctor", "GET", "/"))
        except RemoteError as error:
            found.append(judge_refusal(error))
    return combine(found, ok("都有应答", "all respond"))


async def ask_clock(wechat: WeChat) -> Judgement:
    answer = await wechat.transport.send(wechat.settings.pay.base_urls, Request("doctor", "GET", "/"))
    date = answer.headers.get("Date", "")
    if not date:
        return skip("应答没有时间", "the response has no date")
    return judge_clock(parsedate_to_datetime(date), wechat.runtime.clock.now())


def judge_clock(remote: datetime, local: datetime) -> Judgement:
    """Compare the clock with WeChat Pay's, which refuses signatures that are five minutes off, as does this service."""
    apart_s = round((local - remote).total_seconds())
    zh, en = f"与微信支付相差 {apart_s:+d} 秒", f"{apart_s:+d} s from WeChat Pay's clock"
    fix = paste("sudo timedatectl set-ntp true && timedatectl status")
    if abs(apart_s) >= CLOCK_FAIL_S:
        return fail(zh, en, fix)
    return warn(zh, en, fix) if abs(apart_s) >= CLOCK_WARN_S else ok(zh, en)


async def ask_v3(wechat: WeChat) -> Judgement:
    """Query a number that cannot exist: the answer ORDER_NOT_EXIST verifies key, serial, merchant and clock."""
    gateway = await _v3(wechat)
    if not gateway:
        return skip("没有配置 APIv3", "APIv3 is not set")
    target = f"/v3/pay/transactions/out-trade-no/{_no_number()}?mchid={wechat.settings.pay.mchid}"
    return await _expect_no_order(gateway.ask("query", "GET", target))


async def ask_v2(wechat: WeChat) -> Judgement:
    """Do the same over APIv2, whose refusal is itself signed and verified."""
    gateway = wechat.pay.gateways.get(Api.V2)
    if not isinstance(gateway, V2Gateway):
        return skip("没有配置 APIv2", "APIv2 is not set")
    fields = {"appid": wechat.settings.account.appid, "out_trade_no": _no_number()}
    return await _expect_no_order(gateway.ask("/pay/orderquery", fields))


async def ask_answer(wechat: WeChat) -> Judgement:
    """Request the latest day's bill, whose signed answer must be verified by our copy of WeChat Pay's key."""
    gateway = await _v3(wechat)
    if not gateway:
        return skip("没有配置 APIv3", "APIv3 is not set")
    target = f"/v3/bill/tradebill?bill_date={_latest_day(wechat)}&bill_type=ALL&tar_type=GZIP"
    try:
        await gateway.ask("tradebill", "GET", target)
    except GatewayRefused as error:
        said = error.wire_code
        return skip(f"没有签名的应答可验（{said}）", f"there is no signed response to verify ({said})")
    return ok("应答的签名验证通过", "the signature of a response was verified")


async def ask_certificates(wechat: WeChat) -> Judgement:
    """List WeChat Pay's keys for this merchant number; platform certificates also verify the APIv3 key."""
    gateway, v3 = wechat.pay.gateways.get(Api.V3), wechat.settings.pay.v3
    if not isinstance(gateway, V3Gateway) or not v3:
        return skip("没有配置 APIv3", "APIv3 is not set")
    cipher = AeadCipher(*(key.get_secret_value() for key in (v3.key, v3.other_key) if key))
    try:
        await Certificates(wechat.build_ring(), cipher, gateway.certificates, wechat.runtime).refresh()
    except GatewayRefused as error:
        if error.public_code not in NO_CERTIFICATES:
            return judge_refusal(error)
        return judge_mode(certificates=False, public=bool(v3.public_key), configured=v3.certificates)
    except SignatureInvalid as error:
        return fail(
            f"应答的签名验证不过（{error.reason}）：pay.v3.public_key 或它的 ID 不对",
            f"a response cannot be verified ({error.reason}): pay.v3.public_key or its ID is wrong",
            Bilingual(
                "商户平台 → 账户中心 → API安全 → 微信支付公钥，重新下载 pub_key.pem 并核对 ID",
                "download pub_key.pem again and compare its id (the merchant console, 账户中心 → API安全 → 微信支付公钥)",
            ),
        )
    except (Malformed, OutcomeUnknown) as error:
        return fail(
            f"平台证书解不开（{error.public_code}）：APIv3密钥不对",
            f"the platform certificates cannot be decrypted ({error.public_code}): the APIv3 key is wrong",
            Bilingual(
                "pay.v3.key: …（商户平台 → 账户中心 → API安全 → APIv3密钥）",
                "pay.v3.key: … (the merchant console, 账户中心 → API安全 → APIv3密钥)",
            ),
        )
    return judge_mode(certificates=True, public=bool(v3.public_key), configured=v3.certificates)


def judge_mode(*, certificates: bool, public: bool, configured: bool) -> Judgement:
    """Judge the keys of the settings. ``certificates``: the merchant number has some; ``public``, ``configured``: which
    keys the settings verify with."""
    fix = paste("pay:\n  v3:\n    public_key: /etc/fenpay/pub_key.pem\n    public_key_id: PUB_KEY_ID_…")
    if not certificates and configured and not public:
        return fail(
            "这个商户号没有平台证书，要用微信支付公钥",
            "this merchant number has no platform certificate; use the WeChat Pay public key",
            fix,
        )
    if not certificates and configured:
        drop = paste("pay:\n  v3:\n    certificates: false")
        return warn(
            "已没有平台证书，切换已完成", "there is no platform certificate any more: the switch is complete", drop
        )
    if not certificates:
        return ok(
            "微信支付公钥；APIv3密钥要等第一个通知才能证实",
            "WeChat Pay public key; the APIv3 key is confirmed only by the first notification",
        )
    if not public:
        return warn(
            "平台证书，APIv3密钥正确；应申请微信支付公钥并切换",
            "platform certificates, and the APIv3 key is right; apply for the public key and switch",
            fix,
        )
    if not configured:
        both = paste("pay:\n  v3:\n    certificates: true")
        return warn(
            "商户号仍有平台证书；切换完成前，通知可能仍用它签名",
            "the merchant number still has platform certificates; until the switch is complete, notifications "
            "may be signed with them",
            both,
        )
    return ok("公钥与平台证书并用，APIv3密钥正确", "public key and platform certificates, and the APIv3 key is right")


async def ask_token(wechat: WeChat) -> Judgement:
    """Request a stable_token, which leaves the tokens of others valid."""
    try:
        await _token(wechat)
    except AccountRefused as error:
        if error.errcode == NOT_ALLOWED:
            return skip("先把出口 IP 加入白名单", "first add this machine's outgoing IP to the allow list")
        return judge_refusal(error)
    return ok("拿到 access_token", "got an access_token")


async def ask_allow_list(wechat: WeChat) -> Judgement:
    """Check the IP allow-list; error 40164 names the address to enter."""
    try:
        await _token(wechat)
    except AccountRefused as error:
        if error.errcode == NOT_ALLOWED:
            return judge_refusal(error)
    return ok("本机的出口 IP 可以调用", "calls from this machine's outgoing IP are allowed")


async def ask_ticket(wechat: WeChat) -> Judgement:
    try:
        token = await _token(wechat)
    except AccountRefused:
        return skip("先拿到 access_token", "first get an access_token")
    await wechat.account.get("/cgi-bin/ticket/getticket", access_token=token, type="jsapi")
    return ok("拿到 jsapi_ticket", "got a jsapi_ticket")


async def ask_bill(wechat: WeChat) -> Judgement:
    """Download and verify the latest day's trade bill as reconciliation does, and discard it."""
    gateway = wechat.pay.bills.get(wechat.settings.pay.api)
    if gateway is None:
        return skip("没有配置", "not set")
    await _v3(wechat)
    day = _latest_day(wechat)
    with tempfile.TemporaryDirectory() as folder:
        bill = await gateway.fetch(day, BillKind.ALL, Path(folder, "bill"))
    if bill.path is None:
        return ok(f"{day} 没有交易，账单为空", f"there were no transactions on {day}, so the bill is empty")
    return ok(f"{day} 的交易账单可下载", f"the trade bill of {day} can be downloaded")


async def _v3(wechat: WeChat) -> V3Gateway | None:
    """Return APIv3's gateway, with WeChat Pay's certificates if the settings verify with them."""
    gateway = wechat.pay.gateways.get(Api.V3)
    v3 = wechat.settings.pay.v3
    if not isinstance(gateway, V3Gateway) or not v3:
        return None
    if not v3.public_key:
        for each in wechat.pay.background:
            if isinstance(each, Certificates):
                await each.refresh()
    return gateway


async def _expect_no_order(question: Awaitable[object]) -> Judgement:
    try:
        await question
    except GatewayRefused as error:
        if error.public_code == ORDER_NOT_EXIST:
            return ok("微信支付接受了签名", "WeChat Pay accepted the signature")
        return judge_refusal(error)
    return fail("微信支付说有这笔订单", "WeChat Pay reports that this order exists", paste("manage.py doctor --live"))


async def _token(wechat: WeChat) -> str:
    account = wechat.settings.account
    asked = {"grant_type": "client_credential", "appid": account.appid, "secret": account.appsecret.get_secret_value()}
    return str((await wechat.account.post("/cgi-bin/stable_token", asked))["access_token"])


def _no_number() -> str:
    """Return a number that no order has."""
    return f"doctor{secrets.token_hex(12)}"


def _latest_day(wechat: WeChat) -> date:
    return day_of_latest_bill(wechat.runtime.clock.now(), wechat.settings.books.after_time)


def day_of_latest_bill(now: datetime, after: time) -> date:
    """Return the latest day whose bill WeChat has: yesterday's from ``after`` in Beijing, before that an older one."""
    days = 1 if now.astimezone(BEIJING).time() >= after else 2
    return beijing_day(now) - timedelta(days=days)


def _row(check_id: str, zh: str, en: str, ask: Ask) -> Check:
    return Check(check_id, Bilingual(zh, en), _live(ask), Part.WECHAT)


CHECKS = (
    _row(
        "wechat.hosts", "连不上微信就不能收款", "without a connection to WeChat, payments are not possible", ask_hosts
    ),
    _row("wechat.clock", "差 5 分钟签名就被拒绝", "with a difference of 5 minutes, signatures are refused", ask_clock),
    _row(
        "wechat.v3",
        "一次证实商户号、私钥、序列号和时钟",
        "confirms the merchant number, private key, serial number and clock in one step",
        ask_v3,
    ),
    _row(
        "wechat.v2",
        "一次证实商户号、AppID 和 APIv2密钥",
        "confirms the merchant number, AppID and APIv2 key in one step",
        ask_v2,
    ),
    _row("wechat.answer", "验不过的应答不能相信", "a response that cannot be verified cannot be trusted", ask_answer),
    _row("wechat.keys", "用哪一种密钥验证通知", "shows which key verifies notifications", ask_certificates),
    _row(
        "wechat.allow_list",
        "不在白名单里就拿不到 access_token",
        "without an entry on the allow list, there is no access_token",
        ask_allow_list,
    ),
    _row("wechat.token", "网页授权和 JS-SDK 需要它", "web authorisation and the JS-SDK need it", ask_token),
    _row("wechat.ticket", "JS-SDK 的签名需要它", "the JS-SDK's signature needs it", ask_ticket),
    _row("wechat.bill", "对账靠它", "reconciliation needs it", ask_bill),
)
