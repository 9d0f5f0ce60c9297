"""Texts of the overview."""

from __future__ import annotations

from collections.abc import Mapping

from wechat.domain.errors import Bilingual

TEXTS: Mapping[str, Bilingual] = {
    "overview": Bilingual("概览", "Overview"),
    "today": Bilingual("今天", "Today"),
    "yesterday": Bilingual("昨天此时", "yesterday by this time"),
    "last_week": Bilingual("上周同日此时", "last week by this time"),
    "received": Bilingual("收款", "Received"),
    "created": Bilingual("新订单", "Orders"),
    "paid": Bilingual("支付笔数", "Payments"),
    "rate": Bilingual("支付成功率", "Success rate"),
    "rate_hint": Bilingual("当天创建的订单中已支付的比例", "share of the orders created that day that are paid"),
    "refunded": Bilingual("退款", "Refunded"),
    "net": Bilingual("净收款", "Net"),
    "net_hint": Bilingual("收款减退款，未扣手续费", "received less refunded, before fees"),
    "waiting": Bilingual("等待支付", "Waiting for payment"),
    "open_differences": Bilingual("待处理差异", "Open differences"),
    "counted_until": Bilingual("统计截至 {time}", "counted until {time}"),
    "not_counted": Bilingual("正在统计，请稍候", "Counting; please wait"),
    "live": Bilingual("实时更新", "Updates live"),
    "needs_person": Bilingual("需要处理", "Needs a person"),
    "all_well": Bilingual("目前没有需要人工处理的事项。", "Nothing needs a person right now."),
    "to_confirm": Bilingual("等待第二人复核", "Waiting for a second person"),
    "alarms": Bilingual("告警", "Alarms"),
    "seen": Bilingual("标记为已看", "Mark as seen"),
    "seen_done": Bilingual("已标记为已看", "Marked as seen"),
    "times": Bilingual("{count} 次", "{count} times"),
    "late": Bilingual("已收款、未发货", "Paid, goods not released"),
    "late_hint": Bilingual(
        "订单关闭后支付或非下单用户支付，尚未退款",
        "paid after the order was closed or by another payer, and not refunded",
    ),
    "stuck_refunds": Bilingual("异常或过慢的退款", "Abnormal or slow refunds"),
    "stuck_hint": Bilingual(
        "退款异常，请到商户平台处理；迟迟没有结果的，可以在订单页面查询。",
        "Handle an abnormal refund on the merchant platform; query a slow one on its order's page.",
    ),
    "differences": Bilingual("待处理的对账差异", "Open differences"),
    "dead": Bilingual("已放弃的推送", "Deliveries that were given up"),
    "resend": Bilingual("重新推送", "Send again"),
    "resend_done": Bilingual("已重新推送", "It is being sent again"),
    "service": Bilingual("服务状态", "Service status"),
    "examine": Bilingual("运行自检", "Run the doctor"),
    "look": Bilingual("查看", "View"),
    "history": Bilingual("走势", "History"),
    "days": Bilingual("{count} 天", "{count} days"),
    "by_hour": Bilingual("{day} 按小时", "{day} by hour"),
    "as_table": Bilingual("以表格查看", "As a table"),
    "day": Bilingual("日期", "Day"),
    "hour": Bilingual("时段", "Hour"),
    "by_group": Bilingual("按渠道和交易类型", "By channel and trade type"),
    "channel": Bilingual("渠道", "Channel"),
    "trade_type": Bilingual("交易类型", "Trade type"),
    "no_sales": Bilingual("这段时间没有订单。", "There were no orders in this period."),
    "no_sales_next": Bilingual("查看 {count} 天", "Show {count} days"),
    "no_sales_orders": Bilingual("查看全部订单", "Show all orders"),
    "more_than": Bilingual("{count} 以上", "over {count}"),
    "chart": Bilingual(
        "每日收款与退款的图，数据见下方表格",
        "Chart of received and refunded amounts by day; the table below has the figures",
    ),
}
