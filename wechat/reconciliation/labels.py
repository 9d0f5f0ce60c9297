"""What the books' kinds, statuses, actions and sums are called, for tables that people read."""

from __future__ import annotations

from collections.abc import Mapping

from wechat.domain.errors import Text

KINDS: Mapping[str, Text] = {
    "missing_here": Text("微信有支付、系统未支付", "Paid at WeChat, not here"),
    "missing_there": Text("系统已支付、账单无", "Paid here, not on bill"),
    "amount": Text("金额不一致", "Amount differs"),
    "state": Text("状态不一致", "State differs"),
    "refund_missing_here": Text("账单有退款、系统无", "Refund on bill only"),
    "refund_missing_there": Text("系统有退款、账单无", "Refund here only"),
    "double_payment": Text("重复支付", "Double payment"),
    "unknown_number": Text("系统无此订单", "No such order here"),
}
STATUSES: Mapping[str, Text] = {
    "open": Text("待处理", "Open"),
    "repaired": Text("已处理", "Repaired"),
    "known": Text("已人工核实", "Checked"),
    "gone": Text("复核一致", "Cleared"),
}
ACTION_LABELS: Mapping[str, Text] = {
    "query": Text("查询", "Query"),
    "refund": Text("退款", "Refund"),
    "known": Text("标记为已人工核实", "Mark as checked"),
    "rerun": Text("重新对账", "Rerun"),
}
"""Actions as an audit names them: a person's, and that of a later run."""
AUTHORS: Mapping[str, Text] = {"reconciliation": Text("对账", "reconciliation")}
"""Who acts without a key; a key goes by its own name."""
SUMS = (
    ("payments", Text("支付笔数", "Payments")),
    ("received", Text("收款（元）", "Received (yuan)")),
    ("refunds", Text("退款笔数", "Refunds")),
    ("refunded", Text("退款（元）", "Refunded (yuan)")),
    ("fee", Text("手续费（元）", "Fee (yuan)")),
    ("net", Text("净额（元）", "Net (yuan)")),
)
COUNTS = frozenset({"payments", "refunds"})
