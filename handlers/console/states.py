"""Short names of states for badges, and the class of each badge (components.css).

The badge's title is the code, for developers. The command line's longer names are in ``labels``.
"""

from __future__ import annotations

from collections.abc import Mapping

from wechat.domain.deliveries import DeliveryState
from wechat.domain.errors import Bilingual
from wechat.domain.facts import RefundState
from wechat.domain.orders import DEFAULT_CHANNEL, TradeState, TradeType

ORDER_STATES: Mapping[TradeState, Bilingual] = {
    TradeState.NOTPAY: Bilingual("未支付", "Not paid"),
    TradeState.SUCCESS: Bilingual("已支付", "Paid"),
    TradeState.CLOSED: Bilingual("已关闭", "Closed"),
    TradeState.PAID_LATE: Bilingual("异常支付", "Exceptional"),
    TradeState.REFUND: Bilingual("已支付（有退款）", "Paid, with refunds"),
}
ORDER_BADGES: Mapping[TradeState, str] = {
    TradeState.NOTPAY: "wait",
    TradeState.SUCCESS: "good",
    TradeState.CLOSED: "",
    TradeState.PAID_LATE: "bad",
    TradeState.REFUND: "info",
}
TRADE_TYPES: Mapping[TradeType, Bilingual] = {
    TradeType.JSAPI: Bilingual("JSAPI 支付", "In WeChat"),
    TradeType.NATIVE: Bilingual("扫码支付", "QR code"),
    TradeType.MWEB: Bilingual("H5 支付", "Mobile browser"),
    TradeType.APP: Bilingual("App 支付", "App"),
}
DEFAULT_CHANNEL_NAME = Bilingual("默认", "Default")
REFUND_STATES: Mapping[RefundState, Bilingual] = {
    RefundState.REQUESTED: Bilingual("已提交待返回", "No answer yet"),
    RefundState.PROCESSING: Bilingual("退款处理中", "In progress"),
    RefundState.SUCCESS: Bilingual("退款成功", "Refunded"),
    RefundState.ABNORMAL: Bilingual("退款异常", "Abnormal"),
    RefundState.CLOSED: Bilingual("退款关闭", "Closed"),
    RefundState.REFUSED: Bilingual("被拒绝或已取消", "Refused or cancelled"),
}
REFUND_BADGES: Mapping[RefundState, str] = {
    RefundState.REQUESTED: "wait",
    RefundState.PROCESSING: "wait",
    RefundState.SUCCESS: "good",
    RefundState.ABNORMAL: "bad",
    RefundState.CLOSED: "",
    RefundState.REFUSED: "",
}
DELIVERY_STATES: Mapping[DeliveryState, Bilingual] = {
    DeliveryState.PENDING: Bilingual("待推送", "Pending"),
    DeliveryState.DELIVERED: Bilingual("已送达", "Delivered"),
    DeliveryState.DEAD: Bilingual("已放弃", "Given up"),
}
DELIVERY_BADGES: Mapping[DeliveryState, str] = {
    DeliveryState.PENDING: "wait",
    DeliveryState.DELIVERED: "good",
    DeliveryState.DEAD: "bad",
}
BADGES = {
    "order_states": ORDER_STATES,
    "order_badges": ORDER_BADGES,
    "refund_states": REFUND_STATES,
    "refund_badges": REFUND_BADGES,
    "delivery_states": DELIVERY_STATES,
    "delivery_badges": DELIVERY_BADGES,
}
"""Values for templates that show badges."""


def name_channel(channel: str, lang: str) -> str:
    """Return the name of an order's channel; the default one alone has a name in words."""
    return DEFAULT_CHANNEL_NAME.to(lang) if channel == DEFAULT_CHANNEL else channel
