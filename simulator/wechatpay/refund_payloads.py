"""Fields of a refund in v2 and v3, the same in answers and notifications.

Sources: https://pay.weixin.qq.com/wiki/doc/api/jsapi.php?chapter=9_4, ...?chapter=9_5 and ...?chapter=9_16,
https://pay.weixin.qq.com/doc/v3/merchant/4013071036, .../4013071041 (promotion_detail calls the kinds of coupons COUPON
and DISCOUNT here, unlike a payment's).
"""

from __future__ import annotations

from typing import Any

from simulator.state.clock import moment
from simulator.state.coupons import CouponKind
from simulator.state.orders import Order, Payment
from simulator.state.refunds import Refund, RefundEnded, State
from simulator.wechatpay.payloads import V2_COUPONS
from wechat.domain.times import to_v2_datetime, to_v3

REFUND_TEXT = {
    State.SUCCESS: "退款成功",
    State.ABNORMAL: "退款异常",
    State.CLOSED: "退款关闭",
    State.PROCESSING: "退款处理中",
}
V2_REFUND_STATES = {
    State.SUCCESS: "SUCCESS",
    State.ABNORMAL: "CHANGE",
    State.CLOSED: "REFUNDCLOSE",
    State.PROCESSING: "PROCESSING",
}
V3_COUPONS = {CouponKind.CASH: "COUPON", CouponKind.NOCASH: "DISCOUNT"}
ACCOUNT = "支付用户零钱"
UNSETTLED = "REFUND_SOURCE_UNSETTLED_FUNDS"


def v2_refund_payment(payment: Payment) -> dict[str, str]:
    """Return the payment's amounts, as refund answers repeat them."""
    return {
        "total_fee": str(payment.whole.total),
        "settlement_total_fee": str(payment.settled),
        "fee_type": "CNY",
        "cash_fee": str(payment.whole.cash),
    }


def v2_refund_answer(refund: Refund) -> dict[str, str]:
    """Return v2's answer to a refund request."""
    taken = refund.taken
    fields = {
        "transaction_id": taken.transaction_id,
        "out_trade_no": taken.out_trade_no,
        "out_refund_no": taken.out_refund_no,
        "refund_id": taken.refund_id,
        "refund_fee": str(taken.refund),
        "settlement_refund_fee": str(refund.settled),
        **v2_refund_payment(refund.payment),
        "cash_refund_fee": str(refund.share.cash),
        "coupon_refund_count": str(len(refund.share.coupons)),
        "coupon_refund_fee": str(sum(refund.share.coupons)),
    }
    return fields | _v2_coupons(refund, "")


def v2_refund_row(refund: Refund, row: int) -> dict[str, str]:
    """Return a refund's fields in refundquery's answer."""
    taken, coupons = refund.taken, refund.share.coupons
    fields = {
        "out_refund_no": taken.out_refund_no,
        "refund_id": taken.refund_id,
        "refund_channel": "ORIGINAL",
        "refund_fee": str(taken.refund),
        "settlement_refund_fee": str(refund.settled),
        "coupon_refund_fee": str(sum(coupons)) if coupons else "",
        "coupon_refund_count": str(len(coupons)) if coupons else "",
        "refund_status": V2_REFUND_STATES[refund.state],
        "refund_account": UNSETTLED,
        "refund_recv_accout": ACCOUNT,  # WeChat's spelling
        "refund_success_time": _v2_success(refund.ended),
    }
    return {f"{name}_{row}": value for name, value in fields.items() if value} | _v2_coupons(refund, f"_{row}")


