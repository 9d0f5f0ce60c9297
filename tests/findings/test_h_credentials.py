"""Each field of what WeChat says of tokens, authorisations, certificates and bills, absent, empty, of another type or new.

What is not there in its own form is a failure of WeChat's side, one of the domain's own errors, and nothing of it is
kept. A field that only informs keeps nobody from paying.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from cryptography.exceptions import UnsupportedAlgorithm

from tests.support.account import Account
from tests.support.bill_server import MERCHANT, BillServer
from tests.support.bills import Line, trade_file
from tests.support.clock import ManualClock
from tests.support.keys import certificate_pem, key
from tests.support.odd_values import ABSENT, ODD, changed
from tests.support.runtime import a_runtime
from tests.support.tokens import LIFE_S, STABLE, TICKET, Wechat
from wechat.account.oauth import OAuth
from wechat.account.tokens import ACCESS_TOKEN, JSAPI_TICKET, Credentials
from wechat.domain.errors import AccountRefused, FenpayError, Forbidden, NotifyError, OutcomeUnknown
from wechat.pay.bills.gateways import V3Bills
from wechat.pay.bills.parser import BillBroken, BillKind
from wechat.pay.certificates import Certificates, KeyRing, PlatformKey, Unverified
from wechat.pay.ciphers import AeadCipher
from wechat.support.transport import Transport

SURROGATE = "\ud800"
ODD_TEXTS = (*[value for value in ODD if value != "new"], SURROGATE, "a\nb", "好", "x" * 2000)
"""Whatever an opaque id of WeChat's is not."""


def name_case(value: object) -> str:
    return ascii(value)[:24]


# -- tokens --------------------------------------------------------------------------------------------------------


@pytest.fixture
def wechat(account: Account, transport: Transport) -> Wechat:
    return Wechat(account, transport, ManualClock())


@pytest.mark.parametrize("value", ODD_TEXTS, ids=name_case)
async def test_h6_a_token_without_its_value_is_an_error_and_not_kept(wechat: Wechat, value: object) -> None:
    wechat.account.replies[STABLE] = lambda _: changed({"expires_in": LIFE_S}, "access_token", value)
    tokens = wechat.process()
    with pytest.raises(OutcomeUnknown):
        await tokens.access_token()
    assert await wechat.store.get(ACCESS_TOKEN) is None


@pytest.mark.parametrize("value", ODD_TEXTS, ids=name_case)
async def test_h6_a_ticket_without_its_value_is_an_error_and_not_kept(wechat: Wechat, value: object) -> None:
    wechat.account.replies[TICKET] = lambda _: changed({"errcode": 0, "expires_in": LIFE_S}, "ticket", value)
    tokens = wechat.process()
    with pytest.raises(OutcomeUnknown):
        await tokens.jsapi_ticket()
    assert await wechat.store.get(JSAPI_TICKET) is None


@pytest.mark.parametrize("value", [*ODD, "7200", -1, 7200.0, 10**30], ids=name_case)
async def test_h6_a_life_is_whole_seconds_and_never_longer_than_two_hours(wechat: Wechat, value: object) -> None:
    wechat.account.replies[STABLE] = lambda _: changed({"access_token": "token"}, "expires_in", value)
    if type(value) is int and value > 0:
        assert await wechat.process().access_token() == "token"
        stored = await wechat.store.get(ACCESS_TOKEN)
        assert stored is not None
        assert stored.expires_at - stored.issued_at <= timedelta(seconds=LIFE_S)
    else:
        with pytest.raises(OutcomeUnknown):
            await wechat.process().access_token()


@pytest.mark.parametrize("value", ODD, ids=name_case)
async def test_h6_an_errcode_is_none_or_a_refusal(wechat: Wechat, value: object) -> None:
    answer = {"ticket": "ticket", "expires_in": LIFE_S, "errmsg": value}
    wechat.account.replies[TICKET] = lambda _: changed(answer, "errcode", value)
    if value is ABSENT or value == 0:
        assert await wechat.process().jsapi_ticket() == "ticket"
    else:
        with pytest.raises(AccountRefused):
            await wechat.process().jsapi_ticket()


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"null", b'"x"', b"[" * 100_000, b"<html>", b"\xff", b"1" * 5000], ids=name_case
)
async def test_h6_an_answer_that_is_no_object_is_an_error(wechat: Wechat, body: bytes) -> None:
    wechat.account.replies[STABLE] = lambda _: web.Response(body=body)
    with pytest.raises(OutcomeUnknown):
        await wechat.process().access_token()


