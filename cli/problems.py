"""Exit codes and errors of commands. Scripts rely on the codes: ``docs/en/cli.md`` lists them, and a test compares.

Every failure is a ``Problem``: what is wrong in the reader's language, how the process exits, and the next command.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import Any

from wechat.domain.errors import Bilingual


class Exit(IntEnum):
    """Exit codes, the same for every command."""

    OK = 0
    FAILED = 1  # a check failed, or the requested condition is not met
    USAGE = 2
    CONFIG = 3  # no address, no key, a wrong key
    REFUSED = 4  # WeChat refused
    UNREACHED = 5  # no network, no service, no trustworthy answer: the outcome may be unknown


class Problem(Exception):
    """The failure of a command. ``answer`` is the service's error document, if it gave one; ``more`` is what the
    command adds to ours.

    ``unknown``: the request was sent and no answer arrived, so it may have been carried out.
    """

    def __init__(
        self,
        code: Exit,
        name: str,
        text: Bilingual,
        *,
        next_step: str = "",
        answer: Mapping[str, Any] | None = None,
        unknown: bool = False,
    ) -> None:
        super().__init__(name)
        self.code = code
        self.name = name
        self.text = text
        self.next_step = next_step
        self.answer = answer or {}
        self.unknown = unknown
        self.more: dict[str, Any] = {}

    def document(self, lang: str) -> dict[str, Any]:
        """Return the document for ``--json``: ``{"exit", "code", "message", "next"}`` and the fields of the service's
        answer."""
        said = {name: value for name, value in self.answer.items() if name in ("field", "request_id", "wechat")}
        message, next_step = self.text.to(lang), self.next_step or None
        return {"exit": int(self.code), "code": self.name, "message": message, "next": next_step, **said, **self.more}


def refusal(status: int, body: Mapping[str, Any] | None) -> Problem:
    """Convert an HTTP answer other than 2xx to a Problem. ``body`` is the service's error document; None if it is not
    one."""
    if body is None:
        return _foreign(status)
    code, name, message = _exit(status, body), str(body["code"]), str(body["message"])
    unknown = code is Exit.UNREACHED and status >= 500
    return Problem(code, name, Bilingual(message, message), answer=body, unknown=unknown)


def _exit(status: int, body: Mapping[str, Any]) -> Exit:
    if status in (400, 422):
        return Exit.USAGE
    if status in (401, 403):
        return Exit.CONFIG
    if status == 429 or status >= 500:
        return Exit.REFUSED if status == 502 and "wechat" in body else Exit.UNREACHED
    return Exit.FAILED


def _foreign(status: int) -> Problem:
    """Return the Problem of an answer that this service does not give: that of a proxy, or of another server."""
    if status >= 500 or status == 429:
        text = Bilingual(
            f"服务前面的代理返回 {status}，服务没有应答",
            f"A proxy in front of the service returned {status}; the service did not answer",
        )
        return Problem(Exit.UNREACHED, "SERVICE_UNAVAILABLE", text, unknown=status >= 500)
    text = Bilingual(
        f"这个地址返回 {status}，不像 Fenpay 服务；请检查 --url",
        f"This address returned {status}; it does not look like a Fenpay service. Check --url",
    )
    return Problem(Exit.CONFIG, "NOT_FENPAY", text)
