"""Load the merchant's key pair from PEM, and keep WeChat Pay's keys by serial number in a ``KeyRing``.

A ring may hold the WeChat Pay public key (``PUB_KEY_ID_…``), platform certificates (hex serials) or, while a merchant
switches, both. Certificates are fetched in the background and replaced only after a full success; the ring is never
emptied.

Sources: https://pay.weixin.qq.com/doc/v3/merchant/4012551764 (certificates), .../4012153196 (public key).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import cast

import structlog
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

from wechat.domain.errors import Bilingual, ConfigError, FenpayError, OutcomeUnknown, SignatureInvalid
from wechat.domain.metrics import Metric
from wechat.domain.ports import Clock, Runtime, Telemetry
from wechat.pay import key_files
from wechat.pay.ciphers import AeadCipher
from wechat.pay.key_files import Wanted
from wechat.pay.serials import same_form, serial_text
from wechat.pay.signing import Signer

REFRESH_S = 8 * 3600  # WeChat asks for at least every 12 hours
RETRY_S = 60
LONGEST_RETRY_S = 15 * 60
"""A failed download is repeated after a minute, then after twice the pause each time, up to this pause: for example, a
process with a wrong clock fails until the clock is corrected."""
OTHERS = ("AEAD_SM4_GCM",)
"""Ciphers of certificates that we do not use (https://pay.weixin.qq.com/doc/v3/merchant/4012551764)."""
UNKNOWN_SERIAL_REST_S = 10 * 60
"""Pause between two downloads that messages with unknown serials cause."""

log = structlog.get_logger("wechat.certificates")


class CertificateRole(StrEnum):
    """A certificate whose end is watched, as logs and alarms name it."""

    PLATFORM = "platform certificate"
    MERCHANT = "merchant certificate"
    CLIENT = "client certificate"


def load_signer(mchid: str, key_pem: str, cert_pem: str, telemetry: Telemetry) -> Signer:
    """Create our signer, with the serial number from the certificate. Raises ConfigError."""
    certificate, key = check_pair(cert_pem, key_pem, "pay.v3.merchant_cert", "pay.v3.merchant_key")
    serial, ends_at = _serial(certificate), certificate.not_valid_after_utc
    telemetry.measure(Metric.CERTIFICATE_EXPIRY, ends_at.timestamp(), "merchant", serial)
    return Signer(mchid, serial, key, ends_at)


def check_pair(cert_pem: str, key_pem: str, cert_name: str, key_name: str) -> tuple[x509.Certificate, RSAPrivateKey]:
    """Load apiclient_cert.pem and apiclient_key.pem, the values of the settings ``cert_name`` and ``key_name``.

    Raises ConfigError for files of another kind, and for two that are not a pair.
    """
    key = _private_key(key_pem, key_name)
    certificate = _certificate(cert_pem, cert_name)
    if certificate.public_key() != key.public_key():
        raise _config(
            cert_name,
            f"与 {key_name} 不是一对；请用同一次申请得到的两个文件",
            f"does not belong to {key_name}; use the two files of one application",
        )
    return certificate, key


def check_authorities(pem: str, name: str) -> None:
    """Check certificates that replace the system's authorities, from the setting ``name``. Raises ConfigError."""
    _expect(pem, Wanted.AUTHORITIES, name)


def load_public_key(pem: str) -> RSAPublicKey:
    """Load the WeChat Pay public key (pub_key.pem). Raises ConfigError."""
    _expect(pem, Wanted.PUBLIC_KEY, "pay.v3.public_key")
    return cast(RSAPublicKey, load_pem_public_key(pem.encode()))


@dataclass(frozen=True, slots=True)
class PlatformKey:
    """A key of WeChat Pay; a public key has no dates."""

    serial: str
    key: RSAPublicKey
    starts_at: datetime | None = None
    ends_at: datetime | None = None

    def valid(self, now: datetime) -> bool:
        return (self.ends_at is None or now < self.ends_at) and (self.starts_at is None or now >= self.starts_at)


class KeyRing:
    """WeChat Pay's keys by serial, which is a text: ``PUB_KEY_ID_…`` is no number.

    ``on_unknown`` is called when a message names an unknown serial.
    """

    def __init__(self, clock: Clock, public_key: PlatformKey | None = None) -> None:
        self.on_unknown: Callable[[], None] = lambda: None
        self._clock = clock
        self._public_key = public_key
        self._certificates: dict[str, PlatformKey] = {}

    def __len__(self) -> int:
        return len(self._certificates) + (self._public_key is not None)

    @property
    def serials(self) -> tuple[str, ...]:
        """The serials of all keys, the public key's first."""
        public = (self._public_key.serial,) if self._public_key else ()
        return (*public, *sorted(self._certificates))

    @property
    def ends(self) -> Mapping[CertificateRole, datetime]:
        """The end of the newest platform certificate, by its role; empty without one.

        Empty with a public key, too, because certificates are not needed then.
        """
        moments = [key.ends_at for key in self._certificates.values() if key.ends_at]
        return {CertificateRole.PLATFORM: max(moments)} if moments and not self._public_key else {}

    @property
    def preferred_serial(self) -> str:
        """The serial for a request's Wechatpay-Serial, whose key then signs the answer; empty without a key."""
        if self._public_key:
            return self._public_key.serial
        starts = {key.serial: key.starts_at for key in self._certificates.values() if key.starts_at}
        return max(starts, key=starts.__getitem__, default="")

    def find(self, serial: str) -> RSAPublicKey:
        """Return the key of ``serial``. Raises SignatureInvalid for an unknown key, or outside its dates."""
        platform_key = self._public_key if self._public_key and self._public_key.serial == serial else None
        platform_key = platform_key or self._certificates.get(same_form(serial))
        if platform_key is None:
            self.on_unknown()
            raise SignatureInvalid("unknown_serial")
        if not platform_key.valid(self._clock.now()):
            raise SignatureInvalid("key_ended")
        return platform_key.key

    def replace_certificates(self, found: list[PlatformKey]) -> None:
        """Add the certificates of a complete download. Earlier ones stay until they end."""
        now = self._clock.now()
        kept = {serial: key for serial, key in self._certificates.items() if key.valid(now)}
        self._certificates = kept | {same_form(key.serial): key for key in found}


@dataclass(frozen=True, slots=True)
class Unverified:
    """An answer that is not verified yet. ``verify`` checks it with a ring and raises NotifyError."""

    body: bytes
    verify: Callable[[KeyRing], None]


class Certificates:
    """Keeps a ring's platform certificates up to date in the background.

    ``download`` requests ``/v3/certificates``. The answer is verified with a certificate that it contains, encrypted
    with our APIv3 key, as is necessary for the first certificate; if that fails, with the ring.
    """

    def __init__(
        self, ring: KeyRing, cipher: AeadCipher, download: Callable[[], Awaitable[Unverified]], runtime: Runtime
    ) -> None:
        self._ring = ring
        self._cipher = cipher
        self._download = download
        self._clock = runtime.clock
        self._random = runtime.random
        self._telemetry = runtime.telemetry
        self._wanted = asyncio.Event()
        self._rest_ends_s = 0.0
        self._task: asyncio.Task[None] | None = None
        ring.on_unknown = self.want

    def start(self) -> None:
        """Start the background task."""
        self._task = asyncio.create_task(self._run(), name="certificates")

    async def close(self) -> None:
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def want(self) -> None:
        """Request a download, because a message names an unknown serial: now, or at the end of UNKNOWN_SERIAL_REST_S.

        A request within the rest is kept, not dropped: the unknown serial before it may have been a forger's, and the
        next message with this one may come hours later.
        """
        self._wanted.set()

    async def refresh(self) -> None:
        """Download, decrypt, verify, then replace. Raises RemoteError or NotifyError and then changes nothing."""
        answer = await self._download()
        found = self._decrypt(answer.body)
        trial = KeyRing(self._clock)
        trial.replace_certificates(found)
        try:
            answer.verify(trial)
        except SignatureInvalid:
            answer.verify(self._ring)
        self._ring.replace_certificates(found)
        for key in found:
            ends_at_s = key.ends_at.timestamp() if key.ends_at else 0
            self._telemetry.measure(Metric.CERTIFICATE_EXPIRY, ends_at_s, "platform", key.serial)
        log.info("certificates_refreshed", serials=sorted(key.serial for key in found))

    def _decrypt(self, body: bytes) -> list[PlatformKey]:
        """Return the RSA certificates of an answer. Rows with another cipher (SM2's) are skipped.

        Raises OutcomeUnknown when none is left.
        """
        try:
            rows = [(row["serial_no"], row["encrypt_certificate"]) for row in json.loads(body)["data"]]
            ours = [row for row in rows if row[1].get("algorithm") not in OTHERS]
            found = [self._open_platform_key(*row) for row in ours]
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError, UnsupportedAlgorithm):
            found = []
        if not found:
            raise OutcomeUnknown("certificates", wire_message="answer without certificates")
        return found

    def _open_platform_key(self, serial: str, sealed: dict[str, str]) -> PlatformKey:
        pem = self._cipher.open(
            nonce=sealed["nonce"], associated_data=sealed["associated_data"], ciphertext=sealed["ciphertext"]
        )
        certificate = x509.load_pem_x509_certificate(pem)
        key = certificate.public_key()
        if _serial(certificate) != same_form(serial) or not isinstance(key, RSAPublicKey):
            raise ValueError("a certificate that is not the one announced")
        return PlatformKey(_serial(certificate), key, certificate.not_valid_before_utc, certificate.not_valid_after_utc)

    async def _run(self) -> None:
        retry_s = RETRY_S
        while True:
            try:
                await self.refresh()
                pause_s, retry_s = REFRESH_S + self._random.uniform(0, 3600), RETRY_S
            except FenpayError as error:
                log.error("certificates_failed", error=str(error))
                pause_s, retry_s = float(retry_s), min(2 * retry_s, LONGEST_RETRY_S)
            await self._pause(pause_s)

    async def _pause(self, seconds: float) -> None:
        """Wait for ``seconds``, or less where a download is wanted. The download that follows serves every request."""
        try:
            async with asyncio.timeout(seconds):
                await self._wanted.wait()
                await asyncio.sleep(self._rest_ends_s - self._clock.monotonic())
            self._rest_ends_s = self._clock.monotonic() + UNKNOWN_SERIAL_REST_S
        except TimeoutError:
            pass
        self._wanted.clear()


def _private_key(pem: str, name: str) -> RSAPrivateKey:
    _expect(pem, Wanted.PRIVATE_KEY, name)
    return cast(RSAPrivateKey, load_pem_private_key(pem.encode(), password=None))


def _certificate(pem: str, name: str) -> x509.Certificate:
    _expect(pem, Wanted.CERTIFICATE, name)
    return x509.load_pem_x509_certificate(pem.encode())


def _serial(certificate: x509.Certificate) -> str:
    """Return the certificate's serial number in WeChat's form."""
    return serial_text(certificate.serial_number)


def _expect(pem: str, wanted: Wanted, name: str) -> None:
    """Raise ConfigError unless ``pem`` is usable; it says what the setting ``name`` contains instead, and the fix."""
    if said := key_files.correct(pem, wanted):
        raise _config(name, said.zh, said.en)


def _config(name: str, zh: str, en: str) -> ConfigError:
    return ConfigError([Bilingual(f"{name}：{zh}", f"{name}: {en}")])
