"""Why a call to WeChat got no answer that can be used: which host, what happened, whose side, and what to do.

The names are ours, as no code of WeChat's came: DNS_FAILED, CONNECTION_REFUSED, CONNECT_TIMEOUT, NETWORK_UNREACHABLE,
TLS_CERTIFICATE, TLS_ALERT, CONNECTION_RESET, NO_ANSWER_IN_TIME and HTTP_<status>.
"""

from __future__ import annotations

import errno
import socket
import ssl
from collections.abc import Iterator
from typing import NamedTuple
from urllib.parse import urlsplit

from wechat.domain.errors import Advice, Bilingual, NotSent, OutcomeUnknown


class ConnectionFault(NamedTuple):
    """``detail`` is the system's or the library's own word, without addresses that carry secrets."""

    code: str
    host: str
    detail: str
    advice: Advice


_ADVICE = {
    "DNS_FAILED": (
        Bilingual("本机查不到 {host} 的地址", "this machine cannot look {host} up"),
        Bilingual(
            "检查 /etc/resolv.conf 与 DNS：getent hosts {host}", "check /etc/resolv.conf and DNS: getent hosts {host}"
        ),
    ),
    "CONNECTION_REFUSED": (
        Bilingual("{host} 拒绝连接", "{host} refuses the connection"),
        Bilingual(
            "检查地址与端口是否写对、代理或防火墙是否拦截：curl -v https://{host}",
            "check the address and the port, and whether a proxy or firewall stands in between: curl -v https://{host}",
        ),
    ),
    "NETWORK_UNREACHABLE": (
        Bilingual("本机没有通往 {host} 的网络", "there is no network from here to {host}"),
        Bilingual("检查出口网络与路由：ip route", "check the network and its routes: ip route"),
    ),
    "CONNECT_TIMEOUT": (
        Bilingual("连接 {host} 超时，数据包没有回来", "no connection to {host} in time: packets do not come back"),
        Bilingual(
            "检查防火墙与安全组是否放行出站 443：curl -v https://{host}",
            "check that firewall and security group let port 443 out: curl -v https://{host}",
        ),
    ),
    "TLS_CERTIFICATE": (
        Bilingual("{host} 的证书不受信任：{detail}", "the certificate of {host} is not trusted: {detail}"),
        Bilingual(
            "更新系统根证书（apt-get install --reinstall ca-certificates）、校准时钟，并确认没有代理解密 TLS",
            "update the system's authorities (apt-get install --reinstall ca-certificates), set the clock, and make "
            "sure that no proxy opens TLS",
        ),
    ),
    "TLS_ALERT": (
        Bilingual("{host} 中断了 TLS 握手：{detail}", "{host} broke the TLS handshake off: {detail}"),
        Bilingual(
            "使用商户API证书时，检查 pay.v2.client_cert 是否过期、是否属于这个商户号；否则检查 TLS 版本",
            "where the merchant's certificate is shown, check that pay.v2.client_cert has not ended and is this "
            "merchant's; otherwise check the TLS version",
        ),
    ),
    "CONNECTION_RESET": (
        Bilingual("{host} 在应答之前断开了连接", "{host} closed the connection before it answered"),
        Bilingual(
            "结果未知，系统会查询；经常发生时检查出口网络与代理，APIv2 退款还要检查 pay.v2.client_cert 是否过期",
            "the outcome is unknown and is queried; if it goes on, check the network and its proxies, and for refunds "
            "over APIv2 whether pay.v2.client_cert has ended",
        ),
    ),
    "NO_ANSWER_IN_TIME": (
        Bilingual("{host} 没有按时应答", "{host} did not answer in time"),
        Bilingual(
            "结果未知，系统会查询；经常发生时检查出口网络，并查看微信支付公告",
            "the outcome is unknown and is queried; if it goes on, check the network and WeChat Pay's announcements",
        ),
    ),
}
_STATUS = {
    403: (
        Bilingual("{host} 前的防火墙拒绝了本机", "a firewall in front of {host} refuses this machine"),
        Bilingual("检查出口 IP 与请求频率", "check this machine's address and how often it asks"),
    ),
    404: (
        Bilingual("{host} 上没有这个地址，它可能不是微信支付", "{host} has no such address, and may not be WeChat Pay"),
        Bilingual("检查 pay.base_urls 与 account.api_url", "check pay.base_urls and account.api_url"),
    ),
    429: (
        Bilingual("请求过于频繁", "too many requests"),
        Bilingual("降低频率，稍后重试", "ask less often, and again later"),
    ),
}
_OTHER_STATUS = (
    Bilingual("{host} 只回了状态码，没有说明原因", "{host} answered with a bare status and no reason"),
    Bilingual(
        "结果未知，系统会查询；持续出现时检查出口代理，并查看微信支付公告",
        "the outcome is unknown and is queried; if it goes on, check proxies on the way and WeChat Pay's announcements",
    ),
)
_BY_NUMBER = {
    errno.ECONNREFUSED: "CONNECTION_REFUSED",
    errno.ENETUNREACH: "NETWORK_UNREACHABLE",
    errno.EHOSTUNREACH: "NETWORK_UNREACHABLE",
    errno.ENETDOWN: "NETWORK_UNREACHABLE",
}


