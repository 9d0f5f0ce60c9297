"""The sections of the settings. ``pay``, ``webhooks`` and ``alarms`` have modules of their own."""

from __future__ import annotations

import re
from datetime import time
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit
from zlib import crc32

from pydantic import AfterValidator, AwareDatetime, BeforeValidator, Field, SecretStr, model_validator

from service.settings.values import EMBEDDED, MEMORY, BaseUrl, Origin, Section, check_secret, check_store_url
from wechat.domain.api_keys import KEY_NAME, Scope
from wechat.domain.money import MAX_TOTAL
from wechat.domain.staff import Role
from wechat.support.requests import Line, text_for_wechat
from wechat.support.validation import Needs

MAX_NAME = 120
"""Maximum bytes of a product's name: an order's description has 127, and " × 999" takes seven."""


WHOLE = BeforeValidator(lambda value: int(value) if isinstance(value, str) and value.isdecimal() else value)
"""A strict number that may be given as text, as in an environment variable."""


def _check_pattern(value: str) -> str:
    try:
        re.compile(value, re.ASCII)
    except re.error:
        raise Needs("一个正则表达式，例如 TILL-.*", "a regular expression, for example TILL-.*") from None
    return value


def _check_proxy(value: str) -> str:
    """Raise Needs unless the value is an IP address in the form of a connection's peer; both are compared as texts."""
    try:
        return str(ip_address(value))
    except ValueError:
        raise Needs("一个 IP 地址，不是主机名或网段", "an IP address, neither a name nor a network") from None


class HttpSettings(Section):
    host: str = "127.0.0.1"
    port: int = Field(8888, ge=0, le=65535)
    public_base_url: Origin
    trusted_proxies: tuple[Annotated[str, AfterValidator(_check_proxy)], ...] = ("127.0.0.1", "::1")
    verify_files: Path = Path("var/verify")
    drain_s: float = Field(8.0, gt=0, le=60)

    @property
    def origin(self) -> str:
        parts = urlsplit(self.public_base_url)
        return f"{parts.scheme}://{parts.netloc}"


class SessionSettings(Section):
    secret: Annotated[SecretStr, check_secret(32)]
    other_secret: Annotated[SecretStr, check_secret(32)] | None = None
    days: int = Field(7, ge=1, le=90)
    valid_from: AwareDatetime | None = None

    @property
    def secrets_by_version(self) -> dict[int, str]:
        """The secrets that cookies may be signed with, the one for new cookies first. Versions are derived from the
        secrets, so that they stay the same when two secrets change places; 0 is the version of cookies of release
        0.1.0."""
        texts = [each.get_secret_value() for each in (self.secret, self.other_secret) if each]
        return {crc32(text.encode()) or 1: text for text in texts} | {0: texts[0]}


class AccountSettings(Section):
    appid: str = Field(pattern=r"^(wx|wxsim)[0-9a-zA-Z]{8,30}$")
    appsecret: Annotated[SecretStr, check_secret(16)]
    token_call: Literal["stable", "classic"] = "stable"  # noqa: S105 - which call, not a token
    api_url: BaseUrl = "https://api.weixin.qq.com"
    open_url: BaseUrl = "https://open.weixin.qq.com"
    js_url: str = "https://res.wx.qq.com/open/js/jweixin-1.6.0.js"
    js_origins: tuple[Origin, ...] = ()


class BooksSettings(Section):
    after: str = Field("10:05", pattern=r"^(09:[3-5][0-9]|1[0-9]:[0-5][0-9])$")
    directory: Path = Path("var/bills")
    keep_days: int = Field(90, ge=1, le=3650)
    foreign_numbers: tuple[Annotated[str, AfterValidator(_check_pattern)], ...] = ()

    @property
    def after_time(self) -> time:
        return time.fromisoformat(self.after)


class MongoSettings(Section):
    url: Annotated[str, check_store_url((EMBEDDED, MEMORY), "mongodb", "mongodb+srv")] = EMBEDDED
    database: str = Field("fenpay", pattern=r"^[A-Za-z0-9_-]{1,38}$")
    driver: Literal["motor", "pymongo"] = "motor"
    directory: Path = Path("var/mongo")


class RedisSettings(Section):
    url: Annotated[str, check_store_url((EMBEDDED,), "redis", "rediss")] = EMBEDDED
    prefix: str = "fenpay:"
    directory: Path = Path("var/redis")


class CallsSettings(Section):
    enabled: bool = True
    keep_days: int = Field(30, ge=1, le=3650)
    max_body: int = Field(16_384, ge=256, le=65_536)
    max_daily_mb: int = Field(500, ge=1, le=100_000)


class WorkerSettings(Section):
    loops: int = Field(16, ge=1, le=256)


class ApiKey(Section):
    name: str = Field(pattern=f"^{KEY_NAME.pattern}$")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    scopes: tuple[Scope, ...] = tuple(Scope)


class Product(Section):
    sku: str = Field(pattern=r"^[A-Za-z0-9_-]{1,32}$")
    name: Annotated[Line, text_for_wechat(MAX_NAME)] = Field(min_length=1, max_length=40)
    name_en: str = Field(min_length=1, max_length=40)
    price: int = Field(ge=1, le=MAX_TOTAL, strict=True)
    picture: str = ""


class ConsoleSettings(Section):
    enabled: bool = True
    idle_minutes: int = Field(60, ge=1, le=1440)
    absolute_hours: int = Field(12, ge=1, le=168)
    second_person_above: Annotated[int, WHOLE] = Field(0, ge=0, le=MAX_TOTAL, strict=True)
    totp_required: tuple[Role, ...] = ()
    demo_login_sha256: str = Field("", pattern=r"^([0-9a-f]{64})?$")


class ShopSettings(Section):
    name: Annotated[Line, text_for_wechat(64)] = "Fenpay"
    name_en: str = "Fenpay"
    max_quantity: int = Field(99, ge=1, le=999)
    landing: bool = False
    products: tuple[Product, ...] = ()


class LogSettings(Section):
    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["json", "text"] = "json"


class PluginSettings(Section):
    """A plugin's module and options: ``name``, or ``name: {option: value}``."""

    name: str = Field(pattern=r"^[A-Za-z_][\w.]*$")
    options: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _from_short_form(cls, value: Any) -> Any:
        if isinstance(value, str):
            return {"name": value}
        if isinstance(value, PluginSettings) or (isinstance(value, dict) and isinstance(value.get("name"), str)):
            return value
        if isinstance(value, dict) and len(value) == 1:
            [(name, options)] = value.items()
            return {"name": name, "options": options or {}}
        raise Needs("模块名，或 模块名: {选项: 值}", "a module's name, or name: {option: value}")
