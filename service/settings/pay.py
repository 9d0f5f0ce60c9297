"""The ``pay`` section: the merchant, and its keys for each API version."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from service.settings.values import BaseUrl, Key32, Pem, Section
from wechat.domain.facts import Api
from wechat.domain.money import MAX_TOTAL
from wechat.refunds.late_payments import LatePolicy

PAY_HOSTS = ("https://api.mch.weixin.qq.com", "https://api2.mch.weixin.qq.com")


class V2Settings(Section):
    key: Key32
    other_key: Key32 | None = None
    sign_type: Literal["HMAC-SHA256", "MD5"] = "HMAC-SHA256"
    client_cert: Pem | None = None
    client_key: Pem | None = None
    ca: Pem | None = None
    refund_urls: tuple[BaseUrl, ...] = ()

    @property
    def can_refund(self) -> bool:
        """Whether there is a client certificate, which WeChat Pay requires for refunds over v2."""
        return bool(self.client_cert and self.client_key)


class V3Settings(Section):
    key: Key32
    other_key: Key32 | None = None
    merchant_key: Pem
    merchant_cert: Pem
    public_key: Pem | None = None
    public_key_id: str | None = Field(None, pattern=r"^PUB_KEY_ID_[0-9A-Za-z]{1,64}$")
    certificates: bool = False

    @property
    def key_mode_problem(self) -> str:
        """The reason why answers could not be verified; empty if they can."""
        if bool(self.public_key) != bool(self.public_key_id):
            return "public_key and public_key_id belong together: set both or neither"
        if not self.public_key and not self.certificates:
            return "set public_key and public_key_id (new merchants) or certificates: true (platform certificates)"
        return ""


class PaySettings(Section):
    api: Api = Api.V3
    app_appid: str = Field("", pattern=r"^((wx|wxsim)[0-9a-zA-Z]{8,30})?$")
    mchid: str = Field(pattern=r"^[0-9A-Za-z]{8,32}$")
    base_urls: tuple[BaseUrl, ...] = PAY_HOSTS
    order_minutes: int = Field(30, ge=5, le=7 * 24 * 60)
    max_total: int = Field(MAX_TOTAL, ge=1, le=MAX_TOTAL)
    refund_api: Literal["same", "v3"] = "same"
    refund_funds: Literal["default", "AVAILABLE", "UNSETTLED"] = "default"
    late_policy: LatePolicy = LatePolicy.ASK
    v2: V2Settings | None = None
    v3: V3Settings | None = None
