"""Keys and certificates: whether each is of the right kind, belongs to its pair and to this merchant, and when
it ends."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import NamedTuple

from doctor.check import Check
from doctor.report import Judgement, combine, fail, ok, paste, skip, warn
from doctor.subject import Subject
from wechat.domain.errors import Bilingual
from wechat.pay.key_files import (
    CertificateFacts,
    Wanted,
    correct,
    describe_certificate,
    describe_private_key,
    describe_public_key,
)

WARN_DAYS = (60, 30, 7)
LEAST_BITS = 2048
CONSOLE = Bilingual("商户平台 → 账户中心 → API安全", "the merchant console, 账户中心 → API安全")
RENEW = Bilingual(
    "商户平台 → 账户中心 → API安全 → 商户API证书 → 管理证书 → 申请新证书，再换 apiclient_cert.pem 与 apiclient_key.pem",
    "apply for a new one in the merchant console (账户中心 → API安全 → 商户API证书 → 管理证书 → 申请新证书), then "
    "replace apiclient_cert.pem and apiclient_key.pem",
)

_SECRET32 = re.compile(r"[\x21-\x7e]{32}", re.ASCII)
_HEX32 = re.compile(r"[0-9a-f]{32}", re.ASCII)
_PUBLIC_KEY_ID = re.compile(r"PUB_KEY_ID_[0-9]{10,64}", re.ASCII)


class Pair(NamedTuple):
    """The settings of a certificate and its key."""

    certificate: str
    key: str


V3_PAIR = Pair("pay.v3.merchant_cert", "pay.v3.merchant_key")
V2_PAIR = Pair("pay.v2.client_cert", "pay.v2.client_key")


def check_appsecret(subject: Subject) -> Judgement:
    secret = subject.text("account.appsecret")
    if not _HEX32.fullmatch(secret):
        return warn(
            f"AppSecret 有 {len(secret)} 个字符，通常是 32 位小写十六进制",
            f"the AppSecret has {len(secret)} characters; it usually has 32 characters of 0-9 a-f",
            Bilingual(
                "account.appsecret: …（微信开发者平台 → 我的业务 → 服务号 → 基础信息 → 开发密钥）",
                "account.appsecret: … (WeChat Developer Platform, 我的业务 → 服务号 → 基础信息 → 开发密钥)",
            ),
        )
    return ok("32 位十六进制", "32 characters of 0-9 a-f")


def check_v3_key(subject: Subject) -> Judgement:
    return _secret(subject, "pay.v3.key", "APIv3密钥")


def check_v2_key(subject: Subject) -> Judgement:
    return _secret(subject, "pay.v2.key", "APIv2密钥")


def check_different(subject: Subject) -> Judgement:
    """Check that AppSecret, APIv2 key and APIv3 key differ."""
    secrets = {key: subject.text(key) for key in ("account.appsecret", "pay.v2.key", "pay.v3.key")}
    names = [key for key, value in secrets.items() if value]
    found = [
        fail(f"{a} 与 {b} 相同", f"{a} is the same as {b}", paste(f"{b}: …"))
        for i, a in enumerate(names)
        for b in names[i + 1 :]
        if secrets[a] == secrets[b]
    ]
    return combine(found, ok("各不相同", "all different"))


def check_merchant_key(subject: Subject) -> Judgement:
    return _private_key(subject, V3_PAIR.key)


def check_merchant_cert(subject: Subject) -> Judgement:
    return _kind(subject, V3_PAIR.certificate, Wanted.CERTIFICATE)


def check_merchant_pair(subject: Subject) -> Judgement:
    return _pair(subject, V3_PAIR)


def check_client_pair(subject: Subject) -> Judgement:
    """Check the certificate that APIv2 refunds show when they connect."""
    if not subject.value("pay.v2") or not (subject.text(V2_PAIR.certificate) or subject.text(V2_PAIR.key)):
        return skip("没有配置", "not set")
    kinds = [_private_key(subject, V2_PAIR.key), _kind(subject, V2_PAIR.certificate, Wanted.CERTIFICATE)]
    if broken := [each for each in kinds if each.status == "fail"]:
        return combine(broken, ok("", ""))
    return _pair(subject, V2_PAIR)


def check_owner(subject: Subject) -> Judgement:
    """Check the merchant number, which WeChat Pay writes into its merchants' certificates."""
    found = [
        judge_owner(facts.owner, subject.text("pay.mchid"))
        for pair in (V3_PAIR, V2_PAIR)
        if (facts := _facts(subject, pair.certificate))
    ]
    return combine(found, skip("没有可读的证书", "no readable certificate"))


