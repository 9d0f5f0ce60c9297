"""Explain data encrypted with a symmetric key: ``resource`` of APIv3 notifications and ``req_info`` of APIv2.

Sources: https://pay.weixin.qq.com/doc/v3/merchant/4012071382, https://pay.weixin.qq.com/wiki/doc/api/jsapi.php?chapter=9_16.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import unquote

from wechat.domain.errors import Bilingual, Malformed
from wechat.pay.ciphers import AeadCipher, open_req_info
from wechat.sign_explain.conclusion import of_tries, slip
from wechat.sign_explain.model import Explanation, Keys, Kind, Slip, Verdict
from wechat.sign_explain.search import Dimension, Try, dimension, search
from wechat.sign_explain.slips import SlipCode

BLANKS = ("\n", " ", "\r\n", "\t")


def key_tries(keys: Sequence[tuple[str, SlipCode | None]]) -> Dimension:
    """Return the key, then the keys that may have been used instead, and the key with and without blanks."""
    right = keys[0][0]
    others = [Try(slip, key) for key, slip in keys[1:]]
    blanks = [Try(SlipCode.KEY_HAS_BLANKS, right.strip())]
    blanks += [Try(SlipCode.KEY_HAS_BLANKS, right + blank) for blank in BLANKS]
    blanks += [Try(SlipCode.KEY_HAS_BLANKS, blank + right) for blank in (" ", "\n", "\t", "\ufeff")]
    blanks += [Try(SlipCode.KEY_HAS_BLANKS, f" {right} "), Try(SlipCode.KEY_HAS_BLANKS, f'"{right}"', '"…"')]
    cases = [Try(SlipCode.WRONG_KEY, right.lower(), "a-z"), Try(SlipCode.WRONG_KEY, right.upper(), "A-Z")]
    return dimension(right, *blanks, *others, *cases)


def explain_resource(found: Explanation, bodies: Sequence[bytes], keys: Keys) -> Explanation:
    """Add the result of decrypting ``resource`` to ``found``, the explanation of a notification's signature."""
    known = keys.symmetric(keys.v3)
    resource = _resource(bodies)
    if not known or resource is None or (found.verdict is Verdict.WRONG):
        return found
    in_key = _explain_key(key_tries(known), lambda key: _opens(resource, key))
    if in_key is not None:
        return replace(found, verdict=Verdict.WRONG, slips=(*found.slips, in_key), hint=None)
    if found.verdict is Verdict.UNRECOGNISED:
        zh = "resource 可用该 APIv3密钥解密；签名未检查，需要 --public-key"
        en = "resource opens with this APIv3 key; the signature was not checked, which needs --public-key"
        return replace(found, verdict=Verdict.CORRECT, hint=Bilingual(zh, en))
    return found


def explain_req_info(req_info: str, keys: Keys) -> Explanation:
    """Explain a refund notification of APIv2, which has no signature: it is correct if it can be decrypted."""
    known = keys.symmetric(keys.v2)
    base = Explanation(Kind.V2_REQ_INFO, Verdict.UNRECOGNISED, given=None)
    if not known:
        hint = Bilingual("需要 --key：该商户号的 APIv2密钥", "--key is needed: the merchant's APIv2 key")
        return replace(base, hint=hint)
    texts = dimension(
        "".join(req_info.split()),
        Try(SlipCode.VALUE_CHANGED, req_info.replace(" ", "+").strip(), "+ → 空格 · blank"),
        Try(SlipCode.URL_ENCODED_VALUES, unquote(req_info)),
        Try(SlipCode.HTML_ENTITY, req_info.replace("&#43;", "+").replace("&#x2B;", "+").replace("&#61;", "=")),
    )
    result = search([key_tries(known), texts], lambda key, text: bool(_plain(text, key)))
    if result is None:
        intact = re.fullmatch(r"[A-Za-z0-9+/\s]+={0,2}\s*", req_info) and len("".join(req_info.split())) % 64 in (
            0,
            24,
            44,
        )
        code = SlipCode.WRONG_KEY if intact else SlipCode.VALUE_CHANGED
        return replace(base, verdict=Verdict.WRONG, slips=(slip(code),))
    slips = tuple(of_tries(result.slips))
    return replace(base, verdict=Verdict.WRONG if slips else Verdict.CORRECT, slips=slips)


def _plain(req_info: str, key: str) -> bool:
    try:
        return open_req_info(req_info, key).lstrip().startswith(b"<")
    except Malformed:
        return False


def _explain_key(tries: Dimension, opens: Callable[[str], bool]) -> Slip | None:
    """Return the slip in a key; None if the right key decrypts."""
    found = search([tries], opens)
    if found is None:
        zh, en = "APIv3密钥无法解密 resource", "the APIv3 key does not open resource"
        return slip(SlipCode.WRONG_KEY, zh, en)
    return next(iter(of_tries(found.slips)), None)


def _resource(bodies: Sequence[bytes]) -> Mapping[str, Any] | None:
    for body in bodies:
        try:
            document = json.loads(body)
        except (ValueError, RecursionError):
            continue
        resource = document.get("resource") if isinstance(document, dict) else None
        if isinstance(resource, dict) and "ciphertext" in resource:
            return resource
    return None


def _opens(resource: Mapping[str, Any], key: str) -> bool:
    try:
        AeadCipher(key).open(
            nonce=str(resource.get("nonce", "")),
            associated_data=str(resource.get("associated_data") or ""),
            ciphertext=str(resource["ciphertext"]),
        )
    except (ValueError, Malformed):
        return False
    return True
