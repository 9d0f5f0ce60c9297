"""Handle refused notifications: write a log line, store a copy, and raise an alarm when refusals continue.

Anybody can post to /notify, so all three are limited for each reason: many forgeries write only a few lines and
documents, and the others are counted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import structlog

from wechat.domain.errors import BadRequest, Bilingual, Mismatch, NotFound, NotifyError, StoreUnavailable
from wechat.domain.facts import Api
from wechat.domain.metrics import Metric
from wechat.domain.ports import Clock, RefusedStore, Runtime
from wechat.domain.refused import (
    MOST_RAW_BYTES,
    OF_ORDER,
    PLACES,
    STAY,
    RefusedNotification,
    count_refusal,
    group_of_places,
    hash_body,
    mark_accepted,
    name_slips,
    place_of,
)
from wechat.notifications.reasons import PROBE, REASONS, group_of
from wechat.notifications.streaks import Streaks
from wechat.sign_explain.model import Keys, Slip
from wechat.sign_explain.signature import explain_notification
from wechat.slips.finder import SlipFinder, name_codes
from wechat.support.places import Places
from wechat.support.rate_limit import RateLimit
from wechat.support.update import Updater

EXPLAINED = frozenset({"sign_wrong", "sign_type", "sign_shape", "sign_missing", "aead_tag", "req_info"})
"""Reasons that have many possible slips; the other reasons explain themselves."""
LINES, LINES_PER_S = 5, 1.0
COPIES, COPIES_PER_S = 10, 0.5
LOOKUPS, LOOKUPS_PER_S = 50, 10.0
ORDER_LOOKUPS_PER_S = 1 / 15
"""Look-ups of one order; WeChat repeats a notification after 15 seconds at the earliest."""
MOST_ORDERS = 1000
KEEP_S = 1.0
KEEP = timedelta(days=30)
ALARM = "notifications_refused"
MAX_SERIAL = 64
KEPT_HEADERS = (
    "Wechatpay-Serial",
    "Wechatpay-Signature",
    "Wechatpay-Signature-Type",
    "Wechatpay-Timestamp",
    "Wechatpay-Nonce",
    "Content-Type",
    "User-Agent",
    "Request-ID",
)
"""Headers of a message that are kept; proxies and clients can put anything into the others."""

log = structlog.get_logger("wechat.notifications")


@dataclass(frozen=True, slots=True)
class RefusedMessage:
    """A received message and the error that refused it. ``out_trade_no`` is the order that it names, unverified."""

    api: Api | None
    headers: Mapping[str, str]
    body: bytes
    error: NotifyError
    out_trade_no: str = ""

    @property
    def serial(self) -> str:
        """The serial of the key that the message claims to be signed with."""
        return self.headers.get("Wechatpay-Serial", "")[:MAX_SERIAL]


class Refusals:
    """Reports refused messages and stores copies. ``machine`` is the clock that signatures are dated by."""

    def __init__(self, store: RefusedStore, finder: SlipFinder, runtime: Runtime, machine: Clock) -> None:
        self._store = store
        self._finder = finder
        self._updater = Updater(store, lambda message: message.place, runtime.random, remembered=0)
        self._clock = runtime.clock
        self._machine = machine
        self._places = Places(store, PLACES, runtime.random)
        self._telemetry = runtime.telemetry
        self._lines = RateLimit(runtime.clock, LINES, LINES_PER_S)
        self._copies = RateLimit(runtime.clock, COPIES, COPIES_PER_S)
        self._lookups = RateLimit(runtime.clock, LOOKUPS, LOOKUPS_PER_S)
        self._lookups_of_order = RateLimit(runtime.clock, OF_ORDER, ORDER_LOOKUPS_PER_S, MOST_ORDERS)
        self.streaks = Streaks(runtime.clock)
        self._slips: dict[str, str] = {}
        """The codes of the slips that made the latest signatures wrong, by reason, where they were found."""

    # -- reporting and keeping ----------------------------------------------------------------------------------------

    def report(self, message: RefusedMessage) -> None:
        """Write a log line with the reason, and raise the alarm if refusals continue.

        A genuine message that does not fit has another alarm, which names the order.
        """
        error, reason = message.error, group_of(message.error.reason)
        if self._lines.take(reason):
            log.warning(
                "notification_refused",
                reason=error.reason,
                api=message.api or "mixed",
                serial=message.serial,
                serials=list(error.known_serials),
                age_s=self._age_s(message.headers),
                out_trade_no=message.out_trade_no,
                error=REASONS[reason].text.en if reason == error.reason else error.text.en,
                suppressed=self._lines.refused_since(reason),
            )
        if reason != PROBE and not isinstance(error, Mismatch) and self.streaks.count(reason):
            self._telemetry.alarm(ALARM, subject=reason, error=self._slips.get(reason, ""))

    def may_look_up(self, out_trade_no: str) -> bool:
        """Whether a refused message's order may be looked up now; limited, because anybody can name any number."""
        return bool(out_trade_no) and self._lookups_of_order.take(out_trade_no) and self._lookups.take("")

    def wants_copy(self, error: NotifyError, *, ours: bool = False) -> bool:
        """Whether another copy may be kept now; a message that is not kept is counted. ``ours`` as in ``keep``."""
        reason = group_of(error.reason)
        if self._copies.take(group_of_places(reason, ours=ours)):
            return True
        self._telemetry.count(Metric.REFUSED_NOT_KEPT, reason)
        return False

    async def keep(self, message: RefusedMessage, *, ours: bool = False) -> None:
        """Store a copy within KEEP_S, so that a slow store does not delay the response, and look for the slip.

        ``ours``: the message names a stored order.
        """
        copy = self._copy(message)
        try:
            async with asyncio.timeout(KEEP_S):
                kept = await self._store_copy(copy, ours) or await self._store_copy(copy, ours)
        except (StoreUnavailable, TimeoutError):
            kept = False
        if not kept:
            self._telemetry.count(Metric.REFUSED_NOT_KEPT, copy.reason)
        self._find_slips(copy)

    def _find_slips(self, copy: RefusedNotification) -> None:
        """Start a search for the slip that made the signature wrong; it is added to the log, copy and alarm."""
        if copy.reason not in EXPLAINED or not copy.complete:
            return

        async def note(slips: Sequence[Slip]) -> None:
            codes = name_codes(slips)
            log.warning("slip_found", reason=copy.reason, slip=codes, serial=copy.serial, error=slips[0].text.en)
            self._slips[copy.reason] = codes
            for held in await self._store.of_reason(copy.reason):
                if held.value.body_hash == copy.body_hash:
                    await self._updater.update(
                        held.value.place, lambda kept: name_slips(kept, copy.body_hash, tuple(codes.split()))
                    )

        self._finder.start(copy.reason, copy.size, lambda keys: find_slips(copy, keys), note)

    async def _store_copy(self, copy: RefusedNotification, ours: bool) -> bool:
        """Count a repeated message, or store the copy in a place; False when another writer was faster."""
        group = group_of_places(copy.reason, ours=ours)
        of_reason = await self._store.of_reason(copy.reason)
        held = [each for each in of_reason if each.value.place.rpartition("-")[0] == group]
        by_age = sorted(held, key=lambda each: each.value.first_at)
        same_order = [each.value.place for each in by_age if ours and each.value.out_trade_no == copy.out_trade_no]
        replaced = same_order[-1] if len(same_order) >= OF_ORDER else ""
        staying = {each.value.place for each in by_age[:STAY]}

        def merge(value: RefusedNotification) -> RefusedNotification | None:
            if value.body_hash == copy.body_hash:
                return count_refusal(value, copy)
            return replace(copy, place=replaced) if value.place == replaced else None

        kept = await self._places.store(
            group,
            sorted(held, key=lambda each: each.value.body_hash != copy.body_hash),  # the same message comes first
            lambda place: replace(copy, place=place),
            merge,
            lambda value: -1.0 if value.place in staying else (copy.last_at - value.last_at).total_seconds(),
            lambda value: value.place,
        )
        return kept is not None

    def _copy(self, message: RefusedMessage) -> RefusedNotification:
        now, error = self._clock.now(), message.error
        return RefusedNotification(
            place="",
            reason=group_of(error.reason),
            api=message.api or "mixed",
            serial=message.serial,
            known_serials=error.known_serials,
            age_s=self._age_s(message.headers),
            out_trade_no=message.out_trade_no,
            raw=message.body[:MOST_RAW_BYTES],
            size=len(message.body),
            headers={name: message.headers[name] for name in KEPT_HEADERS if name in message.headers},
            body_hash=hash_body(message.body),
            arrived_at=self._machine.now(),
            first_at=now,
            last_at=now,
            expires_at=now + KEEP,
        )

    def _age_s(self, headers: Mapping[str, str]) -> int | None:
        """Compute the seconds since the message's timestamp; None without one."""
        sent = headers.get("Wechatpay-Timestamp", "")
        if not (sent.isascii() and sent.isdigit()) or len(sent) > 12:
            return None
        return int(self._machine.now().timestamp()) - int(sent)

    # -- for the operator ---------------------------------------------------------------------------------------------

    async def latest(self, limit: int, reason: str = "") -> list[RefusedNotification]:
        """Return the latest stored messages, of one reason or of all. Raises BadRequest for an unknown reason."""
        if not reason:
            return list(await self._store.latest(limit))
        if reason not in REASONS:
            known = ", ".join(REASONS)
            raise BadRequest(Bilingual(f"reason 可取 {known}", f"reason is one of {known}"), field="reason")
        return [stored.value for stored in await self._store.of_reason(reason)][:limit]

    async def about(self, out_trade_no: str, since: datetime) -> list[RefusedNotification]:
        """Return the messages since ``since`` that name an order, and those too unreadable to name one.

        Signature probes and messages that were accepted later are left out.
        """
        named = await self._store.about(out_trade_no, since, PLACES)
        unread = await self._store.about("", since, PLACES)
        return [message for message in (*named, *unread) if message.accepted_at is None and message.reason != PROBE]

    async def get(self, message_id: str) -> RefusedNotification:
        """Return a stored message. Raises NotFound, also when another message has taken its place."""
        stored = await self._store.get(place_of(message_id))
        if stored is None or stored.value.id != message_id:
            raise NotFound(
                Bilingual(
                    "没有这条被拒绝的通知，可能已被新的通知替换",
                    "No such refused notification; a newer one may have taken its place",
                ),
                code="NOTIFICATION_NOT_FOUND",
            )
        return stored.value

    async def explain(self, message: RefusedNotification) -> Sequence[Slip]:
        """Return why the signature of a complete ``message`` is wrong; for an operator who waits."""
        return await self._finder.find(lambda keys: find_slips(message, keys))

    async def record_acceptance(self, message: RefusedNotification) -> None:
        """Record that a replay accepted ``message``."""
        now = self._clock.now()
        await self._updater.update(message.place, lambda held: mark_accepted(held, message.body_hash, now))


def find_slips(message: RefusedNotification, keys: Keys) -> Sequence[Slip]:
    """Find out why the signature of a complete message is wrong; takes up to two seconds."""
    return explain_notification(message.headers, message.raw, keys, message.arrived_at.timestamp())
