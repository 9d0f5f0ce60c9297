"""The checks of leases: what breaks a lease, and what does not."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import structlog

from proof.checks.leases import Leases
from proof.simulation import silence_logs
from wechat.domain.due_work import claim_check, claim_due
from wechat.domain.facts import Api
from wechat.domain.money import Fen
from wechat.domain.orders import Order, Refund, TradeType
from wechat.domain.refunds import cancel_refund, refuse_refund, send_or_queue
from wechat.domain.transitions import schedule_check

NOW = datetime(2026, 3, 1, tzinfo=UTC)
SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)
PLAIN = Order("order-01", Api.V3, "a", "m", TradeType.JSAPI, "x", Fen(1), NOW, NOW, "", "")
DUE = replace(PLAIN, next_check_at=NOW)
TAKEN = claim_check(DUE, "one", NOW)
REFUND = Refund(
    "r-1", "order-01", "4200", Api.V3, "a", "m", Fen(1), Fen(1), "x", "shop", "", NOW, next_check_at=NOW
)  # fmt: skip
REFUNDED = replace(PLAIN, refunds=(REFUND,))
WAITS: dict[str, Any] = {"_id": "event:shop", "out_trade_no": "order-01", "state": "pending", "due_at": NOW}


def wrong(*written: tuple[str, Order]) -> list[str]:
    """Return what is wrong with writes, each by a process."""
    leases = Leases()
    return [what for process, order in written for what in leases.on_order(process, order)]


def wrong_with(**changed: Any) -> list[str]:
    """Return what is wrong with a delivery that waits and is then written with ``changed`` fields."""
    leases = Leases()
    assert not [*leases.on_delivery(WAITS)]
    return [*leases.on_delivery({name: value for name, value in {**WAITS, **changed}.items() if value is not None})]


@pytest.mark.parametrize("late", [timedelta(0), SECOND, 5 * MINUTE])
def test_a_lease_that_is_taken_when_it_is_due_is_right(late: timedelta) -> None:
    assert not wrong(("process 1", DUE), ("process 1", claim_due(DUE, "one", NOW + late)))
    assert not wrong(("process 1", REFUNDED), ("process 1", claim_due(REFUNDED, "one", NOW + late)))
    assert not wrong_with(lease="one", due_at=NOW + late + MINUTE)


@pytest.mark.parametrize("until", [NOW, NOW + 24 * SECOND, None])
def test_a_check_that_is_leased_is_not_due_within_the_lease(until: datetime | None) -> None:
    [what] = wrong(("process 1", DUE), ("process 1", replace(DUE, check_lease="one", next_check_at=until)))
    assert what.startswith("its check was due at")


@pytest.mark.parametrize("until", [NOW, NOW + 59 * SECOND, None])
def test_a_refund_that_is_leased_is_not_due_within_the_lease(until: datetime | None) -> None:
    leased = replace(REFUNDED, refunds=(replace(REFUND, lease="one", next_check_at=until),))
    [what] = wrong(("process 1", REFUNDED), ("process 1", leased))
    assert what.startswith("refund r-1 was due at")


def test_the_holder_ends_the_check_and_nobody_else() -> None:
    ended = schedule_check(TAKEN, NOW + MINUTE, "one")
    assert not wrong(("process 1", DUE), ("process 1", TAKEN), ("process 1", ended))
    [what] = wrong(("process 1", DUE), ("process 1", TAKEN), ("process 2", ended))
    assert what == "its check was ended by process 2, and process 1 holds its lease"


SENT = send_or_queue(claim_due(REFUNDED, "one", NOW), "r-1", "one", NOW)
REFUSED = refuse_refund(SENT, "r-1", "one", "NOT_ENOUGH", "", NOW)


def test_the_holder_sends_a_refund_and_records_its_refusal_and_nobody_else() -> None:
    reserved, leased = ("process 2", REFUNDED), ("process 1", claim_due(REFUNDED, "one", NOW))
    sent = ("process 1", SENT)
    assert not wrong(reserved, leased, sent, ("process 1", REFUSED))
    for end in ([("process 2", SENT)], [sent, ("process 2", REFUSED)]):
        [what] = wrong(reserved, leased, *end)
        assert what == "refund r-1 was sent or refused by process 2, and process 1 holds its lease"


def test_a_refund_that_is_requested_and_sent_at_once_is_held_by_that_process() -> None:
    assert not wrong(("process 1", PLAIN), ("process 1", SENT), ("process 1", REFUSED))
    assert wrong(("process 1", PLAIN), ("process 1", SENT), ("process 2", REFUSED))


def test_whoever_cancels_a_refund_needs_no_lease() -> None:
    cancelled = cancel_refund(REFUNDED, "r-1", "shop", NOW)
    assert not wrong(("process 1", REFUNDED), ("process 2", cancelled))


def test_a_close_that_is_put_off_ends_the_check_of_any_holder() -> None:
    put_off = replace(TAKEN, check_lease="", close_after=NOW + MINUTE, next_check_at=NOW + MINUTE)
    assert not wrong(("process 1", DUE), ("process 1", TAKEN), ("process 2", put_off))


@pytest.mark.parametrize("until", [NOW, NOW + 59 * SECOND])
def test_a_delivery_that_is_leased_is_not_due_within_the_lease(until: datetime) -> None:
    [what] = wrong_with(lease="one", due_at=until)
    assert what.startswith("delivery event:shop was due at")


@pytest.mark.parametrize(("state", "due_at"), [("pending", None), ("delivered", NOW), ("dead", NOW)])
def test_a_delivery_has_a_date_as_long_as_it_is_pending(state: str, due_at: datetime | None) -> None:
    [what] = wrong_with(state=state, due_at=due_at)
    assert what == f"delivery event:shop is {state} and its date {due_at}"


def test_an_error_that_a_worker_catches_and_logs_is_kept() -> None:
    log = structlog.get_logger("a worker")
    with silence_logs() as crashes:
        log.error("a refusal")
        try:
            raise IndexError(9)
        except IndexError:
            log.exception("job_crashed", worker="x")
    assert crashes == ["job_crashed: IndexError(9)"]
