"""Every store of the service over one database, whichever it is."""

from __future__ import annotations

from collections.abc import Callable

from storage.documents import BulkDocuments
from storage.group_commit import GroupCommit
from storage.stores.alarms import Alarms
from storage.stores.api_keys import ApiKeys
from storage.stores.approvals import Approvals
from storage.stores.audit import AuditEntries
from storage.stores.book_entries import BookEntries
from storage.stores.calls import Calls
from storage.stores.days import Days, Differences
from storage.stores.deliveries import Deliveries
from storage.stores.notifications import Notifications
from storage.stores.numbers import Claims, Numbers
from storage.stores.orders import Orders
from storage.stores.plugin_records import PluginRecords
from storage.stores.refused import RefusedNotifications
from storage.stores.staff import LoginFailures, StaffMembers, StaffSessions
from storage.stores.statistics import DaySummaries, StatisticsEntries
from wechat.domain.ports import Clock, Random

ORDERS = "order_documents"
NUMBERS = "numbers"
CLAIMS = "request_claims"
NOTIFICATIONS = "received_notifications"
DELIVERIES = "event_deliveries"
DAYS = "reconciled_days"
DIFFERENCES = "day_differences"
PLUGIN_RECORDS = "plugin_records"
REFUSED = "refused_notifications"
ALARMS = "alarms"
CALLS = "recorded_calls"
STAFF = "staff_members"
STAFF_SESSIONS = "staff_sessions"
FAILED_LOGINS = "failed_logins"
AUDIT = "audit_entries"
SUMMARIES = "day_summaries"
APPROVALS = "approvals"
API_KEYS = "api_keys"
COLLECTIONS = (
    ORDERS, NUMBERS, CLAIMS, NOTIFICATIONS, REFUSED, ALARMS, DELIVERIES, DAYS, DIFFERENCES, PLUGIN_RECORDS,
    STAFF, STAFF_SESSIONS, FAILED_LOGINS, AUDIT, APPROVALS, API_KEYS, SUMMARIES, CALLS,
)  # fmt: skip
"""Names that release 0.1.0 did not use: its documents cannot share a collection with today's."""
EXPIRING = (CLAIMS, NOTIFICATIONS, REFUSED, ALARMS, DELIVERIES, STAFF_SESSIONS, FAILED_LOGINS, APPROVALS, CALLS)
"""Collections whose documents are removed after their ``expires_at``."""


class Stores:
    """The stores, each behind a group commit of its own collection. Close them last."""

    def __init__(self, collection: Callable[[str], BulkDocuments], clock: Clock, random: Random) -> None:
        commits = {name: GroupCommit(collection(name)) for name in COLLECTIONS}
        self._commits = commits
        self.orders = Orders(commits[ORDERS], clock)
        self.numbers = Numbers(commits[NUMBERS], random)
        self.claims = Claims(commits[CLAIMS])
        self.notifications = Notifications(commits[NOTIFICATIONS], clock)
        self.refused = RefusedNotifications(commits[REFUSED])
        self.alarms = Alarms(commits[ALARMS])
        self.calls = Calls(commits[CALLS])
        self.deliveries = Deliveries(commits[DELIVERIES], clock)
        self.days = Days(commits[DAYS])
        self.differences = Differences(commits[DIFFERENCES])
        self.plugin_records = PluginRecords(commits[PLUGIN_RECORDS])
        self.staff = StaffMembers(commits[STAFF])
        self.staff_sessions = StaffSessions(commits[STAFF_SESSIONS], clock)
        self.failed_logins = LoginFailures(commits[FAILED_LOGINS])
        self.audit = AuditEntries(commits[AUDIT], clock)
        self.approvals = Approvals(commits[APPROVALS], clock)
        self.api_keys = ApiKeys(commits[API_KEYS])
        self.book_entries = BookEntries(commits[ORDERS], self.numbers)
        self.summaries = DaySummaries(commits[SUMMARIES])
        self.statistics_entries = StatisticsEntries(commits[ORDERS], clock)

    async def close(self) -> None:
        """Return once every operation under way is answered."""
        for commit in self._commits.values():
            await commit.close()
