"""Checks of a running service: keys, token, clock, certificates, notifications, the connection to WeChat.

A failed check makes the service *degraded*: it still answers and accepts notifications, so a proxy keeps sending
requests. It is *down* only when it can do nothing, which the probes of the stores detect.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from wechat.account.tokens import Tokens
from wechat.catalogue.catalogue import advise
from wechat.domain.errors import (
    NO_ADVICE,
    AccountRefused,
    Bilingual,
    FenpayError,
    GatewayRefused,
    OutcomeUnknown,
    RemoteError,
)
from wechat.domain.metrics import Metric
from wechat.domain.ports import Clock, Runtime
from wechat.domain.times import beijing, beijing_day
from wechat.notifications.reasons import REASONS
from wechat.notifications.receiver import NotificationReceiver
from wechat.pay.certificates import CertificateRole, KeyRing
from wechat.pay.codes import ORDER_NOT_EXIST
from wechat.pay.expiry import ALARM_DAYS, days_left
from wechat.support.contact import Contact
from wechat.support.single_flight import SingleFlight
from wechat.support.tasks import end

ALARM = "health_"
NOT_LISTED = 40164
BAD_TOKEN = "40001"  # noqa: S105 - a code
CLOCK_OFF_S = 60.0
"""Seconds; WeChat and this service refuse messages whose timestamp differs by five minutes."""
OWN_ALARM = "certificates"
"""The check whose cause has a more exact alarm: see ``wechat.pay.expiry``."""
CERTIFICATE_NAMES: Mapping[CertificateRole, Bilingual] = {
    CertificateRole.PLATFORM: Bilingual("微信支付平台证书", "the WeChat Pay platform certificate"),
    CertificateRole.MERCHANT: Bilingual("商户API证书", "the merchant API certificate"),
    CertificateRole.CLIENT: Bilingual(
        "商户API证书（pay.v2.client_cert）", "the merchant API certificate (pay.v2.client_cert)"
    ),
}
ASK_EVERY_S = 30.0
"""Seconds for which the answers to the checks' requests are used."""
ASK_S = 4.0
ROUND_S = 60.0
SILENCE_S = 600.0
"""Seconds without an answer from WeChat after which the monitor sends a request."""


class Check(NamedTuple):
    """The result of a check. ``ok``: whether it works, as far as known. ``text`` tells the observation and the fix."""

    name: str
    ok: bool
    text: Bilingual


@dataclass(frozen=True, slots=True)
class Sources:
    """The objects that the checks read. ``ask`` queries WeChat Pay for an order that cannot exist.

    ``ends`` are the ends of certificates by name; ``ring`` is None without APIv3; ``machine`` is the clock that
    signatures are dated by.
    """

    ring: KeyRing | None
    tokens: Tokens
    contact: Contact
    receiver: NotificationReceiver
    ends: Mapping[CertificateRole, datetime]
    ask: Callable[[], Awaitable[object]]
    machine: Clock


