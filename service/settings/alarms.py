"""The ``alarms`` section of the settings: the channels that alarms are sent to."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, SecretStr

from service.settings.values import Section
from service.settings.webhooks import check_webhook_url


def _check_address(url: SecretStr) -> SecretStr:
    return SecretStr(check_webhook_url(url.get_secret_value()))


SecretUrl = Annotated[SecretStr, AfterValidator(_check_address)]
"""The address of a robot holds its key."""


class RobotChannel(Section):
    """A robot of a group chat, or any receiver of JSON. ``secret`` signs (dingtalk, feishu)."""

    kind: Literal["wecom", "dingtalk", "feishu", "webhook"]
    name: str = Field(pattern=r"^[A-Za-z0-9_-]{1,32}$")
    url: SecretUrl
    secret: SecretStr = SecretStr("")
    language: Literal["zh", "en"] = "zh"


class MailSettings(Section):
    """Mail by SMTP."""

    kind: Literal["mail"]
    name: str = Field(pattern=r"^[A-Za-z0-9_-]{1,32}$")
    host: str = Field(min_length=1)
    port: int = Field(465, ge=1, le=65535)
    security: Literal["tls", "starttls", "none"] = "tls"
    user: str = ""
    password: SecretStr = SecretStr("")
    sender: str = Field(pattern=r"^[^@\s]+@[^@\s]+$")
    recipients: tuple[Annotated[str, Field(pattern=r"^[^@\s]+@[^@\s]+$")], ...] = Field(min_length=1)
    language: Literal["zh", "en"] = "zh"


AlarmChannel = Annotated[RobotChannel | MailSettings, Field(discriminator="kind")]
