"""Keys, certificates, domains and clocks that are wrong: ``doctor`` names them before anybody pays."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import pytest

from doctor.report import Status
from tests.doctor.live import Live
from tests.doctor.site import MCHID, Site
from tests.support.keys import certificate_pem, private_pem, public_pem


class Pain(NamedTuple):
    """A wrong setting: after ``induce``, the check ``id`` fails or warns, with a text that contains ``says``."""

    id: str
    says: str
    induce: Callable[[Site], object]
    status: Status = Status.FAIL


PAINS: dict[str, Pain] = {
    "neither a public key nor platform certificates": Pain(
        "keys.mode",
        "neither is set",
        lambda site: (site.set("pay.v3.public_key", None), site.set("pay.v3.public_key_id", None)),
    ),
    "a serial number in place of the public key's id": Pain(
        "keys.public_key_id", "does not look like", lambda site: site.set("pay.v3.public_key_id", "PUB_KEY_ID_5157F09E")
    ),
    "the same key for both APIs": Pain(
        "keys.different",
        "pay.v2.key is the same as pay.v3.key",
        lambda site: site.set("pay.v3.key", site.values["pay"]["v2"]["key"]),
    ),
    "an APIv3 key that is too short": Pain(
        "keys.v3_key", "31 characters", lambda site: site.set("pay.v3.key", "Zyxwvuts9876543210zyxwvuts98765")
    ),
    "a key that was copied with a blank": Pain(
        "keys.v3_key",
        "blanks at its start or end",
        lambda site: site.set("pay.v3.key", "Zyxwvuts9876543210zyxwvuts987654 "),
    ),
    "a certificate where the key belongs": Pain(
        "keys.merchant_key",
        "this is a certificate",
        lambda site: site.write("apiclient_key.pem", certificate_pem()),
    ),
    "a key where the certificate belongs": Pain(
        "keys.merchant_cert",
        "this is a private key",
        lambda site: site.write("apiclient_cert.pem", private_pem()),
    ),
    "a key file without its first line": Pain(
        "keys.merchant_key",
        "base64 without its BEGIN",
        lambda site: site.write("apiclient_key.pem", "".join(private_pem().splitlines()[1:-1])),
    ),
    "a key of another certificate": Pain(
        "keys.merchant_pair",
        "do not belong together",
        lambda site: site.write("apiclient_key.pem", private_pem("theirs")),
    ),
    "the certificate of another merchant": Pain(
        "keys.merchant_number",
        "belongs to merchant 1900000208",
        lambda site: site.write("apiclient_cert.pem", certificate_pem("1900000208", key_name="ours")),
    ),
    "a platform certificate where the public key belongs": Pain(
        "keys.public_key",
        "this is a certificate",
        lambda site: site.write("pub_key.pem", certificate_pem("theirs")),
    ),
    "the merchant's public key in place of WeChat Pay's": Pain(
        "keys.public_key", "the merchant's own", lambda site: site.write("pub_key.pem", public_pem("ours"))
    ),
    "a client certificate of another key": Pain(
        "keys.client_pair",
        "do not belong together",
        lambda site: (
            site.set("pay.v2.client_cert", certificate_pem(MCHID, key_name="ours")),
            site.set("pay.v2.client_key", private_pem("theirs")),
        ),
    ),
    "a .p12 file in place of a PEM": Pain(
        "keys.client_pair",
        "is not a usable PEM",
        lambda site: (
            site.set("pay.v2.client_cert", str(site.write("c.p12", b"0\x82junk"))),
            site.set("pay.v2.client_key", private_pem()),
        ),
    ),
    "a certificate that ends next week": Pain(
        "keys.certificate_end", "expires in 6 days", lambda site: site.expire_in(6.5)
    ),
    "a certificate that ends in two months": Pain(
        "keys.certificate_end", "expires in 59 days", lambda site: site.expire_in(59.5), Status.WARN
    ),
    "a server in another time zone": Pain(
        "host.time_zone", "UTC-5", lambda site: site.change(utc_offset_s=-5 * 3600), Status.WARN
    ),
    "a clock that nobody keeps right": Pain(
        "host.clock", "not synchronised", lambda site: site.change(synchronised=False), Status.WARN
    ),
    "the simulator in production": Pain(
        "settings.simulator",
        "connected to the WeChat simulator",
        lambda site: site.set("simulator_url", "http://127.0.0.1:9000"),
    ),
    "an AppID copied from the template": Pain(
        "settings.placeholders", "account.appid", lambda site: site.set("account.appid", "wx0000000000000000")
    ),
    "nothing that takes notifications": Pain(
        "plugins.load", "notifications cannot be received", lambda site: site.set("plugins", ["handlers.ops.health"])
    ),
    "a notify URL that nobody outside can reach": Pain(
        "web.base_url", "not a public domain name", lambda site: site.set("http.public_base_url", "https://localhost")
    ),
    "a notify URL without https": Pain(
        "web.base_url",
        "is not an https address",
        lambda site: site.set("http.public_base_url", "http://pay.shop.test"),
    ),
}


@pytest.mark.parametrize("name", PAINS)
async def test_the_doctor_names_it_with_a_cure(site: Site, name: str) -> None:
    pain = PAINS[name]
    pain.induce(site)
    judgement = await site.look(pain.id)
    assert judgement.status is pain.status
    assert pain.says in judgement.seen.en
    assert judgement.fix.zh
    assert judgement.fix.en


async def test_the_texts_of_the_consoles_are_printed_to_be_compared(site: Site) -> None:
    """No API tells what is registered there: 支付授权目录, JS接口安全域名, 网页授权域名, the AppID's binding."""
    shown = {
        check: (await site.look(f"console.{check}")).fix.zh
        for check in ("pay_directory", "js_domain", "oauth_domain", "appid")
    }
    assert shown == {
        "pay_directory": "https://pay.shop.test/pay/",
        "js_domain": "pay.shop.test",
        "oauth_domain": "pay.shop.test",
        "appid": f"wx0123456789abcdef + {MCHID}",
    }


