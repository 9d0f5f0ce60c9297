"""Explain a wrong signature: a person pastes a message, and the page names the slip.

The keys are the service's own. They are used here and never shown, and neither is the right signature
(``Explanation.computed``): a reader could sign forged notifications or refunds with it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial

from pydantic import SecretStr

from handlers.console.base import ConsoleHandler
from handlers.console.routes import Page, console_routes
from handlers.console.texts.signature import TEXTS, VERDICTS
from handlers.web.plugin import Route
from handlers.web.services import Services
from service.settings.model import Settings
from wechat.domain.errors import BadRequest, Bilingual, TooMany
from wechat.domain.staff import Permission
from wechat.pay.key_files import PemContent, read_pem
from wechat.sign_explain.model import DOCUMENTS, NAMES, Explanation, Keys, Kind, split_lines
from wechat.sign_explain.signature import explain

LIMIT_S = 10.0
MOST_BYTES = 48 * 1024
MOST_AT_ONCE = 2
BUSY = Bilingual("正在检查其他报文，请稍后再试", "Other messages are being checked; try again shortly")
TOO_LONG = Bilingual(f"报文超过 {MOST_BYTES // 1024} kB", f"The message is longer than {MOST_BYTES // 1024} kB")
_turns = asyncio.Semaphore(MOST_AT_ONCE)


class SignatureHandler(ConsoleHandler):
    """The form, and the explanation below it."""

    texts = TEXTS

    def get(self) -> None:
        self._show("", "", None)

    async def post(self) -> None:
        text, kind = self.get_body_argument("message", "", strip=False), self.get_body_argument("kind", "")
        found = await self._explain(text, Kind(kind) if kind in list(Kind) else None)
        self._show(text, kind, found)

    async def _explain(self, text: str, kind: Kind | None) -> Explanation:
        """Explain the message in a thread, a limited number at once. Raises TooMany, BadRequest, TimeoutError."""
        raw = text.replace("\r\n", "\n").encode()  # a form sends each line end as CR and LF
        if len(raw) > MOST_BYTES:
            raise BadRequest(TOO_LONG, field="message")
        if _turns.locked():
            raise TooMany(BUSY)
        async with _turns:
            keys = await asyncio.to_thread(keys_of, self.services.settings)
            work = partial(explain, raw, keys, kind, self.services.real_time.timestamp())
            return await asyncio.wait_for(asyncio.to_thread(work), LIMIT_S)

    def _show(self, text: str, kind: str, found: Explanation | None) -> None:
        self.render_console(
            "signature.html",
            message=text,
            kind=kind,
            kinds=NAMES,
            found=found,
            lines=lines_of(found) if found else [],
            verdicts=VERDICTS,
            documents=DOCUMENTS,
        )


def keys_of(settings: Settings) -> Keys:
    """Return the keys that the service signs and verifies with."""
    v2, v3 = settings.pay.v2, settings.pay.v3
    return Keys(
        v2=v2.key.get_secret_value() if v2 else "",
        v3=v3.key.get_secret_value() if v3 else "",
        appsecret=settings.account.appsecret.get_secret_value(),
        webhook_secrets=tuple(secret.get_secret_value() for hook in settings.webhooks for secret in hook.secrets),
        private_key=_pem(v3.merchant_key) if v3 else None,
        certificate=_pem(v3.merchant_cert) if v3 else None,
        public_key=_pem(v3.public_key) if v3 else None,
        public_key_id=(v3.public_key_id or "") if v3 else "",
    )


def lines_of(found: Explanation) -> Sequence[tuple[str, str]]:
    """Return the string to sign line by line, each marked ``wrong``, ``right`` or empty: a line that was signed
    otherwise is above the right one."""
    changed = list(found.changed_lines())
    wrong_by_right = {right: wrong for wrong, right in changed if right}
    lines: list[tuple[str, str]] = []
    for line in split_lines(found.string_to_sign):
        if wrong := wrong_by_right.get(line):
            lines.append((wrong, "wrong"))
        lines.append((line, "right" if line in wrong_by_right else ""))
    return lines + [(wrong, "wrong") for wrong, right in changed if not right]


def _pem(text: SecretStr | None) -> PemContent | None:
    return read_pem(text.get_secret_value()) if text else None


def routes(services: Services) -> list[Route]:
    return console_routes(
        services, Page("/console/signature", SignatureHandler, "console_signature", Permission.READ_PAYLOADS)
    )
