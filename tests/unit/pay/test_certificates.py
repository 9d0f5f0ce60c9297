"""Keys: swapped files are told by name, WeChat's keys are fetched, rotated and never lost."""

from __future__ import annotations

import asyncio
import base64
import json
import random
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256

from proof.runtime.loop import SimulatedLoop
from proof.runtime.ports import SimulatedClock
from tests.support.clock import ManualClock
from tests.support.keys import START, YEAR, certificate_pem, curve_pem, key, private_pem, public_pem
from tests.support.runtime import RecordedTelemetry, a_runtime
from wechat.domain.errors import ConfigError, Malformed, NotSent, OutcomeUnknown, SignatureInvalid
from wechat.domain.metrics import Metric
from wechat.domain.ports import Clock
from wechat.pay.certificates import (
    UNKNOWN_SERIAL_REST_S,
    Certificates,
    KeyRing,
    PlatformKey,
    Unverified,
    load_public_key,
    load_signer,
)
from wechat.pay.ciphers import AeadCipher
from wechat.pay.signing import Signer, rsa_verify

API_V3_KEY = "0123456789abcdef0123456789ABCDEF"
NOW = START + timedelta(days=30)


def test_the_serial_comes_from_the_certificate_in_upper_case() -> None:
    telemetry = RecordedTelemetry()
    signer = load_signer("1900000109", private_pem(), certificate_pem(), telemetry)
    assert signer.serial_no == "ABCDEF01"
    rsa_verify(key("ours").public_key(), b"message", signer.sign(b"message"))
    ends = (START + YEAR).timestamp()
    assert telemetry.measured == {(Metric.CERTIFICATE_EXPIRY, "merchant", "ABCDEF01"): ends}


def signer_of(key_pem: str, cert_pem: str) -> Signer:
    return load_signer("m", key_pem, cert_pem, RecordedTelemetry())


SWAPS: dict[str, tuple[Callable[[], object], str, str]] = {
    "certificate as key": (
        lambda: signer_of(certificate_pem(), certificate_pem()),
        "pay.v3.merchant_key",
        "this is a certificate, a private key is needed (apiclient_key.pem)",
    ),
    "public key as key": (lambda: signer_of(public_pem(), certificate_pem()), "pay.v3.merchant_key", "this is a public key"),
    "key as certificate": (
        lambda: signer_of(private_pem(), private_pem()),
        "pay.v3.merchant_cert",
        "this is a private key, a certificate is needed (apiclient_cert.pem)",
    ),
    "key and certificate of two applications": (
        lambda: signer_of(private_pem(), certificate_pem("theirs")),
        "pay.v3.merchant_cert",
        "does not belong to pay.v3.merchant_key",
    ),
    "certificate as public key": (
        lambda: load_public_key(certificate_pem()),
        "pay.v3.public_key",
        "this is a certificate, a public key is needed (pub_key.pem)",
    ),
    "key as public key": (lambda: load_public_key(private_pem()), "pay.v3.public_key", "this is a private key"),
    "no PEM at all": (lambda: load_public_key("CANARY"), "pay.v3.public_key", "not a usable PEM"),
    "a cut PEM": (lambda: signer_of(private_pem()[:200], certificate_pem()), "pay.v3.merchant_key", "not a usable PEM"),
    "a PEM of junk": (
        lambda: load_public_key("-----BEGIN PUBLIC KEY-----\nCANARY\n-----END PUBLIC KEY-----"),
        "pay.v3.public_key",
        "not a usable PEM",
    ),
    "a curve's private key": (lambda: signer_of(curve_pem("private"), certificate_pem()), "pay.v3.merchant_key", "of another kind than RSA"),
    "a curve's public key": (lambda: load_public_key(curve_pem("public")), "pay.v3.public_key", "of another kind than RSA"),
}  # fmt: skip


@pytest.mark.parametrize("name", SWAPS)
def test_a_wrong_file_is_told_by_setting_and_cure(name: str) -> None:
    load, setting, says = SWAPS[name]
    with pytest.raises(ConfigError) as refused:
        load()
    [problem] = refused.value.problems
    assert problem.en.startswith(f"{setting}: ")
    assert says in problem.en
    assert problem.zh.startswith(f"{setting}：")
    assert "CANARY" not in problem.en + problem.zh


