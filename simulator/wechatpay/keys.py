"""The keys with which the simulated WeChat Pay signs v3 answers and notifications, and the choice between them.

``certificate``: platform certificates only. ``public_key``: the WeChat Pay public key only. ``grey``: a merchant in the
switch between them; an answer uses the public key if the request names it in Wechatpay-Serial, a notification does with
a probability of ``grey_ratio``. Source: https://pay.weixin.qq.com/doc/v3/merchant/4012154180
(从平台证书切换成微信支付公钥).
"""

from __future__ import annotations

import random
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from simulator.state.journal import Journal
from simulator.state.pki import Certified, Identity, load_certificate, load_key, new_key, public_pem
from wechat.domain.times import to_v3
from wechat.pay.ciphers import AeadCipher
from wechat.pay.signing import PROBE, SCHEME, Signer, v3_answer_message


class Mode(StrEnum):
    CERTIFICATE = "certificate"
    PUBLIC_KEY = "public_key"
    GREY = "grey"


class SignatureMode(StrEnum):
    """The way a message is signed; all but the first are faults on request."""

    GENUINE = "genuine"
    FORGED = "forged"
    PROBE = "probe"


@dataclass(frozen=True, slots=True)
class ModeSet:
    mode: str
    grey_ratio: float


@dataclass(frozen=True, slots=True)
class Rotated:
    """From now on, platform certificate number ``number`` signs."""

    number: int
    leading_zero: bool = False


class PlatformKeys:
    """The signing keys of the simulated WeChat Pay."""

    def __init__(self, directory: Path, identity: Identity, journal: Journal) -> None:
        self._directory = directory
        self._journal = journal
        self._cipher = AeadCipher(identity.api_v3_key)
        self._public_key = load_key(directory, "public_key")
        self._public_signer = Signer("", identity.public_key_id, self._public_key)
        self._stranger = Signer("", "", new_key())
        self._certified = [load_certificate(directory, "platform_1")]
        self.mode = Mode.GREY
        self.grey_ratio = 1.0
        journal.on(ModeSet, self._apply_mode)
        journal.on(Rotated, self._apply_rotation)

    @property
    def public_key_pem(self) -> str:
        return public_pem(self._public_key)

    @property
    def public_key_id(self) -> str:
        return self._public_signer.serial_no

    @property
    def certificate(self) -> Certified:
        """The platform certificate that signs."""
        return self._certified[-1]

    def set_mode(self, mode: Mode, grey_ratio: float) -> None:
        self._journal.write(ModeSet(mode.value, grey_ratio))

    def rotate(self, *, leading_zero: bool = False) -> None:
        """Add a new platform certificate beside the earlier ones, and sign with it.

        With ``leading_zero`` its serial number begins with the digit 0.
        """
        self._journal.write(Rotated(len(self._certified) + 1, leading_zero))

    def answer_signer(self, wanted_serial: str) -> Signer:
        """Return the key for an answer to a request that carries ``wanted_serial`` in Wechatpay-Serial."""
        grey = self.mode is Mode.GREY and wanted_serial == self.public_key_id
        return self._public_signer if grey or self.mode is Mode.PUBLIC_KEY else self._certificate_signer()

    def notification_signer(self) -> Signer:
        grey = self.mode is Mode.GREY and random.random() < self.grey_ratio
        return self._public_signer if grey or self.mode is Mode.PUBLIC_KEY else self._certificate_signer()

    def headers(
        self, signer: Signer, body: bytes, seal: SignatureMode = SignatureMode.GENUINE, skew_s: int = 0
    ) -> Mapping[str, str]:
        """Return the five signature headers over ``body``, with a timestamp ``skew_s`` seconds off the wall clock."""
        timestamp, nonce = str(int(time.time()) + skew_s), secrets.token_hex(16)
        message = v3_answer_message(timestamp, nonce, body)
        signature = (self._stranger if seal is SignatureMode.FORGED else signer).sign(message)
        return {
            "Wechatpay-Serial": signer.serial_no,
            "Wechatpay-Timestamp": timestamp,
            "Wechatpay-Nonce": nonce,
            "Wechatpay-Signature": PROBE + signature[len(PROBE) :] if seal is SignatureMode.PROBE else signature,
            "Wechatpay-Signature-Type": SCHEME,
        }

    def seal(self, plaintext: bytes, associated_data: str) -> dict[str, str]:
        """Encrypt ``plaintext`` under the APIv3 key, as in ``resource`` and ``encrypt_certificate``."""
        nonce = secrets.token_hex(6)
        return {
            "algorithm": "AEAD_AES_256_GCM",
            "ciphertext": self._cipher.seal(plaintext, nonce=nonce, associated_data=associated_data),
            "associated_data": associated_data,
            "nonce": nonce,
        }

    def certificates(self) -> list[dict[str, Any]]:
        """Return the list of GET /v3/certificates, the newest first."""
        return [
            {
                "serial_no": certified.serial_no,
                "effective_time": to_v3(certified.starts_at),
                "expire_time": to_v3(certified.ends_at),
                "encrypt_certificate": self.seal(certified.certificate_pem.encode(), "certificate"),
            }
            for certified in reversed(self._certified)
        ]

    def _certificate_signer(self) -> Signer:
        return Signer("", self.certificate.serial_no, self.certificate.key)

    def _apply_mode(self, fact: ModeSet) -> None:
        self.mode = Mode(fact.mode)
        self.grey_ratio = fact.grey_ratio

    def _apply_rotation(self, fact: Rotated) -> None:
        name = f"platform_{fact.number}"
        self._certified.append(load_certificate(self._directory, name, leading_zero=fact.leading_zero))
