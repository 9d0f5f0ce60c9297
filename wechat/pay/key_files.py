"""Recognise the content of a key file, and name the command that converts it into the needed form.

WeChat Pay hands out apiclient_key.pem (PKCS#8), apiclient_cert.pem, apiclient_cert.p12 (its password is the merchant
number) and pub_key.pem. Source: https://pay.weixin.qq.com/doc/v3/merchant/4013053053 (商户API证书).
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple, TypeGuard, cast

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_private_key,
    load_der_public_key,
    load_pem_private_key,
    load_pem_public_key,
)
from cryptography.x509.oid import NameOID

from wechat.domain.errors import Bilingual
from wechat.pay.serials import serial_text


class Wanted(StrEnum):
    """The content that a setting needs, named after WeChat's file."""

    PRIVATE_KEY = "apiclient_key.pem"
    CERTIFICATE = "apiclient_cert.pem"
    AUTHORITIES = "ca.pem"
    PUBLIC_KEY = "pub_key.pem"


class Kind(StrEnum):
    """The content of a key file."""

    PRIVATE_KEY = "private_key"
    CERTIFICATE = "certificate"
    PUBLIC_KEY = "public_key"
    ENCRYPTED_KEY = "encrypted_key"
    NOT_RSA = "not_rsa"
    OPENSSH = "openssh"
    REQUEST = "request"
    RSA_PUBLIC_KEY = "rsa_public_key"  # PKCS#1
    PKCS12 = "pkcs12"
    PATH = "path"
    EMPTY = "empty"
    UNKNOWN = "unknown"


class Form(StrEnum):
    """The form of a key file. All forms but PEM need a command first."""

    PEM = "pem"
    DER = "der"
    BASE64 = "base64"
    WRONG_HEADER = "wrong_header"
    UTF16 = "utf16"


class KeyFile(NamedTuple):
    """The recognised content and form of a key file."""

    kind: Kind
    form: Form = Form.PEM


_USABLE = {
    Wanted.PRIVATE_KEY: Kind.PRIVATE_KEY,
    Wanted.CERTIFICATE: Kind.CERTIFICATE,
    Wanted.AUTHORITIES: Kind.CERTIFICATE,
    Wanted.PUBLIC_KEY: Kind.PUBLIC_KEY,
}
_NAMES = {
    Kind.PRIVATE_KEY: Bilingual("私钥", "a private key"),
    Kind.CERTIFICATE: Bilingual("证书", "a certificate"),
    Kind.PUBLIC_KEY: Bilingual("公钥", "a public key"),
    Kind.ENCRYPTED_KEY: Bilingual("带密码的私钥", "a private key with a password"),
    Kind.NOT_RSA: Bilingual("椭圆曲线等密钥，不是 RSA", "a key of another kind than RSA"),
    Kind.OPENSSH: Bilingual("SSH 登录用的密钥", "a key for SSH"),
    Kind.REQUEST: Bilingual("证书请求（CSR），不是证书", "a certificate request (CSR)"),
    Kind.RSA_PUBLIC_KEY: Bilingual("PKCS#1 格式的公钥", "a public key in the PKCS#1 form"),
    Kind.PKCS12: Bilingual("PKCS#12 文件（.p12）", "a PKCS#12 file (.p12)"),
}
_BY_LABEL = {
    "ENCRYPTED PRIVATE KEY": Kind.ENCRYPTED_KEY,
    "OPENSSH PRIVATE KEY": Kind.OPENSSH,
    "CERTIFICATE REQUEST": Kind.REQUEST,
    "NEW CERTIFICATE REQUEST": Kind.REQUEST,
    "RSA PUBLIC KEY": Kind.RSA_PUBLIC_KEY,
    "EC PRIVATE KEY": Kind.NOT_RSA,
}
_PEM = re.compile(r"(-----BEGIN [A-Z ]+-----)(.*?)(-----END [A-Z ]+-----)", re.DOTALL)
_BEGIN = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----(.*)", re.DOTALL)
_BASE64 = re.compile(r"[A-Za-z0-9+/]{64,}={0,2}")
_PKCS12 = re.compile(rb"0(?:[\x00-\x7f]|\x81.|\x82..|\x83...|\x80)\x02\x01\x03", re.DOTALL)
_PATH = re.compile(r"[^\n]{1,400}\.(pem|key|crt|cer|p12|pfx|der)", re.IGNORECASE)


