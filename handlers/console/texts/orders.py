"""Texts of the list of orders."""

from __future__ import annotations

from collections.abc import Mapping

from wechat.domain.errors import Bilingual

TEXTS: Mapping[str, Bilingual] = {
    "orders": Bilingual("订单", "Orders"),
    "found_by": Bilingual("“{text}” 的查找结果", "Results for “{text}”"),
    "state": Bilingual("状态", "State"),
    "every_state": Bilingual("全部状态", "All states"),
    "trade_type": Bilingual("交易类型", "Trade type"),
    "every_type": Bilingual("全部类型", "All types"),
    "from": Bilingual("下单日期从", "Ordered from"),
    "to": Bilingual("到", "To"),
    "least": Bilingual("金额不低于（元）", "At least (yuan)"),
    "most": Bilingual("金额不高于（元）", "At most (yuan)"),
    "channel": Bilingual("收款渠道", "Channel"),
    "every_channel": Bilingual("全部渠道", "All channels"),
    "export": Bilingual("导出", "Export"),
    "exported": Bilingual("已导出 {count} 笔", "{count} orders exported"),
    "exporting": Bilingual("正在导出，已读取 {count} 笔", "Exporting, {count} orders read"),
    "export_failed": Bilingual("导出中断，请重试", "The export was interrupted; try again"),
    "live": Bilingual("实时更新", "Live"),
    "created_at": Bilingual("下单时间", "Ordered at"),
    "order": Bilingual("商户订单号 / 商品", "Order no. / item"),
    "total": Bilingual("金额", "Amount"),
    "refunded": Bilingual("已退款", "Refunded"),
    "paid_at": Bilingual("支付时间", "Paid at"),
    "more": Bilingual("更多订单", "More orders"),
    "reached": Bilingual(
        "已查到 {at} 的订单，还没有找满一页。", "Orders back to {at} were searched; the page is not full yet."
    ),
    "look_on": Bilingual("继续向前查找", "Search further back"),
    "end": Bilingual("没有更早的订单", "There are no earlier orders"),
    "none_found": Bilingual("没有找到订单", "No order was found"),
    "none_found_next": Bilingual(
        "请核对单号是否完整，或输入最后六位以上、金额（如 18.00）、商品名称；也可以放宽筛选条件。",
        "Check that the number is complete, or type its last six characters or more, an amount such as 18.00, or an"
        " item. You can also widen the filters.",
    ),
    "too_short": Bilingual(
        "“{text}”太短，无法按单号查找：请至少输入单号的最后六位。",
        "“{text}” is too short for a number: type at least its last six characters.",
    ),
    "none_found_pay": Bilingual(
        "用户付了款却查不到时：请对方打开微信账单，把“商户单号”发给你。",
        "If a payer's order is not found, ask the payer for the merchant order number in the WeChat bill.",
    ),
    "no_orders": Bilingual("还没有订单", "There are no orders yet"),
    "no_orders_next": Bilingual(
        "第一笔订单创建后会立刻出现在这里。", "The first order appears here as soon as it is placed."
    ),
    "to_shop": Bilingual("打开店铺下一单", "Open the shop and order"),
    "bad_date": Bilingual("请按 2026-03-01 的格式填写日期", "Write the date as 2026-03-01"),
    "bad_amount": Bilingual("请填写金额，单位元，如 18.00", "Write an amount in yuan, such as 18.00"),
    "bad_choice": Bilingual("没有这个选项", "There is no such choice"),
    "turned_round": Bilingual("后一个日期或金额小于前一个", "The second date or amount is less than the first"),
}

COLUMNS = (
    Bilingual("下单时间", "Ordered at"),
    Bilingual("商户订单号", "out_trade_no"),
    Bilingual("微信支付订单号", "transaction_id"),
    Bilingual("状态", "State"),
    Bilingual("商品", "Description"),
    Bilingual("附加数据", "attach"),
    Bilingual("金额（元）", "Amount (yuan)"),
    Bilingual("用户支付（元）", "Paid by the payer (yuan)"),
    Bilingual("已退款（元）", "Refunded (yuan)"),
    Bilingual("支付时间", "Paid at"),
    Bilingual("交易类型", "Trade type"),
    Bilingual("接口版本", "API"),
    Bilingual("收款渠道", "Channel"),
    Bilingual("状态代码", "State (code)"),
    Bilingual("交易类型代码", "Trade type (code)"),
    Bilingual("收款渠道代码", "Channel (code)"),
)
"""Columns of an export: names for people, then codes for programs."""
WIDTHS = (20, 30, 32, 18, 30, 24, 12, 14, 12, 20, 14, 8, 12, 12, 12, 12)
