"""Record calls to WeChat and its notifications, as the settings say."""

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
    """Return the recorder, subscribed to all calls and notifications; none if the settings turn it off."""
    if not settings.enabled:
        return []
    keep, most_daily = timedelta(days=settings.keep_days), settings.max_daily_mb * 1024 * 1024
    recorder = CallRecorder(store, runtime, keep, settings.max_body, most_daily)
    receiver.on_exchange = recorder.record
    for transport in transports:
        transport.on_exchange = recorder.record
    return [recorder]
