"""What each kind of alarm means, and the command to go on with."""

from __future__ import annotations

from collections.abc import Mapping

from wechat.domain.alarms import Alarm
from wechat.domain.errors import Bilingual
from wechat.explain.slips import SlipCode, describe_code
from wechat.notifications.reasons import REASONS
from wechat.support.cli_hints import command

ORDER, DAY, HERE = "why", "reconcile", ""

MEANINGS: Mapping[str, Bilingual] = {
    "paid_late": Bilingual(
        "订单关闭之后用户才支付，未发货", "the payer paid after the order was closed; no goods went out"
    ),
    "openid_differs": Bilingual(
        "非下单用户支付，未发货", "another person than the order's payer paid; no goods went out"
    ),
    "refunded_elsewhere": Bilingual(
        "支付已在商户平台退款，未发货", "the payment was refunded in the merchant console; no goods went out"
    ),
    "late_money_kept": Bilingual("异常支付未能自动退款", "an exceptional payment was not refunded automatically"),
    "refund_abnormal": Bilingual(
        "退款异常，须在商户平台处理", "a refund is abnormal; handle it in the merchant console"
    ),
    "refund_closed": Bilingual("退款被微信支付关闭", "WeChat Pay closed a refund"),
    "refund_refused": Bilingual("退款被拒绝", "a refund was refused"),
    "refund_slow": Bilingual("退款多日没有最终结果", "a refund has had no final result for days"),
    "refund_not_now": Bilingual("退款暂未受理，将自动重试", "a refund was not taken for now and is tried again"),
    "event_undelivered": Bilingual(
        "事件未能推送给业务系统，已放弃", "an event could not be delivered and was given up on"
    ),
    "books_differ": Bilingual("对账有差异", "the books differ from WeChat Pay's bill"),
    "bill_lines_unread": Bilingual(
        "账单有无法读取的行，其余已对账", "lines of the bill make no sense; the rest was reconciled"
    ),
    "bill_late": Bilingual("账单迟迟不可下载", "the bill is late"),
    "reconciliation_failed": Bilingual("对账失败", "the reconciliation failed"),
    "certificate_ends": Bilingual("证书即将过期或已过期", "a certificate ends soon, or has ended"),
    "notifications_refused": Bilingual("持续有通知被拒绝", "notifications are refused again and again"),
}
"""Without the order or day, which is told beside it."""
MISMATCH = Bilingual("微信支付的结果与订单不一致", "what WeChat Pay says does not match the order")
HEALTH = "health_"
OF_DAYS = frozenset({"books_differ", "bill_lines_unread", "bill_late", "reconciliation_failed"})
REFUSED = "notifications_refused"


def sentence(alarm: Alarm) -> Bilingual:
    """One line about an alarm."""
    if alarm.kind.startswith(HEALTH):
        name = alarm.kind.removeprefix(HEALTH)
        return Bilingual(f"{name}：{alarm.error}", f"{name}: {alarm.error}")
    if alarm.kind == REFUSED and alarm.subject in REASONS:
        return _describe_refused(alarm)
    meaning, slips = MEANINGS.get(alarm.kind, MISMATCH), _describe_slips(alarm)
    about = f" {alarm.subject}" if alarm.subject else ""
    kind = f"{alarm.kind}{about}"
    detail = f"，{alarm.error}" if alarm.error and alarm.error != alarm.subject else ""
    english = f", {alarm.error}" if detail else ""
    return Bilingual(f"{meaning.zh}{slips.zh}（{kind}{detail}）", f"{meaning.en}{slips.en} ({kind}{english})")


def _describe_refused(alarm: Alarm) -> Bilingual:
    """Why notifications are refused: the reason, and the slip where it was found out."""
    meaning, why, slips = MEANINGS[REFUSED], REASONS[alarm.subject].text, _describe_slips(alarm)
    about = " ".join([alarm.subject, alarm.error]).strip()
    return Bilingual(f"{meaning.zh}：{why.zh}{slips.zh}（{about}）", f"{meaning.en}: {why.en}{slips.en} ({about})")


def _describe_slips(alarm: Alarm) -> Bilingual:
    """What made a signature wrong, of the codes in an alarm's error."""
    slips = [describe_code(word) for word in alarm.error.split() if word in list(SlipCode)]
    return Bilingual("".join(f"；{slip.zh}" for slip in slips), "".join(f"; {slip.en}" for slip in slips))


def step(alarm: Alarm) -> str:
    """What to run."""
    if alarm.kind.startswith(HEALTH):
        return command("doctor", "--live")
    if alarm.kind == REFUSED:
        return command("notify list", "--reason", alarm.subject)
    if alarm.kind in OF_DAYS:
        return command("reconcile", alarm.subject)
    return command("why", alarm.subject) if alarm.subject else command("alarms list")
