"""The people who act on the service and on WeChat: merchants' systems, payers, operators in WeChat's console; and
WeChat's notifications."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any, TypeVar

from proof.faults import Fault, Faults
from proof.people.acknowledged import Acknowledged, FindOrder
from proof.people.attackers import Attackers
from proof.people.careless import Careless
from proof.people.refund_notices import RefundNotices
from proof.runtime.chance import Chance
from proof.runtime.ports import SimulatedClock
from proof.runtime.trace import Trace
from proof.service.cluster import Cluster, NoAnswer
from proof.service.process import ServiceProcess
from proof.wechat.merchant import Account
from proof.wechat.payments import ANY_ORDER, STALE, Payment, Refund, WeChat
from wechat.domain.errors import CallerError, FenpayError, NotifyError
from wechat.domain.facts import Api
from wechat.domain.orders import Refund as OurRefund
from wechat.orders.requests import CreateOrderRequest
from wechat.refunds.requests import RefundRequest

T = TypeVar("T")

SCHEDULE_S = (15, 15, 30, 180, 600, 1200, 1800, 1800, 1800, 3600, 10800, 10800, 10800, 21600, 21600)
"""WeChat's pauses between the sendings of one notification."""
HOUR_S = 3600.0
SLOW_H = (30, 30, 30, 140)
"""Durations of slow refunds; after five days there must be an alarm."""
UNHEARD = 0.5
"""The share of payments of closed orders, and of payments refunded at once, without any notification; only if
notifications can be lost."""
MINUTES_LATE_S = (0, 150, 190)
"""How late WeChat's first notification of a payment is that was refunded at once."""
TRIES = 6
KEY_TWICE = 0.1
UNNAMED = 0.1
"""The share of orders of which a system asks for a refund without a name."""
AT_ONCE = 0.1
"""The share of orders that two systems of the merchant refund in full at the same time."""
SECOND_ORDER = 0.2
CLOSED_EARLY = 0.1
"""The share of orders that another system of the merchant closes while they are placed, and of those that it closes
while they are paid."""
UNTIL_ALARMED = 0.1
"""The share of orders whose amount queries tell wrongly, and of those whose refunds lack balance, until an alarm."""
MEANWHILE_S = 5.0
RETRY_S = (1, 5, 30, 120, 600)


