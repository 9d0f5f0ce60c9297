"""Key files: whatever a person has is named, and the command that is proposed makes a usable file of it."""

from __future__ import annotations

import base64
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    pkcs12,
)
from cryptography.x509 import load_pem_x509_certificate

from tests.support.keys import certificate_pem, curve_pem, key, private_pem, public_pem
from wechat.pay.key_files import Form, KeyFile, Kind, Wanted, correct, read_text, recognise
from wechat.pay.v2.mutual_tls import client_context

PASSWORD = b"1900000109"


def der(pem: str) -> bytes:
    return base64.b64decode("".join(pem.splitlines()[1:-1]))


def body(pem: str) -> bytes:
    return "".join(pem.splitlines()[1:-1]).encode()


def private(encoding: Encoding, form: PrivateFormat, password: bytes = b"") -> bytes:
    sealed = BestAvailableEncryption(password) if password else NoEncryption()
    return key("ours").private_bytes(encoding, form, sealed)


def p12() -> bytes:
    certificate = load_pem_x509_certificate(certificate_pem().encode())
    return pkcs12.serialize_key_and_certificates(
        b"ours", key("ours"), certificate, None, BestAvailableEncryption(PASSWORD)
    )


def relabelled(pem: bytes, label: bytes) -> bytes:
    return re.sub(rb"(BEGIN|END) [A-Z ]+", rb"\1 " + label, pem)


def on_one_line(pem: str) -> bytes:
    return " ".join(pem.split("\n")).encode()


PKCS8 = private_pem().encode()
PKCS1 = private(Encoding.PEM, PrivateFormat.TraditionalOpenSSL)
RSA_PUBLIC = key("ours").public_key().public_bytes(Encoding.PEM, PublicFormat.PKCS1)

KEY, CERTIFICATE, PUBLIC = Wanted.PRIVATE_KEY, Wanted.CERTIFICATE, Wanted.PUBLIC_KEY
USABLE: dict[str, tuple[bytes, Wanted]] = {
    "PKCS#8": (PKCS8, KEY),
    "PKCS#1": (PKCS1, KEY),
    "with a byte order mark": (b"\xef\xbb\xbf" + PKCS8, KEY),
    "on one line, blanks for line ends": (on_one_line(private_pem()), KEY),
    "with Windows line ends": (PKCS8.replace(b"\n", b"\r\n"), KEY),
    "with openssl's attributes before it": ("friendlyName: 示例\n".encode() + PKCS8, KEY),
    "a certificate": (certificate_pem().encode(), CERTIFICATE),
    "two certificates": (certificate_pem().encode() * 2, Wanted.AUTHORITIES),
    "a public key": (public_pem().encode(), PUBLIC),
}


@pytest.mark.parametrize("name", USABLE)
def test_b8_a_usable_file_needs_no_correction(name: str) -> None:
    data, wanted = USABLE[name]
    assert correct(read_text(data), wanted) is None


CONVERTED: dict[str, tuple[Callable[[], bytes], Wanted, str]] = {
    "a key in binary": (lambda: der(private_pem()), KEY, "binary"),
    "a certificate in binary": (lambda: der(certificate_pem()), CERTIFICATE, "binary"),
    "a public key in binary": (lambda: der(public_pem()), PUBLIC, "binary"),
    "a key in base64": (lambda: body(private_pem()), KEY, "base64 without its BEGIN"),
    "a certificate in base64": (lambda: body(certificate_pem()), CERTIFICATE, "base64 without its BEGIN"),
    "a public key in base64": (lambda: body(public_pem()), PUBLIC, "base64 without its BEGIN"),
    "a key under a certificate's header": (lambda: relabelled(PKCS8, b"CERTIFICATE"), KEY, "names another thing"),
    "a certificate under a key's header": (
        lambda: relabelled(certificate_pem().encode(), b"PRIVATE KEY"),
        CERTIFICATE,
        "names another thing",
    ),
    "a key saved as UTF-16": (lambda: private_pem().encode("utf-16"), KEY, "UTF-16"),
    "a key with a password": (lambda: private(Encoding.PEM, PrivateFormat.PKCS8, PASSWORD), KEY, "with a password"),
    "an old key with a password": (
        lambda: private(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, PASSWORD),
        KEY,
        "with a password",
    ),
    "the key in a .p12": (p12, KEY, "PKCS#12"),
    "the certificate in a .p12": (p12, CERTIFICATE, "PKCS#12"),
    "a PKCS#1 public key": (lambda: RSA_PUBLIC, PUBLIC, "PKCS#1"),
}


