"""Deliver notifications: at once, then by the notification schedule until the answer is right, in simulated time.

A delivery under way when the process dies is repeated by the next process, so a notification may arrive twice, as from
WeChat. Only loopback addresses are called. Source of the schedule: https://pay.weixin.qq.com/doc/v3/merchant/4012791861
(通知频率, 24 hours and 4 minutes in all).
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import time
import uuid
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

import aiohttp

from simulator.control.console import is_loopback
from simulator.notify.messages import Message, NotificationBuilder, NotificationSpec
from simulator.state.clock import Clock, wait
from simulator.state.journal import Journal, plain
from simulator.state.orders import Attempted, OrderRegistry, Paid
from simulator.state.refunds import Refund, Refunds
from simulator.wechatpay.keys import SignatureMode
from wechat.domain.errors import Malformed
from wechat.pay.v2 import xmlcodec

LADDER_S = (15, 15, 30, 180, 600, 1200, 1800, 1800, 1800, 3600, 10800, 10800, 10800, 21600, 21600)
DUE_AFTER_S = (0, *itertools.accumulate(LADDER_S))
ANSWER_S = 5.0
AT_ONCE = 64
IDLE_S = 5.0  # shorter than services keep connections, so that none ends during a message
EXCERPT = 200


@dataclass(frozen=True, slots=True)
class Planned:
    """A message is to be delivered: about a refund's first or second end, or about ``paid``.

    For a forged message, ``paid`` is not the actual payment.
    """

    delivery_id: str
    notification_id: str
    out_trade_no: str
    shot: dict[str, Any]
    paid: dict[str, Any]
    due_s: float
    out_refund_no: str = ""
    refund_end: int = 0


@dataclass(slots=True)
class _Delivery:
    planned: Planned
    shot: NotificationSpec
    done: asyncio.Event
    made: int = 0

    @property
    def due_s(self) -> float:
        return self.planned.due_s + DUE_AFTER_S[self.made]


class NotificationSender:
    """Store pending messages, and send those that are due."""

    def __init__(
        self, journal: Journal, clock: Clock, orders: OrderRegistry, refunds: Refunds, writer: NotificationBuilder
    ) -> None:
        self._journal = journal
        self._clock = clock
        self._orders = orders
        self._refunds = refunds
        self._writer = writer
        self._pending: dict[str, _Delivery] = {}
        self._queue: list[tuple[float, int, str]] = []
        self._order = itertools.count()
        self._wake = asyncio.Event()
        self._places = asyncio.Semaphore(AT_ONCE)
        self._tasks: set[asyncio.Task[None]] = set()
        self._session: aiohttp.ClientSession | None = None
        journal.on(Planned, self._apply_plan)
        journal.on(Attempted, self._apply_attempt)
        clock.on_change.append(self._wake.set)

    def start(self) -> None:
        """Begin to deliver; the previous process's pending messages come first."""
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=ANSWER_S),
            connector=aiohttp.TCPConnector(limit=AT_ONCE, keepalive_timeout=IDLE_S),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": "Mozilla/4.0", "Accept": "*/*"},
        )
        self._track(self._run())

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._session:
            await self._session.close()

    def plan(self, paid: Paid, shots: tuple[NotificationSpec, ...]) -> list[asyncio.Event]:
        """Plan the messages of a payment; return for each an event that is set when its delivery ends."""
        now_s = self._clock.now_s()
        return self._plan(
            shots, lambda shot: {"out_trade_no": paid.out_trade_no, "paid": plain(paid), "due_s": now_s + shot.after_s}
        )

    def plan_refund(self, refund: Refund, shots: tuple[NotificationSpec, ...]) -> None:
        """Plan the messages about the planned end of ``refund``."""
        taken, due_s = refund.taken, refund.due_s or self._clock.now_s()
        numbers = {"out_trade_no": taken.out_trade_no, "out_refund_no": taken.out_refund_no, "paid": {}}
        self._plan(shots, lambda shot: {**numbers, "refund_end": len(refund.ends), "due_s": due_s + shot.after_s})

    def _plan(
        self, shots: tuple[NotificationSpec, ...], about: Callable[[NotificationSpec], dict[str, Any]]
    ) -> list[asyncio.Event]:
        """Plan the messages of one event, all with one notification id."""
        notification_id = str(uuid.uuid4())
        delivered = []
        for shot in shots:
            fact = Planned(uuid.uuid4().hex, notification_id, shot=plain(shot), **about(shot))
            self._journal.write(fact)
            delivered.append(self._pending[fact.delivery_id].done)
        self._wake.set()
        return delivered

    def pending(self, out_trade_no: str) -> list[dict[str, object]]:
        """Return the pending messages of an order."""
        return [
            {"kind": delivery.shot.kind, "due_in_s": round(delivery.due_s - self._clock.now_s(), 1)}
            for delivery in self._pending.values()
            if delivery.planned.out_trade_no == out_trade_no
        ]

    async def _run(self) -> None:
        while True:
            self._wake.clear()
            while self._queue and self._queue[0][0] <= self._clock.now_s():
                due_s, _, delivery_id = heapq.heappop(self._queue)
                delivery = self._pending.get(delivery_id)
                if delivery is None or delivery.due_s != due_s:
                    continue  # an attempt of the previous process
                await self._places.acquire()
                self._track(self._deliver(delivery))
            wait_s = self._clock.wait_s(self._queue[0][0]) if self._queue else None
            await wait(self._wake, wait_s)

    async def _deliver(self, delivery: _Delivery) -> None:
        """Attempt one delivery and record the outcome; applying the record plans the next step."""
        try:
            await self._journal.durable()  # a crash could still undo a payment that is not on disk
            self._journal.write(await self._attempt(delivery))
            delivery.done.set()
            await self._journal.durable()
        finally:
            self._places.release()
            self._wake.set()

    async def _attempt(self, delivery: _Delivery) -> Attempted:
        planned = delivery.planned
        url, api, message = self._letter(delivery)
        at_s, started = self._clock.calendar_s(), time.monotonic()
        status, body, error = await self._post(url, message)
        return Attempted(
            delivery_id=planned.delivery_id,
            out_trade_no=planned.out_trade_no,
            out_refund_no=planned.out_refund_no,
            kind=delivery.shot.kind,
            notification_id=planned.notification_id,
            wall_s=at_s,
            status=status,
            body=body[:EXCERPT].decode("utf-8", "replace"),
            error=error,
            took_s=round(time.monotonic() - started, 4),
            right=_is_right(api, status, body),
            serial_no=message.headers.get("Wechatpay-Serial", ""),
        )

    def _letter(self, delivery: _Delivery) -> tuple[str, str, Message]:
        """Return the address, the API whose form is used, and the message."""
        planned, shot = delivery.planned, delivery.shot
        order = self._orders.find(planned.out_trade_no)
        if not planned.out_refund_no:
            message = self._writer.payment(order, Paid(**planned.paid), planned.notification_id, shot)
            return order.placed.notify_url, order.placed.api, message
        refund = self._refunds.find(planned.out_refund_no)
        message = self._writer.refund(order, refund, refund.ends[planned.refund_end], planned.notification_id, shot)
        return refund.taken.notify_url, refund.taken.notify_api, message

    async def _post(self, url: str, message: Message) -> tuple[int, bytes, str]:
        if not is_loopback(url) or self._session is None:
            return 0, b"", "not a loopback address: never called"
        try:
            async with self._session.post(
                url, data=message.body, headers=message.headers, allow_redirects=False
            ) as response:
                return response.status, await response.content.read(4096), ""
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            return 0, b"", type(error).__name__

    def _apply_plan(self, fact: Planned) -> None:
        shot = NotificationSpec(**{**fact.shot, "seal": SignatureMode(fact.shot["seal"])})
        delivery = _Delivery(fact, shot, asyncio.Event())
        self._pending[fact.delivery_id] = delivery
        self._enqueue(delivery)

    def _apply_attempt(self, fact: Attempted) -> None:
        self._orders.find(fact.out_trade_no).attempts.append(fact)
        delivery = self._pending[fact.delivery_id]
        delivery.made += 1
        if fact.right or not delivery.shot.ladder or delivery.made == len(DUE_AFTER_S):
            del self._pending[fact.delivery_id]
        else:
            self._enqueue(delivery)

    def _enqueue(self, delivery: _Delivery) -> None:
        heapq.heappush(self._queue, (delivery.due_s, next(self._order), delivery.planned.delivery_id))

    def _track(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _is_right(api: str, status: int, body: bytes) -> bool:
    """Whether the answer confirms: v3 needs the status only; v2 needs 200 and return_code SUCCESS."""
    if api == "v3":
        return status in (200, 204)
    try:
        return status == 200 and xmlcodec.parse(body.strip()).get("return_code") == "SUCCESS"
    except Malformed:
        return False