def build_not_sent(call: str, error: BaseException, url: str) -> NotSent:
    """No connection came about."""
    fault = diagnose(error, url, connecting=True)
    return NotSent(call, wire_code=fault.code, wire_message=_message(fault), advice=fault.advice)


def build_unknown(call: str, error: BaseException, url: str) -> OutcomeUnknown:
    """The request may have been read, and no answer came."""
    fault = diagnose(error, url, connecting=False)
    return OutcomeUnknown(call, wire_code=fault.code, wire_message=_message(fault), advice=fault.advice)


def build_bare_status(call: str, status: int, url: str, request_id: str = "") -> OutcomeUnknown:
    """An HTTP status without anything in its body that says more."""
    host = _host(url)
    cause, cure = _STATUS.get(status, _OTHER_STATUS)
    return OutcomeUnknown(
        call,
        wire_code=f"HTTP_{status}",
        wire_message=host,
        http_status=status,
        request_id=request_id,
        advice=_fill(cause, cure, host, ""),
    )


def diagnose(error: BaseException, url: str, *, connecting: bool) -> ConnectionFault:
    """What ``error``, or what lies behind it, says of the connection to ``url``."""
    host = _host(url)
    code, detail = _name(error, connecting)
    return ConnectionFault(code, host, detail, _fill(*_ADVICE[code], host, detail))


def _name(error: BaseException, connecting: bool) -> tuple[str, str]:
    """The code, and the system's own word."""
    for each in _behind(error):
        if code := _code_of(each):
            detail = getattr(each, "verify_message", "") or getattr(each, "reason", "") or getattr(each, "strerror", "")
            return code, str(detail or type(each).__name__).replace("_", " ").lower()
    if any(isinstance(each, TimeoutError) for each in _behind(error)):
        return "CONNECT_TIMEOUT" if connecting else "NO_ANSWER_IN_TIME", "timeout"
    return "CONNECTION_REFUSED" if connecting else "CONNECTION_RESET", type(error).__name__


def _code_of(error: BaseException) -> str:
    if hasattr(error, "os_error") or hasattr(error, "certificate_error"):
        return ""  # aiohttp's own, which inherits from ssl's: what it wraps says more
    if isinstance(error, ssl.SSLCertVerificationError):
        return "TLS_CERTIFICATE"
    if isinstance(error, ssl.SSLError) and not isinstance(error, ssl.SSLEOFError):
        return "TLS_ALERT"
    if isinstance(error, socket.gaierror):
        return "DNS_FAILED"
    if isinstance(error, ConnectionResetError):
        return "CONNECTION_RESET"
    return _BY_NUMBER.get(error.errno or 0, "") if isinstance(error, OSError) else ""


def _behind(error: BaseException) -> Iterator[BaseException]:
    """``error`` and what caused it. aiohttp keeps that under names of its own."""
    seen: list[BaseException] = []
    waiting: list[object] = [error]
    while waiting:
        each = waiting.pop(0)
        if isinstance(each, BaseException) and each not in seen:
            seen.append(each)
            yield each
            named = (getattr(each, name, None) for name in ("os_error", "certificate_error"))
            waiting += [*named, each.__cause__, each.__context__]


def _fill(cause: Bilingual, cure: Bilingual, host: str, detail: str) -> Advice:
    def filled(text: Bilingual) -> Bilingual:
        return Bilingual(*(part.format(host=host, detail=detail) for part in text))

    return Advice((filled(cause),), filled(cure))


def _message(fault: ConnectionFault) -> str:
    return f"{fault.host}: {fault.detail}" if fault.detail else fault.host


def _host(url: str) -> str:
    return urlsplit(url).netloc or url
