"""Typed settings: a YAML file, then environment variables (``FENPAY_PAY__API=v2``), which win.

``load`` either returns settings that can work or raises ``ConfigError`` with one sentence per fault, which names the
key and the cure and never shows the value. What the keys mean stands beside them in settings.yml.
"""

from __future__ import annotations

import ipaddress
import os
import re
from datetime import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

import yaml
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, SettingsError

from settings_webhooks import WebhookSettings, webhook_problems
from wechat.domain.errors import ConfigError, Text
from wechat.domain.facts import Api
from wechat.domain.money import MAX_TOTAL
from wechat.refunds.late_payments import LatePolicy
from wechat.support.validation import Needs, need

ENV_PREFIX = "FENPAY_"
EMBEDDED = "embedded"
MEMORY = "memory"
PAY_HOSTS = ("https://api.mch.weixin.qq.com", "https://api2.mch.weixin.qq.com")


class Environment(StrEnum):
    DEMO = "demo"
    PRODUCTION = "production"


def _no_slash(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.netloc or parts.query or parts.fragment:
        raise Needs(
            "不带参数的 http(s) 完整地址，如 https://pay.example.com", "an absolute http(s) address without query"
        )
    return url.rstrip("/")


def _store_url(words: tuple[str, ...], *schemes: str) -> AfterValidator:
    """One of ``words``, or an address with one of ``schemes``."""

    def check(url: str) -> str:
        if url not in words and not (urlsplit(url).scheme in schemes and urlsplit(url).netloc):
            zh, en = "、".join(words), ", ".join(words)
            raise Needs(f"{zh} 或 {schemes[0]}://… 地址", f"{en} or a {schemes[0]}://… address")
        return url

    return AfterValidator(check)


def _key32(key: SecretStr) -> SecretStr:
    value = key.get_secret_value()
    if not re.fullmatch(r"[\x21-\x7e]{32}", value):
        raise Needs(
            "商户平台 API安全 里设置的 32 位密钥", "the 32 characters set under API安全 in the merchant console"
        )
    if len(set(value)) < 8:
        raise Needs("真正的密钥，而不是重复的几个字符", "a real key; this one repeats a few characters")
    return key


def _secret(least: int) -> AfterValidator:
    def check(secret: SecretStr) -> SecretStr:
        value = secret.get_secret_value()
        if len(value) < least or value != value.strip():
            raise Needs(f"至少 {least} 个字符，首尾没有空白", f"at least {least} characters, no blanks around them")
        return secret

    return AfterValidator(check)


def _pem(value: object) -> object:
    """A PEM text as it is, with ``\\n`` unescaped; a path is read. What kind it is is checked where used."""
    if not isinstance(value, str) or not value or "-----BEGIN" in value:
        return value.replace("\\n", "\n") if isinstance(value, str) else value
    try:
        return Path(value).read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):
        raise Needs("可读的 PEM 文件路径，或 PEM 原文", "the path of a readable PEM file, or its text") from None


BaseUrl = Annotated[str, AfterValidator(_no_slash)]
Key32 = Annotated[SecretStr, AfterValidator(_key32)]
Pem = Annotated[SecretStr, BeforeValidator(_pem)]


