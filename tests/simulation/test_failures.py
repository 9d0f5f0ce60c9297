"""Whatever goes wrong in a run is the failure of its seed, with the order that it is about."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import structlog
from rich.console import Console

from proof.checks.coverage import FAULTS, PLACED
from proof.checks.invariants import Broken
from proof.faults import Fault
from proof.page import write_page
from proof.people.visitors import Visitors
from proof.run import Options, run_seeds
from proof.scene import Scene
from proof.service.cluster import Cluster
from proof.service.process import ServiceProcess
from proof.simulation import Outcome, Scenario, silence_logs, simulate
from wechat.domain.errors import StoreUnavailable
from wechat.orders.worker import OrderWork

SMALL = Scenario(1, days=0.5, orders=1, processes=1, without=frozenset(Fault))


def test_without_a_mistake_it_holds() -> None:
    assert simulate(SMALL).failure == ""


def test_an_error_is_counted_by_a_logger_that_was_used_before() -> None:
    """Other tests of the same process use the loggers of the workers before a seed runs."""
    log = structlog.get_logger("wechat.worker")
    log.debug("used before")
    with silence_logs() as errors:
        log.exception("round_failed", exc_info=ValueError("order-01"))
    assert len(errors) == 1


def raise_in_check(error: Exception) -> Callable[..., Iterator[Broken]]:
    def check(*_: object) -> Iterator[Broken]:
        yield from ()
        raise error

    return check


@pytest.mark.parametrize("error", [KeyError("order-07"), StoreUnavailable()])
def test_an_error_of_a_check_is_a_failure_with_a_page(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    monkeypatch.setattr("proof.simulation.check_end", raise_in_check(error))
    outcome = simulate(SMALL)
    assert outcome.failure.startswith(
        f"the run ended with an error: {error!r}, from tests/simulation/test_failures.py:"
    )
    assert "proof/simulation.py:" in outcome.failure
    assert outcome.about == ("order-07" if isinstance(error, KeyError) else "")
    page = [*write_page(outcome)]
    assert page[0].endswith(outcome.failure)
    assert "manage.py simulate --seed 1" in page[-1]


def test_an_error_before_the_first_line_has_a_page_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise KeyError("shape")

    monkeypatch.setattr("proof.simulation.Shape.of", fail)
    assert next(write_page(simulate(SMALL))).startswith("✘ seed 1: the run ended with an error: KeyError('shape')")


def test_the_order_is_the_one_that_the_text_names(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "refund r-1 (the key of order-11) was accepted and is lost, as is one of order-02"
    monkeypatch.setattr("proof.simulation.check_end", lambda *_: [Broken(text)])
    outcome = simulate(SMALL)
    assert (outcome.failure, outcome.about) == (text, "order-11")
    monkeypatch.setattr("proof.simulation.check_end", lambda *_: [Broken(text, "order-05")])
    assert simulate(SMALL).about == "order-05"


def test_a_crash_of_a_worker_is_about_the_order_that_its_log_line_names(monkeypatch: pytest.MonkeyPatch) -> None:
    async def crash(*_: object) -> None:
        try:
            raise IndexError(9)
        except IndexError:
            structlog.get_logger("a worker").exception("check_crashed", name="check of order-01")

    monkeypatch.setattr(OrderWork, "measure", crash)
    outcome = simulate(SMALL)
    assert outcome.failure.endswith("does not promise: check_crashed of order-01: IndexError(9)")
    assert outcome.about == "order-01"


def test_visitors_do_not_end_in_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    async def open_page(_: Visitors) -> None:
        raise TypeError("no ticket of order-01")

    for path in ("_open_page", "_call"):
        monkeypatch.setattr(Visitors, path, open_page)
    outcome = simulate(SMALL)
    assert outcome.failure.startswith(
        "work beside the orders ended with an error: TypeError('no ticket of order-01'), from tests/simulation/"
    )
    assert outcome.about == "order-01"


async def raise_error() -> None:
    await asyncio.sleep(1)
    raise TypeError("nobody waits")


def start_task(_: Cluster) -> None:
    task = asyncio.get_running_loop().create_task(raise_error())
    task.add_done_callback(lambda done: None)


def call_later(_: Cluster) -> None:
    def fail() -> None:
        raise TypeError("nobody waits")

    asyncio.get_running_loop().call_later(1, fail)


@pytest.mark.parametrize("start", [start_task, call_later])
def test_an_error_that_nobody_awaits_makes_the_seed_fail(
    monkeypatch: pytest.MonkeyPatch, start: Callable[[Cluster], None]
) -> None:
    async def inject(cluster: Cluster) -> None:
        start(cluster)
        await asyncio.Event().wait()

    monkeypatch.setattr(Cluster, "inject_faults", inject)
    assert simulate(SMALL).failure.startswith("nobody handled an error: TypeError('nobody waits'), from tests/")


def test_a_pair_that_is_called_impossible_makes_the_run_fail(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bits = 1 << FAULTS.index(Fault.NOTIFY_LOST)

    def reach(scenario: Scenario) -> Outcome:
        return Outcome(scenario, reached={PLACED: bits if scenario.seed == 2 else 0}, cpu_s=1.0)

    monkeypatch.setattr("proof.run.simulate", reach)
    options = Options(Scenario(1), seeds=3, jobs=1)
    assert run_seeds(options, Console(width=200)) == 1
    assert f"✘ seed 2: {PLACED} with notify-lost" in capsys.readouterr().out
    assert run_seeds(replace(options, as_json=True), Console()) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["impossible"] == [{"transition": PLACED, "fault": "notify-lost", "seed": 2}]
    assert run_seeds(replace(options, seeds=1), Console()) == 0


def test_living_processes_stay_in_half_of_the_seeds_and_get_the_right_time(monkeypatch: pytest.MonkeyPatch) -> None:
    ends: list[tuple[bool, list[bool]]] = []
    end_faults = Scene.end_faults

    def note(scene: Scene) -> None:
        before: list[ServiceProcess] = [*scene.cluster.processes]
        end_faults(scene)
        right = scene.official_account.clock
        assert all(process.clock.now() == right.now() for process in scene.cluster.processes if process.state.alive)
        kept: list[Any] = [now is was for now, was in zip(scene.cluster.processes, before, strict=True)]
        ends.append((scene.shape.processes_stay, kept))

    monkeypatch.setattr(Scene, "end_faults", note)
    for seed in range(1, 9):
        scenario = Scenario(seed, days=0.2, orders=1, processes=2, without=frozenset(Fault) - {Fault.CLOCK_APART})
        assert simulate(scenario).failure == ""
    assert {stay for stay, _ in ends} == {True, False}
    assert all(kept == [stay, stay] for stay, kept in ends)
