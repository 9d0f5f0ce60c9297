"""Texts of the page of components."""

from __future__ import annotations

from collections.abc import Mapping

from wechat.domain.errors import Bilingual

TEXTS: Mapping[str, Bilingual] = {
    "design": Bilingual("界面组件", "Components"),
    "about": Bilingual(
        "店铺、收银台、管理后台和微信模拟器共用这些组件。写页面时使用这里的类名，颜色、间距、字号取自 tokens.css。",
        "The shop, the cashier, the console and the WeChat simulator share these components. Pages use the class names"
        " shown here; colours, spacing and type come from tokens.css.",
    ),
    "colours": Bilingual("颜色", "Colours"),
    "button": Bilingual("按钮", "Button"),
    "button_use": Bilingual(
        "每个区域最多一个主按钮；退款等动钱的操作用红色。",
        "At most one primary button per area; red for actions that pay money out, such as refunds.",
    ),
    "primary": Bilingual("主要操作", "Primary"),
    "ordinary": Bilingual("普通操作", "Ordinary"),
    "danger": Bilingual("确认退款", "Refund"),
    "quiet": Bilingual("次要操作", "Quiet"),
    "mild": Bilingual("返回", "Back"),
    "small": Bilingual("小按钮", "Small"),
    "waiting": Bilingual("处理中", "Waiting"),
    "field": Bilingual("输入项", "Field"),
    "field_use": Bilingual(
        "错误紧跟输入框，说明怎样改。", "An error stands beside its control and says what to write."
    ),
    "reason": Bilingual("退款原因", "Reason"),
    "reason_hint": Bilingual("用户会看到，最多 80 个字符", "The payer reads it; 80 characters at most"),
    "amount": Bilingual("退款金额（元）", "Amount (yuan)"),
    "amount_error": Bilingual("最多可退 ¥13.00", "At most ¥13.00 can be refunded"),
    "funds": Bilingual("资金来源", "Paid from"),
    "funds_choice": Bilingual("由微信支付决定", "Left to WeChat Pay"),
    "table": Bilingual("表格", "Table"),
    "table_use": Bilingual(
        "金额右对齐、等宽数字；窄屏时每行变成一块（stacks），次要列隐藏（later）。",
        "Amounts are right-aligned with digits of equal width. On a phone each row becomes a block "
        "(stacks), and less important columns are hidden (later).",
    ),
    "day": Bilingual("日期", "Day"),
    "received": Bilingual("收款", "Received"),
    "refunds": Bilingual("退款", "Refunds"),
    "net": Bilingual("净额", "Net"),
    "total": Bilingual("合计", "Total"),
    "badge": Bilingual("状态", "Badge"),
    "badge_use": Bilingual("状态总有文字，不只靠颜色。", "A state always has a word, never only a colour."),
    "card": Bilingual("卡片", "Card"),
    "card_head": Bilingual("卡片标题", "A card's heading"),
    "tabs": Bilingual("标签页", "Tabs"),
    "tab_story": Bilingual("经过", "Story"),
    "tab_refunds": Bilingual("退款", "Refunds"),
    "tab_events": Bilingual("推送", "Deliveries"),
    "parts": Bilingual("小部件", "Small parts"),
    "parts_ribbon": Bilingual("模拟环境 · 不涉及真实资金", "Simulation · no real money moves"),
    "parts_row": Bilingual(
        "一行：左边的内容占满，右边是按钮", "A row: the content on the left fills the space, the button is on the right"
    ),
    "parts_use": Bilingual(
        "横幅在每个模拟页面的顶端；旋转图标表示正在等待，旁边要有文字；.unseen 的内容只给读屏软件。",
        "The ribbon is at the top of each simulated page. A spinner shows that the page is waiting; text "
        "beside it says for what. .unseen content is only for screen readers.",
    ),
    "dialog": Bilingual("对话框", "Dialog"),
    "dialog_use": Bilingual(
        "按 ? 打开本页的快捷键说明，就是一个对话框。", "Press ? for the keyboard help of this page: it is a dialog."
    ),
    "flash": Bilingual("提示", "Flash"),
    "flash_info": Bilingual("已向微信支付查询，状态没有变化。", "WeChat Pay was queried; nothing has changed."),
    "flash_done": Bilingual("退款已提交。", "The refund was submitted."),
    "flash_wait": Bilingual(
        "退款结果未知，正在查询，请勿重复提交。",
        "The outcome of the refund is unknown and is being queried; do not submit it again.",
    ),
    "flash_error": Bilingual("退款未提交：可退金额不足。", "Refund not submitted: the refundable amount is too low."),
    "timeline": Bilingual("时间线", "Timeline"),
    "step_created": Bilingual("创建订单", "Order created"),
    "step_paid": Bilingual("收到支付通知，验签通过", "Payment notification received, signature verified"),
    "step_waits": Bilingual("推送业务系统：待重试", "Delivery to your system: will be retried"),
    "step_refused": Bilingual("退款被拒绝", "Refund refused"),
    "empty": Bilingual("空状态", "Empty state"),
    "empty_use": Bilingual("没有内容时说明下一步做什么。", "If there is no content, it says what to do next."),
    "nothing": Bilingual("今天没有差异", "No differences today"),
    "nothing_next": Bilingual(
        "账单与系统一致。明天 10 点后会自动核对下一天。",
        "The bill agrees with the system. The next day is reconciled after 10:00 tomorrow.",
    ),
    "see_yesterday": Bilingual("查看昨天", "See yesterday"),
}
