"""Names of the books' kinds, statuses, actions and sums, for tables that people read."""

from __future__ import annotations

from collections.abc import Mapping

from wechat.domain.errors import Bilingual

KINDS: Mapping[str, Bilingual] = {
    "missing_here": Bilingual("微信有支付、系统未支付", "Paid at WeChat, not here"),
    "missing_there": Bilingual("系统已支付、账单无", "Paid here, not on bill"),
    "amount": Bilingual("金额不一致", "Amount differs"),
    "state": Bilingual("状态不一致", "State differs"),
    "refund_missing_here": Bilingual("账单有退款、系统无", "Refund on bill only"),
    "refund_missing_there": Bilingual("系统有退款、账单无", "Refund here only"),
    "double_payment": Bilingual("重复支付", "Double payment"),
    "unknown_number": Bilingual("系统无此订单", "No such order here"),
}
STATUSES: Mapping[str, Bilingual] = {
    "open": Bilingual("待处理", "Open"),
    "repaired": Bilingual("已处理", "Repaired"),
    "known": Bilingual("已人工核实", "Checked"),
    "gone": Bilingual("复核一致", "Cleared"),
}
ACTION_LABELS: Mapping[str, Bilingual] = {
    "query": Bilingual("查询", "Query"),
    "refund": Bilingual("退款", "Refund"),
    "known": Bilingual("标记为已人工核实", "Mark as checked"),
    "rerun": Bilingual("重新对账", "Rerun"),
}
"""Names of a person's actions, and of a later run."""
AUTHORS: Mapping[str, Bilingual] = {"reconciliation": Bilingual("对账", "reconciliation")}
"""Names of authors without an API key; a key has a name of its own."""
SUMS = (
    ("payments", Bilingual("支付笔数", "Payments")),
    ("received", Bilingual("收款（元）", "Received (yuan)")),
    ("refunds", Bilingual("退款笔数", "Refunds")),
    ("refunded", Bilingual("退款（元）", "Refunded (yuan)")),
    ("fee", Bilingual("手续费（元）", "Fee (yuan)")),
    ("net", Bilingual("净额（元）", "Net (yuan)")),
)
COUNTS = frozenset({"payments", "refunds"})
