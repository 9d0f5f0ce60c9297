"""What survives a restart and a SIGKILL, and the control calls."""

from __future__ import annotations

import http.client
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.simulator.merchant import Merchant
from tests.simulator.sink import Sink
from tests.support.simulated_account import Account
from tests.support.simulator import ROOT, SimulatorProcess, ask


class Restarting:
    """A simulator that can die and come back over the same state."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.now = SimulatorProcess.start(state)

    def reborn(self, how: str = "kill") -> SimulatorProcess:
        getattr(self.now, how)()
        self.now = SimulatorProcess.start(self.state)
        return self.now


@pytest.fixture
def restarting(tmp_path: Path) -> Iterator[Restarting]:
    restarting = Restarting(tmp_path / "state")
    yield restarting
    restarting.now.stop()


def without_pending(order: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in order.items() if name != "pending"}


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_keys_orders_and_payments_survive(restarting: Restarting, sink: Sink, how: str) -> None:
    shop = Merchant(restarting.now, sink.url)
    paid, params = shop.place("v3")
    unpaid, unpaid_params = shop.place("v2")
    shop.bridge(params)
    before = [shop.simulator.order(number) for number in (paid, unpaid)]
    after = Merchant(restarting.reborn(how), sink.url)
    assert {**after.known, "secure_url": ""} == {**shop.known, "secure_url": ""}  # a port of its own each time
    known = [without_pending(after.simulator.order(number)) for number in (paid, unpaid)]
    assert [order["trade_state"] for order in known] == ["SUCCESS", "NOTPAY"]
    assert known[1] == without_pending(before[1])
    assert known[0]["transaction_id"] == before[0]["transaction_id"]
    assert after.bridge(unpaid_params)["err_msg"].endswith(":ok")


def test_a_pending_notification_is_delivered_by_the_next_process(restarting: Restarting, sink: Sink) -> None:
    shop = Merchant(restarting.now, sink.url)
    out_trade_no, params = shop.place("v3")
    shop.bridge(params, "late")
    shop.simulator = restarting.reborn()
    assert shop.simulator.order(out_trade_no)["pending"]
    shop.simulator.control("POST", "clock", {"advance_s": 6})
    sink.wait(1)


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_after_a_restart_what_was_delivered_stays_so_and_what_is_new_is_delivered(
    restarting: Restarting, sink: Sink, how: str
) -> None:
    shop = Merchant(restarting.now, sink.url)
    _, params = shop.place("v3")
    shop.bridge(params)
    sink.wait(1)
    shop.simulator = restarting.reborn(how)
    _, params = shop.place("v3")
    shop.bridge(params)
    assert len(sink.wait(2)) == 2


def test_an_attempt_that_failed_before_a_restart_is_the_ladders_first(restarting: Restarting, sink: Sink) -> None:
    shop = Merchant(restarting.now, sink.url)
    sink.answer = lambda _: (500, b"")
    out_trade_no, params = shop.place("v3")
    shop.bridge(params)
    sink.wait(1)
    shop.simulator = restarting.reborn("stop")
    [pending] = shop.simulator.order(out_trade_no)["pending"]
    assert 0 < pending["due_in_s"] <= 15
    time.sleep(0.3)
    assert len(sink.received) == 1
    shop.simulator.control("POST", "clock", {"advance_s": 16})
    sink.wait(2)
    shop.simulator.control("POST", "clock", {"advance_s": 16})
    sink.wait(3)


def test_tokens_tickets_and_used_codes_survive(restarting: Restarting) -> None:
    account = Account(Merchant(restarting.now))
    token, code = account.stable()["access_token"], account.code()
    account.exchange(code)
    account.simulator = restarting.reborn()
    assert account.stable()["access_token"] == token
    assert account.exchange(code)["errcode"] == 40163


def test_the_clock_the_keys_and_the_console_stay_where_they_were_put(restarting: Restarting) -> None:
    simulator = restarting.now
    simulator.control("POST", "clock", {"advance_s": 86400})
    simulator.control("POST", "settings", {"js_domains": ["127.0.0.1:8888"]})
    simulator.control("POST", "keys", {"mode": "certificate", "rotate": True})
    payload = [simulator.control("GET", what) for what in ("settings", "keys")]
    simulator = restarting.reborn()
    assert [simulator.control("GET", what) for what in ("settings", "keys")] == payload
    assert 86400 <= simulator.control("GET", "clock")["ahead_s"] < 86410


def test_a_line_that_a_crash_tore_is_cut_off(restarting: Restarting) -> None:
    out_trade_no, _ = Merchant(restarting.now).place("v3")
    restarting.now.kill()
    with (restarting.state / "truth.jsonl").open("ab") as log:
        log.write(b'{"at":1,"wall":1,"fact":"Pai')
    restarting.now = SimulatorProcess.start(restarting.state)
    assert restarting.now.order(out_trade_no)["trade_state"] == "NOTPAY"
    Merchant(restarting.now).place("v3")
    assert restarting.reborn().control("GET", "orders")["count"] == 2


def test_every_file_is_the_owners_alone(restarting: Restarting) -> None:
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in restarting.state.iterdir()}
    assert {"identity.json", "truth.jsonl", "merchant.key.pem"} <= set(modes)
    assert set(modes.values()) == {0o600}


def test_two_simulators_over_one_state_are_one_too_many(restarting: Restarting) -> None:
    command = [sys.executable, "-m", "simulator", "--port", "0", "--state", str(restarting.state)]
    second = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=20, check=False)
    assert second.returncode != 0
    assert "is in use by another simulator" in second.stderr


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "clock", {"speed": 0}),
        ("POST", "clock", {"speed": "fast"}),
        ("POST", "clock", {"advance_s": -1}),
        ("POST", "clock", {}),
        ("POST", "keys", {"mode": "sm2"}),
        ("POST", "keys", {"grey_ratio": 2}),
        ("POST", "settings", {"pay_directories": ["http://127.0.0.1:8888/pay"]}),
        ("POST", "settings", {"pay_directories": [f"http://127.0.0.1/{n}/" for n in range(6)]}),
        ("POST", "settings", {"oauth_domains": ["http://127.0.0.1"]}),
        ("POST", "settings", {"mystery": 1}),
        ("GET", "orders?limit=0", None),
        ("GET", "orders/unknown", None),
        ("POST", "bridge", {"scenario": "x"}),
    ],
)
def test_a_control_call_that_makes_no_sense_is_refused_with_a_sentence(
    simulator: SimulatorProcess, method: str, path: str, body: dict[str, Any] | None
) -> None:
    payload = simulator.control(method, path, body)
    assert payload["code"] == "SIMULATOR_ERROR"
    assert len(payload["message"]) > 10


def test_a_form_of_another_site_cannot_control(simulator: SimulatorProcess) -> None:
    answer = ask("POST", f"{simulator.url}/simulator/clock", '{"speed":2}', {"Content-Type": "text/plain"})
    assert (answer.status, simulator.control("GET", "clock")["speed"]) == (415, 1)


def test_a_name_that_is_not_loopback_is_not_served(simulator: SimulatorProcess) -> None:
    connection = http.client.HTTPConnection(simulator.url.removeprefix("http://"), timeout=5)
    connection.request("GET", "/simulator/credentials", headers={"Host": "evil.example"})
    assert connection.getresponse().status == 421
    connection.close()


def test_stats_count_what_was_served(simulator: SimulatorProcess) -> None:
    before = simulator.control("GET", "stats")["served"].get("/simulator/keys", 0)
    simulator.control("GET", "keys")
    stats = simulator.control("GET", "stats")
    assert stats["served"]["/simulator/keys"] == before + 1
    assert stats["cpu_s"] > 0


def test_the_front_page_shows_users_and_orders(simulator: SimulatorProcess, merchant: Merchant) -> None:
    out_trade_no, _ = merchant.place("v3")
    page = ask("GET", f"{simulator.url}/simulator/").body.decode()
    assert all(words in page for words in ("用户甲", "用户乙", out_trade_no, "¥18.00"))


def test_another_user_can_be_picked_and_unpicked(simulator: SimulatorProcess) -> None:
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    picked = ask("POST", f"{simulator.url}/simulator/user", "user=yi", form)
    assert (picked.status, "wxsim_user=yi" in picked.headers["Set-Cookie"]) == (303, True)
    unpicked = ask("POST", f"{simulator.url}/simulator/user", "user=", form)
    assert 'wxsim_user=""' in unpicked.headers["Set-Cookie"]


def test_a_port_that_is_taken_ends_the_start_with_a_sentence(simulator: SimulatorProcess, tmp_path: Path) -> None:
    port = simulator.url.rpartition(":")[2]
    command = [sys.executable, "-m", "simulator", "--port", port, "--state", str(tmp_path)]
    second = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=20, check=False)
    assert second.returncode == 1
    assert second.stderr.startswith(f"cannot listen on 127.0.0.1:{port}: ")
