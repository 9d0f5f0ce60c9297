"""Texts of the page of deliveries."""

from __future__ import annotations

from collections.abc import Mapping

from wechat.domain.errors import Bilingual

TEXTS: Mapping[str, Bilingual] = {
    "deliveries": Bilingual("事件推送", "Deliveries"),
    "every_state": Bilingual("全部状态", "All states"),
    "event": Bilingual("事件", "Event"),
    "target": Bilingual("接收方", "Receiver"),
    "order": Bilingual("订单", "Order"),
    "state": Bilingual("状态", "State"),
    "at": Bilingual("时间", "At"),
    "tries": Bilingual("尝试", "Tries"),
    "next_try": Bilingual("下次尝试", "Next try"),
    "result": Bilingual("结果", "Result"),
    "duration": Bilingual("耗时", "Duration"),
    "payload": Bilingual("推送内容", "What was sent"),
    "open_payload": Bilingual("查看推送内容（会写入审计记录）", "Show what was sent (recorded in the audit log)"),
    "answer": Bilingual("接收方的应答", "The receiver's response"),
    "answer_hint": Bilingual(
        "最近一次未接收时的应答，最多 1000 个字；内容来自接收方。",
        "The latest response that did not accept the event, up to 1,000 characters; the receiver wrote it.",
    ),
    "headers": Bilingual("报文头（最近一次推送）", "Headers (latest message)"),
    "signed": Bilingual("待签名串（最近一次推送）", "Signed string (latest message)"),
    "signed_hint": Bilingual(
        "⏎ 表示换行符。密钥不显示，签名值不保存；其他各次推送只有 webhook-timestamp 和签名不同。",
        "⏎ is a line feed. The secret is not shown, and signatures are not kept. Messages of other attempts differ "
        "only in webhook-timestamp and signature.",
    ),
    "no_timestamp": Bilingual(
        "没有报文头和待签名串：尚未发送，没有记录时间戳，或接收方是插件。",
        "There are no headers and no signed string: nothing was sent, its timestamp was not recorded, or the receiver "
        "is a plugin.",
    ),
    "choose": Bilingual("选择 {event} → {target}", "Select {event} → {target}"),
    "resend": Bilingual("重新推送所选", "Send selected again"),
    "resent": Bilingual("已安排重新推送 {count} 条", "{count} will be sent again"),
    "not_resent": Bilingual("{count} 条未能安排：{why}", "{count} could not be sent again: {why}"),
    "none_chosen": Bilingual("请先选择要重新推送的记录", "Select what to send again"),
    "nothing": Bilingual(
        "没有这样的推送记录。在配置 webhooks 中添加接收方后，订单事件会推送过去。",
        "There are no such deliveries. Add a receiver under webhooks in the settings to get order events.",
    ),
    "test": Bilingual("发送测试事件", "Send a test event"),
    "test_hint": Bilingual(
        "事件是虚构的，签名是真实的；不保存，不影响任何订单。",
        "The event is invented; its signature is real. Nothing is stored, and no order changes.",
    ),
    "tested": Bilingual("测试事件 {event} → {target}：{result}", "Test event {event} → {target}: {result}"),
    "no_such_type": Bilingual("没有这种事件", "There is no such event"),
    "older": Bilingual("更早的", "Older"),
    "back": Bilingual("返回列表", "Back to the list"),
}