@pytest.mark.parametrize("name", CONVERTED)
def test_b8_the_proposed_command_makes_the_wanted_file(name: str, tmp_path: Path) -> None:
    make, wanted, says = CONVERTED[name]
    (tmp_path / "FILE").write_bytes(make())
    text = correct(read_text(make()), wanted)
    assert text is not None
    assert says in text.en
    command = command_in(text.en)
    assert command in text.zh
    typed = command.replace(
        "-in FILE", f"-passin pass:{PASSWORD.decode()} -in FILE", "password" in says or "12" in says
    )
    ran = subprocess.run(["sh", "-c", typed], cwd=tmp_path, capture_output=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert correct(read_text((tmp_path / wanted).read_bytes()), wanted) is None


def command_in(sentence: str) -> str:
    """The command that ``sentence`` proposes after "Run"."""
    return sentence.partition(". Run ")[2].partition(" (the password")[0]


TOLD: dict[str, tuple[bytes, Wanted, Kind, str]] = {
    "a certificate in binary for a key": (der(certificate_pem()), KEY, Kind.CERTIFICATE, "this is a certificate"),
    "a public key in base64 for a key": (body(public_pem()), KEY, Kind.PUBLIC_KEY, "this is a public key"),
    "a certificate for a public key": (certificate_pem().encode(), PUBLIC, Kind.CERTIFICATE, "this is a certificate"),
    "a .p12 for a public key": (p12(), PUBLIC, Kind.PKCS12, "PKCS#12"),
    "a curve's key": (curve_pem("private").encode(), KEY, Kind.NOT_RSA, "another kind than RSA"),
    "an SSH key": (
        Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()),
        KEY,
        Kind.OPENSSH,
        "a key for SSH",
    ),
    "a request for a certificate": (
        b"-----BEGIN CERTIFICATE REQUEST-----\nMIIB\n-----END CERTIFICATE REQUEST-----\n",
        CERTIFICATE,
        Kind.REQUEST,
        "a certificate request",
    ),
    "nothing": (b" \n", KEY, Kind.EMPTY, "is empty"),
    "a web page": (b"<html>log in first</html>", KEY, Kind.UNKNOWN, "not a usable PEM"),
    "a cut file": (PKCS8[:400], KEY, Kind.UNKNOWN, "not a usable PEM"),
}


@pytest.mark.parametrize("name", TOLD)
def test_b8_what_nothing_can_be_made_of_is_named(name: str) -> None:
    data, wanted, kind, says = TOLD[name]
    assert recognise(read_text(data)).kind is kind
    text = correct(read_text(data), wanted)
    assert text is not None
    assert says in text.en
    assert "Run" not in text.en


def test_the_form_is_told_apart_from_what_it_holds() -> None:
    assert recognise(read_text(der(private_pem()))) == KeyFile(Kind.PRIVATE_KEY, Form.DER)
    assert recognise(read_text(body(certificate_pem()))) == KeyFile(Kind.CERTIFICATE, Form.BASE64)


def test_keys_on_one_line_serve_for_tls_as_well() -> None:
    cert, secret = on_one_line(certificate_pem()).decode(), on_one_line(private_pem()).decode()
    assert client_context(cert, secret).cert_store_stats()
