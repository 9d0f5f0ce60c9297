"""Orders, refunds, claims and their parts as MongoDB documents, and back.

Written by hand: this is the format that old and new releases share. Reading ignores fields it does not know and gives a
default to those that are not there. Amounts are int64 on disk and plain ``int`` in memory (``Int64`` is a subclass that
``type(x) is int`` rejects). Empty fields are not stored.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bson import Int64

from storage.driver import Document
from wechat.models import Api, Claim, Fen, Order, OrderEvent, Prepay, RefundState, TradeState, TradeType
from wechat.refund_models import Refund


def order_to_document(order: Order) -> Document:
    return {
        "_id": order.out_trade_no,
        "api": order.api.value,
        "appid": order.appid,
        "mchid": order.mchid,
        "trade_type": order.trade_type.value,
        "description": order.description,
        "total": Int64(order.total),
        "currency": order.currency,
        "created_at": order.created_at,
        "expires_at": order.expires_at,
        "notify_url": order.notify_url,
        "client_ip": order.client_ip,
        "trade_state": order.trade_state.value,
        "checks": order.checks,
        "events": [event_to_document(event) for event in order.events],
        **_stored(
            openid=order.openid,
            attach=order.attach,
            sku=order.sku,
            quantity=order.quantity,
            prepay=prepay_to_document(order.prepay) if order.prepay else None,
            transaction_id=order.transaction_id,
            paid_at=order.paid_at,
            payer_total=order.payer_total,
            close_after=order.close_after,
            next_check_at=order.next_check_at,
        ),
    }


def order_from_document(document: Document) -> Order:
    get = document.get
    prepay, payer_total = get("prepay"), get("payer_total")
    return Order(
        out_trade_no=document["_id"],
        api=Api(document["api"]),
        appid=document["appid"],
        mchid=document["mchid"],
        trade_type=TradeType(document["trade_type"]),
        description=document["description"],
        total=Fen(int(document["total"])),
        created_at=document["created_at"],
        expires_at=document["expires_at"],
        notify_url=document["notify_url"],
        client_ip=document["client_ip"],
        openid=get("openid", ""),
        attach=get("attach", ""),
        sku=get("sku", ""),
        quantity=int(get("quantity", 0)),
        trade_state=TradeState(document["trade_state"]),
        prepay=_prepay_from_document(prepay) if prepay else None,
        transaction_id=get("transaction_id", ""),
        paid_at=get("paid_at"),
        payer_total=None if payer_total is None else int(payer_total),
        close_after=get("close_after"),
        next_check_at=get("next_check_at"),
        checks=get("checks", 0),
        refund_reserved=int(get("refund_reserved", 0)),
        currency=get("currency", "CNY"),
        events=tuple([_event_from_document(event) for event in get("events", ())]),
    )


def refund_to_document(refund: Refund) -> Document:
    return {
        "_id": refund.out_refund_no,
        "out_trade_no": refund.out_trade_no,
        "transaction_id": refund.transaction_id,
        "api": refund.api.value,
        "appid": refund.appid,
        "mchid": refund.mchid,
        "refund": Int64(refund.refund),
        "total": Int64(refund.total),
        "reason": refund.reason,
        "by": refund.by,
        "notify_url": refund.notify_url,
        "created_at": refund.created_at,
        "state": refund.state.value,
        "events": [event_to_document(event) for event in refund.events],
        **_stored(
            surplus=refund.surplus or None,
            refund_id=refund.refund_id,
            success_at=refund.success_at,
            next_check_at=refund.next_check_at,
        ),
    }


def refund_from_document(document: Document) -> Refund:
    get = document.get
    return Refund(
        out_refund_no=document["_id"],
        out_trade_no=document["out_trade_no"],
        transaction_id=document["transaction_id"],
        api=Api(document["api"]),
        appid=document["appid"],
        mchid=document["mchid"],
        refund=Fen(int(document["refund"])),
        total=Fen(int(document["total"])),
        reason=document["reason"],
        by=document["by"],
        notify_url=document["notify_url"],
        created_at=document["created_at"],
        state=RefundState(document["state"]),
        surplus=get("surplus", False),
        refund_id=get("refund_id", ""),
        success_at=get("success_at"),
        next_check_at=get("next_check_at"),
        events=tuple([_event_from_document(event) for event in get("events", ())]),
    )


def event_to_document(event: OrderEvent) -> Document:
    return {
        "at": event.at,
        "what": event.what,
        "source": event.source,
        **_stored(by=event.by, detail=dict(event.detail)),
    }


def prepay_to_document(prepay: Prepay) -> Document:
    return {
        "obtained_at": prepay.obtained_at,
        "sign_type": prepay.sign_type,
        **_stored(prepay_id=prepay.prepay_id, code_url=prepay.code_url, h5_url=prepay.h5_url),
    }


def claim_to_document(claim: Claim) -> Document:
    return {
        "_id": claim.key,
        "out_trade_no": claim.out_trade_no,
        "digest": claim.digest,
        "expires_at": claim.expires_at,
    }


def claim_from_document(document: Document) -> Claim:
    return Claim(document["_id"], document["out_trade_no"], document["digest"], document["expires_at"])


def stored_changes(changes: Mapping[str, Any]) -> Document:
    """``changes`` as they are stored: None is left out, an amount is int64."""
    return {name: _wide(value) for name, value in changes.items() if value is not None}


def _event_from_document(document: Document) -> OrderEvent:
    get = document.get
    return OrderEvent(document["at"], document["what"], document["source"], get("by", ""), get("detail", {}))


def _prepay_from_document(document: Document) -> Prepay:
    get = document.get
    return Prepay(
        document["obtained_at"],
        document["sign_type"],
        get("prepay_id", ""),
        get("code_url", ""),
        get("h5_url", ""),
    )


def _stored(**fields: Any) -> Document:
    """The fields that say something; 0 does."""
    return {name: _wide(value) for name, value in fields.items() if value not in (None, "", {})}


def _wide(value: Any) -> Any:
    return Int64(value) if type(value) is int else value