class WeChat:
    """A stand-in for /v3/certificates: a certificate for each of ``names`` by serial, signed with the key ``signer``."""

    def __init__(self) -> None:
        self.names = {"A1": "platform"}
        self.signer = "platform"
        self.serial = "A1"
        self.life = YEAR
        self.error: Exception | None = None
        self.body: bytes | None = None
        self.downloads = 0

    async def download(self) -> Unverified:
        self.downloads += 1
        await asyncio.sleep(0)
        if self.error:
            raise self.error
        return Unverified(self.body if self.body is not None else self.answer(), self._verify)

    def answer(self) -> bytes:
        return json.dumps({"data": [self._row(serial, name) for serial, name in self.names.items()]}).encode()

    def _row(self, serial: str, name: str) -> dict[str, Any]:
        pem = certificate_pem(name, serial=int(serial, 16), life=self.life)
        sealed = AeadCipher(API_V3_KEY).seal(pem.encode(), nonce="0123456789ab", associated_data="certificate")
        parts = {"nonce": "0123456789ab", "associated_data": "certificate", "ciphertext": sealed}
        return {"serial_no": serial, "encrypt_certificate": {"algorithm": "AEAD_AES_256_GCM", **parts}}

    def _verify(self, ring: KeyRing) -> None:
        signature = base64.b64encode(key(self.signer).sign(b"answer", PKCS1v15(), SHA256())).decode()
        rsa_verify(ring.find(self.serial), b"answer", signature)


