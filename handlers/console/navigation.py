"""The console's pages in the order of its menu. A page is shown when its plugin is loaded and the role allows it."""

from __future__ import annotations

from collections.abc import Collection
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


ENTRIES = (
    Entry("handlers.console.overview", "/console/overview", Bilingual("概览", "Overview"), Permission.READ),
    Entry("handlers.console.orders", "/console/orders", Bilingual("订单", "Orders"), Permission.READ),
    Entry("handlers.console.refunds", "/console/refunds", Bilingual("退款", "Refunds"), Permission.READ),
    Entry("handlers.console.deliveries", "/console/deliveries", Bilingual("事件推送", "Deliveries"), Permission.READ),
    Entry(
        "handlers.console.notifications",
        "/console/notifications",
        Bilingual("被拒绝的通知", "Refused messages"),
        Permission.READ,
    ),
    Entry(
        "handlers.console.reconciliation",
        "/console/reconciliation",
        Bilingual("对账", "Reconciliation"),
        Permission.READ,
    ),
    Entry("handlers.console.approvals", "/console/approvals", Bilingual("待复核", "To confirm"), Permission.REFUND),
    Entry("handlers.console.design", "/console/design", Bilingual("界面组件", "Components"), Permission.READ_SETTINGS),
    Entry("handlers.console.doctor", "/console/doctor", Bilingual("自检", "Doctor"), Permission.READ_SETTINGS),
    Entry(
        "handlers.console.signature", "/console/signature", Bilingual("签名检查", "Signature"), Permission.READ_PAYLOADS
    ),
    Entry("handlers.console.settings", "/console/settings", Bilingual("设置", "Settings"), Permission.READ_SETTINGS),
    Entry("handlers.console.docs", "/console/docs", Bilingual("文档", "Documents"), Permission.READ),
    Entry("handlers.console.people", "/console/people", Bilingual("用户", "People"), Permission.MANAGE_STAFF),
    Entry("handlers.console.api_keys", "/console/keys", Bilingual("API Key 管理", "API keys"), Permission.MANAGE_KEYS),
    Entry("handlers.console.audit", "/console/audit", Bilingual("审计记录", "Audit log"), Permission.READ_AUDIT),
    Entry("handlers.console.account", "/console/account", Bilingual("我的账号", "My account"), Permission.OWN_ACCOUNT),
)


def entries_for(member: StaffMember, plugins: Collection[str]) -> list[Entry]:
    """What ``member`` may see of the loaded ``plugins``."""
    return [entry for entry in ENTRIES if entry.plugin in plugins and member.may(entry.permission)]
