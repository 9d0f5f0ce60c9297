"""Delivers notifications: at once, then up the ladder until the answer is right, in simulated time.

A delivery that is under way when the process dies is made again by the next one, so a notification may come twice,
as from WeChat. Only loopback addresses are ever called.
Source of the ladder: https://pay.weixin.qq.com/doc/v3/merchant/4012791861 (通知频率, 24 hours and 4 minutes in all).
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import itertools
import time
import uuid
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any

import aiohttp

from simulator.clock import Clock
from simulator.console import is_loopback
from simulator.journal import Journal, plain
from simulator.keys import Seal
from simulator.messages import Message, Writer
from simulator.orders import Attempted, Book, Order, Paid
from wechat.errors import Malformed
from wechat.pay import xmlcodec

LADDER_S = (15, 15, 30, 180, 600, 1200, 1800, 1800, 1800, 3600, 10800, 10800, 10800, 21600, 21600)
DUE_AFTER_S = (0, *itertools.accumulate(LADDER_S))
ANSWER_S = 5.0
AT_ONCE = 64
EXCERPT = 200


@dataclass(frozen=True, slots=True)
class Shot:
    """One message that a payment sets off. ``kind`` is its name in the order's attempts.

    ``after_s`` simulated seconds after the payment; ``ladder``: repeated until the answer is right; ``skew_s``: how far
    v3's timestamp is off the wall clock; ``over``: fen by which the message overstates the total.
    """

    kind: str = "genuine"
    after_s: float = 0.0
    ladder: bool = True
    skew_s: int = 0
    seal: Seal = Seal.GENUINE
    over: int = 0


@dataclass(frozen=True, slots=True)
class Planned:
    """A message is to be delivered. ``paid`` tells what it says; of a forged one it is not the truth."""

    delivery_id: str
    notification_id: str
    out_trade_no: str
    shot: dict[str, Any]
    paid: dict[str, Any]
    due_s: float


@dataclass(slots=True)
class _Delivery:
    planned: Planned
    shot: Shot
    paid: Paid
    done: asyncio.Event
    made: int = 0

    @property
    def due_s(self) -> float:
        return self.planned.due_s + DUE_AFTER_S[self.made]


class Courier:
    """Keeps what is pending, sends what is due."""

    def __init__(self, journal: Journal, clock: Clock, book: Book, writer: Writer) -> None:
        self._journal = journal
        self._clock = clock
        self._book = book
        self._writer = writer
        self._pending: dict[str, _Delivery] = {}
        self._queue: list[tuple[float, int, str]] = []
        self._order = itertools.count()
        self._wake = asyncio.Event()
        self._places = asyncio.Semaphore(AT_ONCE)
        self._tasks: set[asyncio.Task[None]] = set()
        self._session: aiohttp.ClientSession | None = None
        journal.on(Planned, self._apply_planned)
        journal.on(Attempted, self._apply_attempted)
        clock.on_change = self._wake.set

    def start(self) -> None:
        """Begin to deliver; what the last process left pending comes first."""
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=ANSWER_S),
            connector=aiohttp.TCPConnector(limit=AT_ONCE),
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

    def plan(self, paid: Paid, shots: tuple[Shot, ...]) -> list[asyncio.Event]:
        """Plan the messages of a payment, all with one notification id; an event each tells when it is settled."""
        notification_id = str(uuid.uuid4())
        now_s = self._clock.now_s()
        delivered = []
        for shot in shots:
            fact = Planned(
                uuid.uuid4().hex,
                notification_id,
                paid.out_trade_no,
                plain(shot),
                plain(paid),
                now_s + shot.after_s,
            )
            self._journal.write(fact)
            delivered.append(self._pending[fact.delivery_id].done)
        self._wake.set()
        return delivered

    def pending(self, out_trade_no: str) -> list[dict[str, object]]:
        """What is still to come for an order."""
        return [
            {"kind": delivery.shot.kind, "due_in_s": round(delivery.due_s - self._clock.now_s(), 1)}
            for delivery in self._pending.values()
            if delivery.planned.out_trade_no == out_trade_no
        ]

    async def _run(self) -> None:
        while True:
            self._wake.clear()
            while self._queue and self._queue[0][0] <= self._clock.now_s():
                delivery_id = heapq.heappop(self._queue)[2]
                await self._places.acquire()
                self._track(self._deliver(self._pending[delivery_id]))
            wait_s = self._clock.wait_s(self._queue[0][0]) if self._queue else None
            await wait(self._wake, wait_s)

    async def _deliver(self, delivery: _Delivery) -> None:
        """Attempt once, note the outcome; applying the note plans the next step."""
        try:
            order = self._book.find(delivery.planned.out_trade_no)
            await self._journal.durable()  # nobody hears of a payment that a crash could still undo
            self._journal.write(await self._attempt(order, delivery))
            delivery.done.set()
            await self._journal.durable()
        finally:
            self._places.release()
            self._wake.set()

    async def _attempt(self, order: Order, delivery: _Delivery) -> Attempted:
        shot, notification_id = delivery.shot, delivery.planned.notification_id
        message = self._writer.write(order, delivery.paid, notification_id, shot.seal, shot.skew_s, shot.over)
        started = time.time()
        status, body, error = await self._post(order.placed.notify_url, message)
        return Attempted(
            delivery_id=delivery.planned.delivery_id,
            out_trade_no=order.placed.out_trade_no,
            kind=shot.kind,
            notification_id=notification_id,
            wall_s=started,
            status=status,
            body=body[:EXCERPT].decode("utf-8", "replace"),
            error=error,
            took_s=round(time.time() - started, 4),
            right=_is_right(order.placed.api, status, body),
        )

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

    def _apply_planned(self, fact: Planned) -> None:
        shot = Shot(**{**fact.shot, "seal": Seal(fact.shot["seal"])})
        delivery = _Delivery(fact, shot, Paid(**fact.paid), asyncio.Event())
        self._pending[fact.delivery_id] = delivery
        self._enqueue(delivery)

    def _apply_attempted(self, fact: Attempted) -> None:
        self._book.find(fact.out_trade_no).attempts.append(fact)
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
    """v3 looks at the status alone; v2 wants 200 and return_code SUCCESS."""
    if api == "v3":
        return status in (200, 204)
    try:
        return status == 200 and xmlcodec.parse(body.strip()).get("return_code") == "SUCCESS"
    except Malformed:
        return False


async def wait(event: asyncio.Event, seconds: float | None) -> None:
    """Until ``event`` or ``seconds``, whichever comes first."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):  # wait_for of 3.11 can lose a cancellation
            await event.wait()
