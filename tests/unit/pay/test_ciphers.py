"""AES-256-GCM: opens what was sealed with our key for this purpose, and nothing else."""

from __future__ import annotations

import base64

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from wechat.domain.errors import Malformed
from wechat.pay.ciphers import AeadCipher

KEY = "0123456789abcdef0123456789ABCDEF"
NONCE = "0123456789ab"
SEALED = base64.b64encode(AESGCM(KEY.encode()).encrypt(NONCE.encode(), b"plain", b"transaction")).decode()


def opened(**changed: str) -> bytes:
    given = {"nonce": NONCE, "associated_data": "transaction", "ciphertext": SEALED} | changed
    return AeadCipher(KEY).open(**given)


def test_what_another_library_sealed_opens() -> None:
    assert opened() == b"plain"


def test_what_we_seal_opens() -> None:
    sealed = AeadCipher(KEY).seal("咖啡".encode(), nonce=NONCE, associated_data="")
    assert opened(ciphertext=sealed, associated_data="") == "咖啡".encode()


@pytest.mark.parametrize(
    "changed",
    [
        {"nonce": ""},
        {"nonce": "0123456"},
        {"nonce": "0123456789a"},
        {"nonce": "0123456789abc"},
        {"nonce": "0123456789aß"},
        {"nonce": "0123456789aB"},
        {"associated_data": ""},
        {"associated_data": "Transaction"},
        {"associated_data": "certificate"},
        {"ciphertext": ""},
        {"ciphertext": "AAAA"},
        {"ciphertext": base64.b64encode(base64.b64decode(SEALED)[:-1]).decode()},
        {"ciphertext": base64.b64encode(base64.b64decode(SEALED)[:-16]).decode()},
        {"ciphertext": base64.b64encode(b"\0" + base64.b64decode(SEALED)[1:]).decode()},
        {"ciphertext": SEALED[:-1]},
        {"ciphertext": "!" + SEALED},
        {"ciphertext": SEALED + "\n"},
        {"ciphertext": "密文"},
    ],
)
def test_anything_changed_is_malformed(changed: dict[str, str]) -> None:
    with pytest.raises(Malformed):
        opened(**changed)


def test_another_key_opens_nothing_and_the_reader_is_told_what_to_check() -> None:
    with pytest.raises(Malformed) as refused:
        AeadCipher(KEY.swapcase()).open(nonce=NONCE, associated_data="transaction", ciphertext=SEALED)
    assert "APIv3" in refused.value.text.en


@pytest.mark.parametrize("key", ["", "x" * 16, "x" * 24, "x" * 31, "x" * 33, "密" * 32])
def test_a_key_has_thirty_two_bytes(key: str) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        AeadCipher(key)
