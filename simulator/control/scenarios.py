"""The names of the scenarios of payments and refunds. The command line reads them as well."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from wechat.domain.errors import Bilingual


class Scenario(StrEnum):
    SUCCESS = "success"
    CANCEL = "cancel"
    NOT_ENOUGH = "not_enough"
    LOST_NOTIFICATION = "lost_notification"
    DUPLICATE = "duplicate"
    LATE = "late"
    FORGED = "forged"
    WRONG_AMOUNT = "wrong_amount"
    STALE = "stale"
    PROBE = "probe"
    OUT_OF_ORDER = "out_of_order"


class RefundScenario(StrEnum):
    SUCCESS = "success"
    SLOW = "slow"
    STUCK = "stuck"
    ABNORMAL = "abnormal"
    CLOSED = "closed"
    LOST_NOTIFICATION = "lost_notification"
    DUPLICATE = "duplicate"
    LATE = "late"
    FORGED = "forged"
    PROBE = "probe"


SCENARIO_NAMES: Mapping[Scenario, Bilingual] = {
    Scenario.SUCCESS: Bilingual("成功", "success"),
    Scenario.CANCEL: Bilingual("取消", "cancel"),
    Scenario.NOT_ENOUGH: Bilingual("余额不足", "balance too low"),
    Scenario.LOST_NOTIFICATION: Bilingual("已付款，通知丢失", "paid, notification lost"),
    Scenario.DUPLICATE: Bilingual("通知重复（同时三次）", "notified three times at once"),
    Scenario.LATE: Bilingual("通知迟到 6 秒", "notified 6 s late"),
    Scenario.FORGED: Bilingual("未付款，伪造通知", "not paid, forged notification"),
    Scenario.WRONG_AMOUNT: Bilingual("通知金额不符", "notification with another total"),
    Scenario.STALE: Bilingual("先收到过期通知", "an outdated notification first"),
    Scenario.PROBE: Bilingual("先收到探测签名", "a signature probe first"),
    Scenario.OUT_OF_ORDER: Bilingual("通知乱序，先于页面", "out of order, before the page gets the result"),
}
REFUND_SCENARIO_NAMES: Mapping[RefundScenario, Bilingual] = {
    RefundScenario.SUCCESS: Bilingual("成功", "success"),
    RefundScenario.SLOW: Bilingual("两小时后到账", "the money arrives after two hours"),
    RefundScenario.STUCK: Bilingual("七天后关闭", "closed after seven days"),
    RefundScenario.ABNORMAL: Bilingual("退款异常", "abnormal: the card cannot receive it"),
    RefundScenario.CLOSED: Bilingual("退款关闭", "closed"),
    RefundScenario.LOST_NOTIFICATION: Bilingual("通知丢失", "notification lost"),
    RefundScenario.DUPLICATE: Bilingual("通知重复（同时三次）", "notified three times at once"),
    RefundScenario.LATE: Bilingual("通知迟到 6 秒", "notified 6 s late"),
    RefundScenario.FORGED: Bilingual("先收到伪造通知", "a forged notification first"),
    RefundScenario.PROBE: Bilingual("先收到探测签名", "a signature probe first"),
}
