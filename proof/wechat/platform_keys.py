"""The keys that WeChat Pay v3 signs with: a public key, or certificates that are rotated, or both during the switch."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from enum import StrEnum
from functools import cache

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPrivateNumbers, RSAPublicNumbers
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from proof.wechat.bills import beijing_day, next_day

PRIME_BITS = 256
"""Bits of each of the two primes of a key: the shortest that fits a SHA-256 signature, because a seed signs hundreds of
messages. No signature is part of a trace."""
EXPONENT = 65537
PUBLIC_KEY_ID = "PUB_KEY_ID_0"
FIRST_SERIAL = 0x5A00000000000000000000000000000000000000
LONG_AGO = timedelta(days=300)
BEFORE_IT_IS_LISTED = timedelta(hours=1)
FIVE_YEARS = timedelta(days=5 * 365)
LEADS_H = (0.0, 1.0, 12.0)
"""Hours from the listing of a new certificate to its first use. WeChat leaves days; none is the hardest case."""
OVERLAPS_H = (0.2, 6.0)
"""Hours for which the old certificate stays valid after that."""
BILLS_FROM = time(10)
BEFORE_A_BILL = 0.3
"""The share of rotations in the hours before a bill, which is then the first answer with the new certificate."""


@cache
def make_key(owner: str) -> RSAPrivateKey:
    """Return a key that is the same in every run. The library generates no key that is so short, but signs with one."""
    stream = random.Random(owner)
    p, q = _find_prime(stream), _find_prime(stream)
    private = pow(EXPONENT, -1, (p - 1) * (q - 1))
    public = RSAPublicNumbers(EXPONENT, p * q)
    return RSAPrivateNumbers(p, q, private, private % (p - 1), private % (q - 1), pow(q, -1, p), public).private_key()


def _find_prime(stream: random.Random) -> int:
    """Return a number of ``PRIME_BITS`` that passes Fermat's test, which suffices where nothing is secret."""
    while True:
        number = stream.getrandbits(PRIME_BITS) | 3 << (PRIME_BITS - 2) | 1
        if number % EXPONENT != 1 and all(pow(base, number - 1, number) == 1 for base in (2, 3, 5)):
            return number


class QuickKey:
    """A merchant's key that makes no signature: WeChat's part here does not check requests, and a real signature takes
    as long as ten steps. Tests check the service's signatures against the published vectors."""

    def sign(self, data: bytes, padding: object, algorithm: object) -> bytes:
        return b"signature"


class KeyMode(StrEnum):
    """The keys that the merchant has set up."""

    PUBLIC_KEY = "public key"
    CERTIFICATES = "certificates"
    BOTH = "both"


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A key: listed from ``listed_at``, signing from ``used_from``, valid until ``ends_at``."""

    serial: str
    key: RSAPrivateKey
    listed_at: datetime
    used_from: datetime
    ends_at: datetime

    def certificate(self) -> bytes:
        """Return the key's certificate as PEM."""
        return _certificate(self.serial, self.key, self.listed_at - BEFORE_IT_IS_LISTED, self.ends_at)


