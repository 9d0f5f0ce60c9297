"""What v2 and v3 tell of an order or a refund, in answers and notifications alike.

Sources: https://pay.weixin.qq.com/doc/v2/merchant/4011937248 and https://pay.weixin.qq.com/doc/v3/merchant/4013070356
(orders), https://pay.weixin.qq.com/wiki/doc/api/jsapi.php?chapter=9_5 and
https://pay.weixin.qq.com/doc/v3/merchant/4013071041 (refunds).
"""

from __future__ import annotations

from typing import Any

from simulator.state.clock import moment
from simulator.state.orders import Order, Paid
from simulator.state.refunds import Refund, RefundEnded, RefundTaken, State
from wechat.domain.times import to_v2, to_v2_datetime, to_v3

STATE_TEXT = {
    "SUCCESS": "支付成功",
    "REFUND": "订单发生过退款，退款详情请查询退款单",
    "NOTPAY": "订单未支付",
    "CLOSED": "订单已关闭",
}
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
BANK = "OTHERS"
ACCOUNT = "支付用户零钱"
UNSETTLED = "REFUND_SOURCE_UNSETTLED_FUNDS"


def v2_transaction(order: Order, paid: Paid, over: int = 0) -> dict[str, str]:
    """What v2's notification and its orderquery tell of a paid order."""
    placed = order.placed
    total = str(placed.total + over)
    told = {
        "device_info": placed.device_info,
        "openid": paid.openid,
        "is_subscribe": "N",
        "trade_type": placed.trade_type,
        "bank_type": BANK,
        "total_fee": total,
        "fee_type": placed.currency,
        "cash_fee": total,
        "cash_fee_type": placed.currency,
        "transaction_id": paid.transaction_id,
        "out_trade_no": placed.out_trade_no,
        "attach": placed.attach,
        "time_end": to_v2(moment(paid.wall_s)),
    }
    return {name: value for name, value in told.items() if value}


def v3_transaction(order: Order, paid: Paid, over: int = 0, state: str = "SUCCESS") -> dict[str, Any]:
    """What v3's notification and its query tell of a paid order; only the latter knows of refunds."""
    placed = order.placed
    total = placed.total + over
    return {
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
            "total": total,
            "payer_total": total,
            "currency": placed.currency,
            "payer_currency": placed.currency,
        },
    }


def v2_refund_row(refund: Refund, row: int) -> dict[str, str]:
    """One refund of refundquery's answer."""
    taken = refund.taken
    told = {
        "out_refund_no": taken.out_refund_no,
        "refund_id": taken.refund_id,
        "refund_channel": "ORIGINAL",
        "refund_fee": str(taken.refund),
        "settlement_refund_fee": str(taken.refund),
        "refund_status": V2_REFUND_STATES[refund.state],
        "refund_account": UNSETTLED,
        "refund_recv_accout": ACCOUNT,  # WeChat's spelling
        "refund_success_time": _v2_success(refund.ended),
    }
    return {f"{name}_{row}": value for name, value in told.items() if value}


def v2_refund_news(order: Order, taken: RefundTaken, end: RefundEnded) -> dict[str, str]:
    """What is inside ``req_info``."""
    told = {
        "transaction_id": taken.transaction_id,
        "out_trade_no": taken.out_trade_no,
        "refund_id": taken.refund_id,
        "out_refund_no": taken.out_refund_no,
        "total_fee": str(order.placed.total),
        "settlement_total_fee": str(order.placed.total),
        "refund_fee": str(taken.refund),
        "settlement_refund_fee": str(taken.refund),
        "refund_status": V2_REFUND_STATES[State(end.state)],
        "success_time": _v2_success(end),
        "refund_recv_accout": ACCOUNT,
        "refund_account": UNSETTLED,
        "refund_request_source": "VENDOR_PLATFORM" if taken.api == "console" else "API",
    }
    return {name: value for name, value in told.items() if value}


def v3_refund_news(mchid: str, order: Order, taken: RefundTaken, end: RefundEnded) -> dict[str, Any]:
    """What is inside ``resource`` of a refund's notification."""
    amount = _v3_amount(order, taken)
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
    """What v3 answers when a refund is asked for or asked after."""
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
        "amount": _v3_amount(order, taken),
        "promotion_detail": [],
    }


def _v3_amount(order: Order, taken: RefundTaken) -> dict[str, Any]:
    total, back = order.placed.total, taken.refund
    return {
        "total": total,
        "refund": back,
        "from": [],
        "payer_total": total,
        "payer_refund": back,
        "settlement_refund": back,
        "settlement_total": total,
        "discount_refund": 0,
        "currency": order.placed.currency,
        "refund_fee": 0,
    }


def _v2_success(end: RefundEnded | None) -> str:
    return to_v2_datetime(moment(end.wall_s)) if end and end.state == State.SUCCESS else ""


def _v3_success(end: RefundEnded | None) -> dict[str, str]:
    return {"success_time": to_v3(moment(end.wall_s))} if end and end.state == State.SUCCESS else {}
