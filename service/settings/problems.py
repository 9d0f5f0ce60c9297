"""Check several settings together: contradictions, and what production forbids."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from service.settings.model import Environment, Settings
from service.settings.pay import PaySettings
from service.settings.placeholders import find_placeholders
from service.settings.values import EMBEDDED, MEMORY
from service.settings.webhooks import webhook_problems
from wechat.domain.errors import Bilingual
from wechat.domain.facts import Api

Check = tuple[str, str, str]


def find_problems(settings: Settings) -> list[Bilingual]:
    """Return a sentence for each problem."""
    checks = [*_gateway_problems(settings.pay), *_equal_secrets(settings), *webhook_problems(settings.webhooks)]
    if settings.environment is Environment.PRODUCTION:
        checks += _production_problems(settings)
    return [Bilingual(f"{key}：{zh}", f"{key}: {en}") for key, zh, en in checks]


def _gateway_problems(pay: PaySettings) -> list[Check]:
    found: list[Check] = []
    if (pay.v2 if pay.api is Api.V2 else pay.v3) is None:
        key = f"pay.{pay.api}"
        found.append(
            (key, f"pay.api 选了 {pay.api}，但没有这一节", f"pay.api chooses {pay.api}, so this section is needed")
        )
    if pay.v2 and bool(pay.v2.client_cert) != bool(pay.v2.client_key):
        missing = "client_key" if pay.v2.client_cert else "client_cert"
        found.append((f"pay.v2.{missing}", "证书与私钥要成对给出", "goes with its other half: set both or neither"))
    if pay.refund_api == "v3" and pay.v3 is None:
        found.append(("pay.refund_api", "选了 v3，但没有 pay.v3 这一节", "chooses v3, so the section pay.v3 is needed"))
    if pay.v3 and pay.v3.key_mode_problem:
        found.append(("pay.v3", "微信支付公钥与平台证书至少配好一种，公钥与其 ID 要成对", pay.v3.key_mode_problem))
    return found


def _equal_secrets(settings: Settings) -> list[Check]:
    """Find equal values among the three secrets that people confuse."""
    secrets = {"account.appsecret": settings.account.appsecret.get_secret_value()}
    if settings.pay.v2:
        secrets["pay.v2.key"] = settings.pay.v2.key.get_secret_value()
    if settings.pay.v3:
        secrets["pay.v3.key"] = settings.pay.v3.key.get_secret_value()
    names = list(secrets)
    return [
        (
            b,
            f"与 {a} 相同；AppSecret、APIv2密钥、APIv3密钥互不相同",
            f"equals {a}; AppSecret, APIv2 key and APIv3 key differ from each other",
        )
        for i, a in enumerate(names)
        for b in names[i + 1 :]
        if secrets[a] == secrets[b]
    ]


def _production_problems(settings: Settings) -> list[Check]:
    return [
        *_placeholder_problems(settings),
        *_relative_folders(settings),
        *_login_link(settings),
        *_embedded_stores(settings),
        *_simulator(settings),
        *_insecure_addresses(settings),
    ]


def _embedded_stores(settings: Settings) -> list[Check]:
    stores = (("mongo.url", settings.mongo.url, "mongodb://"), ("redis.url", settings.redis.url, "redis://"))
    return [
        (key, f"生产环境不用 {url}，请填 {example}…", f"production does not use {url}; set a {example}… address")
        for key, url, example in stores
        if url in (EMBEDDED, MEMORY)
    ]


def _simulator(settings: Settings) -> list[Check]:
    accounts = (settings.account.appid, settings.pay.app_appid, settings.pay.mchid)
    if not settings.simulator_url and not any(account.startswith(("wxsim", "sim")) for account in accounts):
        return []
    zh = "生产环境不接模拟器及其账号，请换成真实账号并删除此项"
    return [("simulator_url", zh, "production refuses the simulator and its accounts; use real ones and remove this")]


def _insecure_addresses(settings: Settings) -> list[Check]:
    found: list[Check] = []
    if not _public_https(settings.http.public_base_url):
        zh = "需要公网可访问的 https 地址，微信才能回调"
        found.append(("http.public_base_url", zh, "needs a public https address that WeChat can call"))
    outward = {
        "pay.base_urls": settings.pay.base_urls,
        "pay.v2.refund_urls": settings.pay.v2.refund_urls if settings.pay.v2 else (),
        "account.api_url": (settings.account.api_url,),
    }
    for name, urls in outward.items():
        if not all(url.startswith("https://") for url in urls):
            found.append((name, "生产环境只用 https", "production uses https only"))
    return found


def _placeholder_problems(settings: Settings) -> list[Check]:
    v2, v3 = settings.pay.v2, settings.pay.v3
    given = {
        "account": {"appid": settings.account.appid},
        "http": {"public_base_url": settings.http.public_base_url},
        "pay": {
            "mchid": settings.pay.mchid,
            "app_appid": settings.pay.app_appid,
            "v2": {"key": v2.key.get_secret_value()} if v2 else None,
            "v3": {"public_key_id": v3.public_key_id} if v3 else None,
        },
        "webhooks": [{"name": hook.name, "url": hook.url} for hook in settings.webhooks],
    }
    return [
        (
            key,
            "还是模板或文档里的示例值，请换成自己的",
            "is still a sample of the template or of WeChat's documents; set yours",
        )
        for key in find_placeholders(given)
    ]


def _login_link(settings: Settings) -> list[Check]:
    if not settings.console.demo_login_sha256:
        return []
    zh, en = "一次性登录链接只用于演示，请删除此项", "the link that logs in once is for the demo only; remove this"
    return [("console.demo_login_sha256", zh, en)]


def _relative_folders(settings: Settings) -> list[Check]:
    """Find relative folders: they depend on where the process was started, and change with the next upgrade."""
    folders = {"books.directory": settings.books.directory, "http.verify_files": settings.http.verify_files}
    return [
        (key, "生产环境要用绝对路径，如 /var/lib/fenpay", "production needs an absolute path, such as /var/lib/fenpay")
        for key, folder in folders.items()
        if not folder.is_absolute()
    ]


def _public_https(url: str) -> bool:
    parts = urlsplit(url)
    host = parts.hostname or ""
    try:
        return parts.scheme == "https" and ipaddress.ip_address(host).is_global
    except ValueError:
        return parts.scheme == "https" and "." in host and not host.endswith((".local", ".localhost", ".internal"))