class PlatformKeys:
    """WeChat's keys over time. ``public_key`` is None if the merchant has none. ``zero_first``: the serials of new
    certificates begin with a zero."""

    def __init__(
        self, mode: KeyMode, stream: random.Random, begin: datetime, rotations: int, *, zero_first: bool = False
    ) -> None:
        self.mode = mode
        self._stream = stream
        far = begin + FIVE_YEARS
        has_public_key = mode is not KeyMode.CERTIFICATES
        public = SigningKey(PUBLIC_KEY_ID, make_key("platform"), begin - LONG_AGO, begin - LONG_AGO, far)
        self.public_key = public if has_public_key else None
        self._certificates = [] if mode is KeyMode.PUBLIC_KEY else _rotate(stream, begin, rotations, zero_first)

    def for_answer(self, requested: str, now: datetime) -> SigningKey:
        """Return the key that the request names, if it is valid; otherwise the one in use."""
        return next((key for key in self._good(now) if key.serial == requested), None) or self._in_use(now)

    def for_message(self, now: datetime) -> SigningKey:
        """Return the key that signs a notification: during the switch to the public key, either."""
        if self.public_key and (self.mode is KeyMode.PUBLIC_KEY or self._stream.random() < 0.5):
            return self.public_key
        return self._in_use(now)

    def downloadable(self, now: datetime) -> Sequence[SigningKey]:
        """Return the certificates that can be downloaded."""
        return [key for key in self._certificates if key.listed_at <= now < key.ends_at]

    def find(self, serial: str) -> SigningKey | None:
        """Return WeChat's key of that serial, whether valid or not; None if there never was one."""
        keys = [*self._certificates, *([self.public_key] if self.public_key else [])]
        return next((key for key in keys if key.serial == serial), None)

    def all(self) -> Sequence[SigningKey]:
        """Return every certificate of the run."""
        return self._certificates

    def past_serials(self, before: datetime) -> Sequence[str]:
        """Return the serials of the keys that ended before a moment."""
        return [key.serial for key in self._certificates if key.ends_at < before]

    def _good(self, now: datetime) -> list[SigningKey]:
        return [*self.downloadable(now), *([self.public_key] if self.public_key else [])]

    def _in_use(self, now: datetime) -> SigningKey:
        used = [key for key in self._certificates if key.used_from <= now]
        return used[-1] if used else self._good(now)[0]


class OneKey:
    """Platform keys with a single key, which signs everything."""

    def __init__(self, serial: str, key: RSAPrivateKey, begin: datetime) -> None:
        self._key = SigningKey(serial, key, begin, begin, begin + FIVE_YEARS)

    def for_answer(self, requested: str, now: datetime) -> SigningKey:
        return self._key

    def for_message(self, now: datetime) -> SigningKey:
        return self._key

    def downloadable(self, now: datetime) -> Sequence[SigningKey]:
        return [self._key]


def _rotate(stream: random.Random, begin: datetime, rotations: int, zero_first: bool) -> list[SigningKey]:
    """Return the first certificate and its successors; each ends some time after the next is in use."""
    downloadable = [begin - LONG_AGO]
    used = [begin - LONG_AGO]
    ends = []
    for _ in range(rotations):
        listed_at, lead_h, overlap_h = _draw_rotation(stream, max(begin, used[-1]))
        downloadable.append(listed_at)
        used.append(listed_at + timedelta(hours=lead_h))
        ends.append(used[-1] + timedelta(hours=overlap_h))
    ends.append(begin + FIVE_YEARS)
    new = FIRST_SERIAL >> 4 if zero_first else FIRST_SERIAL
    serials = [f"{(new if number else FIRST_SERIAL) + number:040X}" for number in range(len(downloadable))]
    keys = [make_key(f"certificate {number}") for number in range(len(downloadable))]
    return [SigningKey(*parts) for parts in zip(serials, keys, downloadable, used, ends, strict=True)]


def _draw_rotation(stream: random.Random, after: datetime) -> tuple[datetime, float, float]:
    """Return when a certificate is listed, and its lead and overlap in hours."""
    if stream.random() < BEFORE_A_BILL:
        bill_at = next_day(beijing_day(after), BILLS_FROM)
        return bill_at - timedelta(hours=stream.uniform(0.5, 4)), LEADS_H[0], OVERLAPS_H[0]
    return after + timedelta(hours=stream.uniform(0.5, 8)), stream.choice(LEADS_H), stream.choice(OVERLAPS_H)


@cache
def _certificate(serial: str, key: RSAPrivateKey, starts_at: datetime, ends_at: datetime) -> bytes:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Tenpay.com Root CA")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(int(serial, 16))
        .not_valid_before(starts_at)
        .not_valid_after(ends_at)
        .sign(key, SHA256())
    )
    return certificate.public_bytes(Encoding.PEM)
