"""Each fault that can be induced on an installation in order is found by its check, which says what to do."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from doctor.check import Part, look_all
from doctor.report import Status
from doctor.table import CHECKS
from tests.doctor.site import MCHID, Site
from tests.support.keys import certificate_pem, curve_pem, private_pem, public_pem

WARN, FAIL = Status.WARN, Status.FAIL


class Fault(NamedTuple):
    """``induce`` breaks a site; the check ``id`` then has ``status``, and what it sees contains ``says``."""

    id: str
    status: Status
    says: str
    induce: Callable[[Site], object]


def short_key() -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=1024)  # noqa: S505 - what is to be found
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def commit(site: Site) -> None:
    site.subject()
    os.system(f"cd {site.folder} && git init -q . && git add settings.yml")  # noqa: S605 - our own folder


def broken_plugin(site: Site) -> None:
    site.set("plugins", ["tests.doctor.no_such_plugin", "handlers.wechat.notify"])


FAULTS: dict[str, Fault] = {
    # the settings
    "no settings file": Fault("settings.file", FAIL, "cannot be read", lambda site: site.set_file("nowhere.yml")),
    "settings that are no YAML": Fault(
        "settings.file", FAIL, "not valid YAML (line 2)", lambda site: site.set_raw("a: 1\nb: [")
    ),
    "a key twice": Fault(
        "settings.file",
        FAIL,
        "pay.mchid: stands on line 2 and on line 3",
        lambda site: site.set_raw("pay:\n  mchid: a\n  mchid: b\n"),
    ),
    "an unknown key": Fault(
        "settings.values", FAIL, "pay.mchidd: there is no such setting", lambda site: site.set("pay.mchidd", "1")
    ),
    "a secret that is missing": Fault(
        "settings.values", FAIL, "session: missing", lambda site: site.set("session", None)
    ),
    "the template's AppID": Fault(
        "settings.placeholders", FAIL, "account.appid", lambda site: site.set("account.appid", "wx0000000000000000")
    ),
    "the template's merchant": Fault(
        "settings.placeholders", FAIL, "pay.mchid", lambda site: site.set("pay.mchid", "1900000000")
    ),
    "the template's key id": Fault(
        "settings.placeholders",
        FAIL,
        "pay.v3.public_key_id",
        lambda site: site.set("pay.v3.public_key_id", "PUB_KEY_ID_0"),
    ),
    "the template's address": Fault(
        "settings.placeholders",
        FAIL,
        "http.public_base_url",
        lambda site: site.set("http.public_base_url", "https://pay.example.com"),
    ),
    "the key of WeChat's documents": Fault(
        "settings.placeholders",
        FAIL,
        "pay.v2.key",
        lambda site: site.set("pay.v2.key", "192006250b4c09247ec02edce69f6a2d"),
    ),
    "the simulator in production": Fault(
        "settings.simulator",
        FAIL,
        "connected to the WeChat simulator",
        lambda site: site.set("simulator_url", "http://127.0.0.1:9000"),
    ),
    "the demo's database in production": Fault(
        "settings.simulator", FAIL, "mongo.url", lambda site: site.set("mongo.url", "embedded")
    ),
    "a short session secret": Fault(
        "settings.session_secret", FAIL, "5 characters", lambda site: site.set("session.secret", "short")
    ),
    "a session secret of one letter": Fault(
        "settings.session_secret", FAIL, "repeats", lambda site: site.set("session.secret", "a" * 40)
    ),
    "no API key": Fault("settings.api_keys", WARN, "no API key", lambda site: site.set("merchants", None)),
    "the hash of nothing as an API key": Fault(
        "settings.api_keys",
        FAIL,
        "the hash of an empty string",
        lambda site: site.set(
            "merchants",
            [{"name": "shop", "sha256": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}],
        ),
    ),
    "one API key for two systems": Fault(
        "settings.api_keys",
        FAIL,
        "two systems",
        lambda site: site.set("merchants", [{"name": "a", "sha256": "a1" * 32}, {"name": "b", "sha256": "a1" * 32}]),
    ),
    "settings in a repository": Fault("settings.git", FAIL, "committed to Git", commit),
    # files
    "settings that every user can read": Fault(
        "files.settings_mode", FAIL, "0644", lambda site: site.open_settings(0o644)
    ),
    "settings of another user": Fault(
        "files.settings_owner", WARN, "neither root nor", lambda site: site.owned_by_another(site.file)
    ),
    "a key that every user can read": Fault(
        "files.key_modes", FAIL, "0644", lambda site: (site.folder / "apiclient_key.pem").chmod(0o644)
    ),
    "a key that its group can write": Fault(
        "files.key_modes", FAIL, "0620", lambda site: (site.folder / "apiclient_key.pem").chmod(0o620)
    ),
    "a key of another user": Fault(
        "files.key_owners",
        WARN,
        "neither root nor",
        lambda site: site.owned_by_another(site.folder / "apiclient_key.pem"),
    ),
    "a key file that is not there": Fault(
        "files.key_files",
        FAIL,
        "No such file",
        lambda site: site.set("pay.v3.merchant_key", "/nowhere/apiclient_key.pem"),
    ),
    "a key file by a relative path": Fault(
        "files.key_files",
        FAIL,
        "is a relative path",
        lambda site: site.set("pay.v3.public_key", "tests/unit/pay/vectors/wechatpay_test_public_key.pem"),
    ),
    "a relative folder of bills": Fault(
        "folders.bills", FAIL, "relative path", lambda site: site.set("books.directory", "var/bills")
    ),
    "a file in place of the folder of bills": Fault(
        "folders.bills", FAIL, "not a folder", lambda site: site.set("books.directory", str(site.write("taken", "")))
    ),
    "bills that nobody can write": Fault(
        "folders.bills", FAIL, "cannot write", lambda site: site.set("books.directory", "/proc/fenpay/bills")
    ),
    "no folder of domain files": Fault(
        "folders.verify_files", WARN, "does not exist", lambda site: site.set("http.verify_files", "/nowhere/verify")
    ),
    "no domain file": Fault(
        "folders.verify_files",
        WARN,
        "no MP_verify_",
        lambda site: (site.folder / "verify/MP_verify_abc123.txt").unlink(),
    ),
    # keys
    "an AppSecret of another shape": Fault(
        "keys.appsecret", WARN, "20 characters", lambda site: site.set("account.appsecret", "x" * 20)
    ),
    "an APIv3 key of 31 characters": Fault(
        "keys.v3_key", FAIL, "31 characters", lambda site: site.set("pay.v3.key", "Zyxwvuts9876543210zyxwvuts98765")
    ),
    "an APIv3 key with a blank": Fault(
        "keys.v3_key",
        FAIL,
        "blanks at its start or end",
        lambda site: site.set("pay.v3.key", "Zyxwvuts9876543210zyxwvuts987654 "),
    ),
    "a key file for the APIv3 key": Fault(
        "keys.v3_key", FAIL, "text of a key file", lambda site: site.set("pay.v3.key", private_pem().strip())
    ),
    "an APIv2 key of one letter": Fault("keys.v2_key", FAIL, "repeats", lambda site: site.set("pay.v2.key", "k" * 32)),
    "one secret for both APIs": Fault(
        "keys.different",
        FAIL,
        "pay.v2.key is the same as pay.v3.key",
        lambda site: site.set("pay.v3.key", site.values["pay"]["v2"]["key"]),
    ),
    "a certificate for the key": Fault(
        "keys.merchant_key",
        FAIL,
        "this is a certificate",
        lambda site: site.write("apiclient_key.pem", certificate_pem()),
    ),
    "a curve's key": Fault(
        "keys.merchant_key",
        FAIL,
        "another kind than RSA",
        lambda site: site.write("apiclient_key.pem", curve_pem("private")),
    ),
    "a key of 1024 bits": Fault(
        "keys.merchant_key", FAIL, "too short", lambda site: site.write("apiclient_key.pem", short_key())
    ),
    "a key in base64": Fault(
        "keys.merchant_key",
        FAIL,
        "base64 without its BEGIN",
        lambda site: site.write("apiclient_key.pem", "".join(private_pem().splitlines()[1:-1])),
    ),
    "a key for the certificate": Fault(
        "keys.merchant_cert",
        FAIL,
        "this is a private key",
        lambda site: site.write("apiclient_cert.pem", private_pem()),
    ),
    "a key of another certificate": Fault(
        "keys.merchant_pair",
        FAIL,
        "do not belong together",
        lambda site: site.write("apiclient_key.pem", private_pem("theirs")),
    ),
    "another merchant's certificate": Fault(
        "keys.merchant_number",
        FAIL,
        "belongs to merchant 1900000208",
        lambda site: site.write("apiclient_cert.pem", certificate_pem("1900000208", key_name="ours")),
    ),
    "a certificate that ends in 59 days": Fault(
        "keys.certificate_end", WARN, "expires in 59 days", lambda site: site.expire_in(59.5)
    ),
    "a certificate that ends in 6 days": Fault(
        "keys.certificate_end", FAIL, "expires in 6 days", lambda site: site.expire_in(6.5)
    ),
    "a certificate that has ended": Fault(
        "keys.certificate_end", FAIL, "expired on 2027-01-01", lambda site: site.expire_in(-1)
    ),
    "a certificate of the future": Fault(
        "keys.certificate_end", FAIL, "clock may be slow", lambda site: site.expire_in(400)
    ),
    "a client certificate of another key": Fault(
        "keys.client_pair",
        FAIL,
        "do not belong together",
        lambda site: (
            site.set("pay.v2.client_cert", certificate_pem(MCHID, key_name="ours")),
            site.set("pay.v2.client_key", private_pem("theirs")),
        ),
    ),
    "a .p12 for the client certificate": Fault(
        "keys.client_pair",
        FAIL,
        "is not a usable PEM",
        lambda site: (
            site.set("pay.v2.client_cert", str(site.write("c.p12", b"0\x82junk"))),
            site.set("pay.v2.client_key", private_pem()),
        ),
    ),
    "a certificate for the public key": Fault(
        "keys.public_key",
        FAIL,
        "this is a certificate",
        lambda site: site.write("pub_key.pem", certificate_pem("theirs")),
    ),
    "the merchant's own public key": Fault(
        "keys.public_key", FAIL, "the merchant's own", lambda site: site.write("pub_key.pem", public_pem("ours"))
    ),
    "a serial for the public key's id": Fault(
        "keys.public_key_id",
        FAIL,
        "does not look like",
        lambda site: site.set("pay.v3.public_key_id", "PUB_KEY_ID_5157F09E"),
    ),
    "platform certificates only": Fault(
        "keys.mode",
        WARN,
        "older ones should switch",
        lambda site: (
            site.set("pay.v3.public_key", None),
            site.set("pay.v3.public_key_id", None),
            site.set("pay.v3.certificates", True),
        ),
    ),
    "none of WeChat Pay's keys": Fault(
        "keys.mode",
        FAIL,
        "neither is set",
        lambda site: (site.set("pay.v3.public_key", None), site.set("pay.v3.public_key_id", None)),
    ),
    # the machine
    "a machine in another zone": Fault(
        "host.time_zone", WARN, "UTC-5", lambda site: site.change(utc_offset_s=-5 * 3600)
    ),
    "a clock of the last century": Fault(
        "host.clock", FAIL, "1999-01-01", lambda site: site.change(now=datetime(1999, 1, 1, tzinfo=UTC))
    ),
    "a clock that nobody keeps right": Fault(
        "host.clock", WARN, "not synchronised", lambda site: site.change(synchronised=False)
    ),
    "few open files": Fault("host.open_files", WARN, "1024", lambda site: site.change(open_files=1024)),
    "hardly any open files": Fault("host.open_files", FAIL, "256", lambda site: site.change(open_files=256)),
    "little memory": Fault("host.memory", WARN, "300 MiB", lambda site: site.change(memory_mib=300)),
    "hardly any memory": Fault("host.memory", FAIL, "64 MiB", lambda site: site.change(memory_mib=64)),
    "run by root": Fault("host.user", WARN, "as root", lambda site: site.change(uid=0)),
    "an old Python": Fault("host.python", FAIL, "3.9", lambda site: site.change(python=(3, 9))),
    "a plugin that is not there": Fault("plugins.load", FAIL, "no_such_plugin", broken_plugin),
    "a module that is no plugin": Fault(
        "plugins.load",
        FAIL,
        "not a plugin",
        lambda site: site.set("plugins", ["handlers.web.texts", "handlers.wechat.notify"]),
    ),
    "no plugin for notifications": Fault(
        "plugins.load",
        FAIL,
        "notifications cannot be received",
        lambda site: site.set("plugins", ["handlers.ops.health"]),
    ),
}


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


async def test_an_installation_in_order_has_no_fault(site: Site) -> None:
    results = await look_all(CHECKS, site.subject(), [Part.HOST])
    assert [
        (result.id, result.judgement.seen.en) for result in results if result.judgement.status in (FAIL, WARN)
    ] == []


@pytest.mark.parametrize("name", FAULTS)
async def test_a_fault_is_found_by_its_check_with_a_way_to_mend_it(site: Site, name: str) -> None:
    fault = FAULTS[name]
    fault.induce(site)
    judgement = await site.look(fault.id)
    assert judgement.status is fault.status
    assert fault.says in judgement.seen.en
    assert judgement.seen.zh
    assert judgement.fix.zh
    assert judgement.fix.en


def test_ids_are_unique() -> None:
    ids = [check.id for check in CHECKS]
    assert len(set(ids)) == len(ids)


async def test_no_answer_shows_a_secret(site: Site) -> None:
    secrets = [site.values["session"]["secret"], site.values["account"]["appsecret"]]
    secrets += [site.values["pay"]["v2"]["key"], site.values["pay"]["v3"]["key"], private_pem().splitlines()[3]]
    site.set("pay.mchid", "1900000000")
    results = await look_all(CHECKS, site.subject(), [Part.HOST])
    shown = "".join(str(result) for result in results)
    assert [secret for secret in secrets if secret in shown] == []
