"""All settings of the process. settings.yml has the meaning and the unit of each key."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

from pydantic import Field, PrivateAttr
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from service.settings.alarms import AlarmChannel
from service.settings.pay import PaySettings
from service.settings.sections import (
    AccountSettings,
    ApiKey,
    BooksSettings,
    CallsSettings,
    ConsoleSettings,
    HttpSettings,
    LogSettings,
    MongoSettings,
    PluginSettings,
    RedisSettings,
    SessionSettings,
    ShopSettings,
    WorkerSettings,
)
from service.settings.values import MEMORY, BaseUrl
from service.settings.webhooks import WebhookSettings

ENV_PREFIX = "FENPAY_"


class Environment(StrEnum):
    DEMO = "demo"
    PRODUCTION = "production"


class Settings(BaseSettings):
    """All settings of the process. See settings.yml for each key's meaning and unit."""

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
    calls: CallsSettings = CallsSettings()
    mongo: MongoSettings = MongoSettings()
    redis: RedisSettings = RedisSettings()
    workers: WorkerSettings = WorkerSettings()
    console: ConsoleSettings = ConsoleSettings()
    merchants: tuple[ApiKey, ...] = ()
    shop: ShopSettings = ShopSettings()
    webhooks: tuple[WebhookSettings, ...] = ()
    alarms: tuple[AlarmChannel, ...] = ()
    log: LogSettings = LogSettings()
    plugins: tuple[PluginSettings, ...] = Field(min_length=1)
    _file: Path | None = PrivateAttr(None)

    @property
    def file(self) -> Path | None:
        """The file that the settings were read from; None if they were built from values."""
        return self._file

    @property
    def notify_url(self) -> str:
        return f"{self.http.public_base_url}/notify"

    @property
    def plugin_names(self) -> list[str]:
        return [plugin.name for plugin in self.plugins]

    def plugin_options(self, name: str) -> Mapping[str, Any]:
        """Return the options of a plugin; empty without any."""
        return next((plugin.options for plugin in self.plugins if plugin.name == name), {})

    @property
    def simulated(self) -> bool:
        return self.simulator_url is not None

    @property
    def in_memory(self) -> bool:
        """Whether orders are lost when the process ends."""
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
