"""The names of everything that is counted and measured. Their help texts and labels stand where they are exported."""

from __future__ import annotations

from enum import StrEnum


class Metric(StrEnum):
    """A metric by its exported name."""

    ALARMS = "fenpay_alarms_total"
    ORDERS = "fenpay_orders_total"
    PAID_FEN = "fenpay_paid_fen_total"
    ORDER_CHECKS = "fenpay_order_checks_total"
    UNCONFIRMED_ORDERS = "fenpay_unconfirmed_orders"
    OLDEST_DUE_ORDER = "fenpay_oldest_due_seconds"
    REFUNDS = "fenpay_refunds_total"
    REFUNDED_FEN = "fenpay_refunded_fen_total"
    REFUND_CHECKS = "fenpay_refund_checks_total"
    OVERDUE_REFUNDS = "fenpay_overdue_refunds"
    OLDEST_DUE_REFUND = "fenpay_oldest_due_refund_seconds"
    NOTIFICATIONS = "fenpay_notify_total"
    NOTIFICATION_SECONDS = "fenpay_notify_handle_seconds"
    NOTIFICATION_LAG = "fenpay_notify_lag_seconds"
    REFUSED_NOT_KEPT = "fenpay_refused_notifications_not_kept_total"
    LAST_NOTIFICATION = "fenpay_last_accepted_notification_timestamp_seconds"
    ALARM_MESSAGES = "fenpay_alarm_messages_total"
    HEALTH = "fenpay_health"
    CLOCK_OFFSET = "fenpay_clock_offset_seconds"
    EVENT_DELIVERIES = "fenpay_event_deliveries_total"
    PENDING_EVENTS = "fenpay_outbox_pending"
    OLDEST_EVENT = "fenpay_outbox_oldest_due_seconds"
    UNRECONCILED_DAY = "fenpay_unreconciled_day_age_seconds"
    CLIENT_ERRORS = "fenpay_client_errors_total"
    TOKEN_REFRESHES = "fenpay_token_refresh_total"  # noqa: S105 - a metric
    CERTIFICATE_EXPIRY = "fenpay_cert_expiry_timestamp_seconds"
    CALLS_DROPPED = "fenpay_calls_not_recorded_total"
    API_REQUEST_SECONDS = "fenpay_api_request_seconds"
