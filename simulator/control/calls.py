"""``/simulator/*``: controls and the actual data. Documented in docs/en/simulator.md."""

from __future__ import annotations

import resource
import time
from dataclasses import asdict
from typing import Any

from simulator.control.faults import Rule
from simulator.control.scenarios import REFUND_SCENARIO_NAMES, SCENARIO_NAMES, Scenario
from simulator.simulator import Simulator
from simulator.state.clock import moment
from simulator.state.orders import Attempted, Order, RuleBroken
from simulator.web.pages import ControlError, ControlHandler
from simulator.wechatpay.keys import Mode
from wechat.domain.times import to_v3


class Credentials(ControlHandler):
    """GET: all that WeChat gives a merchant, and the users."""

    def get(self) -> None:
        identity, keys, merchant = self.simulator.identity, self.simulator.keys, self.simulator.merchant
        document = asdict(identity) | {
            "app_appid": identity.app_appid,
            "merchant_private_key_pem": merchant.key_pem,
            "merchant_cert_pem": merchant.certificate_pem,
            "merchant_serial_no": merchant.serial_no,
            "platform_cert_pem": keys.certificate.certificate_pem,
            "platform_serial_no": keys.certificate.serial_no,
            "public_key_pem": keys.public_key_pem,
            "secure_url": self.simulator.secure_url,
            "secure_ca_pem": self.simulator.server.certificate_pem,
        }
        self.tell(document)


class Settings(ControlHandler):
    """GET, POST: the entries of WeChat's consoles. POST changes those that it names."""

    def get(self) -> None:
        self.tell(asdict(self.simulator.console.settings))

    async def post(self) -> None:
        try:
            self.simulator.console.change(self.body())
        except ValueError as error:
            raise ControlError(str(error)) from None
        await self.simulator.journal.durable()
        self.get()


class Clock(ControlHandler):
    """GET, POST ``{"speed": 60}`` or ``{"advance_s": 7200}``.

    GET ``?seen=`` waits for a newer version, so that a service can follow this clock. POST answers once the followers
    have the change.
    """

    async def get(self) -> None:
        seen = self.get_query_argument("seen", "")
        if seen:
            await self.simulator.followers.wait(int(seen) if seen.isascii() and seen.isdigit() else 0)
        self._show()

    def _show(self) -> None:
        clock = self.simulator.clock
        now_s = clock.now_s()
        self.tell(
            {
                "now": to_v3(moment(now_s)),
                "now_s": now_s,
                "speed": clock.speed,
                "ahead_s": round(now_s - time.time(), 3),
                "calendar": clock.calendar.value,
                "version": self.simulator.followers.version,
            }
        )

    async def post(self) -> None:
        asked = self.body()
        if set(asked) - {"speed", "advance_s"} or not asked:
            raise ControlError("speed or advance_s is expected")
        try:
            self.simulator.move_clock(**{name: _number(value) for name, value in asked.items()})
        except ValueError as error:
            raise ControlError(str(error)) from None
        await self.simulator.journal.durable()
        await self.simulator.followers.wait_for_followers()
        self._show()


class Keys(ControlHandler):
    """GET, POST ``{"mode": "grey", "grey_ratio": 0.5}`` or ``{"rotate": true}``.

    With ``"leading_zero": true`` the new certificate's serial number begins with the digit 0.
    """

    def get(self) -> None:
        keys = self.simulator.keys
        document = {
            "mode": keys.mode.value,
            "grey_ratio": keys.grey_ratio,
            "platform_serial_no": keys.certificate.serial_no,
            "public_key_id": keys.public_key_id,
        }
        self.tell(document)

    async def post(self) -> None:
        asked, keys = self.body(), self.simulator.keys
        if set(asked) - {"mode", "grey_ratio", "rotate", "leading_zero"} or not asked:
            raise ControlError("mode, grey_ratio or rotate is expected")
        mode, ratio = asked.get("mode", keys.mode), _number(asked.get("grey_ratio", keys.grey_ratio))
        if mode not in list(Mode) or not 0 <= ratio <= 1:
            raise ControlError(f"mode is one of {', '.join(Mode)}, grey_ratio 0 to 1")
        rotate, leading_zero = asked.get("rotate", False), asked.get("leading_zero", False)
        if type(rotate) is not bool or type(leading_zero) is not bool:
            raise ControlError("rotate and leading_zero are true or false")
        keys.set_mode(Mode(mode), ratio)
        if rotate:
            keys.rotate(leading_zero=leading_zero)
        await self.simulator.journal.durable()
        self.get()