def read_text(data: bytes) -> str:
    """Decode the content of a key file. A byte order mark is dropped.

    Bytes that are not UTF-8 are kept one to one, so that ``recognise`` can still tell what they are.
    """
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def break_lines(pem: str) -> str:
    """Restore the line ends of ``pem`` that OpenSSL needs; environment variables and consoles turn them into blanks."""
    return _PEM.sub(lambda found: "\n".join((found[1], *found[2].split(), f"{found[3]}\n")), pem)


def recognise(text: str) -> KeyFile:
    """Recognise a key file by its text, as returned by ``read_text``."""
    if not text.strip():
        return KeyFile(Kind.EMPTY)
    if text.startswith(("\xff\xfe", "\xfe\xff")):
        inner = recognise(text.encode("latin-1").decode("utf-16", errors="replace"))
        return KeyFile(inner.kind, Form.UTF16)
    if begun := _BEGIN.search(text):
        return _recognise_pem(text, begun[1], begun[2].partition("-----")[0])
    if _BASE64.fullmatch(packed := "".join(text.split())):
        return KeyFile(_recognise_base64(packed), Form.BASE64)
    if _PATH.fullmatch(text.strip()):
        return KeyFile(Kind.PATH)
    return KeyFile(_recognise_der(text.encode("latin-1", errors="replace")), Form.DER)


def correct(text: str, wanted: Wanted) -> Bilingual | None:
    """Explain why ``text`` cannot be used as ``wanted``, and name the command that converts it; None if it can."""
    found = recognise(text)
    needed = _USABLE[wanted]
    if found.kind is needed:
        return _FORMS[found.form](wanted) if found.form is not Form.PEM else None
    if command := _convert(found, wanted):
        return command
    if found.kind is Kind.EMPTY:
        return Bilingual(f"是空的；请用 {wanted} 的原文", f"is empty; use {wanted} as it was issued")
    if found.kind is Kind.PATH:
        return Bilingual(
            f"这个路径没有可读的文件；填 {wanted} 的路径，并让运行服务的用户可读",
            f"there is no readable file at this path; give the path of {wanted}, readable by the service's user",
        )
    if found.kind is Kind.UNKNOWN:
        return Bilingual(f"不是可用的 PEM；请用 {wanted} 的原文", f"is not a usable PEM; use {wanted} as it was issued")
    name, needs = _NAMES[found.kind], _NAMES[needed]
    return Bilingual(
        f"这是{name.zh}，需要的是{needs.zh}（{wanted}）；从 商户平台 → 账户中心 → API安全 下载",
        f"this is {name.en}, {needs.en} is needed ({wanted}); download it in the merchant console (账户中心 → API安全)",
    )


def _recognise_pem(text: str, label: str, body: str) -> KeyFile:
    if "Proc-Type: 4,ENCRYPTED" in body:
        return KeyFile(Kind.ENCRYPTED_KEY)
    if label in _BY_LABEL:
        return KeyFile(_BY_LABEL[label])
    try:
        return KeyFile(_load_pem(text, label))
    except (ValueError, TypeError, UnsupportedAlgorithm):
        kind = _recognise_base64("".join(body.split()))
        same = kind in (Kind.CERTIFICATE, Kind.PUBLIC_KEY) and _NAMES[kind].en.upper().endswith(f" {label}")
        return KeyFile(Kind.UNKNOWN if same else kind, Form.WRONG_HEADER)  # same: the header is right, the body is not


