"""The input (``Keys``, ``Kind``) and the result (``Explanation``, ``Slip``) of explaining a signature. Pure values."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from enum import StrEnum
from itertools import zip_longest
from typing import Any

from wechat.domain.errors import Bilingual
from wechat.pay.key_files import PemContent
from wechat.sign_explain.slips import SlipCode

MASK = "********"
SHORTEST_SECRET = 4


class Kind(StrEnum):
    """Kinds of signed messages."""

    V2 = "v2"
    V3_REQUEST = "v3-request"
    V3_ANSWER = "v3-answer"
    V3_NOTIFICATION = "v3-notification"
    JSAPI = "jsapi"
    WX_CONFIG = "wx-config"
    V2_REQ_INFO = "v2-req-info"
    WEBHOOK = "webhook"
    MESSAGE_PUSH = "message-push"


NAMES: dict[Kind, Bilingual] = {
    Kind.V2: Bilingual("微信支付 APIv2 报文（XML）", "a WeChat Pay APIv2 message (XML)"),
    Kind.V3_REQUEST: Bilingual("微信支付 APIv3 请求", "a WeChat Pay APIv3 request"),
    Kind.V3_ANSWER: Bilingual("微信支付 APIv3 应答", "a WeChat Pay APIv3 response"),
    Kind.V3_NOTIFICATION: Bilingual("微信支付 APIv3 通知", "a WeChat Pay APIv3 notification"),
    Kind.JSAPI: Bilingual("调起支付的参数（paySign）", "the parameters that start a payment (paySign)"),
    Kind.WX_CONFIG: Bilingual("wx.config 的参数", "the parameters of wx.config"),
    Kind.V2_REQ_INFO: Bilingual("APIv2 退款结果通知（req_info）", "an APIv2 refund notification (req_info)"),
    Kind.WEBHOOK: Bilingual("Fenpay 推送的事件（webhook）", "an event delivered by Fenpay (webhook)"),
    Kind.MESSAGE_PUSH: Bilingual("服务号消息推送", "a message pushed by the service account"),
}


_V2 = "https://pay.weixin.qq.com/doc/v2/merchant/4011985891"
_V3 = "https://pay.weixin.qq.com/doc/v3/merchant"
DOCUMENTS: dict[Kind, str] = {
    Kind.V2: _V2,
    Kind.V3_REQUEST: f"{_V3}/4012365336",
    Kind.V3_ANSWER: f"{_V3}/4013053249",
    Kind.V3_NOTIFICATION: f"{_V3}/4013053249",
    Kind.JSAPI: f"{_V3}/4012365340",
    Kind.WX_CONFIG: "https://developers.weixin.qq.com/doc/offiaccount/OA_Web_Apps/JS-SDK.html#62",
    Kind.V2_REQ_INFO: "https://pay.weixin.qq.com/wiki/doc/api/jsapi.php?chapter=9_16",
    Kind.WEBHOOK: "https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md",
    Kind.MESSAGE_PUSH: "https://developers.weixin.qq.com/doc/offiaccount/Basic_Information/Access_Overview.html",
}
"""The specification of each kind's signature."""


class Verdict(StrEnum):
    """The result of an explanation."""

    CORRECT = "correct"
    WRONG = "wrong"
    UNRECOGNISED = "unrecognised"


