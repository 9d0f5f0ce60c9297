"""The identity of the simulated WeChat: identifiers, secrets, keys and certificates, made once for a state directory.

The only module of the simulator that imports a cryptography library. Every file is readable by its owner alone.
"""

from __future__ import annotations

import ipaddress
import json
import secrets
import ssl
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID

from simulator.state.files import save

YEARS = timedelta(days=5 * 365)
Builder = x509.CertificateBuilder


@dataclass(frozen=True, slots=True)
class User:
    """A WeChat user."""

    id: str
    name: str
    openid: str


@dataclass(frozen=True, slots=True)
class Identity:
    """The account, the merchant and the users. All of them are invented: the names start with ``sim`` or ``wxsim``."""

    appid: str
    appsecret: str
    mchid: str
    api_v2_key: str
    api_v3_key: str
    public_key_id: str
    users: tuple[User, ...]

    @property
    def app_appid(self) -> str:
        """The AppID of the merchant's mobile app, which is bound to the same merchant number."""
        return f"wxsimapp{self.appid.removeprefix('wxsim')}"

    def is_bound(self, appid: str) -> bool:
        """Whether ``appid`` is bound to the merchant number."""
        return appid in (self.appid, self.app_appid)

    def user(self, user_id: str) -> User | None:
        return next((user for user in self.users if user.id == user_id), None)

    def payer(self, openid: str) -> User | None:
        return next((user for user in self.users if user.openid == openid), None)


@dataclass(frozen=True, slots=True)
class Certified:
    """A key and its certificate; ``serial_no`` is upper-case hex of twenty bytes, as WeChat writes it."""

    key: rsa.RSAPrivateKey
    certificate_pem: str
    serial_no: str
    starts_at: datetime
    ends_at: datetime

    @property
    def key_pem(self) -> str:
        """The key in PKCS#8, as in apiclient_key.pem."""
        return _key_pem(self.key)


def load_identity(directory: Path) -> Identity:
    """Return the identity in ``directory``, created on first use."""
    path = directory / "identity.json"
    if not path.exists():
        save(path, json.dumps(asdict(_new_identity()), ensure_ascii=False, indent=2))
    data = json.loads(path.read_text("utf-8"))
    return Identity(**{**data, "users": tuple(User(**user) for user in data["users"])})


def load_certificate(
    directory: Path,
    name: str,
    extend: Callable[[Builder, rsa.RSAPrivateKey], Builder] = lambda builder, _: builder,
    *,
    leading_zero: bool = False,
) -> Certified:
    """Return the key ``name``.key.pem with its certificate ``name``.cert.pem, created on first use; ``extend`` adds to
    it.

    With ``leading_zero`` a new certificate's serial number begins with the digit 0.
    """
    key = load_key(directory, name)
    path = directory / f"{name}.cert.pem"
    if not path.exists():
        save(
            path, extend(_builder(key, name, leading_zero), key).sign(key, SHA256()).public_bytes(Encoding.PEM).decode()
        )
    pem = path.read_text("ascii")
    certificate = x509.load_pem_x509_certificate(pem.encode())
    serial = f"{certificate.serial_number:040X}"
    return Certified(key, pem, serial, certificate.not_valid_before_utc, certificate.not_valid_after_utc)


def load_server(directory: Path, host_names: Sequence[str] = ()) -> Certified:
    """Return the certificate of the TLS port, created on first use; strict clients accept it as its own authority.

    It is valid for loopback and, in a file of its own, for ``host_names`` too.
    """
    name = "server-wechat" if host_names else "server"
    return load_certificate(directory, name, lambda builder, key: _for_hosts(builder, key, host_names))


def server_context(server: Certified, merchant: Certified) -> ssl.SSLContext:
    """Return a TLS context that asks for the merchant's certificate. A client without one is accepted, and refused
    later with WeChat's message."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.NamedTemporaryFile("w", encoding="ascii") as file:  # OpenSSL takes it from a file only; mode 600
        file.write(server.certificate_pem + server.key_pem)
        file.flush()
        context.load_cert_chain(file.name)
    context.load_verify_locations(cadata=merchant.certificate_pem)
    context.verify_mode = ssl.CERT_OPTIONAL
    return context


def load_key(directory: Path, name: str) -> rsa.RSAPrivateKey:
    """Return the RSA-2048 key ``name``.key.pem, created on first use."""
    path = directory / f"{name}.key.pem"
    if not path.exists():
        save(path, _key_pem(new_key()))
    key = load_pem_private_key(path.read_bytes(), password=None)
    if not isinstance(key, rsa.RSAPrivateKey):
        raise TypeError(f"{path} holds no RSA key")
    return key


def new_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def public_pem(key: rsa.RSAPrivateKey) -> str:
    """Return the public key, as in pub_key.pem."""
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def _new_identity() -> Identity:
    return Identity(
        appid=f"wxsim{secrets.token_hex(8)[:13]}",
        appsecret=secrets.token_hex(16),
        mchid=f"sim{1_900_000_000 + secrets.randbelow(99_999_999)}",
        api_v2_key=secrets.token_hex(16),
        api_v3_key=secrets.token_hex(16),
        public_key_id=f"PUB_KEY_ID_{secrets.randbelow(10**34):034d}",
        users=(_new_user("jia", "用户甲"), _new_user("yi", "用户乙")),
    )


def _new_user(user_id: str, name: str) -> User:
    return User(user_id, name, f"simo{secrets.token_hex(12)}")


def _builder(key: rsa.RSAPrivateKey, name: str, leading_zero: bool) -> Builder:
    """Return the builder of a self-signed certificate, valid for five years."""
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, f"simulated {name}"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "simulator, not WeChat Pay"),
        ]
    )
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(subject, subject, key.public_key(), _serial_number(leading_zero))
    return builder.not_valid_before(now - timedelta(minutes=5)).not_valid_after(now + YEARS)


def _for_hosts(builder: Builder, key: rsa.RSAPrivateKey, host_names: Sequence[str]) -> Builder:
    """Add the extensions that a strict client checks before it accepts a server on 127.0.0.1, or one of ``host_names``.

    A client that trusts the certificate trusts it for these names only.
    """
    mine = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    usage = x509.KeyUsage(True, False, False, False, False, True, True, False, False)
    domains = [x509.DNSName(name) for name in ("localhost", *host_names)]
    names = [x509.IPAddress(ipaddress.ip_address("127.0.0.1")), *domains]
    only = x509.NameConstraints([x509.IPAddress(ipaddress.ip_network("127.0.0.1/32")), *domains], None)
    return (
        builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(only, critical=True)
        .add_extension(mine, critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(mine), critical=False)
    )


def _serial_number(leading_zero: bool) -> int:
    """Return a number of forty hex digits. The first is 0 only if requested; about one in sixteen of WeChat's begins
    so."""
    number = x509.random_serial_number()
    return number % (1 << 155) | 1 << 155 if leading_zero else number | 1 << 158


def _key_pem(key: rsa.RSAPrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
