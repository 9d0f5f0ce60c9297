"""Texts of the pages of the reconciliation."""

from __future__ import annotations

from collections.abc import Mapping

from wechat.domain.errors import Bilingual
from wechat.reconciliation.accounts import Account

TEXTS: Mapping[str, Bilingual] = {
    "reconciliation": Bilingual("对账", "Reconciliation"),
    "months": Bilingual("月份", "Month"),
    "earlier": Bilingual("上一月", "Earlier"),
    "later": Bilingual("下一月", "Later"),
    "weekdays": Bilingual("一 二 三 四 五 六 日", "Mon Tue Wed Thu Fri Sat Sun"),
    "balanced": Bilingual("一致", "balanced"),
    "open": Bilingual("{count} 条待处理", "{count} open"),
    "settled": Bilingual("差异已处理", "repaired"),
    "waits": Bilingual("等待账单", "waiting for the bill"),
    "pale_days": Bilingual(
        "浅色：还没有到，或在开始记账之前。", "Pale: future days, and days before the ledger starts."
    ),
    "before": Bilingual("开始记账之前", "before the ledger starts"),
    "today": Bilingual("今天", "today"),
    "yesterday": Bilingual("昨天 {day}", "Yesterday {day}"),
    "not_run": Bilingual("未对账", "not reconciled"),
    "month_csv": Bilingual("导出本月 CSV", "This month as CSV"),
    "month_xlsx": Bilingual("导出本月 XLSX", "This month as XLSX"),
    "day_csv": Bilingual("差异 CSV", "Differences as CSV"),
    "day_xlsx": Bilingual("对账 XLSX", "Books as XLSX"),
    "bill": Bilingual("微信账单", "WeChat's bill"),
    "no_bill": Bilingual(
        "微信支付没有这一天的账单：这一天没有交易。", "WeChat Pay has no bill of this day: nothing was traded."
    ),
    "print": Bilingual("此页可直接打印", "You can print this page"),
    "run": Bilingual("立即对账", "Reconcile now"),
    "run_again": Bilingual("重新对账", "Reconcile again"),
    "run_done": Bilingual("对账完成", "Reconciled"),
    "not_yet": Bilingual(
        "这一天还没有对过账。前一日的账单在北京时间 {after} 之后下载，对账随后自动进行。",
        "This day has not been reconciled. Its bill is available from {after} on the next day, Beijing "
        "time. The reconciliation then runs automatically.",
    ),
    "sums": Bilingual("合计", "Totals"),
    "ours": Bilingual("系统", "This system"),
    "theirs": Bilingual("微信", "WeChat"),
    "delta": Bilingual("相差", "Difference"),
    "finished": Bilingual("对账时间", "Reconciled at"),
    "unread": Bilingual("账单中无法读取的行：{lines}", "Lines of the bill that cannot be read: {lines}"),
    "differences": Bilingual("差异", "Differences"),
    "no_differences": Bilingual("双方完全一致。", "Both sides agree."),
    "more": Bilingual("更多差异", "More differences"),
    "found": Bilingual("发现于 {at}，已持续 {age}", "found at {at}, {age} ago"),
    "nothing_there": Bilingual("没有记录", "no record"),
    "order": Bilingual("商户订单号", "Order"),
    "transaction": Bilingual("微信支付订单号", "Transaction"),
    "refund": Bilingual("商户退款单号", "Refund"),
    "amount": Bilingual("金额", "Amount"),
    "state": Bilingual("状态", "State"),
    "time": Bilingual("时间", "Time"),
    "history": Bilingual("处理记录", "What was done"),
    "act_query": Bilingual(
        "向微信支付查询这笔单据，按其结果更正系统记录。",
        "Queries WeChat Pay and corrects the record of this system by its response.",
    ),
    "act_refund": Bilingual(
        "先向微信支付查证，再将这笔重复支付原路退款。",
        "Confirms the payment with WeChat Pay, then refunds this second payment.",
    ),
    "act_known": Bilingual("不做改动，只记录有人核实过。", "Changes nothing; records that a person has checked it."),
    "repaired": Bilingual("操作完成，这条差异现在：{status}", "Done; this difference is now: {status}"),
    "waits_for_second": Bilingual(
        "金额超过限额，已提交第二人复核", "The amount is above the limit; the refund is waiting for a second person"
    ),
    "waiting": Bilingual("退款等待第二人复核。", "The refund is waiting for a second person."),
    "to_approvals": Bilingual("查看待复核", "View waiting actions"),
    "sums_of": Bilingual(
        "合计与账簿截至对账时间；处理差异后点「重新对账」更新。",
        "Totals and ledger are those at the time of the reconciliation. After a repair, reconcile again.",
    ),
    "refund_surplus": Bilingual("重复支付退款", "refund a duplicate payment"),
    "ledger": Bilingual("账簿", "Ledger"),
    "account": Bilingual("科目", "Account"),
    "debit": Bilingual("借", "Debit"),
    "credit": Bilingual("贷", "Credit"),
    "total": Bilingual("合计", "Total"),
    "event": Bilingual("事项", "Event"),
    "date": Bilingual("日期", "Date"),
    "payments": Bilingual("支付笔数", "Payments"),
    "received": Bilingual("收款（元）", "Received (yuan)"),
    "refunds": Bilingual("退款笔数", "Refunds"),
    "refunded": Bilingual("退款（元）", "Refunded (yuan)"),
    "fee": Bilingual("手续费（元）", "Fee (yuan)"),
    "net": Bilingual("净额（元）", "Net (yuan)"),
    "found_count": Bilingual("差异数", "Differences"),
}

ACCOUNTS: Mapping[Account, Bilingual] = {
    Account.WALLET: Bilingual("微信支付余额", "Wallet"),
    Account.SALES: Bilingual("销售收入", "Sales"),
    Account.REFUNDS: Bilingual("销售退款", "Refunds"),
    Account.COUPONS: Bilingual("优惠抵扣", "Coupons"),
    Account.FEES: Bilingual("手续费", "Fees"),
}
EVENTS: Mapping[str, Bilingual] = {
    "received": Bilingual("收款", "Received"),
    "refunded": Bilingual("退款", "Refunded"),
    "fee": Bilingual("手续费", "Fee"),
}