# -- authorisations ------------------------------------------------------------------------------------------------

GRANT = {"openid": "o1", "access_token": "t", "refresh_token": "r", "scope": "snsapi_base", "expires_in": 7200}
PROFILE = {"openid": "o1", "nickname": "n", "headimgurl": "https://h", "unionid": "u"}


@pytest.fixture
def oauth(wechat: Wechat) -> OAuth:
    return OAuth(wechat.client, Credentials("wx1", "secret-0123456789"), "https://open", wechat.store)


def answers_grant(wechat: Wechat, name: str, value: object) -> None:
    wechat.account.replies["/sns/oauth2/access_token"] = lambda _: changed(GRANT, name, value)


@pytest.mark.parametrize("value", ODD_TEXTS, ids=name_case)
async def test_h7_nobody_pays_without_an_openid_in_its_own_form(wechat: Wechat, oauth: OAuth, value: object) -> None:
    answers_grant(wechat, "openid", value)
    with pytest.raises(OutcomeUnknown):
        await oauth.openid("code", "state")
    with pytest.raises(AccountRefused):  # the code is spent; a fresh authorisation helps
        await oauth.openid("code", "state")


@pytest.mark.parametrize("value", ODD, ids=name_case)
@pytest.mark.parametrize("name", ["scope", "expires_in", "unionid", "a_new_field"])
async def test_h7_what_only_informs_keeps_nobody_from_paying(
    wechat: Wechat, oauth: OAuth, name: str, value: object
) -> None:
    answers_grant(wechat, name, value)
    assert await oauth.openid("code", "state") == "o1"


@pytest.mark.parametrize("value", [*ODD, "1", False], ids=name_case)
async def test_h7_who_may_be_a_snapshots_stand_in_does_not_pay(wechat: Wechat, oauth: OAuth, value: object) -> None:
    answers_grant(wechat, "is_snapshotuser", value)
    if value in (ABSENT, "", None, 0, False) and not isinstance(value, float):
        assert await oauth.openid("code", "state") == "o1"
    else:
        with pytest.raises(Forbidden):
            await oauth.openid("code", "state")


@pytest.mark.parametrize("value", [*ODD, SURROGATE], ids=name_case)
@pytest.mark.parametrize("name", ["nickname", "headimgurl", "unionid", "privilege", "a_new_field"])
async def test_h7_a_profile_lacks_what_wechat_does_not_tell(
    wechat: Wechat, oauth: OAuth, name: str, value: object
) -> None:
    wechat.account.replies["/sns/userinfo"] = lambda _: changed(PROFILE, name, value)
    answers_grant(wechat, "a_new_field", ABSENT)
    profile = await oauth.userinfo(await oauth.exchange("code"))
    assert getattr(profile, name, "") in ("", "new")


# -- certificates --------------------------------------------------------------------------------------------------

API_V3_KEY = "0123456789abcdef0123456789abcdef"


@dataclass
class Ring:
    """A ring that knows the public key, and what /v3/certificates answers."""

    def __post_init__(self) -> None:
        self.clock = ManualClock()
        self.ring = KeyRing(self.clock, PlatformKey("PUB_KEY_ID_01", key("platform").public_key()))
        self.document: Any = {"data": [row()]}
        self.certificates = Certificates(self.ring, AeadCipher(API_V3_KEY), self._download, a_runtime(self.clock))

    async def _download(self) -> Unverified:
        return Unverified(json.dumps(self.document).encode(), lambda ring: None)


def row(serial: str = "A1", name: str = "certificate") -> dict[str, Any]:
    pem = certificate_pem(name, serial=int(serial, 16), life=timedelta(days=365))
    sealed = AeadCipher(API_V3_KEY).seal(pem.encode(), nonce="0123456789ab", associated_data="certificate")
    parts = {"algorithm": "AEAD_AES_256_GCM", "nonce": "0123456789ab", "associated_data": "certificate"}
    return {"serial_no": serial, "encrypt_certificate": parts | {"ciphertext": sealed}}


