"""Explain RSA signatures over lines: find the signed text, and the kind of key.

The digest inside a signature distinguishes a wrong key from a changed message; then every usual slip is tried against
the digest.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from wechat.domain.errors import Bilingual
from wechat.pay.key_files import PemContent
from wechat.pay.signing import Signer, made_with_pss, recover_digest
from wechat.sign_explain.conclusion import conclude, end, slip
from wechat.sign_explain.model import Explanation, Keys, Kind, Slip, Verdict
from wechat.sign_explain.search import Dimension, Try, dimension, search
from wechat.sign_explain.slips import SlipCode

LINE_ENDS = dimension(
    ("\n", True),
    Try(SlipCode.LAST_LINE_END_MISSING, ("\n", False)),
    Try(SlipCode.LINE_END_CRLF, ("\r\n", True), "\\r\\n"),
    Try(SlipCode.LINE_END_CRLF, ("\\n", True), "\\\\n"),
    Try(SlipCode.LINE_END_CRLF, ("&", True), "&"),
    Try(SlipCode.LINE_END_CRLF, ("", False), "∅"),
)
"""Line ends, and whether the last line has one."""
NEED_KEY = Bilingual(
    "需要密钥才能判断：请求和 paySign 用 --private-key 或 --certificate，应答和通知用 --public-key",
    "A key is needed: --private-key or --certificate for a request or paySign, --public-key for a response or a "
    "notification",
)
_HASHES: dict[str, Callable[[bytes], bytes]] = {
    "SHA256": lambda message: hashlib.sha256(message).digest(),
    "SHA512": lambda message: hashlib.sha512(message).digest(),
    "SHA1": lambda message: hashlib.sha1(message, usedforsecurity=False).digest(),
    "MD5": lambda message: hashlib.md5(message, usedforsecurity=False).digest(),
}
_REPAIRS = (("\\r", ""), ("\\n", ""), ("\\/", "/"), ("-", "+"), ("_", "/"), ("%2B", "+"), ("%2F", "/"), ("%3D", "="))


def explain_rsa(
    kind: Kind,
    lines: Sequence[Dimension],
    given: str,
    pem: PemContent | None,
    visible: Sequence[Slip],
    rest: SlipCode,
    extra: Sequence[Try] = (),
) -> Explanation:
    """Compare a signature with every text that may have been signed.

    ``lines`` are the lines with their slips; ``extra`` are whole texts of slips that concern no single line. ``rest``
    is the slip when the key is right and no text fits. ``visible`` are the slips found before.
    """
    right = join(LINE_ENDS[0].value, *(line[0].value for line in lines))
    base = Explanation(kind, Verdict.UNRECOGNISED, tuple(visible), show(right), given=given)
    if not given:
        return end(base, [*visible, slip(SlipCode.SIGN_MISSING)])
    if pem is None:
        return end(base, visible) if visible else replace(base, hint=NEED_KEY)
    base = replace(base, computed=compute(pem, right))
    clean, encoding = _clean(given)
    signed = recover_digest(pem.public_key, clean)
    if signed is None:
        serial_is_named = any(one.code is SlipCode.SERIAL_OF_OTHER_KEY for one in visible)
        return end(base, visible if serial_is_named else [*visible, _explain_foreign(pem, right, given, clean)])
    algorithm, digest = signed
    slips = [*visible, *encoding, *_check_algorithm(algorithm)]
    found = search([LINE_ENDS, *lines], lambda *parts: _is_digest(algorithm, join(*parts), digest))
    if found is not None:
        message = join(*found.values)
        concluded = conclude(base, found, slips, show(message))
        return concluded if found.slips else replace(concluded, computed=compute(pem, message))
    text = search([[Try(None, right), *extra]], lambda message: _is_digest(algorithm, message, digest))
    return conclude(base, text, slips, show(text.values[0])) if text else end(base, [*slips, slip(rest)])


def _is_digest(algorithm: str, message: bytes, digest: bytes) -> bool:
    return hmac.compare_digest(_HASHES[algorithm](message), digest)


def _check_algorithm(algorithm: str) -> list[Slip]:
    if algorithm == "SHA256":
        return []
    return [slip(SlipCode.WRONG_ALGORITHM, f"{algorithm}，应为 SHA256", f"{algorithm} in place of SHA256")]


def join(ends: tuple[str, bool], *lines: str | bytes) -> bytes:
    """Join lines with their line ends."""
    stop = ends[0].encode()
    parts = [line if isinstance(line, bytes) else line.encode("utf-8", "surrogateescape") for line in lines]
    return stop.join(parts) + (stop if ends[1] else b"")


def show(message: bytes) -> str:
    """Decode a message as text; invalid bytes are replaced."""
    return message.decode("utf-8", "replace")


def compute(pem: PemContent, message: bytes) -> str | None:
    """Compute the right signature; None without the private key."""
    return Signer("", "", pem.private_key).sign(message) if pem.private_key else None


def certificate_for_key(keys: Keys) -> Iterator[Slip]:
    """Yield the slip of a certificate that was given as a key."""
    for name, pem in (("--private-key", keys.private_key), ("--public-key", keys.public_key)):
        if pem and pem.label == "CERTIFICATE":
            yield slip(
                SlipCode.CERTIFICATE_FOR_KEY,
                name,
                name,
                wrong="-----BEGIN CERTIFICATE-----",
                right="-----BEGIN … KEY-----",
            )


def _clean(given: str) -> tuple[str, list[Slip]]:
    """Convert ``given`` to standard base64; return it, and the slip if it had to be converted."""
    clean = re.sub(r"\s", "", given)
    for wrong, right in _REPAIRS:
        clean = clean.replace(wrong, right)
    clean += "=" * (-len(clean) % 4)
    try:
        base64.b64decode(clean, validate=True)
    except ValueError:
        return given, []
    if clean == given:
        return given, []
    return clean, [slip(SlipCode.SIGNATURE_ENCODING, wrong=given, right=clean)]


def _explain_foreign(pem: PemContent, right: bytes, given: str, clean: str) -> Slip:
    """Explain why a signature is not made by ``pem``'s key with PKCS#1 v1.5."""
    if re.fullmatch(r"[0-9A-Fa-f]{32}|[0-9A-Fa-f]{40}|[0-9A-Fa-f]{64}", given):
        zh, en = "这是 APIv2 的签名，应为 RSA 签名", "this is a signature of APIv2; RSA is needed"
        return slip(SlipCode.KEY_OF_OTHER_API, zh, en)
    if made_with_pss(pem.public_key, right, clean):
        zh, en = "用了 PSS 填充，应为 PKCS#1 v1.5", "padding PSS in place of PKCS#1 v1.5"
        return slip(SlipCode.WRONG_ALGORITHM, zh, en)
    return slip(SlipCode.WRONG_KEY)
