"""The console's menu, in its order. A page is shown when its plugin is loaded and the role has its permission."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from wechat.domain.errors import Bilingual
from wechat.domain.staff import Permission, StaffMember


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of the menu."""

    plugin: str
    path: str
    label: Bilingual
    permission: Permission


@dataclass(frozen=True, slots=True)
class Group:
    """Menu lines under a heading."""

    label: Bilingual
    entries: Sequence[Entry]


def _entry(module: str, path: str, zh: str, en: str, permission: Permission) -> Entry:
    return Entry(f"handlers.console.{module}", f"/console/{path}", Bilingual(zh, en), permission)


MENU = (
    Group(
        Bilingual("日常", "Daily"),
        (
            _entry("overview", "overview", "概览", "Overview", Permission.READ),
            _entry("orders", "orders", "订单", "Orders", Permission.READ),
            _entry("refunds", "refunds", "退款", "Refunds", Permission.READ),
        ),
    ),
    Group(
        Bilingual("资金", "Money"),
        (
            _entry("reconciliation", "reconciliation", "对账", "Reconciliation", Permission.READ),
            _entry("approvals", "approvals", "待复核", "To confirm", Permission.REFUND),
        ),
    ),
    Group(
        Bilingual("开发", "Developers"),
        (
            _entry("deliveries", "deliveries", "事件推送", "Deliveries", Permission.READ),
            _entry("notifications", "notifications", "通知", "Notifications", Permission.READ),
            _entry("doctor", "doctor", "自检", "Doctor", Permission.READ_SETTINGS),
            _entry("signature", "signature", "签名检查", "Signature", Permission.READ_PAYLOADS),
            _entry("docs", "docs", "文档", "Documents", Permission.READ),
            _entry("design", "design", "界面组件", "Components", Permission.READ_SETTINGS),
        ),
    ),
    Group(
        Bilingual("管理", "Administration"),
        (
            _entry("settings", "settings", "设置", "Settings", Permission.READ_SETTINGS),
            _entry("people", "people", "用户", "People", Permission.MANAGE_STAFF),
            _entry("api_keys", "keys", "API Key 管理", "API keys", Permission.MANAGE_KEYS),
            _entry("audit", "audit", "审计记录", "Audit log", Permission.READ_AUDIT),
            _entry("account", "account", "我的账号", "My account", Permission.OWN_ACCOUNT),
        ),
    ),
)


def menu_for(member: StaffMember, plugins: Collection[str]) -> list[Group]:
    """Return the groups that ``member`` may see of the loaded ``plugins``; empty groups are left out."""
    shown = [
        Group(group.label, [each for each in group.entries if each.plugin in plugins and member.may(each.permission)])
        for group in MENU
    ]
    return [group for group in shown if group.entries]


def entries_for(member: StaffMember, plugins: Collection[str]) -> list[Entry]:
    """Return the lines of ``menu_for`` without headings."""
    return [entry for group in menu_for(member, plugins) for entry in group.entries]