def v2_refund_news(order: Order, refund: Refund, end: RefundEnded) -> dict[str, str]:
    """Return the contents of ``req_info``."""
    taken, payment = refund.taken, refund.payment
    fields = {
        "transaction_id": taken.transaction_id,
        "out_trade_no": taken.out_trade_no,
        "refund_id": taken.refund_id,
        "out_refund_no": taken.out_refund_no,
        "total_fee": str(order.placed.total),
        "settlement_total_fee": str(payment.settled),
        "refund_fee": str(taken.refund),
        "settlement_refund_fee": str(refund.settled),
        "refund_status": V2_REFUND_STATES[State(end.state)],
        "success_time": _v2_success(end),
        "refund_recv_accout": ACCOUNT,
        "refund_account": UNSETTLED,
        "refund_request_source": "VENDOR_PLATFORM" if taken.api == "console" else "API",
    }
    return {name: value for name, value in fields.items() if value}


def v3_refund_news(mchid: str, order: Order, refund: Refund, end: RefundEnded) -> dict[str, Any]:
    """Return the contents of ``resource`` in a refund's notification."""
    taken, amount = refund.taken, _v3_amount(order, refund)
    return {
        "mchid": mchid,
        "transaction_id": taken.transaction_id,
        "out_trade_no": taken.out_trade_no,
        "refund_id": taken.refund_id,
        "out_refund_no": taken.out_refund_no,
        "refund_status": end.state,
        **_v3_success(end),
        "user_received_account": ACCOUNT,
        "amount": {name: amount[name] for name in ("total", "refund", "payer_total", "payer_refund")},
    }


def v3_refund(order: Order, refund: Refund) -> dict[str, Any]:
    """Return v3's answer to a refund request or query."""
    taken = refund.taken
    return {
        "refund_id": taken.refund_id,
        "out_refund_no": taken.out_refund_no,
        "transaction_id": taken.transaction_id,
        "out_trade_no": taken.out_trade_no,
        "channel": "ORIGINAL",
        "user_received_account": ACCOUNT,
        **_v3_success(refund.ended),
        "create_time": to_v3(moment(taken.wall_s)),
        "status": refund.state.value,
        "funds_account": "UNSETTLED",
        "amount": _v3_amount(order, refund),
        "promotion_detail": _v3_promotions(refund),
    }


def _v3_amount(order: Order, refund: Refund) -> dict[str, Any]:
    payment, share = refund.payment, refund.share
    return {
        "total": order.placed.total,
        "refund": refund.taken.refund,
        "from": [],
        "payer_total": payment.whole.cash,
        "payer_refund": share.cash,
        "settlement_refund": refund.settled,
        "settlement_total": payment.settled,
        "discount_refund": sum(share.coupons),
        "currency": order.placed.currency,
        "refund_fee": 0,
    }


def _v3_promotions(refund: Refund) -> list[dict[str, Any]]:
    return [
        {
            "promotion_id": coupon.coupon_id,
            "scope": "GLOBAL",
            "type": V3_COUPONS[CouponKind(coupon.kind)],
            "amount": coupon.amount,
            "refund_amount": back,
            "goods_detail": [],
        }
        for coupon, back in zip(refund.payment.paid.coupons, refund.share.coupons, strict=True)
    ]


def _v2_coupons(refund: Refund, row: str) -> dict[str, str]:
    """Return the part refunded to each coupon, numbered from 0 after the refund's ``row``."""
    fields: dict[str, str] = {}
    for number, (coupon, back) in enumerate(zip(refund.payment.paid.coupons, refund.share.coupons, strict=True)):
        fields[f"coupon_type{row}_{number}"] = V2_COUPONS[CouponKind(coupon.kind)]
        fields[f"coupon_refund_id{row}_{number}"] = coupon.coupon_id
        fields[f"coupon_refund_fee{row}_{number}"] = str(back)
    return fields


def _v2_success(end: RefundEnded | None) -> str:
    return to_v2_datetime(moment(end.wall_s)) if end and end.state == State.SUCCESS else ""


def _v3_success(end: RefundEnded | None) -> dict[str, str]:
    return {"success_time": to_v3(moment(end.wall_s))} if end and end.state == State.SUCCESS else {}
