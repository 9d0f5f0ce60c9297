"""Texts of the simulator's pages, in Chinese and in English; a page shows one of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from wechat.domain.brackets import add_detail
from wechat.domain.errors import Bilingual

TEXTS: Mapping[str, Bilingual] = {
    # every page
    "title": Bilingual("微信模拟器", "WeChat simulator"),
    "ribbon": Bilingual("模拟环境 · 不涉及真实资金", "Simulation · no real money moves"),
    "other_language": Bilingual("English", "中文"),
    "back": Bilingual("返回模拟器首页", "Back to the simulator"),
    "pages": Bilingual("页面", "Pages"),
    "done": Bilingual("已完成：", "Done: "),
    "not_found": Bilingual("没有这个页面", "There is no such page"),
    "not_found_hint": Bilingual(
        "请检查网址，或从模拟器首页继续。", "Check the address, or start again from the simulator's home page."
    ),
    "failed": Bilingual("模拟器无法处理该请求", "The simulator could not handle this request"),
    "failed_hint": Bilingual(
        "请返回首页重试；如仍失败，启动模拟器的终端里有错误信息。",
        "Go back and try again. If it fails again, the terminal that started the simulator shows the error.",
    ),
    "error_code": Bilingual("错误码", "Error code"),
    # consent
    "authorize": Bilingual("网页授权", "Authorisation"),
    "account": Bilingual("模拟服务号", "Simulated account"),
    "asks": Bilingual("申请", "asks"),
    "ask_profile": Bilingual("获取你的昵称、头像", "for your nickname and picture"),
    "ask_profile_hint": Bilingual("选择以哪位用户的身份允许。", "Choose the user who allows this."),
    "pick_user": Bilingual("识别你的微信身份", "to know who you are"),
    "pick_user_hint": Bilingual(
        "请选择模拟用户。微信会静默授权，不显示此页；这里只需选择一次。",
        "Choose a simulated user. WeChat authorises silently and does not show this page; the simulator asks once.",
    ),
    "person_hint": Bilingual("微信用户（模拟）", "WeChat user (simulated)"),
    "go_on": Bilingual("继续", "Continue"),
    "allow": Bilingual("允许", "Allow"),
    "deny": Bilingual("拒绝", "Deny"),
    # the pay sheet
    "pay": Bilingual("微信支付", "WeChat Pay"),
    "cancel": Bilingual("取消", "Cancel"),
    "confirm": Bilingual("确定", "OK"),
    "merchant": Bilingual("模拟商户", "Simulated merchant"),
    "payer": Bilingual("用户", "Payer"),
    "enter_password": Bilingual("请输入支付密码", "Enter the payment password"),
    "pay_by": Bilingual("支付方式", "Pay with"),
    "change": Bilingual("零钱", "Balance"),
    "scenario": Bilingual("模拟场景", "Scenario"),
    "paying": Bilingual("正在支付…", "Paying…"),
    "keypad": Bilingual("数字键盘", "Keypad"),
    "coupon": Bilingual("代金券", "Coupon"),
    "no_coupon": Bilingual("不使用", "none"),
    "any_digits": Bilingual("任意六位数字即可", "Any six digits will do"),
    "delete_digit": Bilingual("退格", "Delete"),
    "digits_entered": Bilingual("已输入位数", "Digits entered"),
    "paid": Bilingual("支付成功", "Paid"),
    "cancelled": Bilingual("已取消", "Cancelled"),
    "see_order": Bilingual("查看这笔订单", "See the order"),
    "no_answer": Bilingual("模拟器没有应答", "The simulator does not answer"),
    # the dashboard
    "users": Bilingual("当前微信用户", "Current WeChat user"),
    "switch_user": Bilingual("更换用户（下次授权时选择）", "Change user at the next authorisation"),
    "current": Bilingual("当前", "current"),
    "clock": Bilingual("时钟", "Clock"),
    "clock_hint": Bilingual(
        "北京时间。演示服务跟随这个时钟；只能前进。",
        "Beijing time. The demo follows this clock. It can only move forward.",
    ),
    "speed": Bilingual("速度", "Speed"),
    "minute": Bilingual("＋1 分钟", "+1 minute"),
    "hours": Bilingual("＋2 小时", "+2 hours"),
    "day": Bilingual("＋1 天", "+1 day"),
    "to_bills": Bilingual("前进到次日 10:05（账单可下载）", "To 10:05 tomorrow, when bills are available"),
    "scan": Bilingual("扫一扫", "Scan a code"),
    "open": Bilingual("打开", "Open"),
    "code_url": Bilingual("Native 订单的 code_url", "code_url of a Native order"),
    "orders": Bilingual("最近的订单", "Newest orders"),
    "no_orders": Bilingual("还没有订单", "No orders yet"),
    "no_orders_hint": Bilingual("下单后会自动出现在这里。", "Orders appear here automatically."),
    "no_refunds": Bilingual("还没有退款。", "No refunds yet."),
    "number": Bilingual("订单号", "Number"),
    "refund_number": Bilingual("退款单号", "Number"),
    "order": Bilingual("订单", "Order"),
    "total": Bilingual("金额", "Total"),
    "state": Bilingual("状态", "State"),
    "api": Bilingual("接口", "API"),
    "notified": Bilingual("通知", "Notifications"),
    "refund_in_console": Bilingual("商户平台退款", "Refund in the merchant console"),
    "refunds": Bilingual("退款", "Refunds"),
    "scenarios": Bilingual("场景", "Scenarios"),
    "next_refund": Bilingual("下一笔退款的结果", "Result of the next refund"),
    "apply": Bilingual("应用", "Apply"),
    "pay_out_elsewhere": Bilingual("处理异常退款", "Pay out to another account"),
    "faults": Bilingual("故障", "Faults"),
    "no_faults": Bilingual("没有故障，每个请求都正常应答。", "No faults: every request gets a normal response."),
    "fault_own": Bilingual("自定义故障", "Custom fault"),
    "fault_path": Bilingual("请求", "Request"),
    "fault_kind": Bilingual("故障类型", "Fault type"),
    "fault_times": Bilingual("次数", "Times"),
    "fault_until_cleared": Bilingual("直到清除", "until cleared"),
    "add_fault": Bilingual("添加故障", "Add the fault"),
    "clear_faults": Bilingual("全部清除", "Clear all"),
    "keys": Bilingual("密钥与令牌", "Keys and tokens"),
    "rotate": Bilingual("更换平台证书", "Rotate the platform certificate"),
    "expire_tokens": Bilingual("使 access_token 与 jsapi_ticket 失效", "Expire access_token and jsapi_ticket"),
    "serial": Bilingual("平台证书序列号", "Serial number of the platform certificate"),
    "keys_hint": Bilingual(
        "服务会自行下载新证书、重新获取 token；订单不受影响。",
        "The service fetches the new certificate and new tokens automatically; orders are not affected.",
    ),
    "balance": Bilingual("商户余额与账单", "Balance and bills"),
    "top_up": Bilingual("充值 ¥100", "Top up ¥100"),
    "withdraw": Bilingual("全部提现", "Withdraw all"),
    "bill_differences": Bilingual("在账单中注入差异", "Inject a difference into a bill"),
    "no_differences": Bilingual("没有注入差异。", "No differences are injected."),
    "bill_of": Bilingual("账单日期", "Bill date"),
    "difference": Bilingual("差异", "Difference"),
    "inject": Bilingual("注入", "Inject"),
    "restore": Bilingual("恢复账单", "Restore the bill"),
    "inject_hint": Bilingual(
        "注入或恢复后，请重新对该日对账，服务会重新下载账单。",
        "After you inject or restore, reconcile that day again; the service downloads its bill again.",
    ),
    "shop": Bilingual("商户网站", "The merchant's site"),
    "answers": Bilingual("已注入的差异（练习的答案）", "Injected differences (the answers of the practice)"),
    "fault_presets": Bilingual("常见故障", "Common faults"),
    "next_scenario": Bilingual("付款页默认选中的场景", "Default scenario on the payment sheet"),
    "pay_late": Bilingual("关闭后付款", "Pay after the close"),
    # practice
    "practice": Bilingual("对账练习", "Reconciliation practice"),
    "practice_1": Bilingual("一、在账单中注入差异", "1. Inject differences into the bill"),
    "practice_hint": Bilingual(
        "种类与单号随机，不显示。当天要有已付款的订单；账单在次日 10:00 后可下载，注入后请重新对该日对账。",
        "Kinds and numbers are random and not shown. The day needs paid orders. Its bill is available from "
        "10:00 on the next day; reconcile the day again after injecting.",
    ),
    "practice_count": Bilingual("几处", "How many"),
    "practice_plant": Bilingual("注入差异", "Inject differences"),
    "practice_nothing": Bilingual(
        "当天的账单里没有可以注入差异的记录，请先付款一笔。",
        "The day's bill has no line to change; pay an order first.",
    ),
    "practice_hidden": Bilingual("该日账单中的差异：", "Differences in this day's bill:"),
    "practice_2": Bilingual("二、在管理后台对账", "2. Reconcile the day"),
    "practice_2_hint": Bilingual(
        "把时钟前进到次日 10:05，对该日对账，找出有差异的单号。",
        "Move the clock to 10:05 of the next day, reconcile this day, and find the numbers that differ.",
    ),
    "practice_2_open": Bilingual("打开该日的对账", "Open the day's reconciliation"),
    "practice_3": Bilingual("三、填写发现的单号", "3. Enter the numbers that you found"),
    "practice_answer": Bilingual(
        "有差异的商户订单号或退款单号，也可以粘贴整个差异文件",
        "Order or refund numbers with differences; you can also paste the whole file of differences",
    ),
    "practice_score": Bilingual("评分", "Score"),
    "practice_points": Bilingual("得分", "Score"),
    "practice_found": Bilingual("找到", "Found"),
    "practice_missed": Bilingual("遗漏", "Missed"),
    "practice_wrong": Bilingual(
        "列出的其他单号，其中没有注入差异", "Other numbers in your list, without an injected difference"
    ),
    "practice_none": Bilingual("该日账单中没有注入差异。", "No difference was injected into this day's bill."),
    # an order
    "description": Bilingual("商品描述", "Description"),
    "transaction_id": Bilingual("微信支付订单号", "Transaction"),
    "prepay": Bilingual("预支付交易会话", "prepay_id"),
    "notify_url": Bilingual("通知地址", "notify_url"),
    "refunded": Bilingual("已退款", "Refunded"),
    "events": Bilingual("经过", "What happened"),
    "order_created": Bilingual("下单", "Placed"),
    "order_paid": Bilingual("付款", "Paid"),
    "order_closed": Bilingual("关闭", "Closed"),
    "notification_sent": Bilingual("发送通知", "Notification sent"),
    "pay_again": Bilingual("再次付款（微信规则不允许）", "Pay again (not allowed by WeChat's rules)"),
    "no_reply": Bilingual("没有应答", "no answer"),
    "raw": Bilingual("原始数据（JSON）", "Raw data (JSON)"),
}

STATES: Mapping[str, Bilingual] = {
    "NOTPAY": Bilingual("未支付", "not paid"),
    "SUCCESS": Bilingual("支付成功", "paid"),
    "CLOSED": Bilingual("已关闭", "closed"),
    "REFUND": Bilingual("转入退款", "refunded"),
}
REFUND_STATES: Mapping[str, Bilingual] = {
    "SUCCESS": Bilingual("退款成功", "refunded"),
    "CLOSED": Bilingual("退款关闭", "closed"),
    "PROCESSING": Bilingual("退款处理中", "processing"),
    "ABNORMAL": Bilingual("退款异常", "abnormal"),
    "CHANGE": Bilingual("退款异常", "abnormal"),
}
"""Names of order and refund states; the state itself follows in brackets."""
ATTEMPTS: Mapping[str, Bilingual] = {
    "genuine": Bilingual("正常通知", "correct"),
    "duplicate": Bilingual("重复通知", "repeated"),
    "late": Bilingual("迟到的通知", "late"),
    "forged": Bilingual("伪造的通知", "forged"),
    "wrong_amount": Bilingual("金额不符的通知", "with another total"),
    "stale": Bilingual("过期的通知", "outdated"),
    "probe": Bilingual("签名探测流量", "signature probe"),
    "first": Bilingual("乱序的通知，较早的", "out of order, the earlier one"),
    "second": Bilingual("乱序的通知，较晚的", "out of order, the later one"),
}
"""The kinds of notifications, as scenarios send them."""


def translator(lang: str) -> Callable[[str], str]:
    """Return the function that templates call ``t``: it returns the text of a name in ``lang``."""
    return lambda name: TEXTS[name].to(lang)


def name_state(state: str, lang: str, *, refund: bool = False) -> str:
    """Return ``未支付（NOTPAY）``; the state alone if it has no name."""
    names = REFUND_STATES if refund else STATES
    return add_detail(names[state].to(lang), state, lang) if state in names else state


def name_attempt(kind: str, lang: str) -> str:
    return ATTEMPTS[kind].to(lang) if kind in ATTEMPTS else kind
