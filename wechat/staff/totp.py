"""Codes of a code generator (TOTP, RFC 6238: SHA-1, 6 digits, 30 s, which every app supports), and recovery codes.

A code is valid once: the step of the last one is stored, and a code of that step or an earlier one is refused. Of
recovery codes only the digests are stored; they have 80 random bits, so a plain SHA-256 is enough.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from dataclasses import replace
from datetime import datetime

from pyotp import TOTP

from wechat.domain.errors import BadRequest, Bilingual
from wechat.domain.ports import Random
from wechat.domain.staff import StaffMember

SECRET_BYTES = 20
STEP_S = 30
STEPS_AROUND = 1
"""Steps before and after the present one that are accepted, because clocks differ."""
RECOVERY_CODES = 10
RECOVERY_BYTES = 10
_CODE = re.compile(r"[0-9]{6}", re.ASCII)
_SECRET = re.compile(r"[A-Z2-7]{32}", re.ASCII)
ISSUER = "Fenpay"


class CodeRefused(BadRequest):
    """The code is wrong, too old, or was used before."""

    code = "CODE_REFUSED"
    text = Bilingual(
        "动态验证码不正确或已使用，请等待下一个", "The code is not right or has been used; wait for the next one"
    )


def new_secret(random: Random) -> str:
    """Create 160 random bits in base32."""
    return base64.b32encode(bytes.fromhex(random.token(SECRET_BYTES))).decode()


def check_secret(secret: str) -> str:
    """Return ``secret`` if it has the form of ``new_secret``. Raises BadRequest."""
    if not _SECRET.fullmatch(secret):
        raise BadRequest(
            Bilingual("密钥格式不正确，请重新打开本页", "The key is malformed; open the page again"), field="secret"
        )
    return secret


def provisioning_uri(secret: str, name: str, shop: str) -> str:
    """Return ``otpauth://…``, the content of the QR code for a code generator."""
    return TOTP(secret).provisioning_uri(name=name, issuer_name=f"{ISSUER} {shop}")


def new_recovery_codes(random: Random) -> list[str]:
    """Create ten codes such as ``3f9a1-0c77e-…``, to be shown once."""
    codes = [random.token(RECOVERY_BYTES) for _ in range(RECOVERY_CODES)]
    return ["-".join(code[start : start + 5] for start in range(0, len(code), 5)) for code in codes]


def recovery_digest(code: str) -> str:
    """Compute the stored digest of a recovery code; case and separators are ignored."""
    plain = re.sub(r"[^0-9a-f]", "", code.lower())
    return hashlib.sha256(plain.encode()).hexdigest()


def find_step(secret: str, code: str, now: datetime) -> int:
    """Return the step of ``code``. Raises CodeRefused."""
    plain = code.replace(" ", "")
    step_now = int(now.timestamp()) // STEP_S
    generator = TOTP(secret)
    for step in range(step_now - STEPS_AROUND, step_now + STEPS_AROUND + 1):
        if _CODE.fullmatch(plain) and hmac.compare_digest(generator.at(step * STEP_S), plain):
            return step
    raise CodeRefused


def use_code(member: StaffMember, code: str, now: datetime) -> StaffMember:
    """Return ``member`` after using up a code of the generator, or a recovery code. Raises CodeRefused."""
    used = recovery_digest(code)
    left = tuple(each for each in member.recovery if not hmac.compare_digest(each, used))
    if len(left) < len(member.recovery):
        return replace(member, recovery=left)
    step = find_step(member.totp_secret, code, now)
    if step <= member.totp_step:
        raise CodeRefused
    return replace(member, totp_step=step)
