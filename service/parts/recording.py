"""The part of the composition root that has calls to WeChat, and its notifications, recorded."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from service.settings.sections import CallsSettings
from wechat.calls.recorder import CallRecorder
from wechat.domain.ports import CallStore, Runtime
from wechat.notifications.receiver import NotificationReceiver
from wechat.support.transport import Transport


def record_calls(
    settings: CallsSettings,
    store: CallStore,
    transports: Sequence[Transport],
    receiver: NotificationReceiver,
    runtime: Runtime,
) -> list[CallRecorder]:
    """The recorder, which is told of everything from now on; none where the settings want none."""
    if not settings.enabled:
        return []
    recorder = CallRecorder(store, runtime, timedelta(days=settings.keep_days), settings.max_body)
    receiver.on_exchange = recorder.record
    for transport in transports:
        transport.on_exchange = recorder.record
    return [recorder]
