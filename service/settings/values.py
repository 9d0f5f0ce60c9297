"""Types of values in the settings, each with the sentence that describes valid values."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, SecretStr

from service.settings.addresses import normalise_origin, split_address
from wechat.pay.key_files import Form, read_text, recognise
from wechat.support.validation import Needs

EMBEDDED = "embedded"
MEMORY = "memory"
MAX_ORIGIN = 128
"""Maximum characters of an H5 order's app_url at WeChat."""


def _base_url(url: str) -> str:
    """Normalise an address that paths are added to. Raises Needs."""
    parts = split_address(url)
    if parts.query or parts.fragment or url.endswith(("?", "#")):
        raise Needs(
            "不带参数的 http(s) 完整地址，如 https://pay.example.com", "an absolute http(s) address without query"
        )
    return normalise_origin(parts) + parts.path.rstrip("/")


def _origin(url: str) -> str:
    """Normalise an address without a path, as a browser writes it. Raises Needs."""
    origin = _base_url(url)
    if urlsplit(origin).path:
        raise Needs(
            "不带路径的地址，如 https://pay.example.com；服务占用整个域名",
            "an address without a path, as https://pay.example.com: the service takes the whole host",
        )
    if len(origin) > MAX_ORIGIN:
        raise Needs(f"至多 {MAX_ORIGIN} 个字符的地址", f"an address of {MAX_ORIGIN} characters at most")
    return origin


def check_store_url(words: tuple[str, ...], *schemes: str) -> AfterValidator:
    """Return a validator that accepts one of ``words``, or an address with one of ``schemes``."""

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


def check_secret(least: int) -> AfterValidator:
    def check(secret: SecretStr) -> SecretStr:
        value = secret.get_secret_value()
        if len(value) < least or value != value.strip():
            raise Needs(f"至少 {least} 个字符，首尾没有空白", f"at least {least} characters, no blanks around them")
        return secret

    return AfterValidator(check)


def _pem(value: object) -> object:
    """Return a PEM text with ``\\n`` unescaped, or the content of a path. Its type is checked where it is used."""
    if not isinstance(value, str) or not value or "-----BEGIN" in value:
        return value.replace("\\n", "\n") if isinstance(value, str) else value
    try:
        return read_text(Path(value).read_bytes())
    except (OSError, ValueError):
        if recognise(value).form is Form.BASE64:
            return value
        raise Needs("可读的 PEM 文件路径，或 PEM 原文", "the path of a readable PEM file, or its text") from None


BaseUrl = Annotated[str, AfterValidator(_base_url)]
Origin = Annotated[str, AfterValidator(_origin)]
Key32 = Annotated[SecretStr, AfterValidator(_key32)]
Pem = Annotated[SecretStr, BeforeValidator(_pem)]


class Section(BaseModel):
    """A section of the settings: unknown keys are refused, values do not change after the start."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)