def _load_pem(text: str, label: str) -> Kind:
    """Return the kind of a readable PEM. Raises ValueError, TypeError, UnsupportedAlgorithm."""
    data = text.encode()
    if label in ("PRIVATE KEY", "RSA PRIVATE KEY"):
        return Kind.PRIVATE_KEY if isinstance(load_pem_private_key(data, None), RSAPrivateKey) else Kind.NOT_RSA
    if label == "CERTIFICATE":
        x509.load_pem_x509_certificates(data)
        return Kind.CERTIFICATE
    if label == "PUBLIC KEY":
        return Kind.PUBLIC_KEY if isinstance(load_pem_public_key(data), RSAPublicKey) else Kind.NOT_RSA
    raise ValueError(label)


def _recognise_base64(packed: str) -> Kind:
    try:
        return _recognise_der(base64.b64decode(packed, validate=True))
    except ValueError:
        return Kind.UNKNOWN


def _recognise_der(data: bytes) -> Kind:
    if _PKCS12.match(data):
        return Kind.PKCS12
    for load in _LOADS:
        try:
            return load(data)
        except TypeError:
            return Kind.ENCRYPTED_KEY
        except (ValueError, UnsupportedAlgorithm):
            continue
    return Kind.UNKNOWN


def _private(data: bytes) -> Kind:
    return Kind.PRIVATE_KEY if isinstance(load_der_private_key(data, None), RSAPrivateKey) else Kind.NOT_RSA


def _certificate(data: bytes) -> Kind:
    x509.load_der_x509_certificate(data)
    return Kind.CERTIFICATE


def _public(data: bytes) -> Kind:
    return Kind.PUBLIC_KEY if isinstance(load_der_public_key(data), RSAPublicKey) else Kind.NOT_RSA


_LOADS: tuple[Callable[[bytes], Kind], ...] = (_private, _certificate, _public)


def _convert(found: KeyFile, wanted: Wanted) -> Bilingual | None:
    """Return the command that extracts ``wanted`` from another kind of file; None where no command can."""
    name = _NAMES.get(found.kind)
    if found.form is Form.UTF16 or not name:
        return None
    if found.kind is Kind.PKCS12 and wanted in (Wanted.PRIVATE_KEY, Wanted.CERTIFICATE):
        part = "-nocerts -nodes" if wanted is Wanted.PRIVATE_KEY else "-clcerts -nokeys"
        command = f"openssl pkcs12 -legacy -in FILE {part} -out {wanted}"
        return Bilingual(
            f"这是{name.zh}。执行 {command}（密码是商户号，1.x 版不加 -legacy）",
            f"this is {name.en}. Run {command} (the password is the merchant number; openssl 1.x knows no -legacy)",
        )
    if found.kind is Kind.ENCRYPTED_KEY and wanted is Wanted.PRIVATE_KEY:
        return _run(f"这是{name.zh}，服务不输入密码", f"this is {name.en}", f"openssl pkey -in FILE -out {wanted}")
    if found.kind is Kind.RSA_PUBLIC_KEY and wanted is Wanted.PUBLIC_KEY:
        command = f"openssl rsa -RSAPublicKey_in -in FILE -pubout -out {wanted}"
        return _run(f"这是{name.zh}", f"this is {name.en}", command)
    return None


_DER = {
    Wanted.PRIVATE_KEY: "openssl pkey",
    Wanted.CERTIFICATE: "openssl x509",
    Wanted.AUTHORITIES: "openssl x509",
    Wanted.PUBLIC_KEY: "openssl pkey -pubin",
}


def _der(wanted: Wanted) -> Bilingual:
    return _run("这是二进制（DER）", "this is binary (DER)", f"{_DER[wanted]} -inform DER -in FILE -out {wanted}")


