"""Explain why a call to WeChat got no usable answer: the host, the failure, its side, and the fix.

The codes are ours, because none came from WeChat: DNS_FAILED, CONNECTION_REFUSED, CONNECT_TIMEOUT, NETWORK_UNREACHABLE,
TLS_CERTIFICATE, TLS_ALERT, CONNECTION_RESET, NO_ANSWER_IN_TIME and HTTP_<status>.
"""

from __future__ import annotations

import errno
import socket
import ssl
from collections.abc import Iterator
from typing import NamedTuple
from urllib.parse import urlsplit

from wechat.catalogue.catalogue import explain_code
from wechat.domain.errors import NO_ADVICE, Advice, Bilingual, NotSent, OutcomeUnknown


class ConnectionFault(NamedTuple):
    """A failure of a connection. ``detail`` is the system's or the library's wording, without secret addresses."""

    code: str
    host: str
    detail: str
    advice: Advice


_ANY_HOST = "api.mch.weixin.qq.com"
"""The host in the catalogue's commands; it is replaced by the host that was asked."""
_BY_NUMBER = {
    errno.ECONNREFUSED: "CONNECTION_REFUSED",
    errno.ENETUNREACH: "NETWORK_UNREACHABLE",
    errno.EHOSTUNREACH: "NETWORK_UNREACHABLE",
    errno.ENETDOWN: "NETWORK_UNREACHABLE",
}


def build_not_sent(call: str, error: BaseException, url: str) -> NotSent:
    """Build the error of a call whose connection was not established."""
    fault = diagnose(error, url, connecting=True)
    return NotSent(call, wire_code=fault.code, wire_message=_message(fault), advice=fault.advice)


def build_unknown(call: str, error: BaseException, url: str) -> OutcomeUnknown:
    """Build the error of a call that may have arrived and got no answer."""
    fault = diagnose(error, url, connecting=False)
    return OutcomeUnknown(call, wire_code=fault.code, wire_message=_message(fault), advice=fault.advice)


def build_bare_status(call: str, status: int, url: str, request_id: str = "") -> OutcomeUnknown:
    """Build the error of an HTTP status whose body explains nothing."""
    host = _host(url)
    return OutcomeUnknown(
        call,
        wire_code=f"HTTP_{status}",
        wire_message=host,
        http_status=status,
        request_id=request_id,
        advice=_advise(f"HTTP_{status}", host),
    )


def diagnose(error: BaseException, url: str, *, connecting: bool) -> ConnectionFault:
    """Name the failure of the connection to ``url`` that ``error``, or one of its causes, reports.

    ``connecting``: the failure came before the connection was open.
    """
    host = _host(url)
    code, detail = _name(error, connecting)
    return ConnectionFault(code, host, detail, _advise(code, host))


def _name(error: BaseException, connecting: bool) -> tuple[str, str]:
    """Return the code of the failure, and the system's wording."""
    for each in _behind(error):
        if code := _code_of(each):
            detail = getattr(each, "verify_message", "") or getattr(each, "reason", "") or getattr(each, "strerror", "")
            return code, str(detail or type(each).__name__).replace("_", " ").lower()
    if any(isinstance(each, TimeoutError) for each in _behind(error)):
        return "CONNECT_TIMEOUT" if connecting else "NO_ANSWER_IN_TIME", "timeout"
    return "CONNECTION_REFUSED" if connecting else "CONNECTION_RESET", type(error).__name__


def _code_of(error: BaseException) -> str:
    if hasattr(error, "os_error") or hasattr(error, "certificate_error"):
        return ""  # aiohttp's own error, a subclass of ssl's: the error that it wraps is more exact
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
    """Yield ``error`` and its causes, which aiohttp also keeps in attributes of its own."""
    seen: list[BaseException] = []
    waiting: list[object] = [error]
    while waiting:
        each = waiting.pop(0)
        if isinstance(each, BaseException) and each not in seen:
            seen.append(each)
            yield each
            named = (getattr(each, name, None) for name in ("os_error", "certificate_error"))
            waiting += [*named, each.__cause__, each.__context__]


def _advise(code: str, host: str) -> Advice:
    """Return the catalogue's advice for ``code``, with ``host`` in its texts; empty advice for an unknown code.

    A status that is not listed is advised as the first of its hundred: 504 as 500.
    """
    found = explain_code("network", code) or explain_code("network", f"HTTP_{code[5:6]}00")
    if found is None:
        return NO_ADVICE
    cause = Bilingual(f"{host}：{found.meaning.zh}", f"{host}: {found.meaning.en}")
    fix = Bilingual(*(part.replace(_ANY_HOST, host) for part in found.fix))
    return Advice((cause,), fix)


def _message(fault: ConnectionFault) -> str:
    return f"{fault.host}: {fault.detail}" if fault.detail else fault.host


def _host(url: str) -> str:
    return urlsplit(url).netloc or url