class Faults(ControlHandler):
    """GET lists, POST adds one, DELETE removes all."""

    def get(self) -> None:
        self.tell({"faults": self.simulator.faults.as_json()})

    def post(self) -> None:
        try:
            self.simulator.faults.add(Rule.parse(self.body()))
        except ValueError as error:
            raise ControlError(str(error)) from None
        self.set_status(201)
        self.get()

    def delete(self) -> None:
        self.simulator.faults.clear()
        self.get()


class ExpireTokens(ControlHandler):
    """POST: expire every access_token and jsapi_ticket of the account."""

    async def post(self) -> None:
        self.simulator.credentials.expire_all()
        await self.simulator.journal.durable()
        self.tell({"expired": True})


class Orders(ControlHandler):
    """GET ?limit=: the newest orders."""

    def get(self) -> None:
        document = [order_json(self.simulator, order) for order in self.simulator.orders.latest(self.limit())]
        self.tell({"count": len(self.simulator.orders), "orders": document})


class OneOrder(ControlHandler):
    """GET: the actual data of an order, and every attempt to notify the merchant."""

    def get(self, out_trade_no: str) -> None:
        try:
            self.tell(order_json(self.simulator, self.simulator.orders.find(out_trade_no)))
        except RuleBroken:
            raise ControlError("no such order", 404) from None


class Scenarios(ControlHandler):
    """GET: the scenarios of payments and refunds, with a name in both languages.

    POST ``{"proposed": "lost_notification"}``: preselect this scenario on the pay sheet.
    """

    def get(self) -> None:
        pay = {name: text._asdict() for name, text in SCENARIO_NAMES.items()}
        refund = {name: text._asdict() for name, text in REFUND_SCENARIO_NAMES.items()}
        self.tell({"pay": pay, "refund": refund, "proposed": self.simulator.cashier.proposed.value})

    def post(self) -> None:
        wanted = self.body().get("proposed")
        if wanted not in list(Scenario):
            raise ControlError(f"proposed is one of: {', '.join(Scenario)}")
        self.simulator.cashier.proposed = Scenario(wanted)
        self.get()


class Stats(ControlHandler):
    """GET: requests served by path, and what they cost this process."""

    def get(self) -> None:
        usage = resource.getrusage(resource.RUSAGE_SELF)
        self.tell(
            {
                "served": dict(self.simulator.served),
                "orders": len(self.simulator.orders),
                "cpu_s": round(time.process_time(), 3),
                "max_rss_kb": usage.ru_maxrss,
            }
        )


def order_json(simulator: Simulator, order: Order) -> dict[str, Any]:
    """Return the actual data of ``order``; times by the calendar, in RFC 3339."""
    placed, payment, closed = order.placed, order.payment, order.closed
    paid = payment.paid if payment else None
    return {
        "out_trade_no": placed.out_trade_no,
        "api": placed.api,
        "trade_type": placed.trade_type,
        "trade_state": simulator.orders.state(order),
        "total": placed.total,
        "currency": placed.currency,
        "description": placed.description,
        "attach": placed.attach,
        "openid": placed.openid,
        "notify_url": placed.notify_url,
        "sign_type": placed.sign_type,
        "created_at": _time(placed.wall_s),
        "life_s": placed.life_s,
        "prepay_ids": list(order.prepays),
        "paid_at": _time(paid.wall_s) if paid else None,
        "transaction_id": paid.transaction_id if paid else None,
        "payer": paid.openid if paid else None,
        "payer_total": payment.whole.cash if payment else None,
        "coupons": [{"kind": coupon.kind, "amount": coupon.amount} for coupon in paid.coupons] if paid else [],
        "scenario": paid.scenario if paid else None,
        "surplus": [surplus.paid.transaction_id for surplus in order.payments[1:]],
        "refunded": sum(each.refunded for each in order.payments),
        "refunds": [refund.taken.out_refund_no for refund in simulator.refunds.of_order(placed.out_trade_no)],
        "closed_at": _time(closed.wall_s) if closed else None,
        "attempts": [attempt_json(attempt) for attempt in order.attempts],
        "pending": simulator.sender.pending(placed.out_trade_no),
    }


def attempt_json(attempt: Attempted) -> dict[str, Any]:
    return {
        "at": _time(attempt.wall_s),
        "kind": attempt.kind,
        "out_refund_no": attempt.out_refund_no or None,
        "notification_id": attempt.notification_id,
        "status": attempt.status,
        "body": attempt.body,
        "error": attempt.error,
        "serial_no": attempt.serial_no or None,
        "took_s": attempt.took_s,
        "right": attempt.right,
    }


def _time(wall_s: float) -> str:
    return to_v3(moment(wall_s))


def _number(value: Any) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise ControlError("a number is expected")
    return float(value)
