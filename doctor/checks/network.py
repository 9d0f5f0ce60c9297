"""Access from outside: our public address down to this service, and the receivers of webhooks."""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import json
import secrets
from datetime import datetime, timedelta
from http import HTTPStatus
from http.client import HTTPException
from typing import NamedTuple
from urllib.parse import SplitResult, urlsplit

from doctor import probe
from doctor.check import Check, Part
from doctor.report import Judgement, combine, fail, ok, paste, skip, warn
from doctor.subject import Subject
from service.settings.webhooks import WebhookSettings
from wechat.domain.errors import Bilingual
from wechat.events.webhooks import is_public
from wechat.staff.operator import STREAM_CHECK, sign_request
from wechat.support.connection import diagnose
from wechat.support.identity import prove

TLS_WARN = timedelta(days=21)
SPOOFED = "203.0.113.77"  # reserved for documentation by RFC 5737
HEADERS = """proxy_set_header Host $http_host;
proxy_set_header X-Real-IP $remote_addr;
proxy_set_header X-Forwarded-Proto $scheme;"""

UNBUFFERED = "location ~ ^/console(/|$) { proxy_buffering off; }"
STREAM_REST_S = 1.0


class Identity(NamedTuple):
    """The answer of /identity through the public address; ``ours``: it proved to be this service."""

    ours: bool
    host: str
    scheme: str
    real_ip: bool
    address: str


def check_base_url(subject: Subject) -> Judgement:
    """Check that WeChat's consoles and notifications accept the address: https, a public name, no path."""
    if not subject.production:
        return skip("演示环境", "the demo")
    url = subject.text("http.public_base_url")
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises ValueError for an invalid port
    except ValueError:
        parts = urlsplit("")
    if parts.scheme != "https":
        said = (f"{url or '（空）'} 不是 https 地址", f"{url or '(empty)'} is not an https address")
    elif parts.path.rstrip("/") or parts.query or parts.fragment:
        said = (
            f"{url} 带有路径，支付页就不在 /pay/ 下",
            f"{url} has a path, so payment pages would not be under /pay/",
        )
    elif not _public_host(parts.hostname or ""):
        said = (f"{parts.hostname} 不是公网域名", f"{parts.hostname} is not a public domain name")
    else:
        return judge_spelling(url, parts.port)
    return fail(*said, paste("http:\n  public_base_url: https://pay.….com"))


def judge_spelling(url: str, port: int | None) -> Judgement:
    """Warn about an address that works but is not the text that people enter in the consoles: with a port or
    capitals."""
    if port not in (None, 443):
        fix = paste("http:\n  public_base_url: https://pay.….com")
        return warn(
            f"端口 {port}：后台的域名配置不接受端口",
            f"port {port}: WeChat's consoles do not accept a port with a domain",
            fix,
        )
    if url != url.lower():
        return warn(
            f"{url} 有大写字母", f"{url} has capital letters", paste(f"http:\n  public_base_url: {url.lower()}")
        )
    return ok(url, url)


def check_dns(subject: Subject) -> Judgement:
    if early := _early(subject):
        return early
    parts, port = _public(subject)
    host = parts.hostname or ""
    try:
        found = probe.addresses(host, port)
    except OSError as error:
        return _broken(error, subject.text("http.public_base_url"))
    return judge_addresses(host, found)


def judge_addresses(host: str, found: list[str]) -> Judgement:
    """Judge ``found``, the addresses of the name as resolved here; WeChat resolves it outside."""
    shown = ", ".join(found)
    inside = [address for address in found if not is_public(address)]
    if inside:
        fix = Bilingual(
            f"getent hosts {host}；在公网 DNS 把它指向服务器",
            f"getent hosts {host}; point it at the server in public DNS",
        )
        return warn(
            f"{host} 在本机解析为内网地址 {shown}",
            f"on this machine, {host} resolves to {shown}, a private address",
            fix,
        )
    return ok(f"{host} → {shown}", f"{host} → {shown}")


def check_tls(subject: Subject) -> Judgement:
    if early := _early(subject):
        return early
    parts, port = _public(subject)
    try:
        ends_at = probe.certificate_end(parts.hostname or "", port)
    except OSError as error:
        return _broken(error, subject.text("http.public_base_url"))
    return judge_tls(ends_at, subject.machine.now)


def judge_tls(ends_at: datetime, now: datetime) -> Judgement:
    """Judge how long the certificate is still valid; its chain has been verified already."""
    day = f"{ends_at:%Y-%m-%d}"
    if ends_at - now < TLS_WARN:
        return warn(
            f"证书 {day} 到期", f"the certificate expires on {day}", paste("sudo certbot renew && sudo nginx -s reload")
        )
    return ok(f"证书链完整，有效期至 {day}", f"the certificate chain is complete and valid until {day}")