def _base64(wanted: Wanted) -> Bilingual:
    command = f"base64 -di FILE | {_DER[wanted]} -inform DER -out {wanted}"
    return _run("这是没有 BEGIN/END 行的 base64", "this is base64 without its BEGIN and END lines", command)


def _wrong_header(wanted: Wanted) -> Bilingual:
    command = f"sed '/-----/d' FILE | base64 -di | {_DER[wanted]} -inform DER -out {wanted}"
    return _run("BEGIN 行与内容不符", "its BEGIN line names another thing than what follows", command)


def _utf16(wanted: Wanted) -> Bilingual:
    return _run("文件存成了 UTF-16", "the file was saved as UTF-16", f"iconv -f UTF-16 -t UTF-8 FILE > {wanted}")


_FORMS: dict[Form, Callable[[Wanted], Bilingual]] = {
    Form.DER: _der,
    Form.BASE64: _base64,
    Form.WRONG_HEADER: _wrong_header,
    Form.UTF16: _utf16,
}


def _run(zh: str, en: str, command: str) -> Bilingual:
    return Bilingual(f"{zh}。执行 {command}", f"{en}. Run {command}")


class CertificateFacts(NamedTuple):
    """Facts of a certificate: ``serial`` in hex, ``owner`` the common name, ``public`` the public key in PEM."""

    serial: str
    owner: str
    starts_at: datetime
    ends_at: datetime
    public: str


class KeyFacts(NamedTuple):
    """Facts of a private key: its length, and its public key in PEM."""

    bits: int
    public: str


def describe_certificate(pem: str) -> CertificateFacts:
    """Describe the first certificate of ``pem``, which ``correct`` found usable."""
    found = x509.load_pem_x509_certificate(pem.encode())
    names = found.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return CertificateFacts(
        serial_text(found.serial_number),
        str(names[0].value) if names else "",
        found.not_valid_before_utc,
        found.not_valid_after_utc,
        _public_pem(cast(RSAPublicKey, found.public_key())),
    )


def describe_private_key(pem: str) -> KeyFacts:
    """Describe the private key ``pem``, which ``correct`` found usable."""
    key = cast(RSAPrivateKey, load_pem_private_key(pem.encode(), None))
    return KeyFacts(key.key_size, _public_pem(key.public_key()))


def describe_public_key(pem: str) -> str:
    """Return the public key ``pem``, which ``correct`` found usable, in the form of ``CertificateFacts.public``."""
    return _public_pem(cast(RSAPublicKey, load_pem_public_key(pem.encode())))


def _public_pem(key: RSAPublicKey) -> str:
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


@dataclass(frozen=True, slots=True)
class PemContent:
    """An RSA key or a certificate from a PEM text. ``label`` is PRIVATE KEY, CERTIFICATE or PUBLIC KEY."""

    label: str
    public_key: RSAPublicKey
    private_key: RSAPrivateKey | None = None
    serial: str = ""

    def __repr__(self) -> str:
        return f"PemContent({self.label})"


def read_pem(text: str) -> PemContent | None:
    """Parse a private key, a certificate or a public key; None when ``text`` has none of them, or not RSA."""
    data = break_lines(text.replace("\\n", "\n")).encode()
    try:
        if "CERTIFICATE-----" in text:
            certificate = x509.load_pem_x509_certificate(data)
            found = certificate.public_key()
            return (
                PemContent("CERTIFICATE", found, None, serial_text(certificate.serial_number))
                if _is_rsa(found)
                else None
            )
        if "PRIVATE KEY-----" in text:
            private = load_pem_private_key(data, password=None)
            if not isinstance(private, RSAPrivateKey):
                return None
            return PemContent("PRIVATE KEY", private.public_key(), private)
        public = load_pem_public_key(data)
        return PemContent("PUBLIC KEY", public) if _is_rsa(public) else None
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return None


def _is_rsa(key: object) -> TypeGuard[RSAPublicKey]:
    return isinstance(key, RSAPublicKey)