class Section(BaseModel):
    """A part of the settings: unknown keys are refused, values do not change after the start."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class HttpSettings(Section):
    host: str = "127.0.0.1"
    port: int = Field(8888, ge=0, le=65535)
    public_base_url: BaseUrl
    trusted_proxies: tuple[str, ...] = ("127.0.0.1", "::1")
    verify_files: Path = Path("var/verify")
    drain_s: float = Field(8.0, gt=0, le=60)

    @property
    def origin(self) -> str:
        parts = urlsplit(self.public_base_url)
        return f"{parts.scheme}://{parts.netloc}"


class SessionSettings(Section):
    secret: Annotated[SecretStr, _secret(32)]
    days: int = Field(7, ge=1, le=90)


class AccountSettings(Section):
    appid: str = Field(pattern=r"^(wx|wxsim)[0-9a-zA-Z]{8,30}$")
    appsecret: Annotated[SecretStr, _secret(16)]
    token_call: Literal["stable", "classic"] = "stable"  # noqa: S105 - which call, not a token
    api_url: BaseUrl = "https://api.weixin.qq.com"
    open_url: BaseUrl = "https://open.weixin.qq.com"
    js_url: str = "https://res.wx.qq.com/open/js/jweixin-1.6.0.js"
    js_origins: tuple[BaseUrl, ...] = ()


class V2Settings(Section):
    key: Key32
    sign_type: Literal["HMAC-SHA256", "MD5"] = "HMAC-SHA256"
    client_cert: Pem | None = None
    client_key: Pem | None = None
    ca: Pem | None = None
    refund_urls: tuple[BaseUrl, ...] = ()

    @property
    def can_refund(self) -> bool:
        """Whether there is a client certificate, without which WeChat takes no refund over v2."""
        return bool(self.client_cert and self.client_key)


class V3Settings(Section):
    key: Key32
    merchant_key: Pem
    merchant_cert: Pem
    public_key: Pem | None = None
    public_key_id: str | None = Field(None, pattern=r"^PUB_KEY_ID_[0-9A-Za-z]{1,64}$")
    certificates: bool = False

    @property
    def key_mode_problem(self) -> str:
        """Why answers could not be verified; empty when they can."""
        if bool(self.public_key) != bool(self.public_key_id):
            return "public_key and public_key_id belong together: set both or neither"
        if not self.public_key and not self.certificates:
            return "set public_key and public_key_id (new merchants) or certificates: true (platform certificates)"
        return ""


class PaySettings(Section):
    api: Api = Api.V3
    mchid: str = Field(pattern=r"^[0-9A-Za-z]{8,32}$")
    base_urls: tuple[BaseUrl, ...] = PAY_HOSTS
    order_minutes: int = Field(30, ge=5, le=7 * 24 * 60)
    max_total: int = Field(MAX_TOTAL, ge=1, le=MAX_TOTAL)
    refund_api: Literal["same", "v3"] = "same"
    late_policy: LatePolicy = LatePolicy.ASK
    v2: V2Settings | None = None
    v3: V3Settings | None = None


class BooksSettings(Section):
    after: str = Field("10:05", pattern=r"^(09:[3-5][0-9]|1[0-9]:[0-5][0-9])$")
    directory: Path = Path("var/bills")
    keep_days: int = Field(90, ge=1, le=3650)

    @property
    def after_time(self) -> time:
        return time.fromisoformat(self.after)


class MongoSettings(Section):
    url: Annotated[str, _store_url((EMBEDDED, MEMORY), "mongodb", "mongodb+srv")] = EMBEDDED
    database: str = Field("fenpay", pattern=r"^[A-Za-z0-9_-]{1,38}$")
    driver: Literal["motor", "pymongo"] = "motor"
    directory: Path = Path("var/mongo")


class RedisSettings(Section):
    url: Annotated[str, _store_url((EMBEDDED,), "redis", "rediss")] = EMBEDDED
    prefix: str = "fenpay:"
    directory: Path = Path("var/redis")


class WorkerSettings(Section):
    loops: int = Field(16, ge=1, le=256)


class ApiKey(Section):
    name: str = Field(pattern=r"^[A-Za-z0-9_-]{1,32}$")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class Product(Section):
    sku: str = Field(pattern=r"^[A-Za-z0-9_-]{1,32}$")
    name: str = Field(min_length=1, max_length=40)
    name_en: str = Field(min_length=1, max_length=40)
    price: int = Field(ge=1, le=MAX_TOTAL, strict=True)
    picture: str = ""


class ShopSettings(Section):
    name: str = "Fenpay"
    name_en: str = "Fenpay"
    max_quantity: int = Field(99, ge=1, le=999)
    products: tuple[Product, ...] = ()


class LogSettings(Section):
    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["json", "text"] = "json"


class Settings(BaseSettings):
    """Everything the process is told. See settings.yml for each key's meaning and unit."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX,
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
        nested_model_default_partial_update=True,
    )

    environment: Environment = Environment.PRODUCTION
    simulator_url: BaseUrl | None = None
    http: HttpSettings
    session: SessionSettings
    account: AccountSettings
    pay: PaySettings
    books: BooksSettings = BooksSettings()
    mongo: MongoSettings = MongoSettings()
    redis: RedisSettings = RedisSettings()
    workers: WorkerSettings = WorkerSettings()
    merchants: tuple[ApiKey, ...] = ()
    shop: ShopSettings = ShopSettings()
    webhooks: tuple[WebhookSettings, ...] = ()
    log: LogSettings = LogSettings()
    plugins: tuple[str, ...] = Field(min_length=1)

    @property
    def notify_url(self) -> str:
        return f"{self.http.public_base_url}/notify"

    @property
    def simulated(self) -> bool:
        return self.simulator_url is not None

    @property
    def in_memory(self) -> bool:
        """Whether orders are gone when the process ends."""
        return self.mongo.url == MEMORY

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment wins over the file, which arrives as keyword arguments."""
        return env_settings, init_settings

    @classmethod
    def build(cls, values: dict[str, Any]) -> Self:
        """Settings from ``values`` and the environment. Raises ConfigError."""
        if strays := _stray_variables(cls):
            raise ConfigError(strays)
        try:
            settings = cls(**values)
        except ValidationError as error:
            raise ConfigError([_sentence(fault) for fault in error.errors()]) from None
        except SettingsError as error:
            raise ConfigError([_not_json(error)]) from None
        problems = [*_problems(settings)]
        if problems:
            raise ConfigError(problems)
        return settings


def load(path: Path) -> Settings:
    """The settings of ``path`` and of the files it builds on (``extends: other.yml``), under the environment."""
    return Settings.build(_read(path))


def _read(path: Path, above: tuple[Path, ...] = ()) -> dict[str, Any]:
    """The merged values; ``above`` are the files that led here. Raises ConfigError."""
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except OSError:
        raise ConfigError([Text(f"读不到设置文件 {path}", f"the settings file {path} cannot be read")]) from None
    except (yaml.YAMLError, UnicodeDecodeError):
        raise ConfigError([Text(f"{path} 不是合法的 YAML", f"{path} is not valid YAML")]) from None
    if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
        raise ConfigError([Text(f"{path} 的最外层应是键值", f"{path} must hold keys and values")])
    base = values.pop("extends", None)
    if base is None:
        return values
    if not isinstance(base, str) or path.resolve() in above:
        raise ConfigError([Text("extends：要求另一个文件的路径", "extends: must be the path of another file")])
    return _merge(_read(path.parent / base, (*above, path.resolve())), values)


def _merge(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _merge(merged[key], value) if both else value
    return merged


def _sentence(fault: ErrorDetails) -> Text:
    location, kind = fault["loc"], fault["type"]
    key = ".".join(str(part) for part in location)
    if kind == "extra_forbidden":
        return Text(
            f"{key}：没有这个设置，请检查拼写或删除",
            f"{key}: there is no such setting; check its spelling or remove it",
        )
    if kind == "missing":
        env = ENV_PREFIX + "__".join(str(part) for part in location).upper()
        return Text(
            f"{key}：缺少，请在设置文件或环境变量 {env} 中给出", f"{key}: missing; set it in the file or as {env}"
        )
    wanted = need(fault)
    return Text(f"{key}：要求{wanted.zh}", f"{key}: must {wanted.en}")


def _stray_variables(settings_cls: type[BaseSettings]) -> list[Text]:
    """Variables with our prefix that name no setting: pydantic would pass over them, and so would whoever mistyped one.

    Below the first level the sections themselves refuse what they do not know.
    """
    named = [name for name in os.environ if name.upper().startswith(ENV_PREFIX)]
    strays = [
        name
        for name in sorted(named)
        if name.upper().removeprefix(ENV_PREFIX).partition("__")[0].lower() not in settings_cls.model_fields
    ]
    return [
        Text(
            f"环境变量 {name}：没有这个设置，请检查拼写或删除",
            f"the variable {name}: there is no such setting; check it or unset it",
        )
        for name in strays
    ]


def _not_json(error: SettingsError) -> Text:
    """A list or a section in an environment variable that does not parse."""
    found = re.search(r'field "(\w+)"', str(error))
    name = ENV_PREFIX + (found[1].upper() if found else "…")
    return Text(f"{name}：要求一段 JSON", f"{name}: must be JSON")


def _problems(settings: Settings) -> list[Text]:
    """What single keys cannot show: things that contradict each other, and what production forbids."""
    checks = [*_gateway_problems(settings.pay), *_equal_secrets(settings), *webhook_problems(settings.webhooks)]
    if settings.environment is Environment.PRODUCTION:
        checks += _production_problems(settings)
    return [Text(f"{key}：{zh}", f"{key}: {en}") for key, zh, en in checks]


Check = tuple[str, str, str]


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
    """The three secrets that people confuse are three different texts."""
    secrets = {"account.appsecret": settings.account.appsecret.get_secret_value()}
    if settings.pay.v2:
        secrets["pay.v2.key"] = settings.pay.v2.key.get_secret_value()
    if settings.pay.v3:
        secrets["pay.v3.key"] = settings.pay.v3.key.get_secret_value()
    names = list(secrets)
    return [
        (
            b,
            f"与 {a} 相同；AppSecret、APIv2 密钥、APIv3 密钥是三样东西",
            f"equals {a}; AppSecret, APIv2 key and APIv3 key are three things",
        )
        for i, a in enumerate(names)
        for b in names[i + 1 :]
        if secrets[a] == secrets[b]
    ]


def _production_problems(settings: Settings) -> list[Check]:
    found: list[Check] = []
    for key, url, example in (
        ("mongo.url", settings.mongo.url, "mongodb://"),
        ("redis.url", settings.redis.url, "redis://"),
    ):
        if url in (EMBEDDED, MEMORY):
            found.append(
                (
                    key,
                    f"生产环境不用 {url}，请填 {example}…",
                    f"production does not use {url}; set a {example}… address",
                )
            )
    if settings.simulator_url or settings.account.appid.startswith("wxsim") or settings.pay.mchid.startswith("sim"):
        found.append(
            (
                "simulator_url",
                "生产环境不接模拟器及其账号，请换成真实账号并删除此项",
                "production refuses the simulator and its accounts; use real ones and remove this",
            )
        )
    if not _public_https(settings.http.public_base_url):
        found.append(
            (
                "http.public_base_url",
                "需要公网可访问的 https 地址，微信才能回调",
                "needs a public https address that WeChat can call",
            )
        )
    outward = {
        "pay.base_urls": settings.pay.base_urls,
        "pay.v2.refund_urls": settings.pay.v2.refund_urls if settings.pay.v2 else (),
        "account.api_url": (settings.account.api_url,),
    }
    for name, urls in outward.items():
        if not all(url.startswith("https://") for url in urls):
            found.append((name, "生产环境只用 https", "production uses https only"))
    return found


def _public_https(url: str) -> bool:
    parts = urlsplit(url)
    host = parts.hostname or ""
    try:
        return parts.scheme == "https" and ipaddress.ip_address(host).is_global
    except ValueError:
        return parts.scheme == "https" and "." in host and not host.endswith((".local", ".localhost", ".internal"))