async def check_reaches(subject: Subject) -> Judgement:
    """Check that our public name leads to this very service."""
    if early := _early(subject):
        return early
    return judge_reaches(await subject.once("identity", lambda: _in_thread(subject)))


def judge_reaches(seen: Identity | Judgement) -> Judgement:
    if isinstance(seen, Judgement):
        return seen
    if not seen.ours:
        return fail(
            "公网地址通向另一个服务：会话密钥不同",
            "the public address leads to another service: its session secret is different",
            Bilingual(
                "检查 nginx 的 upstream，以及各进程是否用同一份配置",
                "check nginx's upstream, and that all processes use the same settings",
            ),
        )
    return ok("公网地址通向本服务", "the public address leads to this service")


async def check_proxy(subject: Subject) -> Judgement:
    seen = await _own_identity(subject)
    return seen if isinstance(seen, Judgement) else judge_proxy(seen, _public(subject)[0].netloc)


def judge_proxy(seen: Identity, host: str) -> Judgement:
    """Judge the headers that nginx must set, and those of clients that it must not pass on."""
    found = []
    fix = paste(HEADERS)
    if seen.address == SPOOFED:
        found.append(
            fail(
                "nginx 原样转交客户端写的 X-Real-IP，地址可以伪造",
                "nginx forwards the X-Real-IP that a client sends, so clients can forge their address",
                fix,
            )
        )
    if not seen.real_ip:
        found.append(
            fail(
                "nginx 没有设置 X-Real-IP，所有人都是同一个地址",
                "nginx does not set X-Real-IP, so all clients have the same address",
                fix,
            )
        )
    if seen.host.lower() != host.lower():
        found.append(
            fail(
                f"到达的 Host 是 {seen.host}，应是 {host}",
                f"the Host header that arrives is {seen.host} instead of {host}",
                fix,
            )
        )
    if seen.scheme != "https":
        shown = seen.scheme or "–"
        found.append(warn(f"X-Forwarded-Proto 是 {shown}", f"X-Forwarded-Proto is {shown}", fix))
    return combine(
        found, ok("X-Real-IP、Host、X-Forwarded-Proto 正确", "X-Real-IP, Host and X-Forwarded-Proto are right")
    )


async def check_stream(subject: Subject) -> Judgement:
    """Check that the messages of a live page arrive before its end."""
    seen = await _own_identity(subject)
    return seen if isinstance(seen, Judgement) else await asyncio.to_thread(_read_stream, subject)


async def _own_identity(subject: Subject) -> Identity | Judgement:
    """Return the answer of /identity if the public address leads to this service, otherwise why a check is skipped."""
    if early := _early(subject):
        return early
    seen = await subject.once("identity", lambda: _in_thread(subject))
    if isinstance(seen, Judgement) or not seen.ours:
        return skip("先让公网地址通向本服务", "first the public address must lead to this service")
    return seen


def _read_stream(subject: Subject) -> Judgement:
    url, at = subject.text("http.public_base_url").rstrip("/"), int(subject.machine.now.timestamp())
    signature = sign_request(subject.text("session.secret"), "GET", STREAM_CHECK, b"", at, secrets.token_hex(16))
    try:
        reply, rest_s = probe.time_stream(f"{url}{STREAM_CHECK}", {"Authorization": signature})
    except TimeoutError:
        return judge_stream(0)
    except (OSError, HTTPException) as error:
        return _broken(error, url)
    if reply.status != HTTPStatus.OK:
        return skip(
            f"{STREAM_CHECK} 返回 {reply.status}：公网打不开管理后台，或本机时钟不准",
            f"{STREAM_CHECK} returned {reply.status}: the console is not available at the public address, or this machine's clock is wrong",
        )
    return judge_stream(rest_s)


def judge_stream(rest_s: float) -> Judgement:
    """Judge the seconds between a message and the end of the stream, two as the service sends them."""
    if rest_s > STREAM_REST_S:
        return ok("实时消息随发随到", "live messages arrive at once")
    return fail(
        "中间的代理把实时消息留到最后才转发",
        "a proxy in between buffers live messages until the end",
        Bilingual(
            f"{UNBUFFERED}；nginx 前面的 CDN、WAF 也要关闭缓冲",
            f"{UNBUFFERED}; also switch off buffering in a CDN or firewall in front of nginx",
        ),
    )


def check_webhooks(subject: Subject) -> Judgement:
    hooks = subject.settings.webhooks if subject.settings else ()
    return combine([_look_at(hook) for hook in hooks], skip("没有接收方", "no receiver"))


