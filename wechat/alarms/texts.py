"""The meaning of each kind of alarm, and the command to run next."""

from __future__ import annotations

import re
from collections.abc import Mapping

from wechat.domain.alarms import Alarm
from wechat.domain.brackets import add_details
from wechat.domain.errors import Bilingual
from wechat.domain.labels import MISMATCHES
from wechat.notifications.reasons import REASONS
from wechat.sign_explain.slips import SlipCode, describe_code
from wechat.support.cli_hints import command

ORDER, DAY, HERE = "why", "reconcile", ""

MEANINGS: Mapping[str, Bilingual] = {
    "paid_late": Bilingual(
        "订单关闭之后用户才支付，未发货", "the payer paid after the order was closed; goods not released"
    ),
    "openid_differs": Bilingual(
        "非下单用户支付，未发货", "a person other than the order's payer paid; goods not released"
    ),
    "refunded_elsewhere": Bilingual(
        "支付已在商户平台退款，未发货", "the payment was refunded in the merchant console; goods not released"
    ),
    "late_money_kept": Bilingual("异常支付未能自动退款", "an exceptional payment was not refunded automatically"),
    "refund_abnormal": Bilingual(
        "退款异常，须在商户平台处理", "a refund is abnormal; handle it in the merchant console"
    ),
    "refund_closed": Bilingual("退款被微信支付关闭", "WeChat Pay closed a refund"),
    "refund_refused": Bilingual("退款被拒绝", "a refund was refused"),
    "refund_slow": Bilingual("退款多日没有最终结果", "a refund has had no final result for days"),
    "refund_not_now": Bilingual("退款暂未受理，将自动重试", "a refund is not accepted for now; it will be sent again"),
    "event_undelivered": Bilingual(
        "事件未能推送给业务系统，已放弃", "an event could not be delivered; delivery was given up"
    ),
    "books_differ": Bilingual("对账有差异", "the reconciliation found differences"),
    "bill_lines_unread": Bilingual(
        "账单有无法读取的行，其余已对账", "some lines of the bill cannot be read; the rest was reconciled"
    ),
    "bill_late": Bilingual("账单迟迟不可下载", "the bill is late"),
    "reconciliation_failed": Bilingual("对账失败", "the reconciliation failed"),
    "certificate_ends": Bilingual("证书即将过期或已过期", "a certificate expires soon, or has expired"),
    "notifications_refused": Bilingual("持续有通知被拒绝", "notifications are refused repeatedly"),
}
"""Sentences without the order or day, which ``sentence`` adds."""
MISMATCH = Bilingual("微信支付的结果与订单不一致", "WeChat Pay's result does not match the order")
HEALTH = "health_"
HEALTH_MEANINGS: Mapping[str, Bilingual] = {
    "wechat": Bilingual("连不上微信", "WeChat cannot be reached"),
    "pay": Bilingual("微信支付不接受本系统的凭据", "WeChat Pay does not accept the credentials"),
    "keys": Bilingual(
        "没有可用的微信支付公钥或平台证书", "there is no usable WeChat Pay public key or platform certificate"
    ),
    "token": Bilingual("无法获取 access_token", "an access_token cannot be obtained"),
    "allow_list": Bilingual("服务器 IP 不在白名单", "the server's IP is not on the allow list"),
    "clock": Bilingual("本机时间与微信相差过大", "this machine's clock is too far from WeChat's"),
    "notifications": Bilingual("通知持续被拒绝", "notifications are refused repeatedly"),
}
"""Sentences by the name of the check; the check of certificates has an alarm of its own."""
CODES = re.compile(r"[0-9][0-9-]*|[A-Z][A-Z0-9_]{2,}")
DETAILS: Mapping[str, str] = {"books_differ": "{} 条差异", "bill_lines_unread": "第 {} 行"}
"""The units of the numbers in the Chinese details."""
OF_DAYS = frozenset({"books_differ", "bill_lines_unread", "bill_late", "reconciliation_failed"})
REFUSED = "notifications_refused"


def sentence(alarm: Alarm) -> Bilingual:
    """Describe an alarm in one line: its meaning, its subject, and the details."""
    meaning, slips, details = _describe_kind(alarm), _describe_slips(alarm), _describe_error(alarm)
    zh = "，".join(filter(None, (alarm.subject, details.zh)))
    en = ", ".join(filter(None, (alarm.subject, details.en)))
    return add_details(Bilingual(f"{meaning.zh}{slips.zh}", f"{meaning.en}{slips.en}"), Bilingual(zh, en))


def _describe_kind(alarm: Alarm) -> Bilingual:
    """Describe the alarm without its subject."""
    if alarm.kind in MEANINGS:
        meaning, reason = MEANINGS[alarm.kind], REASONS.get(alarm.subject) if alarm.kind == REFUSED else None
        return Bilingual(f"{meaning.zh}：{reason.text.zh}", f"{meaning.en}: {reason.text.en}") if reason else meaning
    if alarm.kind.startswith(HEALTH):
        name = alarm.kind.removeprefix(HEALTH)
        return HEALTH_MEANINGS.get(name, Bilingual(f"服务检查未通过：{name}", f"a service check fails: {name}"))
    verdict = MISMATCHES.get(alarm.kind.partition("_")[2])
    return Bilingual(f"{MISMATCH.zh}：{verdict.zh}", f"{MISMATCH.en}: {verdict.en}") if verdict else MISMATCH


def _describe_error(alarm: Alarm) -> Bilingual:
    """Return the details. An error is the log's English sentence; its numbers, dates and codes make the Chinese
    text."""
    if alarm.error in ("", alarm.subject):
        return Bilingual("", "")
    return Bilingual(DETAILS.get(alarm.kind, "{}").format("、".join(CODES.findall(alarm.error))), alarm.error)


def _describe_slips(alarm: Alarm) -> Bilingual:
    """Describe the slips whose codes are in the alarm's error."""
    slips = [describe_code(word) for word in alarm.error.split() if word in list(SlipCode)]
    return Bilingual("".join(f"；{slip.zh}" for slip in slips), "".join(f"; {slip.en}" for slip in slips))


def step(alarm: Alarm) -> str:
    """Return the command to run next."""
    if alarm.kind.startswith(HEALTH):
        return command("doctor", "--live")
    if alarm.kind == REFUSED:
        return command("notify list", "--reason", alarm.subject)
    if alarm.kind in OF_DAYS:
        return command("reconcile", alarm.subject)
    return command("why", alarm.subject) if alarm.subject else command("alarms list")