def judge_owner(name: str, mchid: str) -> Judgement:
    """Compare ``name``, the certificate's common name, with the merchant number."""
    if not name.isdigit():
        return ok("证书里没有商户号", "no merchant number in the certificate")
    if name != mchid:
        return fail(
            f"证书属于商户号 {name}，pay.mchid 是 {mchid}",
            f"the certificate belongs to merchant {name}; pay.mchid is {mchid}",
            paste(f'pay:\n  mchid: "{name}"'),
        )
    return ok(f"证书属于商户号 {mchid}", f"the certificate belongs to merchant {mchid}")


def check_serial(subject: Subject) -> Judgement:
    """Show the serial number of the certificate, to be compared; it is read from the certificate and set nowhere."""
    facts = _facts(subject, V3_PAIR.certificate)
    if not facts:
        return skip("没有可读的证书", "no readable certificate")
    return ok(
        f"{facts.serial}，应与 {CONSOLE.zh} → 商户API证书 里的相同",
        f"{facts.serial}; it must be the same in {CONSOLE.en} → 商户API证书",
    )


def check_ends(subject: Subject) -> Judgement:
    """Check when the merchant's certificates end."""
    now = subject.machine.now
    found = [
        judge_end(pair.certificate, facts.starts_at, facts.ends_at, now)
        for pair in (V3_PAIR, V2_PAIR)
        if (facts := _facts(subject, pair.certificate))
    ]
    return combine(found, skip("没有可读的证书", "no readable certificate"))


def judge_end(name: str, starts_at: datetime, ends_at: datetime, now: datetime) -> Judgement:
    """Warn 60 days before the end, fail 7 days before it, as the service's alarm does."""
    day = f"{ends_at:%Y-%m-%d}"
    if now < starts_at:
        return fail(
            f"{name}：{starts_at:%Y-%m-%d} 才生效，本机时钟可能慢了",
            f"{name}: valid from {starts_at:%Y-%m-%d}; this machine's clock may be slow",
            paste("timedatectl set-ntp true"),
        )
    left = (ends_at - now) // timedelta(days=1)
    if ends_at <= now:
        return fail(f"{name}：已于 {day} 过期", f"{name}: expired on {day}", RENEW)
    if left < WARN_DAYS[-1]:
        return fail(f"{name}：{left} 天后（{day}）过期", f"{name}: expires in {left} days, on {day}", RENEW)
    if left < WARN_DAYS[0]:
        return warn(f"{name}：{left} 天后（{day}）过期", f"{name}: expires in {left} days, on {day}", RENEW)
    return ok(f"{name}：有效期至 {day}", f"{name}: valid until {day}")


def check_public_key(subject: Subject) -> Judgement:
    """Check that the WeChat Pay public key is not the merchant's own key."""
    if not subject.text("pay.v3.public_key"):
        return skip("没有配置", "not set")
    kind = _kind(subject, "pay.v3.public_key", Wanted.PUBLIC_KEY)
    if kind.status != "ok":
        return kind
    given, own = subject.key("pay.v3.public_key"), subject.key(V3_PAIR.key)
    ours = own and own.text and describe_private_key(own.text)
    if given and given.text and ours and describe_public_key(given.text) == ours.public:
        return fail(
            "pay.v3.public_key 是商户自己的公钥，不是微信支付公钥",
            "pay.v3.public_key is the merchant's own public key, not WeChat Pay's",
            Bilingual(
                f"{CONSOLE.zh} → 微信支付公钥 → 下载 pub_key.pem",
                f"download pub_key.pem in {CONSOLE.en} → 微信支付公钥",
            ),
        )
    return kind


