"""What the books' kinds, statuses, actions and sums are called, for tables that people read."""

from __future__ import annotations

from collections.abc import Mapping

from wechat.domain.errors import Text

KINDS: Mapping[str, Text] = {
    "missing_here": Text("我方缺失", "Missing here"),
    "missing_there": Text("微信缺失", "Missing there"),
    "amount": Text("金额不符", "Amount differs"),
    "state": Text("状态不符", "State differs"),
    "refund_missing_here": Text("我方缺退款", "Refund missing here"),
    "refund_missing_there": Text("微信缺退款", "Refund missing there"),
    "double_payment": Text("重复支付", "Double payment"),
    "unknown_number": Text("未知订单号", "Unknown number"),
}
STATUSES: Mapping[str, Text] = {
    "open": Text("待处理", "Open"),
    "repaired": Text("已修复", "Repaired"),
    "known": Text("已知晓", "Known"),
    "gone": Text("已消失", "Gone"),
}
DEEDS: Mapping[str, Text] = {
    "query": Text("查询", "Query"),
    "refund": Text("退回", "Refund"),
    "known": Text("记为已知晓", "Noted"),
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
