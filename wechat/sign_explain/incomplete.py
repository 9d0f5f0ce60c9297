"""Detect messages whose signature cannot be judged: truncated, or partly masked by a logger."""

from __future__ import annotations

import re
from dataclasses import replace

from wechat.domain.errors import Bilingual
from wechat.sign_explain.model import Explanation, Kind, Verdict
from wechat.sign_explain.slips import SlipCode

CUT_OFF = Bilingual(
    "这段报文不完整（被截断），据此不能断定签名对错：请给出从头到尾的完整报文",
    "The message is cut off, so its signature cannot be judged: give it whole, from its beginning to its end",
)
MASKED = Bilingual(
    "报文里有被日志打码的值（***），据此不能断定签名对错：请给出未打码的原文（本命令不联网，也不显示密钥）",
    "A logger masked values of this message (***), so its signature cannot be judged: give the original; this command "
    "is offline and shows no key",
)
_MASK = re.compile(r"\*{3}|\bxxxx", re.IGNORECASE)
_ELLIPSIS = re.compile(r"(?:\.\.\.|…|[(\[<]truncated[^\n]{0,40})\s*$", re.IGNORECASE)
_BY_VALUES = frozenset({Kind.V2, Kind.JSAPI, Kind.WX_CONFIG, Kind.MESSAGE_PUSH})
_NEEDS_WHOLE = frozenset(
    {SlipCode.WRONG_KEY, SlipCode.SIGN_MISSING, SlipCode.VALUE_CHANGED, SlipCode.TICKET_DIFFERS, SlipCode.BODY_CHANGED}
)


def judge_incomplete(found: Explanation, text: str) -> Explanation:
    """Correct ``found`` if no try gave the signature and ``text`` is incomplete: the hint tells what is missing.

    A signature over values is then neither right nor wrong; one by RSA still distinguishes a wrong key from another
    body.
    """
    missing = what_is_missing(text)
    if missing is None or found.kind is None or found.verdict is Verdict.CORRECT or found.signed:
        return found
    if found.kind not in _BY_VALUES and SlipCode.SIGN_MISSING not in {slip.code for slip in found.slips}:
        return replace(found, hint=found.hint or missing)
    slips = tuple(slip for slip in found.slips if slip.code not in _NEEDS_WHOLE)
    return replace(found, verdict=Verdict.WRONG if slips else Verdict.UNRECOGNISED, slips=slips, hint=missing)


def what_is_missing(text: str) -> Bilingual | None:
    """Return the sentence that tells what is missing; None for a complete message."""
    if _MASK.search(text):
        return MASKED
    low = text.lower()
    is_open = any(f"<{name}>" in low and f"</{name}>" not in low for name in ("xml", "root"))
    return CUT_OFF if is_open or _ELLIPSIS.search(text) or text.count("{") > text.count("}") else None