def check_public_key_id(subject: Subject) -> Judgement:
    key_id = subject.text("pay.v3.public_key_id")
    if not key_id:
        return skip("没有配置", "not set")
    if not _PUBLIC_KEY_ID.fullmatch(key_id):
        return fail(
            f"{key_id} 不像公钥 ID",
            f"{key_id} does not look like a public key ID",
            Bilingual(
                f"pay.v3.public_key_id: PUB_KEY_ID_…（与公钥在同一页：{CONSOLE.zh} → 微信支付公钥）",
                f"pay.v3.public_key_id: PUB_KEY_ID_… (on the same page as the public key: {CONSOLE.en} → 微信支付公钥)",
            ),
        )
    return ok(f"PUB_KEY_ID_…{key_id[-6:]}", f"PUB_KEY_ID_…{key_id[-6:]}")


def check_mode(subject: Subject) -> Judgement:
    """Show which of WeChat Pay's keys verify answers and notifications."""
    if not subject.value("pay.v3"):
        return skip("只用 APIv2", "APIv2 only")
    public = bool(subject.text("pay.v3.public_key") and subject.text("pay.v3.public_key_id"))
    certificates = str(subject.value("pay.v3.certificates") or "").lower() == "true"
    if public and certificates:
        return ok(
            "微信支付公钥与平台证书并用（切换期间如此）", "public key and platform certificates (as during a switch)"
        )
    if public:
        return ok("微信支付公钥", "WeChat Pay public key")
    fix = paste("pay:\n  v3:\n    public_key: /etc/fenpay/pub_key.pem\n    public_key_id: PUB_KEY_ID_…")
    if certificates:
        return warn(
            "平台证书；2024 年 9 月后的新商户号只有微信支付公钥，老商户号也应申请切换",
            "platform certificates; merchant numbers created since September 2024 have only the public key, "
            "and older ones should switch",
            fix,
        )
    return fail("两种都没有，无法验证微信支付的应答", "neither is set, so no response can be verified", fix)


def _secret(subject: Subject, setting: str, name: str) -> Judgement:
    section = setting.rpartition(".")[0]
    if not subject.value(section):
        return skip("没有配置", "not set")
    value = subject.text(setting)
    fix = Bilingual(f"{setting}: …（{CONSOLE.zh} → {name}）", f"{setting}: … ({CONSOLE.en} → {name})")
    if value != value.strip():
        return fail(f"{name}首尾有空白", f"{name} has blanks at its start or end", fix)
    if value.startswith("-----BEGIN"):
        return fail(f"{name}填成了密钥文件", f"{name} is the text of a key file", fix)
    if not _SECRET32.fullmatch(value):
        return fail(f"{name}有 {len(value)} 个字符，要 32 个", f"{name} has {len(value)} characters, not 32", fix)
    if len(set(value)) < 8:
        return fail(f"{name}只由几个字符重复而成", f"{name} repeats a few characters", fix)
    return ok("32 个字符", "32 characters")


def _kind(subject: Subject, setting: str, wanted: Wanted) -> Judgement:
    """Check that the file of ``setting`` is of the wanted kind; otherwise name its kind and the command that corrects
    it."""
    given = subject.key(setting)
    if given is None:
        return skip("没有配置", "not set")
    if given.text is None:
        return skip(f"读不到 {given.path}", f"{given.path} cannot be read")
    if said := correct(given.text, wanted):
        file = str(given.path or "FILE")
        zh, en = said.zh.replace("FILE", file), said.en.replace("FILE", file)
        command = Bilingual(zh.partition("。执行 ")[2] or f"{setting}: …", en.partition(". Run ")[2] or f"{setting}: …")
        return fail(f"{setting}：{zh}", f"{setting}: {en}", command)
    return ok(f"{wanted}", f"{wanted}")


def _private_key(subject: Subject, setting: str) -> Judgement:
    kind = _kind(subject, setting, Wanted.PRIVATE_KEY)
    given = subject.key(setting)
    if kind.status != "ok" or not given or not given.text:
        return kind
    bits = describe_private_key(given.text).bits
    if bits < LEAST_BITS:
        return fail(f"{setting}：RSA {bits} 位，太短", f"{setting}: RSA of {bits} bits, too short", RENEW)
    return ok(f"RSA {bits} 位", f"RSA, {bits} bits")