@dataclass(frozen=True, slots=True)
class Slip:
    """A mistake. ``wrong`` is the line as it was signed or sent, ``right`` the line as it should have been."""

    code: SlipCode
    text: Bilingual
    wrong: str = ""
    right: str = ""

    def as_json(self) -> dict[str, str]:
        return {"code": self.code.value, "zh": self.text.zh, "en": self.text.en}


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys to check a message with.

    ``given`` are symmetric keys without a known kind; the first one counts as the right key of any kind of message.
    """

    given: tuple[str, ...] = ()
    v2: str = ""
    v3: str = ""
    appsecret: str = ""
    webhook_secrets: tuple[str, ...] = ()
    ticket: str = ""
    private_key: PemContent | None = None
    public_key: PemContent | None = None
    certificate: PemContent | None = None
    public_key_id: str = ""

    def __repr__(self) -> str:
        return "Keys(…)"

    @property
    def secrets(self) -> list[str]:
        """All texts that must not be shown, the longest first."""
        known = {*self.given, self.v2, self.v3, self.appsecret, *self.webhook_secrets, self.ticket}
        known |= {secret.strip() for secret in known} | {secret.removeprefix("whsec_") for secret in known}
        return sorted((secret for secret in known if len(secret) >= SHORTEST_SECRET), key=len, reverse=True)

    def hide(self, text: str) -> str:
        """Mask all secrets in ``text``."""
        for secret in self.secrets:
            text = text.replace(secret, MASK)
        return text

    def symmetric(self, own: str) -> list[tuple[str, SlipCode | None]]:
        """Return the key to check with, then the keys that may have been used instead, each with its slip.

        ``own`` is the settings' key for this kind of message. Only the settings tell the kind of a given key.
        """
        right = self.given[0] if self.given else own
        named = (self.v2, self.v3, self.appsecret)
        found: dict[str, SlipCode | None] = {right: None}
        for other in (*self.given[1:], *named):
            of_other_api = other in named and other != own
            found.setdefault(other, SlipCode.KEY_OF_OTHER_API if of_other_api else SlipCode.OTHER_GIVEN_KEY)
        return [(key, slip) for key, slip in found.items() if key]


@dataclass(frozen=True, slots=True)
class Explanation:
    """The explanation of one message. ``hint`` tells what is missing when nothing can be decided."""

    kind: Kind | None
    verdict: Verdict
    slips: tuple[Slip, ...] = ()
    string_to_sign: str = ""
    signed: str = ""
    computed: str | None = None
    given: str | None = None
    hint: Bilingual | None = None

    def hide(self, keys: Keys) -> Explanation:
        """Mask all secrets in the explanation."""
        return replace(
            self,
            slips=tuple(
                replace(
                    slip,
                    text=Bilingual(keys.hide(slip.text.zh), keys.hide(slip.text.en)),
                    wrong=keys.hide(slip.wrong),
                    right=keys.hide(slip.right),
                )
                for slip in self.slips
            ),
            string_to_sign=keys.hide(self.string_to_sign),
            signed=keys.hide(self.signed),
            computed=keys.hide(self.computed) if self.computed else self.computed,
            given=keys.hide(self.given) if self.given else self.given,
        )

    def as_json(self) -> dict[str, Any]:
        """Return the document of ``--json``."""
        return {
            "kind": self.kind.value if self.kind else None,
            "verdict": self.verdict.value,
            "slips": [slip.as_json() for slip in self.slips],
            "string_to_sign": self.string_to_sign,
            "computed": self.computed,
            "given": self.given,
        }

    def changed_lines(self) -> Iterator[tuple[str, str]]:
        """Yield the lines in which the signed text differs from the right one, as ``(signed, right)``."""
        if not self.signed:
            return
        wrong, right = split_lines(self.signed), split_lines(self.string_to_sign)
        for tag, i, j, k, m in SequenceMatcher(None, wrong, right, autojunk=False).get_opcodes():
            if tag != "equal":
                yield from zip_longest(wrong[i:j], right[k:m], fillvalue="")


def split_lines(text: str) -> list[str]:
    """Split a string to sign into lines with visible line ends; a string with ``&`` and one line is split at ``&``."""
    if "\n" not in text and "&" in text:
        parts = text.split("&")
        return [f"{part}&" for part in parts[:-1]] + parts[-1:]
    lines = re.findall(r"[^\n]*\n|[^\n]+", text)
    return [line.replace("\r", "␍").replace("\n", "⏎") for line in lines]