STABLE = "/cgi-bin/stable_token"


class LivePain(NamedTuple):
    """A ``Pain`` whose check calls the simulator."""

    id: str
    says: str
    induce: Callable[[Live], object]
    status: Status = Status.FAIL


def exchange_pair(live: Live) -> None:
    live.set("pay.v3.merchant_key", private_pem()).set("pay.v3.merchant_cert", certificate_pem())


def without_certificates(live: Live) -> None:
    live.set("pay.v3.public_key", None).set("pay.v3.public_key_id", None)
    live.refuse("/v3/certificates", "RESOURCE_NOT_EXISTS", "无可用的平台证书，请在商户平台-API安全申请使用微信支付公钥")


LIVE: dict[str, LivePain] = {
    "a new merchant number has no platform certificates": LivePain(
        "wechat.keys", "use the WeChat Pay public key", without_certificates
    ),
    "platform certificates still sign while a merchant switches": LivePain(
        "wechat.keys",
        "until the switch is complete",
        lambda live: live.set("pay.v3.certificates", False),
        Status.WARN,
    ),
    "the public key of another merchant": LivePain(
        "wechat.keys",
        "pay.v3.public_key or its ID is wrong",
        lambda live: live.set("pay.v3.public_key", public_pem()),
    ),
    "an APIv3 key that opens nothing": LivePain(
        "wechat.keys", "APIv3 key is wrong", lambda live: live.set("pay.v3.key", "Zyxwvuts9876543210zyxwvuts987654")
    ),
    "签名错误: another merchant's APIv2 key": LivePain(
        "wechat.v2",
        "pay.v2.key is not the APIv2 key of the merchant number",
        lambda live: live.set("pay.v2.key", "Abcdefgh0123456789abcdefgh012345"),
    ),
    "签名错误: the certificate of another merchant number": LivePain(
        "wechat.v3", "has no valid certificate ABCDEF01", exchange_pair
    ),
    "an AppID that is not bound to the merchant number": LivePain(
        "wechat.v2", "", lambda live: live.set("account.appid", "wxsim00000000000")
    ),
    "another AppSecret": LivePain("wechat.token", "40125", lambda live: live.set("account.appsecret", "0" * 31 + "1")),
    "an address that is not on the allow-list": LivePain(
        "wechat.allow_list",
        "40164",
        lambda live: live.refuse(STABLE, "40164", "invalid ip 198.51.100.7 ipv6 ::ffff:198.51.100.7, not in whitelist"),
    ),
    "the quota of the day is used up": LivePain(
        "wechat.token", "45009", lambda live: live.refuse(STABLE, "45009", "reach max api daily quota limit")
    ),
    "a name that cannot be looked up": LivePain(
        "wechat.hosts", "DNS_FAILED", lambda live: live.set("account.api_url", "https://wechat.invalid")
    ),
}


@pytest.mark.parametrize("name", LIVE)
async def test_the_doctor_names_it_by_asking_wechat(live: Live, name: str) -> None:
    pain = LIVE[name]
    pain.induce(live)
    judgement = await live.look(pain.id)
    assert judgement.status is pain.status, judgement
    assert pain.says in judgement.seen.en
    assert judgement.fix.zh
    assert judgement.fix.en