def _pair(subject: Subject, pair: Pair) -> Judgement:
    certificate, key = subject.key(pair.certificate), subject.key(pair.key)
    facts = _facts(subject, pair.certificate)
    if not facts or not key or not key.text or correct(key.text, Wanted.PRIVATE_KEY) or not certificate:
        return skip("先修正证书与私钥", "fix the certificate and the key first")
    if facts.public != describe_private_key(key.text).public:
        return fail(
            f"{pair.certificate} 与 {pair.key} 不是一对",
            f"{pair.certificate} and {pair.key} do not belong together",
            Bilingual(
                f"换成同一次申请得到的两个文件。比较：openssl x509 -noout -pubkey -in {certificate.path} 与 "
                f"openssl pkey -pubout -in {key.path}",
                "use the two files of the same application. To compare: "
                f"openssl x509 -noout -pubkey -in {certificate.path} with openssl pkey -pubout -in {key.path}",
            ),
        )
    return ok(f"是一对，序列号 {facts.serial}", f"a pair, serial {facts.serial}")


def _facts(subject: Subject, setting: str) -> CertificateFacts | None:
    given = subject.key(setting)
    if not given or not given.text or correct(given.text, Wanted.CERTIFICATE):
        return None
    return describe_certificate(given.text)


CHECKS = (
    Check(
        "keys.appsecret",
        Bilingual("用它换 access_token 和 openid", "it is needed to get access_token and openid"),
        check_appsecret,
        bare=True,
    ),
    Check(
        "keys.v3_key",
        Bilingual(
            "解密微信支付的通知；不对就收不到付款结果", "it decrypts notifications; a wrong one loses payment results"
        ),
        check_v3_key,
        bare=True,
    ),
    Check(
        "keys.v2_key",
        Bilingual("签名 APIv2 的请求，验证它的通知", "it signs APIv2's requests and verifies its notifications"),
        check_v2_key,
        bare=True,
    ),
    Check(
        "keys.different",
        Bilingual(
            "三样东西，填混了是最常见的签名错误",
            "these are three different values; mixing them up is the most common cause of 签名错误",
        ),
        check_different,
        bare=True,
    ),
    Check(
        "keys.merchant_key",
        Bilingual("签名每一个 APIv3 请求", "it signs every APIv3 request"),
        check_merchant_key,
        bare=True,
    ),
    Check(
        "keys.merchant_cert",
        Bilingual("请求里的序列号从它读出", "the serial number in each request is read from it"),
        check_merchant_cert,
        bare=True,
    ),
    Check(
        "keys.merchant_pair",
        Bilingual("不是一对，微信支付就拒绝每个签名", "if they are not a pair, WeChat Pay refuses every signature"),
        check_merchant_pair,
        bare=True,
    ),
    Check(
        "keys.merchant_number",
        Bilingual(
            "别的商户号的证书签不了这个商户号的请求",
            "the certificate of another merchant cannot sign requests of this one",
        ),
        check_owner,
        stops=True,
        bare=True,
    ),
    Check(
        "keys.serial",
        Bilingual("与商户平台不同，说明证书已被替换", "if the console shows another, it was replaced"),
        check_serial,
        bare=True,
    ),
    Check(
        "keys.certificate_end",
        Bilingual("过期后不能下单，也不能退款", "after it expires, orders and refunds fail"),
        check_ends,
        bare=True,
    ),
    Check(
        "keys.client_pair",
        Bilingual("APIv2 退款要出示它", "APIv2 refunds must present it"),
        check_client_pair,
        bare=True,
    ),
    Check(
        "keys.public_key",
        Bilingual("用它验证微信支付的应答和通知", "it verifies WeChat Pay's responses and notifications"),
        check_public_key,
        bare=True,
    ),
    Check(
        "keys.public_key_id",
        Bilingual(
            "每个请求都带着它，应答才用这把钥匙签名",
            "each request contains it, so that WeChat Pay signs the response with this key",
        ),
        check_public_key_id,
        bare=True,
    ),
    Check(
        "keys.mode",
        Bilingual(
            "没有微信支付的密钥，就不知道通知是不是它发的",
            "without WeChat Pay's key, the sender of a notification cannot be verified",
        ),
        check_mode,
        bare=True,
    ),
)
