"""Texts of the pages of notifications."""

from __future__ import annotations

from collections.abc import Mapping

from wechat.domain.errors import Bilingual

TEXTS: Mapping[str, Bilingual] = {
    "notifications": Bilingual("被拒绝的通知", "Refused notifications"),
    "hint": Bilingual(
        "这里是未通过校验的，每种原因最多保留 20 条、30 天。",
        "These notifications failed the check. Up to 20 per reason are kept, for 30 days.",
    ),
    "accepted": Bilingual("已接收的通知", "Accepted notifications"),
    "accepted_hint": Bilingual(
        "通过校验的通知，按第一次到达的时间排列；微信重复发送的只列一次，并显示次数。",
        "Notifications that passed the check, by first arrival. A notification that WeChat repeats is "
        "listed once, with its count.",
    ),
    "no_accepted": Bilingual("还没有接收过通知。", "No notification has been accepted yet."),
    "no_accepted_next": Bilingual(
        "支付成功后，微信支付会发送通知。已有支付却没有通知时，请查看被拒绝的通知，或运行自检。",
        "WeChat Pay sends a notification after each payment. If there were payments and no notification, look at the "
        "refused ones, or run the doctor.",
    ),
    "examine": Bilingual("运行自检", "Run the doctor"),
    "nothing_of_reason": Bilingual("没有因这个原因被拒绝的通知。", "No notification was refused for this reason."),
    "first_at": Bilingual("第一次到达", "First arrival"),
    "kind": Bilingual("类型", "Kind"),
    "about": Bilingual("订单", "Order"),
    "verdict": Bilingual("处理结果", "Result"),
    "older": Bilingual("更早的", "Older"),
    "every_reason": Bilingual("全部原因", "All reasons"),
    "reason": Bilingual("原因", "Reason"),
    "fix": Bilingual("处理方法", "What to do"),
    "slip": Bilingual("签名错误的原因", "Why the signature is wrong"),
    "slip_wrong": Bilingual("实际", "Actual"),
    "slip_right": Bilingual("应为", "Expected"),
    "seen": Bilingual("次数", "Times"),
    "last_at": Bilingual("最近到达", "Last arrival"),
    "order": Bilingual("声称的订单", "Claimed order"),
    "serial": Bilingual("签名序列号", "Serial number"),
    "known_serials": Bilingual("已配置的序列号", "Known serial numbers"),
    "age": Bilingual("到达时已签发", "Age on arrival"),
    "seconds": Bilingual("{count} 秒", "{count} s"),
    "accepted_at": Bilingual("重放通过", "Accepted by replay"),
    "open": Bilingual("查看报文（会写入审计记录）", "Show the message (recorded in the audit log)"),
    "verify": Bilingual("重新校验", "Check again"),
    "replay": Bilingual("重放并处理", "Replay"),
    "passes": Bilingual(
        "现在能通过校验（{kind}）；还没有处理，可以重放",
        "It passes the check now ({kind}). It is not applied yet; you can replay it",
    ),
    "still_refused": Bilingual("仍未通过：{why}", "Still refused: {why}"),
    "replayed": Bilingual("已重放，结果：{verdict}", "Replayed: {verdict}"),
    "headers": Bilingual("报文头", "Headers"),
    "body": Bilingual("报文主体", "Body"),
    "back": Bilingual("返回列表", "Back to the list"),
    "nothing": Bilingual("没有被拒绝的通知。", "No notification was refused."),
}
