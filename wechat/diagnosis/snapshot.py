"""The input of a diagnosis (``OrderSnapshot``) and one part of its text (``Finding``). Pure values.

Times are in Beijing time, with the date unless it is today.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

from wechat.domain.deliveries import Delivery
from wechat.domain.errors import Bilingual, FenpayError
from wechat.domain.facts import NotificationKind, Received, Transaction
from wechat.domain.messages import Verdict
from wechat.domain.orders import RELEASES_RESERVATION, Order, Refund, TimelineEntry
from wechat.domain.payments import SECOND_PAYMENT
from wechat.domain.refused import RefusedNotification
from wechat.domain.times import beijing, beijing_day, span
from wechat.support.cli_hints import command


class Outcome(StrEnum):
    """The outcome of the query of WeChat."""

    TOLD = "told"
    NO_SUCH_ORDER = "no_such_order"  # it has never received the order
    REFUSED = "refused"
    NOT_ASKED = "not_asked"
    UNKNOWN = "unknown"  # not reached, or no answer that can be trusted


@dataclass(frozen=True, slots=True)
class RemoteStatus:
    """WeChat's side: ``transaction`` if the query found it, ``error`` if the query was refused or failed."""

    outcome: Outcome
    transaction: Transaction | None = None
    error: FenpayError | None = None


class Finding(NamedTuple):
    """A part of the sentence; ``next_step`` is a command, if one is needed."""

    zh: str
    en: str
    next_step: str = ""


@dataclass(frozen=True, slots=True)
class OrderSnapshot:
    """All facts about an order at ``now``.

    ``unverified`` are notifications that were refused before their content was verified: those that name the order, and
    those that could not be read.
    """

    order: Order
    look: RemoteStatus
    received: tuple[Received, ...]
    refunds: tuple[Refund, ...]
    now: datetime
    unverified: tuple[RefusedNotification, ...] = ()
    deliveries: tuple[Delivery, ...] = ()

    @property
    def accepted(self) -> list[Received]:
        """The payment notifications that matched the order, oldest first."""
        return [message for message in self._payments if message.verdict in ("", Verdict.APPLIED)]

    @property
    def refused(self) -> list[Received]:
        """The payment notifications that did not match, without those of a second payment."""
        others = ("", Verdict.APPLIED, Verdict.NOT_PAID, SECOND_PAYMENT)
        return [message for message in self._payments if message.verdict not in others]

    @property
    def second_payments(self) -> list[Received]:
        return [message for message in self._payments if message.verdict == SECOND_PAYMENT]

    @property
    def refunds_that_count(self) -> list[Refund]:
        """The refunds that were neither refused nor closed."""
        return [refund for refund in self.refunds if refund.state not in RELEASES_RESERVATION]

    @property
    def _payments(self) -> list[Received]:
        return [message for message in self.received if message.kind == NotificationKind.PAYMENT]

    def last(self, *whats: str) -> TimelineEntry | None:
        """Return the latest line of the timeline about one of ``whats``."""
        return next((event for event in reversed(self.order.timeline) if event.what in whats), None)

    def at(self, moment: datetime) -> str:
        """Format ``moment`` in Beijing time, without the date if it is today."""
        text = beijing(moment)
        return text[11:] if beijing_day(moment) == beijing_day(self.now) else text

    def when(self, moment: datetime | None) -> Bilingual:
        """Format ``moment`` with its preposition; empty for None."""
        return Bilingual(f"于 {self.at(moment)} ", f" at {self.at(moment)}") if moment else Bilingual("", "")

    def command(self, verb: str, *more: str) -> str:
        """Return a command for this order."""
        return command(verb, self.order.out_trade_no, *more)


def after(length: timedelta) -> Bilingual:
    """Describe a delay: "… later"."""
    if length < timedelta(seconds=1):
        return Bilingual("在 1 秒内", "within a second")
    return Bilingual(f" {span(length).zh}后", f"{span(length).en} later")
