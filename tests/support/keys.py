"""Keys and certificates, created once per run and never written to disk."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from cryptography.x509.oid import NameOID

START = datetime(2026, 1, 1, tzinfo=UTC)
YEAR = timedelta(days=365)


@cache
def key(name: str) -> rsa.RSAPrivateKey:
    """Return one RSA key per name."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def private_pem(name: str = "ours") -> str:
    return key(name).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def public_pem(name: str = "ours") -> str:
    return key(name).public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def curve_pem(part: str) -> str:
    """Return an elliptic-curve key: valid, but not a kind that WeChat uses."""
    made = ec.generate_private_key(ec.SECP256R1())
    if part == "private":
        return made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    return made.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def certificate_pem(
    name: str = "ours",
    *,
    serial: int = 0xABCDEF01,
    starts: datetime = START,
    life: timedelta = YEAR,
    key_name: str = "",
) -> str:
    """Return a self-signed certificate in the name of ``name``, for its key or that of ``key_name``."""
    ours = key(key_name or name)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(ours.public_key())
        .serial_number(serial)
        .not_valid_before(starts)
        .not_valid_after(starts + life)
    )
    return builder.sign(ours, SHA256()).public_bytes(Encoding.PEM).decode()
