"""Facts that no API reports: the exact texts to compare in WeChat's consoles. Also, whether messages of WeChat and the
files that it requests get through from outside."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from http.client import HTTPException
from urllib.parse import urlsplit

from doctor import probe
from doctor.check import Check, Part
from doctor.report import Judgement, Status, combine, fail, ok, paste, skip, warn
from doctor.subject import Subject
from doctor.ticks import read_ticks
from wechat.domain.errors import Bilingual
from wechat.support.cli_hints import command
from wechat.support.connection import diagnose

BAD_NOTIFICATION = {
    "Content-Type": "application/json",
    "Wechatpay-Timestamp": "1",
    "Wechatpay-Nonce": "doctor",
    "Wechatpay-Serial": "doctor",
    "Wechatpay-Signature": "ZG9jdG9y",
}


def compare(check_id: str, where: Bilingual, value: Callable[[Subject], str]) -> Callable[[Subject], Judgement]:
    """A text that a person compares and ticks: a reminder until then, and again after the text has changed."""

    def look(subject: Subject) -> Judgement:
        if not subject.production:
            return skip("演示环境", "the demo")
        text, tick = value(subject), read_ticks(subject.file).get(check_id)
        if tick and tick.value == text:
            return ok(f"已于 {tick.at} 核对：{text}", f"checked on {tick.at}: {text}")
        asked = Bilingual(f"{where.zh}：应为 {text}", f"{where.en}: must be {text}")
        if tick:
            zh = f"{asked.zh}（上次核对的是 {tick.value}）"
            return warn(zh, f"{asked.en} (compared last: {tick.value})", paste(text))
        done = command("doctor", "--tick", check_id)
        return Judgement(
            Status.SKIP,
            Bilingual(f"{asked.zh}；核对后：{done}", f"{asked.en}; after checking, run: {done}"),
            paste(text),
        )

    return look


def check_notify(subject: Subject) -> Judgement:
    """Check that a notification with a bad signature, sent to our public name, is answered 401."""
    url = subject.text("http.public_base_url").rstrip("/") + "/notify"
    if not subject.production:
        return skip("演示环境", "the demo")
    try:
        reply = probe.ask("POST", url, b"{}", BAD_NOTIFICATION)
    except (OSError, HTTPException) as error:
        fault = diagnose(error, url, connecting=True)
        return fail(fault.advice.causes[0].zh, fault.advice.causes[0].en, fault.advice.next_step)
    return judge_notify(reply.status, reply.body)


def judge_notify(status: int, body: bytes) -> Judgement:
    fix = Bilingual(
        "检查 nginx 到 /notify 的转发（deploy/nginx.conf），以及前面有没有登录页、WAF 或跳转",
        "check how nginx forwards /notify (deploy/nginx.conf), and that no login page, firewall or "
        "redirect is in front of it",
    )
    if status == 401 and b'"FAIL"' in body:
        return ok("坏签名被拒绝：401", "a bad signature is refused: 401")
    if status in (200, 204):
        return fail(
            f"坏签名得到 {status}：前面有别的程序替它应答",
            f"a bad signature gets {status}: another program answers for the service",
            fix,
        )
    if status in (301, 302, 307, 308):
        return fail(
            f"/notify 被跳转（{status}），微信支付不跟随",
            f"/notify is redirected ({status}), which WeChat Pay does not follow",
            fix,
        )
    if status in (502, 503, 504):
        return warn(
            f"返回 {status}：服务没有运行",
            f"returned {status}: the service is not running",
            paste("sudo supervisorctl start fenpay:*"),
        )
    return fail(f"坏签名得到 {status}，应是 401", f"a bad signature gets {status} instead of 401", fix)


def check_domain_files(subject: Subject) -> Judgement:
    """Check that each MP_verify file is served unchanged at the root of the domain."""
    if not subject.production or not subject.settings:
        return skip("演示环境", "the demo")
    base = subject.settings.http.public_base_url
    files = sorted(subject.settings.http.verify_files.glob("MP_verify_*.txt"))
    found = []
    for file in files:
        try:
            reply = probe.ask("GET", f"{base}/{file.name}")
        except (OSError, HTTPException) as error:
            fault = diagnose(error, base, connecting=True)
            return fail(fault.advice.causes[0].zh, fault.advice.causes[0].en, fault.advice.next_step)
        if reply.status != 200 or reply.body.strip() != file.read_bytes().strip():
            fix = paste(f"curl -i {base}/{file.name}")
            found.append(
                fail(
                    f"{file.name} 得到 {reply.status} 或内容不同",
                    f"{file.name}: returned {reply.status}, or different content",
                    fix,
                )
            )
    return combine(
        found, ok("都能取到", "all are served") if files else skip("没有验证文件", "there is no verification file")
    )


def _host(subject: Subject) -> str:
    return urlsplit(subject.text("http.public_base_url")).hostname or "?"


def _base(subject: Subject) -> str:
    return subject.text("http.public_base_url").rstrip("/").lower()


ACCOUNT = (
    "微信公众平台 → 设置与开发 → 账号设置 → 功能设置",
    "Official Accounts Platform, 设置与开发 → 账号设置 → 功能设置",
)
MERCHANT = ("商户平台 → 产品中心", "the merchant console, 产品中心")


COMPARED: Mapping[str, Callable[[Subject], str]] = {
    "console.oauth_domain": _host,
    "console.js_domain": _host,
    "console.pay_directory": lambda subject: f"{_base(subject)}/pay/",
    "console.appid": lambda subject: f"{subject.text('account.appid')} + {subject.text('pay.mchid')}",
}
"""The texts that the consoles must contain, by the check's id."""


def _row(check_id: str, zh: str, en: str, where: tuple[str, str]) -> Check:
    look = compare(check_id, Bilingual(*where), COMPARED[check_id])
    return Check(check_id, Bilingual(zh, en), look, Part.CONSOLE, bare=True)


CHECKS = (
    Check(
        "web.notify",
        Bilingual("付款结果从这里来", "payment results arrive at this address"),
        check_notify,
        Part.WECHAT,
        bare=True,
    ),
    Check(
        "web.domain_files",
        Bilingual("后台靠它确认域名是你的", "WeChat's console uses it to confirm that the domain is yours"),
        check_domain_files,
        Part.WECHAT,
    ),
    _row(
        "console.oauth_domain",
        "不同则 redirect_uri 报错 10003",
        "a different value causes redirect_uri error 10003",
        (f"{ACCOUNT[0]} → 网页授权域名", f"{ACCOUNT[1]} → 网页授权域名"),
    ),
    _row(
        "console.js_domain",
        "不同则 wx.config 报 invalid url domain",
        "a different value causes the wx.config error invalid url domain",
        (f"{ACCOUNT[0]} → JS接口安全域名", f"{ACCOUNT[1]} → JS接口安全域名"),
    ),
    _row(
        "console.pay_directory",
        "不同则报当前页面的URL未注册",
        "a different value causes the error 当前页面的URL未注册",
        (f"{MERCHANT[0]} → 开发配置 → 支付授权目录", f"{MERCHANT[1]} → 开发配置 → 支付授权目录"),
    ),
    _row(
        "console.appid",
        "两边都确认才算绑定；否则下单报 APPID_MCHID_NOT_MATCH",
        "both sides must confirm it; otherwise placing an order fails with APPID_MCHID_NOT_MATCH",
        (
            f"{MERCHANT[0]} → AppID账号管理，与公众平台 → 微信支付 → 商户号管理",
            f"{MERCHANT[1]} → AppID账号管理, and Official Accounts Platform → 微信支付 → 商户号管理",
        ),
    ),
)
