"""The promises of the service: what it acknowledged and accepted. Each must stand in the store at that moment."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from proof.wechat.payments import Payment, Refund
from wechat.domain.orders import Order
from wechat.domain.orders import Refund as OurRefund

FindOrder = Callable[[str], Order | None]
"""Returns an order as it is stored, by its number."""


@dataclass(slots=True)
class Acknowledged:
    """The promises so far. Each is compared with the store at once, because queries, bills and people repair a loss
    later. ``wrong`` lists those that did not stand there."""

    find_order: FindOrder
    wrong: list[str]
    payments: list[Payment] = field(default_factory=list)
    requested: dict[str, tuple[str, int]] = field(default_factory=dict)
    """Idempotency-Keys of refunds, each with the refund's number and amount."""
    keys: Counter[str] = field(default_factory=Counter)
    """The number of keys of each order's refunds."""
    resent: set[str] = field(default_factory=set)
    """Ids of events that could not be delivered in time and were resent by hand."""

    def take_payment(self, payment: Payment) -> None:
        """Record that the notification of ``payment`` was answered with success."""
        order = self.find_order(payment.number)
        held = [each.transaction_id for each in order.payments] if order else []
        if payment.transaction_id not in held:
            self.wrong.append(
                f"payment {payment.transaction_id} of {payment.number} was acknowledged and is not stored"
            )
        self.payments.append(payment)

    def take_refund(self, refund: Refund) -> None:
        """Record that the notification of ``refund`` was answered with success."""
        if not self.has_effect(refund):
            self.wrong.append(f"the notification of {refund.out_refund_no} was acknowledged and is not stored")

    def take_request(self, name: str, key: str, refund: OurRefund, amount: int) -> None:
        """Record that the request ``key`` for a refund of ``amount`` was answered with ``refund``."""
        held = self.requested.setdefault(key, (refund.out_refund_no, amount))
        if held != (refund.out_refund_no, refund.refund):
            self.wrong.append(f"{key} was {held} and is {refund.out_refund_no} of {refund.refund}")
        stored = self._find_refund(name, refund.out_refund_no)
        if stored is None or stored.refund != amount:
            self.wrong.append(f"refund {refund.out_refund_no} ({key}) of {name} was accepted and is not stored")

    def has_effect(self, refund: Refund) -> bool:
        """Whether the store has a refund as WeChat has it."""
        ours = self._find_refund(refund.number, refund.out_refund_no)
        return ours is not None and ours.state.value == refund.state

    def _find_refund(self, out_trade_no: str, out_refund_no: str) -> OurRefund | None:
        order = self.find_order(out_trade_no)
        return order.refund_of(out_refund_no) if order else None