class Set:
    """A ring, its refresher and the WeChat they ask."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.wechat = WeChat()
        self.ring = KeyRing(self.clock)
        runtime = a_runtime(self.clock)
        self.certificates = Certificates(self.ring, AeadCipher(API_V3_KEY), self.wechat.download, runtime)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW)


@pytest.fixture
def keys(clock: ManualClock) -> Set:
    return Set(clock)


async def test_the_first_download_brings_the_key_that_verifies_it(keys: Set) -> None:
    await keys.certificates.refresh()
    assert keys.ring.find("A1").public_numbers() == key("platform").public_key().public_numbers()
    assert keys.ring.preferred_serial == "A1"


async def test_the_first_download_does_not_ask_for_a_second(keys: Set) -> None:
    keys.certificates.start()
    for _ in range(20):
        await asyncio.sleep(0)
    await keys.certificates.close()
    assert keys.wechat.downloads == 1


async def test_a_first_download_signed_by_a_stranger_brings_nothing(keys: Set) -> None:
    keys.wechat.signer = "stranger"
    with pytest.raises(SignatureInvalid):
        await keys.certificates.refresh()
    assert len(keys.ring) == 0


@pytest.mark.parametrize(
    "body",
    [b"", b"{}", b"[]", b"null", b'{"data":[{}]}', b'{"data":{"a":1}}', b'{"data":[1]}', b'{"data":1}', b"[" * 100_000,
     b'{"data":[{"serial_no":1,"encrypt_certificate":{"nonce":1,"associated_data":2,"ciphertext":3}}]}',
     b'{"data":[{"serial_no":"A1","encrypt_certificate":{"nonce":"0123456789ab","associated_data":"certificate","ciphertext":"AAAA"}}]}'],
)  # fmt: skip
async def test_a_broken_download_changes_nothing(keys: Set, body: bytes) -> None:
    await keys.certificates.refresh()
    keys.wechat.body = body
    with pytest.raises((OutcomeUnknown, Malformed)):
        await keys.certificates.refresh()
    keys.ring.find("A1")


async def test_a_certificate_under_another_ones_serial_is_refused(keys: Set) -> None:
    row = json.loads(keys.wechat.answer())
    row["data"][0]["serial_no"] = "B2"
    keys.wechat.body = json.dumps(row).encode()
    with pytest.raises(OutcomeUnknown):
        await keys.certificates.refresh()


async def test_a_failed_download_keeps_what_is_there(keys: Set) -> None:
    await keys.certificates.refresh()
    keys.wechat.error = NotSent("certificates")
    with pytest.raises(NotSent):
        await keys.certificates.refresh()
    keys.ring.find("A1")


async def test_after_a_rotation_both_serials_are_good_until_the_old_one_ends(keys: Set, clock: ManualClock) -> None:
    await keys.certificates.refresh()
    keys.wechat.names, keys.wechat.life = {"B2": "next"}, 2 * YEAR
    keys.wechat.signer, keys.wechat.serial = "next", "B2"
    await keys.certificates.refresh()
    keys.ring.find("A1")
    keys.ring.find("B2")
    clock.advance(YEAR.total_seconds())
    with pytest.raises(SignatureInvalid) as refused:
        keys.ring.find("A1")
    assert refused.value.reason == "key_ended"
    keys.ring.find("B2")


async def test_a_later_download_may_be_signed_by_a_key_known_before(keys: Set) -> None:
    await keys.certificates.refresh()
    keys.wechat.names = {"B2": "next"}
    await keys.certificates.refresh()
    keys.ring.find("B2")


def test_ten_thousand_unknown_serials_cause_one_download_in_ten_minutes_and_lose_no_key() -> None:
    async def scenario(keys: Set) -> None:
        await asyncio.sleep(1)
        for i in range(10_000):
            with pytest.raises(SignatureInvalid):
                keys.ring.find(f"{i:X}F")
            await asyncio.sleep(0.001)
        assert keys.wechat.downloads == 2
        keys.ring.find("A1")
        await asyncio.sleep(UNKNOWN_SERIAL_REST_S)
        assert keys.wechat.downloads == 3
        await asyncio.sleep(2 * UNKNOWN_SERIAL_REST_S)
        assert keys.wechat.downloads == 3

    run_with_refresh(scenario)


def test_a_new_key_named_soon_after_a_strange_one_is_known_when_the_rest_ends() -> None:
    async def scenario(keys: Set) -> None:
        await asyncio.sleep(1)
        with pytest.raises(SignatureInvalid):
            keys.ring.find("FF")
        await asyncio.sleep(UNKNOWN_SERIAL_REST_S - 2)
        keys.wechat.names = {"A1": "platform", "B2": "next"}
        with pytest.raises(SignatureInvalid):
            keys.ring.find("B2")
        await asyncio.sleep(3)
        keys.ring.find("B2")

    run_with_refresh(scenario)


async def test_a_serial_that_appears_first_in_a_message_is_known_shortly_after(keys: Set) -> None:
    keys.certificates.start()
    await asyncio.sleep(0.01)
    keys.wechat.names = {"A1": "platform", "B2": "next"}
    with pytest.raises(SignatureInvalid):
        keys.ring.find("B2")
    await asyncio.sleep(0.01)
    keys.ring.find("B2")
    await keys.certificates.close()


def run_with_refresh(scenario: Callable[[Set], Awaitable[None]], error: Exception | None = None) -> Set:
    """Run ``scenario`` in virtual time beside the background refresh, whose downloads raise ``error``."""
    loop = SimulatedLoop(random.Random(1), most_steps=1_000_000)

    async def run() -> Set:
        keys = Set(SimulatedClock(loop))
        keys.wechat.error = error
        keys.certificates.start()
        await scenario(keys)
        await keys.certificates.close()
        return keys

    keys = loop.run_until_complete(run())
    loop.close()
    return keys


def failing_downloads_in(hours: float) -> int:
    """The number of downloads that the background refresh makes in ``hours`` of virtual time while all fail."""
    keys = run_with_refresh(lambda keys: asyncio.sleep(hours * 3600), SignatureInvalid("timestamp"))
    return keys.wechat.downloads


def test_a_download_that_goes_on_failing_is_repeated_less_and_less_often() -> None:
    assert failing_downloads_in(0.55) == 6  # at once, after 1, 3, 7, 15 and 30 minutes
    assert failing_downloads_in(24) <= 5 + 24 * 4


def test_the_public_key_is_found_by_its_id_and_preferred() -> None:
    clock = ManualClock(NOW)
    ring = KeyRing(clock, PlatformKey("PUB_KEY_ID_01", key("theirs").public_key()))
    ring.replace_certificates([PlatformKey("A1", key("platform").public_key(), START, START + YEAR)])
    assert ring.preferred_serial == "PUB_KEY_ID_01"
    ring.find("PUB_KEY_ID_01")
    ring.find("A1")
    for other in ("PUB_KEY_ID_1", "pub_key_id_01", "A10", "", "0xA1", "PUB_KEY_ID_01 "):
        with pytest.raises(SignatureInvalid):
            ring.find(other)
