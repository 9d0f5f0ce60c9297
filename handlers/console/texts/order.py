"""Texts of the page of an order."""

from __future__ import annotations

from collections.abc import Mapping

from wechat.domain.errors import Bilingual

TEXTS: Mapping[str, Bilingual] = {
    "order": Bilingual("订单", "Order"),
    "what_happened": Bilingual("现在的情况", "Current state"),
    "amounts": Bilingual("金额", "Amounts"),
    "total": Bilingual("订单金额", "Total"),
    "paid": Bilingual("用户实付", "Paid by the payer"),
    "coupon": Bilingual("优惠抵扣", "Coupons"),
    "refunded": Bilingual("已退款", "Refunded"),
    "pending_refunds": Bilingual("退款处理中", "Refunds in progress"),
    "refundable": Bilingual("可退金额", "Can be refunded"),
    "net": Bilingual("扣除退款后", "After refunds"),
    "facts": Bilingual("订单信息", "Order details"),
    "description": Bilingual("商品描述", "Description"),
    "attach": Bilingual("附加数据", "Attach"),
    "payer": Bilingual("用户 openid", "Payer (openid)"),
    "show_payer": Bilingual("显示完整 openid（会写入审计记录）", "Show the full openid (recorded in the audit log)"),
    "transaction_id": Bilingual("微信支付订单号（账单中为“交易单号”）", "WeChat Pay transaction id"),
    "trade_type": Bilingual("交易类型", "Trade type"),
    "channel": Bilingual("收款渠道", "Channel"),
    "created_at": Bilingual("创建时间", "Created"),
    "paid_at": Bilingual("支付时间", "Paid"),
    "expires_at": Bilingual("支付截止时间", "Payment deadline"),
    "refunds": Bilingual("退款", "Refunds"),
    "query_refund": Bilingual("查询退款", "Query"),
    "cancel_refund": Bilingual("取消退款", "Cancel the refund"),
    "waits": Bilingual("等待第二人复核", "Waiting for a second person"),
    "waits_asked": Bilingual("由 {name} 发起", "requested by {name}"),
    "waits_until": Bilingual("逾期作废", "expires at"),
    "waits_own": Bilingual("查看或撤回", "View or withdraw"),
    "waits_other": Bilingual("去复核", "Confirm or decline"),
    "timeline": Bilingual("经过", "What happened"),
    "timeline_hint": Bilingual(
        "从下单到推送，按时间排列；带箭头的条目可以展开。",
        "From the order to the webhooks, by time. Lines with an arrow can be opened.",
    ),
    "recorded_for": Bilingual(
        "与微信的调用保留 {days} 天；更早的只有结果。",
        "Calls to WeChat are kept for {days} days; for older calls only the results are shown.",
    ),
    "not_recorded": Bilingual(
        "配置 calls.enabled 为 false，不记录与微信的调用。", "Calls to WeChat are not recorded: calls.enabled is false."
    ),
    "method": Bilingual("请求", "Request"),
    "status": Bilingual("应答状态", "Status"),
    "duration": Bilingual("耗时", "Duration"),
    "verdict": Bilingual("验签结果", "Signature"),
    "error": Bilingual("错误", "Error"),
    "open_payload": Bilingual(
        "查看报文与待签名串（会写入审计记录）", "Show messages and signed strings (recorded in the audit log)"
    ),
    "open_delivery": Bilingual(
        "查看推送内容、待签名串与应答（会写入审计记录）",
        "Show content, signed string and response (recorded in the audit log)",
    ),
    "no_payload": Bilingual(
        "查看报文需要「开发」或「管理员」角色。", "Only developers and administrators can see messages."
    ),
    "attempts": Bilingual("推送尝试", "Tries"),
    "no_attempts": Bilingual("还没有尝试。", "None yet."),
    "result": Bilingual("结果", "Result"),
    "at": Bilingual("时间", "At"),
    "resend": Bilingual("重新推送", "Send again"),
    "query": Bilingual("向微信支付查单", "Query WeChat Pay"),
    "close": Bilingual("关闭订单", "Close the order"),
    "refund": Bilingual("退款", "Refund"),
    "notes": Bilingual("备注", "Notes"),
    "no_notes": Bilingual("还没有备注。", "No notes yet."),
    "note": Bilingual("添加备注", "Add a note"),
    "note_hint": Bilingual(
        "最多 {most} 个字；写后不能修改，用户看不到。",
        "At most {most} characters; it cannot be changed afterwards, and the payer does not see it.",
    ),
    "write_note": Bilingual("保存备注", "Save the note"),
    "noted": Bilingual("已添加备注", "The note was added"),
    "support_file": Bilingual("下载支持文件（已隐去个人信息）", "Support file (no personal data)"),
    "actions": Bilingual("操作", "Actions"),
    "queried": Bilingual("已向微信支付查询，订单状态：{state}", "WeChat Pay was queried; order state: {state}"),
    "closed": Bilingual("已请求关闭，订单状态：{state}", "Close requested; order state: {state}"),
    "resent": Bilingual("已安排重新推送 {count} 条", "{count} will be sent again"),
    "sent": Bilingual("发送的内容", "What was sent"),
    "came": Bilingual("收到的内容", "What was received"),
    "headers": Bilingual("报文头", "Headers"),
    "body": Bilingual("报文主体", "Body"),
    "empty_body": Bilingual("（空）", "(empty)"),
    "bytes": Bilingual("{size} 字节", "{size} bytes"),
    "signed_request": Bilingual("请求的待签名串", "Signed string of the request"),
    "signed_answer": Bilingual("应答的验签串", "Signed string of the response"),
    "signed_message": Bilingual("通知的验签串", "Signed string of the notification"),
    "line_ends": Bilingual(
        "⏎ 表示换行符。APIv2 末尾的密钥不显示。", "⏎ is a line feed. The APIv2 key at the end is not shown."
    ),
    "cut": Bilingual(
        "报文中有未列入清单的字段（显示为 ***），或报文过长、无法解析；据此生成的字符串与签名时的不同。",
        "Fields that are not on the list are shown as ***, or the body was too long or unreadable. A "
        "string built from this body differs from the signed one.",
    ),
    "curl": Bilingual("用 curl 重发", "curl command"),
    "curl_hint": Bilingual(
        "签名已隐去，需要重新签名后才能发送。", "The signature is removed; sign the request again before you send it."
    ),
    "back_to_order": Bilingual("返回订单", "Back to the order"),
    "payload_title": Bilingual("与微信的一次调用", "A call to or from WeChat"),
    "refund_title": Bilingual("退款", "Refund"),
    "left": Bilingual("最多可退 ¥{amount}", "At most ¥{amount} can be refunded"),
    "amount_yuan": Bilingual("退款金额（元）", "Amount in yuan"),
    "reason": Bilingual("原因（用户可见）", "Reason (the payer sees it)"),
    "number": Bilingual("商户退款单号", "Merchant refund number"),
    "number_hint": Bilingual(
        "打开表单时生成，重复提交不会重复退款。",
        "Created when the form was opened; sending the form twice refunds once.",
    ),
    "second_person": Bilingual(
        "超过 ¥{amount} 的退款需要第二人复核。", "Refunds above ¥{amount} need the confirmation of a second person."
    ),
    "do_refund": Bilingual("确认退款", "Refund"),
    "not_an_amount": Bilingual("请填写金额，单位为元，例如 18.00", "Enter an amount in yuan, for example 18.00"),
    "refund_sent": Bilingual("退款 {number} 已提交：{state}", "Refund {number} submitted: {state}"),
    "refund_waits": Bilingual(
        "退款 {number} 等待第二人复核，未执行",
        "Refund {number} is waiting for a second person; it is not carried out yet",
    ),
    "cannot_refund": Bilingual("这笔订单没有可退的金额。", "This order has no refundable amount."),
}

CALLS: Mapping[str, Bilingual] = {
    "unifiedorder": Bilingual("调用：下单", "Call: place the order"),
    "jsapi": Bilingual("调用：JSAPI 下单", "Call: place the order (JSAPI)"),
    "native": Bilingual("调用：Native 下单", "Call: place the order (Native)"),
    "h5": Bilingual("调用：H5 下单", "Call: place the order (H5)"),
    "app": Bilingual("调用：APP 下单", "Call: place the order (APP)"),
    "orderquery": Bilingual("调用：查单", "Call: query the order"),
    "query": Bilingual("调用：查单", "Call: query the order"),
    "closeorder": Bilingual("调用：关单", "Call: close the order"),
    "close": Bilingual("调用：关单", "Call: close the order"),
    "refund": Bilingual("调用：申请退款", "Call: refund"),
    "refundquery": Bilingual("调用：查询退款", "Call: query the refund"),
    "refund_query": Bilingual("调用：查询退款", "Call: query the refund"),
}
NOTIFICATION = Bilingual("收到微信支付通知", "Notification from WeChat Pay")
NO_SIGNATURE = Bilingual("应答没有签名", "not signed")
NOT_ANSWERED = Bilingual("没有应答", "no answer")