class People:
    """All people of a seed. ``acknowledged`` is what the invariants hold the service to.

    Each order has a random stream of its own, so that it does not depend on the other orders. ``on_change`` is called
    when a person has ended, and when something is ``wrong``. ``find_order`` returns an order as it is stored.
    """

    def __init__(
        self,
        world: WeChat,
        account: Account,
        cluster: Cluster,
        faults: Faults,
        clock: SimulatedClock,
        chance: Chance,
        trace: Trace,
        find_order: FindOrder,
    ) -> None:
        self._world = world
        self._account = account
        self._cluster = cluster
        self._faults = faults
        self._clock = clock
        self._chance = chance
        self._trace = trace
        world.on_refund = lambda refund: self.begin(self._end_refund(refund))
        self.on_change: Callable[[], None] = lambda: None
        self.wrong: list[str] = []
        self.acknowledged = Acknowledged(find_order, self.wrong)
        self._careless = Careless(chance, self._insist, self.wrong)
        self._attackers = Attackers(world, account, self._notify, clock, self.wrong)
        self._notices = RefundNotices(
            account.v2, self._notify, self.acknowledged.has_effect, faults, chance, self.wrong, world.note_splice
        )
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self, work: Coroutine[Any, Any, None]) -> None:
        """Start a task beside all others."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._on_end)

    @property
    def busy(self) -> bool:
        """Whether a task still runs."""
        return bool(self._tasks)

    def _on_end(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            self.wrong.append(f"the service raised what it does not promise: {error!r}")
        self.on_change()

    # -- a customer's order ---------------------------------------------------------------------------------------

    async def buy(self, name: str, within_s: float) -> None:
        """Live one order: placed, mostly paid, sometimes closed, sometimes refunded."""
        stream = self._chance.stream(name)
        await asyncio.sleep(stream.uniform(0, within_s))
        self._faults.occurrences.begin(name)
        self._wait_for_alarms(name)
        self._close_early(name, "placed")
        total = stream.choice([1, 2, 100, 999, 10_000])
        api = stream.choice([Api.V2, Api.V3])
        sale = CreateOrderRequest(description="拿铁咖啡", total=total, openid=f"o-{name}", out_trade_no=name, api=api)
        placed = await self._insist(
            stream,
            name,
            "place",
            lambda process: process.orders.place_order(sale, merchant="shop", client_ip="10.0.0.1"),
        )
        if name not in self._world.orders:
            self._trace.add("merchant", "gives up", "never reached WeChat" if placed is None else "expired", name)
            return
        if self._chance.stream(f"{name}, key used twice").random() < KEY_TWICE:
            self.begin(self._careless.use_key_twice(name))
        await self._pay(stream, name)
        if self._chance.stream(f"{name}, refund without a name").random() < UNNAMED:
            self.begin(self._careless.refund_without_name(name))
        await self._follow(stream, name, total)

    def _wait_for_alarms(self, name: str) -> None:
        """Let WeChat do something wrong about some orders until a person is alarmed."""
        stream, world = self._chance.stream(f"{name}, until somebody is alarmed"), self._world
        for orders in [each for each in (world.misstated, world.without_balance) if stream.random() < UNTIL_ALARMED]:
            orders.add(name)

    async def _pay(self, stream: random.Random, name: str) -> None:
        """Act as the payer: wait, then pay, or not; sometimes by another account, after the close, or twice."""
        if stream.random() < 0.15:
            return
        await asyncio.sleep(stream.choice([1, 20, 300, 29 * 60, 40 * 60]))
        if pause_s := self._close_early(name, "paid"):
            await asyncio.sleep(pause_s)
        faults = self._faults_of(name)
        openid = "o-somebody-else" if faults.happens(Fault.PAID_BY_ANOTHER) else f"o-{name}"
        rules = faults.happens(Fault.PAID_AFTER_CLOSE)
        unheard = rules and self._world.orders[name].closed and stream.random() < UNHEARD
        extra = self._faults.of(name, f"coupon and early refund of {name}")
        with_coupon, late_s = extra.happens(Fault.COUPON), 0
        payment = self._world.pay(name, openid, self._clock.now(), against_the_rules=rules, with_coupon=with_coupon)
        if payment and extra.happens(Fault.REFUND_UNHEARD):
            early = self._chance.stream(f"early refund of {name}")
            self._refund_at_console(early, name)
            unheard = early.random() < UNHEARD
            late_s = self._chance.stream(f"late notification of {name}").choice(MINUTES_LATE_S)
        self._take(payment, "pays", heard=not unheard or not faults.has(Fault.NOTIFY_LOST), late_s=late_s)
        if faults.happens(Fault.PAID_TWICE) and self._world.orders[name].payments:
            await asyncio.sleep(stream.choice([0.1, 60, 7200]))
            self._take(self._world.pay(name, openid, self._clock.now(), against_the_rules=True), "pays again")

    async def _follow(self, stream: random.Random, name: str, total: int) -> None:
        """Act as the merchant later: close, refund at the API, refund in the console."""
        if stream.random() < 0.2:
            await self._close(stream, name, after_s=stream.choice([1, 300, 3600]))
        if self._chance.stream(f"{name}, refunds at once").random() < AT_ONCE:
            await asyncio.gather(*[self._refund_apart(name, total, each) for each in "ab"])
        for number in range(stream.choice([0, 0, 0, 1, 1, 2, 3])):
            await asyncio.sleep(stream.choice([5, 90, 3 * 3600]))
            amount = stream.choice([total, max(1, total // 3), 1])
            await self._refund(stream, name, amount, f"key-{name}-{number}")
        if self._faults_of(name).happens(Fault.CONSOLE_REFUND):
            await asyncio.sleep(stream.choice([1, 600]))
            self._refund_at_console(stream, name)

    async def _close(self, stream: random.Random, name: str, after_s: float) -> None:
        await asyncio.sleep(after_s)
        await self._insist(
            stream, name, "close", lambda process: process.orders.close(name, source="merchant"), tries=2
        )

    def _close_early(self, name: str, what: str) -> float:
        """Begin to close some orders soon, as a system does whose customer has left, while the order is ``what``.

        Return the seconds that the payer takes meanwhile.
        """
        stream = self._chance.stream(f"{name}, closed while it is {what}")
        if stream.random() >= CLOSED_EARLY:
            return 0.0
        self.begin(self._close(stream, name, after_s=stream.uniform(0, MEANWHILE_S)))
        return stream.uniform(0, MEANWHILE_S)

    async def _refund(self, stream: random.Random, name: str, amount: int, key: str) -> None:
        wanted = RefundRequest(refund=amount, reason="缺货")
        self.acknowledged.keys[name] += 1

        def request(process: ServiceProcess) -> Coroutine[Any, Any, OurRefund]:
            return process.refunds.request(name, wanted, by="shop", idempotency_key=key)

        refund = await self._insist(stream, name, "refund", request)
        if refund is not None:
            self.acknowledged.take_request(name, key, refund, amount)

    async def _refund_apart(self, name: str, total: int, which: str) -> None:
        """Refund as one of two systems."""
        await self._refund(self._chance.stream(f"{name}, system {which}"), name, total, f"key-{name}-at-once-{which}")

    def _refund_at_console(self, stream: random.Random, name: str) -> None:
        order = self._world.orders.get(name)
        if order is None or not order.payments:
            return
        payment = stream.choice(order.payments)
        refund = self._world.refund_at_console(payment, stream.choice([1, payment.total]), self._clock.now())
        if refund:
            self._trace.add("operator", "refunds", f"{refund.amount} at WeChat's console", name)

    async def _insist(
        self,
        stream: random.Random,
        name: str,
        what: str,
        work: Callable[[ServiceProcess], Coroutine[Any, Any, T]],
        tries: int = TRIES,
    ) -> T | None:
        """Repeat a request until there is an answer, as an HTTP client with retries does; None after a refusal or too
        many attempts."""
        for number in range(tries):
            try:
                answer = await self._cluster.call(work)
            except CallerError as refused:
                self._trace.add("merchant", what, f"refused: {refused.public_code}", name)
                return None
            except (NoAnswer, FenpayError) as error:
                self._trace.add("merchant", what, f"no answer: {error!r}"[:60], name)
                await asyncio.sleep(RETRY_S[min(number, len(RETRY_S) - 1)] * stream.uniform(0.5, 1.5))
            else:
                self._trace.add("merchant", what, "done", name)
                return answer
        return None

    # -- WeChat's own acts ----------------------------------------------------------------------------------------

    def _take(self, payment: Payment | None, what: str, *, heard: bool = True, late_s: int = 0) -> None:
        if payment is None:
            return
        self._trace.add("payer", what, payment.transaction_id, payment.number)
        if heard:
            self.begin(self._report_payment(payment, late_s))
        else:
            self._faults.occurrences.note(payment.number, Fault.NOTIFY_LOST)

    async def _end_refund(self, refund: Refund) -> None:
        """End a refund that WeChat has accepted, after a while, and notify the service."""
        faults, stream = self._faults_of(refund.number), self._chance.stream(f"refund {refund.refund_id}")
        await asyncio.sleep(30 * stream.random())
        slow = faults.happens(Fault.REFUND_SLOW)
        await asyncio.sleep(HOUR_S * stream.choice(SLOW_H) if slow else stream.choice([1, 60, 1800]))
        if faults.happens(Fault.REFUND_ABNORMAL):
            self._end(refund, "ABNORMAL")
            await self._report_refund(refund)
            await asyncio.sleep(6 * HOUR_S)
        self._end(refund, "CLOSED" if faults.happens(Fault.REFUND_CLOSED) else "SUCCESS")
        await self._report_refund(refund)

    def _end(self, refund: Refund, state: str) -> None:
        self._world.end_refund(refund, state, self._clock.now())
        self._trace.add("WeChat", "refund", f"{refund.out_refund_no} {refund.state}", refund.number)

    async def resend_events(self, ids: Sequence[str]) -> None:
        """Act as the operator after the alarm that events could not be delivered: resend them."""
        for event_id in ids:
            self.acknowledged.resent.add(event_id)
            self._trace.add("operator", "resends", event_id)
            resend = partial(_resend, event_id)
            await self._insist(self._chance.stream(event_id), "", "resend", resend)

    def _faults_of(self, name: str) -> Faults:
        return self._faults.of(name, f"people around {name}")

    # -- notifications --------------------------------------------------------------------------------------------

    async def _report_payment(self, payment: Payment, late_s: int) -> None:
        if late_s:
            await asyncio.sleep(late_s)
        api, faults = self._world.orders[payment.number].api, self._faults_of(payment.number)
        protocol = self._account.v2 if api == "v2" else self._account.v3

        def message() -> tuple[dict[str, str], bytes]:
            self._world.on_said_paid(payment)
            return protocol.payment_message(payment, payment.total, self._clock.now())

        if faults.happens(Fault.NOTIFY_OTHER_AMOUNT):
            wrong = protocol.payment_message(payment, payment.total + 1, self._clock.now())
            self._world.misquoted.add(payment.number)
            if await self._notify(wrong, payment.number, "for another amount"):
                self.wrong.append(f"a notification of {payment.number} for another amount was accepted")
            self.begin(self._attackers.report_others(payment, api))
        if faults.happens(Fault.NOTIFY_FORGED):
            forged = self._account.forger.payment_message(payment, payment.total, self._clock.now())
            if await self._notify(forged, payment.number, "forged"):
                self.wrong.append(f"a forged notification of {payment.number} was accepted")
            self.begin(self._attackers.forge(payment))
            self.begin(self._attackers.follow_rotations(payment))
        if faults.happens(Fault.NOTIFY_UNKNOWN):
            await self._notify(self._account.v3.unknown_message(self._clock.now()), payment.number, "of unknown kind")
        if await self._report(message, payment.number, lambda: self.acknowledged.take_payment(payment)):
            stream = self._chance.stream(f"second order of {payment.transaction_id}")
            if faults.has(Fault.NOTIFY_OTHER_AMOUNT) and stream.random() < SECOND_ORDER:
                self.begin(self._attackers.report_second_order(payment, protocol, stream))

    async def _report_refund(self, refund: Refund) -> None:
        if refund.by_console:
            return  # refunds made in the console have no notification
        if self._world.orders[refund.number].api == "v2":
            await self._notices.report(refund)
            return

        def message() -> tuple[dict[str, str], bytes]:
            return self._account.v3.refund_message(refund, self._clock.now())

        await self._report(message, refund.number, lambda: self.acknowledged.take_refund(refund))

    async def _report(
        self, message: Callable[[], tuple[dict[str, str], bytes]], name: str, on_acknowledged: Callable[[], None]
    ) -> bool:
        """Send a notification by WeChat's schedule until it is acknowledged; return whether it was.

        ``on_acknowledged`` is called with each answer that acknowledges it, at once.
        """
        faults = self._faults_of(name)
        if faults.happens(Fault.NOTIFY_LOST):
            self._trace.add("WeChat", "notifies", "and all of it is lost", name)
            return False
        await asyncio.sleep(5 * HOUR_S if faults.happens(Fault.NOTIFY_LATE) else 0.1)
        for pause in SCHEDULE_S:
            copies = [self._notify(message(), name, on_acknowledged=on_acknowledged)]
            if faults.happens(Fault.NOTIFY_DOUBLED):
                copies.append(self._notify(message(), name, "the same once more", on_acknowledged))
            if faults.happens(Fault.NOTIFY_PROBE):
                await self._attackers.probe(message(), name)
            if any(await asyncio.gather(*copies)):
                if faults.happens(Fault.NOTIFY_STALE):
                    self.begin(self._replay(message(), name))
                return True
            await asyncio.sleep(pause)
        return False

    async def _replay(self, message: tuple[dict[str, str], bytes], name: str) -> None:
        await asyncio.sleep(3 * HOUR_S)
        if len(message[0]) > 1:
            self._world.disputed.add((ANY_ORDER, STALE))
            await self._attackers.send_wrong(message, name, "from hours ago")
        else:  # v2 has no time in its messages
            await self._notify(message, name, "from hours ago")

    async def _notify(
        self,
        message: tuple[dict[str, str], bytes],
        name: str,
        note: str = "",
        on_acknowledged: Callable[[], None] = lambda: None,
    ) -> bool:
        """Send one message; return whether it was acknowledged."""
        headers, body = message
        try:
            async with asyncio.timeout(5):
                await self._cluster.call(lambda process: process.receive(headers, body))
        except (NotifyError, FenpayError) as error:
            self._trace.add("WeChat", "notifies", f"{note} refused: {error!r}"[:70].strip(), name)
            return False
        except (NoAnswer, TimeoutError):
            self._trace.add("WeChat", "notifies", f"{note} no answer".strip(), name)
            return False
        on_acknowledged()
        self._trace.add("WeChat", "notifies", f"{note} acknowledged".strip(), name)
        return True


def _resend(event_id: str, process: ServiceProcess) -> Coroutine[Any, Any, object]:
    return process.redelivery.resend(event_id)
