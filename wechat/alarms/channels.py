"""Alarm channels: robots of WeCom, DingTalk and Feishu, mail, and any webhook.

Sources: https://developer.work.weixin.qq.com/document/path/91770 (WeCom, 群机器人),
https://open.dingtalk.com/document/robots/customize-robot-security-settings (DingTalk, 加签),
https://open.feishu.cn/document/client-docs/bot-v3/add-custom-bot (Feishu, 签名校验).
"""

from __future__ import annotations

import base64
import hmac
import json
import smtplib
import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from email.message import EmailMessage
from typing import Any
from urllib.parse import quote_plus, urlsplit

from wechat.alarms.announcer import ChannelFailed
from wechat.alarms.texts import sentence, step
from wechat.domain.alarms import Alarm
from wechat.domain.errors import RemoteError
from wechat.domain.ports import Clock, Threads
from wechat.domain.times import to_v3
from wechat.support.transport import Request, Transport

MOST_BYTES = 2000
"""The most bytes of a text: WeCom accepts 2048, the others more."""
MAIL_S = 15.0


@dataclass(frozen=True, slots=True)
class Post:
    """The request for a robot: an addition to the query, and the body."""

    query: str
    body: Mapping[str, Any]


Build = Callable[[str, str, Sequence[Alarm]], Post]


class HttpChannel:
    """A channel that accepts a JSON document, which ``build`` makes from title, text and alarms.

    ``accepted`` reads the answer, because a robot answers a refusal with 200, too.
    """

    def __init__(
        self,
        name: str,
        lang: str,
        url: str,
        transport: Transport,
        build: Build,
        accepted: Callable[[Mapping[str, Any]], bool],
    ) -> None:
        self.name = name
        self.lang = lang
        parts = urlsplit(url)
        self._host = f"{parts.scheme}://{parts.netloc}"
        self._target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._transport = transport
        self._build = build
        self._accepted = accepted

    async def send(self, title: str, text: str, alarms: Sequence[Alarm]) -> None:
        """See Channel."""
        post = self._build(title, text, alarms)
        joint = "&" if "?" in self._target else "?"
        target = self._target + (joint + post.query if post.query else "")
        body = json.dumps(post.body, ensure_ascii=False).encode()
        headers = {"Content-Type": "application/json; charset=utf-8"}
        try:
            answer = await self._transport.send((self._host,), Request("alarm", "POST", target, body, headers))
        except RemoteError as error:
            raise ChannelFailed(error.wire_message or error.public_code) from None
        if not 200 <= answer.status < 300 or not self._accepted(_document(answer.body)):
            raise ChannelFailed(f"HTTP {answer.status}: {answer.body[:200].decode('utf-8', 'replace')}")

    async def close(self) -> None:
        await self._transport.close()


def build_wecom(title: str, text: str, alarms: Sequence[Alarm]) -> Post:
    return Post("", {"msgtype": "text", "text": {"content": _cut(f"{title}\n{text}")}})


def build_dingtalk(secret: str, clock: Clock) -> Build:
    """Build for DingTalk. With ``secret`` (加签), the time in milliseconds and its signature are in the query."""

    def build(title: str, text: str, alarms: Sequence[Alarm]) -> Post:
        body = {"msgtype": "text", "text": {"content": _cut(f"{title}\n{text}")}}
        if not secret:
            return Post("", body)
        moment = str(int(clock.now().timestamp() * 1000))
        sign = base64.b64encode(hmac.digest(secret.encode(), f"{moment}\n{secret}".encode(), "sha256")).decode()
        return Post(f"timestamp={moment}&sign={quote_plus(sign)}", body)

    return build


def build_feishu(secret: str, clock: Clock) -> Build:
    """Build for Feishu. With ``secret`` (签名校验), the time in seconds and its signature are in the body.

    The secret is part of the key, and the signed text is empty.
    """

    def build(title: str, text: str, alarms: Sequence[Alarm]) -> Post:
        body: dict[str, Any] = {"msg_type": "text", "content": {"text": _cut(f"{title}\n{text}")}}
        if secret:
            moment = str(int(clock.now().timestamp()))
            sign = hmac.digest(f"{moment}\n{secret}".encode(), b"", "sha256")
            body |= {"timestamp": moment, "sign": base64.b64encode(sign).decode()}
        return Post("", body)

    return build


def build_webhook(title: str, text: str, alarms: Sequence[Alarm]) -> Post:
    """Build for programs: each alarm with its sentence in both languages."""
    return Post("", {"title": title, "text": text, "alarms": [alarm_data(alarm) for alarm in alarms]})


def alarm_data(alarm: Alarm) -> dict[str, Any]:
    """Describe an alarm as JSON."""
    said = sentence(alarm)
    return {
        "id": alarm.id if alarm.place else None,
        "kind": alarm.kind,
        "subject": alarm.subject or None,
        "error": alarm.error or None,
        "zh": said.zh,
        "en": said.en,
        "next": step(alarm),
        "count": alarm.count,
        "first_at": to_v3(alarm.first_at),
        "last_at": to_v3(alarm.last_at),
    }


def errcode_is_zero(answer: Mapping[str, Any]) -> bool:
    """Whether WeCom or DingTalk accepted the message."""
    return bool(answer.get("errcode") == 0)


def code_is_zero(answer: Mapping[str, Any]) -> bool:
    """Whether Feishu accepted the message; it has used two names for the code."""
    return bool(answer.get("code", answer.get("StatusCode")) == 0)


def any_answer(answer: Mapping[str, Any]) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class MailServer:
    """An SMTP server. ``security``: ``tls`` from the start, ``starttls``, or ``none`` on this machine."""

    host: str
    port: int
    security: str
    user: str
    password: str
    sender: str
    recipients: tuple[str, ...]
    authorities: str = ""


class MailChannel:
    """A channel of mail by SMTP, sent in a thread."""

    def __init__(self, name: str, lang: str, server: MailServer, threads: Threads) -> None:
        self.name = name
        self.lang = lang
        self._server = server
        self._threads = threads

    async def send(self, title: str, text: str, alarms: Sequence[Alarm]) -> None:
        """See Channel."""
        message = EmailMessage()
        message["Subject"], message["From"], message["To"] = (
            title,
            self._server.sender,
            ", ".join(self._server.recipients),
        )
        message.set_content(text)
        try:
            await self._threads.run(lambda: self._deliver(message))
        except (OSError, smtplib.SMTPException) as error:
            raise ChannelFailed(f"{type(error).__name__}: {self._server.host}:{self._server.port}") from None

    async def close(self) -> None:
        """Do nothing: no connection is kept open."""

    def _deliver(self, message: EmailMessage) -> None:
        server = self._server
        context = ssl.create_default_context(cadata=server.authorities or None)
        with (
            smtplib.SMTP_SSL(server.host, server.port, timeout=MAIL_S, context=context)
            if server.security == "tls"
            else smtplib.SMTP(server.host, server.port, timeout=MAIL_S)
        ) as connection:
            if server.security == "starttls":
                connection.starttls(context=context)
            if server.user:
                connection.login(server.user, server.password)
            connection.send_message(message)


def _cut(text: str) -> str:
    """Cut ``text`` to MOST_BYTES, without splitting a character."""
    raw = text.encode()
    return text if len(raw) <= MOST_BYTES else raw[:MOST_BYTES].decode("utf-8", "ignore") + "…"


def _document(body: bytes) -> Mapping[str, Any]:
    try:
        data = json.loads(body)
    except ValueError:
        return {}
    return data if isinstance(data, dict) else {}