def _look_at(hook: WebhookSettings) -> Judgement:
    """Check that a receiver answers a HEAD request; nothing is delivered."""
    parts = urlsplit(hook.url)
    try:
        found = probe.addresses(parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80))
        inside = [address for address in found if not is_public(address)]
        if inside and not hook.allow_private:
            return fail(
                f"{hook.name}：解析为内网地址 {inside[0]}，不会推送",
                f"{hook.name}: resolves to {inside[0]}, a private address; nothing is sent there",
                paste(f"webhooks:\n  - name: {hook.name}\n    allow_private: true"),
            )
        reply = probe.ask("HEAD", hook.url)
    except (OSError, HTTPException) as error:
        broken = _broken(error, hook.url)
        return broken._replace(seen=Bilingual(f"{hook.name}：{broken.seen.zh}", f"{hook.name}: {broken.seen.en}"))
    if reply.status >= 500:
        fix = paste(f"curl -sI {parts.scheme}://{parts.netloc}{parts.path}")
        return warn(f"{hook.name}：返回 {reply.status}", f"{hook.name}: returned {reply.status}", fix)
    return ok(f"{hook.name}：有应答", f"{hook.name}: responds")


async def _in_thread(subject: Subject) -> Identity | Judgement:
    return await asyncio.to_thread(ask_identity, subject)


def ask_identity(subject: Subject) -> Identity | Judgement:
    """Request /identity through the public address, with a forged X-Real-IP."""
    url, nonce = subject.text("http.public_base_url").rstrip("/"), secrets.token_hex(16)
    try:
        reply = probe.ask("GET", f"{url}/identity?nonce={nonce}", headers={"X-Real-IP": SPOOFED})
    except (OSError, HTTPException) as error:
        return _broken(error, url)
    if reply.status in (502, 503, 504):
        start = paste("sudo supervisorctl start fenpay:*")
        return warn(
            f"nginx 返回 {reply.status}：服务没有运行",
            f"nginx returned {reply.status}: the service is not running",
            start,
        )
    try:
        told = json.loads(reply.body)
        proof = prove(subject.text("session.secret"), nonce)
        ours = hmac.compare_digest(str(told["proof"]).encode(), proof.encode())
        return Identity(ours, str(told["host"]), str(told["scheme"]), bool(told["real_ip"]), str(told["address"]))
    except (ValueError, KeyError, TypeError):
        return fail(
            f"{url} 返回 {reply.status}，不是 Fenpay",
            f"{url} returned {reply.status}; it is not Fenpay",
            Bilingual(
                "检查 nginx 的 server_name 与 proxy_pass（deploy/nginx.conf）",
                "check nginx's server_name and proxy_pass (deploy/nginx.conf)",
            ),
        )


def _broken(error: BaseException, url: str) -> Judgement:
    """Describe a missing answer: the host, the reason, and what to do."""
    fault = diagnose(error, url, connecting=True)
    [cause] = fault.advice.causes
    return fail(cause.zh, cause.en, fault.advice.next_step)


def _early(subject: Subject) -> Judgement | None:
    if not subject.production:
        return skip("演示环境", "the demo")
    return None


def _public(subject: Subject) -> tuple[SplitResult, int]:
    parts = urlsplit(subject.text("http.public_base_url"))
    return parts, parts.port or (443 if parts.scheme == "https" else 80)


def _public_host(host: str) -> bool:
    try:
        return is_public(str(ipaddress.ip_address(host)))
    except ValueError:
        return "." in host and not host.endswith((".local", ".localhost", ".internal"))


CHECKS = (
    Check(
        "web.base_url",
        Bilingual(
            "微信支付的通知、支付授权目录都由它得出",
            "the notification address and the payment directory are derived from it",
        ),
        check_base_url,
        bare=True,
    ),
    Check(
        "web.dns",
        Bilingual("查不到的名字没有人能访问", "without a DNS entry, nobody can reach the service"),
        check_dns,
        Part.NETWORK,
        bare=True,
    ),
    Check(
        "web.tls",
        Bilingual(
            "证书链不完整时微信支付的通知到不了",
            "with an incomplete certificate chain, WeChat Pay's notifications do not arrive",
        ),
        check_tls,
        Part.NETWORK,
        bare=True,
    ),
    Check(
        "web.reaches",
        Bilingual("通知要到达这个服务", "notifications must reach this service"),
        check_reaches,
        Part.NETWORK,
        bare=True,
    ),
    Check(
        "web.proxy",
        Bilingual(
            "用户的地址交给微信支付风控；跳转按 Host 判断",
            "WeChat Pay's risk control checks the payer's address; redirects depend on the Host header",
        ),
        check_proxy,
        Part.NETWORK,
        bare=True,
    ),
    Check(
        "web.stream",
        Bilingual("管理后台与 manage.py tail 实时显示靠它", "the console's live pages and manage.py tail need it"),
        check_stream,
        Part.NETWORK,
        bare=True,
    ),
    Check(
        "webhooks.answer",
        Bilingual(
            "收不到 order.paid 的业务系统不会发货", "a system that does not receive order.paid does not deliver goods"
        ),
        check_webhooks,
        Part.NETWORK,
    ),
)
