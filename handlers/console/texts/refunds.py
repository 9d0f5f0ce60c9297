"""Texts of the page of refunds."""

from __future__ import annotations

from collections.abc import Mapping

from wechat.domain.errors import Bilingual

TEXTS: Mapping[str, Bilingual] = {
    "refunds": Bilingual("退款", "Refunds"),
    "need_a_person": Bilingual("需要处理", "These need a person"),
    "abnormal": Bilingual(
        "退款异常：用户的收款账户（银行卡）不可用。请到 商户平台 → 交易中心 处理该笔退款，处理后状态会自动更新。",
        "Abnormal: the payer's account cannot receive the refund. Handle it among the refunds in the merchant console; "
        "its state then updates automatically.",
    ),
    "slow": Bilingual(
        "超过 5 天仍未到账：请向微信支付客服提供商户退款单号查询。",
        "Not received after 5 days: give the merchant refund number to WeChat Pay's support.",
    ),
    "every_state": Bilingual("全部状态", "All states"),
    "state": Bilingual("状态", "State"),
    "number": Bilingual("商户退款单号", "Refund number"),
    "order": Bilingual("订单", "Order"),
    "amount": Bilingual("金额", "Amount"),
    "reason": Bilingual("原因", "Reason"),
    "changed_at": Bilingual("最近变化", "Last change"),
    "query": Bilingual("查询退款", "Query"),
    "queried": Bilingual("退款 {number}：{state}", "Refund {number}: {state}"),
    "acts": Bilingual("操作", "Actions"),
    "cancel": Bilingual("取消退款", "Cancel"),
    "cancelled": Bilingual("退款 {number} 已取消，没有退款", "Refund {number} was cancelled; nothing was refunded"),
    "nothing": Bilingual(
        "没有这样的退款。退款从订单页面发起。", "There are no such refunds. Request a refund on the page of its order."
    ),
    "older": Bilingual("更早的", "Older"),
}
