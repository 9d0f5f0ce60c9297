"""What a handler works with. Built in ``server.py`` and handed to every plugin."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from settings import Settings
from wechat.account.jssdk import JsSdk
from wechat.account.oauth import OAuth
from wechat.notifications import Inbox
from wechat.orders import Item, Orders
from wechat.ports import NotificationStore, OrderStore, TokenStore

Probe = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Services:
    """The use cases, and the stores that read-only views need. ``probes`` are readiness checks by name."""

    settings: Settings
    orders: Orders
    inbox: Inbox
    oauth: OAuth
    jssdk: JsSdk
    order_store: OrderStore
    notification_store: NotificationStore
    shared: TokenStore
    probes: Mapping[str, Probe]
    catalogue: Mapping[str, Item]
