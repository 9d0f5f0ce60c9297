"""The fifteen steps after a wrong answer, in simulated time."""

from __future__ import annotations

import time
from itertools import accumulate
from pathlib import Path

import pytest

from tests.simulator.merchant import Merchant
from tests.simulator.sink import OK_V2, Sink
from tests.support.simulator import SimulatorProcess

STEPS_S = [15, 15, 30, 180, 600, 1200, 1800, 1800, 1800, 3600, 10800, 10800, 10800, 21600, 21600]
DAY_S = 86400


def pay(shop: Merchant, api: str = "v3", scenario: str = "success") -> str:
    out_trade_no, params = shop.place(api)
    assert shop.bridge(params, scenario)["err_msg"].endswith(":ok")
    return out_trade_no


def wait_for_attempts(shop: Merchant, out_trade_no: str, count: int) -> list[dict[str, object]]:
    """The attempts, once there are ``count`` and nothing is due."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        attempts: list[dict[str, object]] = shop.simulator.order(out_trade_no)["attempts"]
        if len(attempts) >= count:
            return attempts
        time.sleep(0.01)
    raise AssertionError(f"{len(attempts)} of {count} attempts")


def test_the_steps_last_24_hours_and_4_minutes() -> None:
    assert sum(STEPS_S) == 24 * 3600 + 4 * 60


def test_each_step_is_due_after_its_pause(shop: Merchant, sink: Sink) -> None:
    sink.answer = lambda _: (500, b"")
    out_trade_no = pay(shop)
    for made, pause_s in enumerate(STEPS_S[:4], 1):
        wait_for_attempts(shop, out_trade_no, made)
        due_in_s = shop.simulator.order(out_trade_no)["pending"][0]["due_in_s"]
        assert pause_s - 2 < due_in_s <= pause_s
        shop.simulator.control("POST", "clock", {"advance_s": due_in_s})


def test_an_advance_of_a_day_and_more_fires_every_step_in_order_and_then_it_is_over(shop: Merchant, sink: Sink) -> None:
    sink.answer = lambda _: (500, b"no")
    out_trade_no = pay(shop)
    shop.simulator.control("POST", "clock", {"advance_s": DAY_S + 600})
    attempts = wait_for_attempts(shop, out_trade_no, 1 + len(STEPS_S))
    assert [attempt["status"] for attempt in attempts] == [500] * 16
    assert attempts[0]["body"] == "no"
    shop.simulator.control("POST", "clock", {"advance_s": DAY_S})
    time.sleep(0.1)
    assert len(sink.received) == 16
    assert shop.simulator.order(out_trade_no)["pending"] == []


def test_a_fast_clock_climbs_by_itself(tmp_path: Path, sink: Sink) -> None:
    simulator = SimulatorProcess.start(tmp_path, speed=3600)
    try:
        sink.answer = lambda _: (500, b"")
        started = time.monotonic()
        out_trade_no = pay(Merchant(simulator, sink.url))
        sink.wait(9, within_s=8)  # 5,640 simulated seconds
        assert time.monotonic() - started > list(accumulate(STEPS_S))[7] / 3600
        assert simulator.order(out_trade_no)["trade_state"] == "SUCCESS"
    finally:
        simulator.stop()


@pytest.mark.parametrize(
    ("api", "answer", "right"),
    [
        ("v3", (200, b""), True),
        ("v3", (204, b""), True),
        ("v3", (200, b'{"code":"FAIL"}'), True),
        ("v3", (302, b""), False),
        ("v3", (401, b""), False),
        ("v2", (200, OK_V2), True),
        ("v2", (200, b"success"), False),
        ("v2", (200, b"<xml><return_code>FAIL</return_code></xml>"), False),
        ("v2", (500, OK_V2), False),
    ],
)
def test_what_answer_is_right(shop: Merchant, sink: Sink, api: str, answer: tuple[int, bytes], right: bool) -> None:
    sink.answer = lambda _: answer
    out_trade_no = pay(shop, api)
    assert wait_for_attempts(shop, out_trade_no, 1)[0]["right"] is right
    assert bool(shop.simulator.order(out_trade_no)["pending"]) is not right
    assert len(sink.received) == 1


def test_every_v3_attempt_is_signed_anew_and_keeps_its_id(shop: Merchant, sink: Sink) -> None:
    sink.answer = lambda _: (500, b"")
    out_trade_no = pay(shop)
    wait_for_attempts(shop, out_trade_no, 1)
    shop.simulator.control("POST", "clock", {"advance_s": 15})
    wait_for_attempts(shop, out_trade_no, 2)
    first, second = sink.received
    assert first.headers["Wechatpay-Signature"] != second.headers["Wechatpay-Signature"]
    attempts = shop.simulator.order(out_trade_no)["attempts"]
    assert len({attempt["notification_id"] for attempt in attempts}) == 1


def test_an_address_that_is_not_loopback_is_never_called(shop: Merchant) -> None:
    shop.notify_url = "http://pay.example.com/notify"
    out_trade_no = pay(shop)
    attempt = wait_for_attempts(shop, out_trade_no, 1)[0]
    assert (attempt["status"], attempt["error"]) == (0, "not a loopback address: never called")


def test_an_address_where_nobody_listens_is_tried_again(shop: Merchant) -> None:
    shop.notify_url = "http://127.0.0.1:9/notify"
    out_trade_no = pay(shop, "v2")
    attempt = wait_for_attempts(shop, out_trade_no, 1)[0]
    assert (attempt["status"], attempt["error"]) == (0, "ClientConnectorError")
    assert len(shop.simulator.order(out_trade_no)["pending"]) == 1