class Health:
    """All checks, and the task that runs them."""

    def __init__(self, sources: Sources, runtime: Runtime, clear_alarm: Callable[[str, str], None]) -> None:
        self._sources = sources
        self._clock = runtime.clock
        self._telemetry = runtime.telemetry
        self._clear_alarm = clear_alarm
        self._asking: SingleFlight[None] = SingleFlight()
        self._asked_s: float | None = None
        self._refusal: FenpayError | None = None
        self._token_failure: FenpayError | None = None
        self._failing: dict[str, int] = {}
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start to run the checks in the background."""
        self._task = asyncio.create_task(self._run(), name="health")

    async def close(self) -> None:
        if self._task:
            await end(self._task)

    async def ask(self) -> None:
        """Send the harmless requests whose answers the checks need, at most twice a minute."""
        now = self._clock.monotonic()
        if self._asked_s is None or now - self._asked_s >= ASK_EVERY_S:
            await self._asking.do("ask", self._ask)

    def checks(self) -> Sequence[Check]:
        """Return the present results."""
        return [
            self._check_wechat(),
            self._check_pay(),
            self._check_keys(),
            self._check_token(),
            self._check_allow_list(),
            self._check_certificates(),
            self._check_clock(),
            self._check_notifications(),
        ]

    async def _ask(self) -> None:
        await asyncio.gather(self._ask_pay(), self._ask_token())
        self._asked_s = self._clock.monotonic()

    async def _ask_pay(self) -> None:
        self._refusal = None
        try:
            async with asyncio.timeout(ASK_S):
                await self._sources.ask()
        except TimeoutError:
            self._refusal = OutcomeUnknown("query", wire_message=f"no answer within {ASK_S:.0f} s")
        except GatewayRefused as error:
            self._refusal = None if error.public_code == ORDER_NOT_EXIST else error
        except FenpayError as error:
            self._refusal = error

    async def _ask_token(self) -> None:
        self._token_failure = None
        try:
            async with asyncio.timeout(ASK_S):
                await self._sources.tokens.access_token()
        except TimeoutError:
            self._token_failure = None
        except FenpayError as error:
            self._token_failure = error

    def _check_wechat(self) -> Check:
        failure = self._sources.contact.failure(self._clock.monotonic())
        if failure:
            return Check("wechat", False, Bilingual(f"连不上微信：{failure}", f"WeChat cannot be reached: {failure}"))
        return Check("wechat", True, Bilingual("可以连接", "can be reached"))

    def _check_pay(self) -> Check:
        """Check that WeChat Pay accepts our credentials, and that its signature is valid."""
        error = self._refusal
        if error is None:
            return Check("pay", True, Bilingual("凭据可用", "credentials are accepted"))
        if isinstance(error, RemoteError) and error.unverified in REASONS:
            reason = REASONS[error.unverified]
            return Check(
                "pay",
                False,
                Bilingual(
                    f"微信支付的应答无法验签：{reason.text.zh}。{reason.fix.zh}",
                    f"WeChat Pay's answers cannot be verified: {reason.text.en}. {reason.fix.en}",
                ),
            )
        return Check("pay", False, _describe(error))

    def _check_keys(self) -> Check:
        ring = self._sources.ring
        if ring is None:
            return Check("keys", True, Bilingual("未使用 APIv3", "APIv3 is not in use"))
        if not len(ring):
            text = Bilingual(
                "还没有微信支付的公钥或平台证书，核对 pay.v3.key 与网络",
                "there is no WeChat Pay public key or platform certificate yet; check pay.v3.key and the network",
            )
            return Check("keys", False, text)
        serials = ", ".join(ring.serials)
        return Check("keys", True, Bilingual(serials, serials))

    def _check_token(self) -> Check:
        if self._sources.tokens.taken:
            advice = advise("account", BAD_TOKEN) or NO_ADVICE
            text = Bilingual(
                f"access_token 一小时内多次被作废，另有系统在用同一 AppID 获取。{advice.next_step.zh}",
                f"the access_token was invalidated several times within an hour: another system fetches one for the "
                f"same AppID. {advice.next_step.en}",
            )
            return Check("token", False, text)
        if self._token_failure is None:
            return Check("token", True, Bilingual("access_token 可用", "access_token is valid"))
        return Check("token", False, _describe(self._token_failure))

    def _check_allow_list(self) -> Check:
        error = self._token_failure
        if isinstance(error, AccountRefused) and error.errcode == NOT_LISTED:
            return Check("allow_list", False, error.advice.next_step)
        return Check("allow_list", True, Bilingual("未被拒绝", "not refused"))

    def _check_certificates(self) -> Check:
        now = self._sources.machine.now()
        ends = dict(self._sources.ends) | dict(self._sources.ring.ends if self._sources.ring else {})
        if not ends:
            return Check("certificates", True, Bilingual("没有会过期的证书", "no certificate that expires"))
        role, first = min(ends.items(), key=lambda entry: entry[1])
        name, day = CERTIFICATE_NAMES[role], beijing_day(first)
        told = Bilingual(f"{name.zh}将于 {day} 过期", f"{name.en} expires on {day}")
        if first <= now:
            told = Bilingual(f"{name.zh}已于 {day} 过期", f"{name.en} expired on {day}")
        return Check("certificates", days_left(first, now) > ALARM_DAYS, told)

    def _check_clock(self) -> Check:
        offset = self._sources.contact.clock_offset_s
        if offset is None:
            return Check("clock", True, Bilingual("尚未与微信比较", "not compared with WeChat's yet"))
        ok = abs(offset) < CLOCK_OFF_S
        fix = Bilingual("", "") if ok else Bilingual("；请开启时间同步", "; turn on time synchronisation")
        return Check(
            "clock",
            ok,
            Bilingual(f"与微信相差 {offset:+.0f} 秒{fix.zh}", f"{offset:+.0f} s from WeChat's clock{fix.en}"),
        )

    def _check_notifications(self) -> Check:
        """Check for repeated refusals. That no notification has come yet is not a failure."""
        last, streaks = self._sources.receiver.last_accepted_at, self._sources.receiver.refusals.streaks.ongoing()
        since = Bilingual("启动以来没有接受过", "none accepted since the start")
        if last:
            since = Bilingual(f"最近一次接受：{beijing(last)}", f"last accepted {beijing(last)} Beijing time")
        if not streaks:
            return Check("notifications", True, since)
        why = "、".join(REASONS[reason].text.zh for reason in streaks)
        because = "; ".join(REASONS[reason].text.en for reason in streaks)
        return Check(
            "notifications",
            False,
            Bilingual(f"持续被拒绝：{why}。{since.zh}", f"refused repeatedly: {because}; {since.en}"),
        )

    # -- watching -----------------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(ROUND_S)
            answered = self._sources.contact.answered_monotonic
            if answered is None or self._clock.monotonic() - answered > SILENCE_S:
                await self.ask()
            self.watch()

    def watch(self) -> None:
        """Export each check, raise the alarm of one that has failed twice, and clear the alarm of one that
        recovered."""
        for check in self.checks():
            self._telemetry.measure(Metric.HEALTH, float(check.ok), check.name)
            failing = 0 if check.ok else self._failing.get(check.name, 0) + 1
            if failing == 2 and check.name != OWN_ALARM:
                self._telemetry.alarm(ALARM + check.name, error=check.text.en)
            elif check.ok and self._failing.get(check.name, 0) >= 2:
                self._clear_alarm(ALARM + check.name, "")
            self._failing[check.name] = failing
        offset = self._sources.contact.clock_offset_s
        if offset is not None:
            self._telemetry.measure(Metric.CLOCK_OFFSET, offset)


def _describe(error: FenpayError) -> Bilingual:
    """Describe an error with WeChat's code and the next step."""
    if not isinstance(error, RemoteError):
        return error.text
    said = " ".join(part for part in (error.wire_code or error.public_code, error.wire_message) if part)
    step, cause = error.advice.next_step, error.cause
    zh, en = (f"{cause.text.zh}。", f"{cause.text.en}. ") if cause else ("", "")
    return Bilingual(f"{said}。{zh}{step.zh}", f"{said}. {en}{step.en}")
