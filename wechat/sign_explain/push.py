"""Explain messages that WeChat pushes to the service account's server, and WeChat's check of that server's address.

Source: https://developers.weixin.qq.com/doc/offiaccount/Basic_Information/Access_Overview.html (消息推送)
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple
from urllib.parse import unquote

from wechat.domain.errors import Bilingual
from wechat.sign_explain import variants
from wechat.sign_explain.conclusion import conclude, end, slip
from wechat.sign_explain.messages import Capture
from wechat.sign_explain.model import MASK, Explanation, Keys, Kind, Slip, Verdict
from wechat.sign_explain.pairs import find_pairs
from wechat.sign_explain.resource import key_tries
from wechat.sign_explain.search import Dimension, Try, dimension, search
from wechat.sign_explain.slips import SlipCode
from wechat.sign_explain.v2 import read_fields

NEED_TOKEN = Bilingual("需要 --key：消息推送配置里的 Token", "--key is needed: the Token of the push settings")


class Push(NamedTuple):
    """The signed parts besides the token; ``more`` is the encrypted text, if there is one."""

    time: str
    nonce: str
    more: tuple[str, ...] = ()

    @property
    def parts(self) -> list[str]:
        return [self.time, self.nonce, *self.more]


def push_query(text: str) -> tuple[Mapping[str, str], str]:
    """Parse the query of a pushed message in ``text``. Return it, and the mark of a change by HTML."""
    eaten = "×tamp" if "×tamp=" in text else ""
    eaten = eaten or ("&amp;" if re.search(r"&amp;(?:timestamp|nonce|signature)=", text) else "")
    clean = text.replace("×tamp", "&timestamp").replace("&amp;", "&") if eaten else text
    found = find_pairs(clean, _is_query)
    return (found.values, eaten) if found else ({}, "")


def _is_query(values: Mapping[str, str]) -> bool:
    return {"timestamp", "nonce"} <= set(values) and bool({"signature", "msg_signature"} & set(values))


def explain_push(capture: Capture, keys: Keys) -> Explanation:
    """Explain a pushed message, or the check of the address."""
    query, eaten = push_query(capture.text)
    encrypted = read_fields(capture.text).get("Encrypt", "") if "msg_signature" in query else ""
    given = query.get("msg_signature" if encrypted else "signature", "")
    sent = Push(query.get("timestamp", ""), query.get("nonce", ""), (encrypted,) if encrypted else ())
    visible = [*_check_query(given, eaten)]
    base = Explanation(Kind.MESSAGE_PUSH, Verdict.UNRECOGNISED, tuple(visible), _hidden(MASK, sent.parts), given=given)
    if not keys.given:
        return end(base, visible) if visible else replace(base, hint=NEED_TOKEN)
    token = keys.given[0]
    base = replace(base, string_to_sign=_hidden(token, sent.parts), computed=_sha1(sorted([token, *sent.parts])))
    wanted = given.lower().encode()

    def fits(key: str, time: str, nonce: str, ordered: bool, more: tuple[str, ...]) -> bool:
        parts = [key, time, nonce, *more]
        return hmac.compare_digest(_sha1(sorted(parts) if ordered else parts).encode(), wanted)

    found = search(_dimensions(sent, keys, capture.text), fits)
    if found is None:
        return end(base, [*visible, slip(SlipCode.WRONG_KEY)])
    key, time, nonce, ordered, more = found.values
    parts = [time, nonce, *more]
    return conclude(base, found, visible, _hidden(key, parts) if ordered else "".join([MASK, *parts]))


def _dimensions(sent: Push, keys: Keys, text: str) -> list[Dimension]:
    return [
        key_tries(keys.symmetric("")[: len(keys.given)]),
        dimension(sent.time, *variants.timestamps(sent.time, text)),
        dimension(
            sent.nonce,
            *variants.nonces(sent.nonce, text),
            Try(SlipCode.URL_ENCODED_VALUES, unquote(sent.nonce)),
        ),
        dimension(True, Try(SlipCode.NOT_SORTED, False)),
        dimension(sent.more, Try(SlipCode.VALUE_CHANGED, (), "Encrypt")),
    ]


def _check_query(given: str, eaten: str) -> list[Slip]:
    """Return the slips that are visible in the query."""
    found = []
    if eaten:
        found.append(slip(SlipCode.HTML_ENTITY, eaten, wrong=eaten, right="&timestamp" if eaten == "×tamp" else "&"))
    if given.lower() not in ("", given):
        found.append(slip(SlipCode.UPPER_CASE_RESULT, wrong=given, right=given.lower()))
    return found


def _hidden(token: str, parts: Sequence[str]) -> str:
    """Build the string to sign with the token masked, at its sorted position."""
    return "".join(MASK if part is token else part for part in sorted([token, *parts]))


def _sha1(parts: Sequence[str]) -> str:
    return hashlib.sha1("".join(parts).encode("utf-8", "surrogateescape"), usedforsecurity=False).hexdigest()
