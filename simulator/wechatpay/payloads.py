"""Fields of a paid order in v2 and v3, the same in answers and notifications.

Sources: https://pay.weixin.qq.com/doc/v2/merchant/4011937248, https://pay.weixin.qq.com/doc/v3/merchant/4013070356; a
notification with a coupon: borball/weixin-sdk issue 38.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from simulator.state.clock import moment
from simulator.state.coupons import Coupon, CouponKind, settlement_of, whole
from simulator.state.orders import Order, Paid
from wechat.domain.times import to_v2, to_v3

STATE_TEXT = {
    "SUCCESS": "支付成功",
    "REFUND": "订单发生过退款，退款详情请查询退款单",
    "NOTPAY": "订单未支付",
    "CLOSED": "订单已关闭",
}
BANK = "OTHERS"
V2_COUPONS = {CouponKind.CASH: "CASH", CouponKind.NOCASH: "NO_CASH"}


def v2_transaction(order: Order, paid: Paid, over: int = 0) -> dict[str, str]:
    """Return the fields of a paid order in v2's notification and in the answer of orderquery."""
    placed = order.placed
    fields = {
        "device_info": placed.device_info,
        "openid": paid.openid,
        "is_subscribe": "N",
        "trade_type": placed.trade_type,
        "bank_type": BANK,
        "total_fee": str(placed.total + over),
        "fee_type": placed.currency,
        "cash_fee": str(whole(placed.total, paid.coupons).cash + over),
        "cash_fee_type": placed.currency,
        **_v2_coupons(placed.total + over, paid.coupons),
        "transaction_id": paid.transaction_id,
        "out_trade_no": placed.out_trade_no,
        "attach": placed.attach,
        "time_end": to_v2(moment(paid.wall_s)),
    }
    return {name: value for name, value in fields.items() if value}


def v3_transaction(order: Order, paid: Paid, over: int = 0, state: str = "SUCCESS") -> dict[str, Any]:
    """Return the fields of a paid order in v3's notification and in the answer of a query; only the latter has
    refunds."""
    placed = order.placed
    fields = {
        "mchid": placed.mchid,
        "appid": placed.appid,
        "out_trade_no": placed.out_trade_no,
        "transaction_id": paid.transaction_id,
        "trade_type": placed.trade_type,
        "trade_state": state,
        "trade_state_desc": STATE_TEXT[state],
        "bank_type": BANK,
        "attach": placed.attach,
        "success_time": to_v3(moment(paid.wall_s)),
        "payer": {"openid": paid.openid},
        "amount": {
            "total": placed.total + over,
            "payer_total": whole(placed.total, paid.coupons).cash + over,
            "currency": placed.currency,
            "payer_currency": placed.currency,
        },
    }
    promotions = {"promotion_detail": [_v3_promotion(coupon, placed.currency) for coupon in paid.coupons]}
    return fields | promotions if paid.coupons else fields


def _v2_coupons(total: int, coupons: Sequence[Coupon]) -> dict[str, str]:
    """Return the coupons' fields; settlement_total_fee is included if a free coupon was used."""
    if not coupons:
        return {}
    parts = whole(total, coupons)
    fields = {"coupon_fee": str(sum(parts.coupons)), "coupon_count": str(len(coupons))}
    if (rest := settlement_of(parts, coupons)) != total:
        fields["settlement_total_fee"] = str(rest)
    for row, coupon in enumerate(coupons):
        fields[f"coupon_type_{row}"] = V2_COUPONS[CouponKind(coupon.kind)]
        fields[f"coupon_id_{row}"] = coupon.coupon_id
        fields[f"coupon_fee_{row}"] = str(coupon.amount)
    return fields


def _v3_promotion(coupon: Coupon, currency: str) -> dict[str, Any]:
    """Return a coupon that the merchant issued and pays for."""
    return {
        "coupon_id": coupon.coupon_id,
        "name": coupon.name,
        "scope": "GLOBAL",
        "type": coupon.kind,
        "amount": coupon.amount,
        "stock_id": coupon.stock_id,
        "wechatpay_contribute": 0,
        "merchant_contribute": coupon.amount,
        "other_contribute": 0,
        "currency": currency,
        "goods_detail": [],
    }