@pytest.fixture
def ring() -> Ring:
    return Ring()


@pytest.mark.parametrize("value", [*ODD, SURROGATE, [None], [[]], [{}]], ids=name_case)
@pytest.mark.parametrize("name", ["data", "serial_no", "encrypt_certificate", "nonce", "associated_data", "ciphertext"])
async def test_h8_certificates_are_there_in_their_own_form_or_those_before_stay(
    ring: Ring, name: str, value: object
) -> None:
    await ring.certificates.refresh()
    new = row("B2")
    ring.document = {"data": [new]}
    if name == "data":
        ring.document = changed(ring.document, name, value)
    elif name in new:
        ring.document = {"data": [changed(new, name, value)]}
    else:
        new["encrypt_certificate"] = changed(new["encrypt_certificate"], name, value)
    with pytest.raises((OutcomeUnknown, NotifyError)):
        await ring.certificates.refresh()
    assert ring.ring.serials == ("PUB_KEY_ID_01", "A1")


@pytest.mark.parametrize("value", ODD, ids=name_case)
@pytest.mark.parametrize("name", ["effective_time", "expire_time", "a_new_field"])
async def test_h8_what_only_informs_of_a_certificate_changes_nothing(ring: Ring, name: str, value: object) -> None:
    ring.document = {"data": [changed(row("B2"), name, value)], "a_new_field": value if value is not ABSENT else 1}
    await ring.certificates.refresh()
    assert ring.ring.serials == ("PUB_KEY_ID_01", "B2")


async def test_h8_a_certificate_of_another_cipher_hides_no_other(ring: Ring) -> None:
    other = {"serial_no": "C3", "encrypt_certificate": {"algorithm": "AEAD_SM4_GCM", "nonce": "x", "ciphertext": "y"}}
    ring.document = {"data": [other, row("B2")]}
    await ring.certificates.refresh()
    assert ring.ring.serials == ("PUB_KEY_ID_01", "B2")


async def test_h8_a_key_that_cannot_be_used_is_an_error_of_the_download(
    ring: Ring, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unsupported(pem: bytes) -> object:
        raise UnsupportedAlgorithm("a curve of the future")

    monkeypatch.setattr("wechat.pay.certificates.x509.load_pem_x509_certificate", unsupported)
    with pytest.raises(OutcomeUnknown):
        await ring.certificates.refresh()


# -- bills ---------------------------------------------------------------------------------------------------------


@pytest.fixture
async def bill_server(clock: ManualClock) -> AsyncIterator[BillServer]:
    async with BillServer(clock) as bill_server:
        paid = Line("order-1", "4200", 1800, datetime(2026, 2, 28, 4, tzinfo=UTC))
        bill_server.file = trade_file([paid], MERCHANT.mchid)
        yield bill_server


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.mark.parametrize("value", [*ODD, SURROGATE, "http://[", "//", "http://127.0.0.1"], ids=name_case)
@pytest.mark.parametrize("name", ["download_url", "hash_value", "hash_type"])
async def test_h9_a_bill_is_announced_in_its_own_form_or_not_fetched(
    bill_server: BillServer, transport: Transport, tmp_path: Path, name: str, value: object
) -> None:
    bill_server.announced = {name: value}
    bills = V3Bills(bill_server.wired(transport), bill_server.gateway(transport), most=10**6)
    with pytest.raises((BillBroken, OutcomeUnknown)) as refused:
        await bills.fetch(date(2026, 2, 28), BillKind.ALL, tmp_path / "bill.csv")
    assert isinstance(refused.value, FenpayError)
    assert not (tmp_path / "bill.csv").exists()


@pytest.mark.parametrize("value", ODD, ids=name_case)
async def test_h9_a_new_field_of_the_announcement_changes_nothing(
    bill_server: BillServer, transport: Transport, tmp_path: Path, value: object
) -> None:
    bill_server.announced = {"a_new_field": value}
    bills = V3Bills(bill_server.wired(transport), bill_server.gateway(transport), most=10**6)
    assert (await bills.fetch(date(2026, 2, 28), BillKind.ALL, tmp_path / "bill.csv")).path
