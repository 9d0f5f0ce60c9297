"""Build the channels of alarms from the settings."""

from __future__ import annotations

from collections.abc import Sequence

from service.settings.alarms import AlarmChannel, MailSettings, RobotChannel
from wechat.alarms.announcer import Channel
from wechat.alarms.channels import (
    HttpChannel,
    MailChannel,
    MailServer,
    any_answer,
    build_dingtalk,
    build_feishu,
    build_webhook,
    build_wecom,
    code_is_zero,
    errcode_is_zero,
)
from wechat.domain.ports import Clock, Runtime
from wechat.support.transport import Transport


def build_channels(settings: Sequence[AlarmChannel], runtime: Runtime, machine: Clock) -> list[Channel]:
    """Return the channels. ``machine`` dates the signatures of robots."""
    return [
        _mail(channel, runtime) if isinstance(channel, MailSettings) else _robot(channel, runtime, machine)
        for channel in settings
    ]


def _robot(channel: RobotChannel, runtime: Runtime, machine: Clock) -> HttpChannel:
    secret = channel.secret.get_secret_value()
    build, accepted = {
        "wecom": (build_wecom, errcode_is_zero),
        "dingtalk": (build_dingtalk(secret, machine), errcode_is_zero),
        "feishu": (build_feishu(secret, machine), code_is_zero),
        "webhook": (build_webhook, any_answer),
    }[channel.kind]
    transport = Transport(runtime.telemetry)
    return HttpChannel(channel.name, channel.language, channel.url.get_secret_value(), transport, build, accepted)


def _mail(channel: MailSettings, runtime: Runtime) -> MailChannel:
    server = MailServer(
        channel.host,
        channel.port,
        channel.security,
        channel.user,
        channel.password.get_secret_value(),
        channel.sender,
        channel.recipients,
    )
    return MailChannel(channel.name, channel.language, server, runtime.threads)
