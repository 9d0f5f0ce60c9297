"""The simulation as a command: seeds that hold, a trace that repeats to the byte, broken builds that are found."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

import pytest
import structlog
import typer
from rich.console import Console
from structlog.testing import capture_logs

from cli.simulation import OF_SCENARIO, refuse_combinations
from proof.checks.coverage import PLACED
from proof.checks.journal import FELT_S
from proof.faults import Fault, Faults
from proof.mutants.builds import ROOT, find
from proof.mutants.run import MUTANTS
from proof.run import Options, run_seeds
from proof.runtime.chance import Chance
from proof.simulation import Scenario, silence_logs
from proof.simulation import simulate as simulate_seed

SEEDS = int(os.environ.get("SEEDS", "300"))
PART = 50
"""Seeds of one test, which ends within a test's two minutes also where other work has the cores."""
SURE = (
    "the amount is not compared",
    "more is refunded than is left",
    "a refund is sent again without a query",
    "a write whose answer is lost counts as done",
    "an order's date is not stored",
    "a payment that was refunded in the console releases goods",
)
"""Of the broken builds, those that are looked for with every run of the tests."""


def simulate(*arguments: str, hash_seed: str = "0") -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "manage.py", "simulate", *arguments]
    environment = os.environ | {"PYTHONHASHSEED": hash_seed}
    return subprocess.run(command, cwd=ROOT, capture_output=True, env=environment, timeout=100, check=False)


@pytest.mark.parametrize("first", range(1, SEEDS + 1, PART))
def test_every_seed_holds(first: int, capsys: pytest.CaptureFixture[str]) -> None:
    """The time that they took is printed, with ``-rP``; nothing is asserted about it."""
    seeds, started = min(PART, SEEDS + 1 - first), time.monotonic()
    status = run_seeds(Options(Scenario(first), seeds=seeds, as_json=True), Console())
    printed = capsys.readouterr().out
    sys.stdout.write(f"{seeds} seeds from {first}: {time.monotonic() - started:.0f} s\n")
    assert status == 0, printed
    figures = json.loads(printed)
    assert figures["seeds"] == seeds
    assert figures["impossible"] == []


def test_a_time_limit_applies_to_most_payments_where_no_fault_prevents_a_query() -> None:
    """With such faults it applies to few: a clock that is wrong, for example, lasts."""
    outcomes = [simulate_seed(Scenario(seed, orders=10, without=frozenset(FELT_S))) for seed in range(1, 9)]
    payments, promised = sum(each.payments for each in outcomes), sum(each.promised for each in outcomes)
    assert payments > 20
    assert promised >= 0.8 * payments


def test_the_summary_is_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_seeds(Options(Scenario(1), seeds=2, jobs=1), Console()) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("✔ 2 seeds, ")
    assert " payments had to be known by a time limit, and were" in printed
    assert "pairs of a transition and a fault" in printed


@pytest.mark.parametrize("seed", ["3", "16"])
def test_a_seed_gives_the_same_trace_in_another_process_under_another_hash_seed(seed: str) -> None:
    first = simulate("--seed", seed, "--trace", hash_seed="1")
    again = simulate("--seed", seed, "--trace", hash_seed="2")
    assert first.returncode == again.returncode == 0
    assert first.stdout == again.stdout
    assert len(first.stdout.splitlines()) > 100
    assert first.stderr == b""


def test_a_seed_without_an_end_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proof.simulation.MOST_STEPS", 3000)
    outcome = simulate_seed(Scenario(3))
    assert outcome.failure == "deadlock: no end after 3000 steps"


def test_a_smaller_scenario_is_chosen_on_the_command_line() -> None:
    chosen = ("--orders", "2", "--first-order", "4", "--processes", "1", "--only", "store-late", "--only", "wire-slow")
    done = simulate("--seed", "2", *chosen, "--trace")
    assert done.returncode == 0
    text = done.stdout.decode()
    assert "2 orders" in text.splitlines()[-1]
    assert "order-04" in text
    assert "order-05" in text
    assert "process 2" not in text


def test_figures_are_one_json_document_with_every_pair_that_was_not_reached() -> None:
    done = simulate("--seeds", "2", "--jobs", "1", "--json", "--without", "a refund takes days")
    figures = json.loads(done.stdout)
    assert figures["seeds"] == 2
    assert figures["pairs"]["reached"] < figures["pairs"]["of"]
    missing = {name: faults for name, faults in figures["not_reached"].items() if name != PLACED}
    assert all("refund-slow" in faults for faults in missing.values())


def test_an_unknown_fault_is_refused_with_the_names_of_all() -> None:
    done = simulate("--seed", "1", "--without", "rain")
    assert done.returncode == 2
    assert b"store-before" in done.stderr


def test_one_seed_is_one_json_document_with_its_trace() -> None:
    done = simulate("--seed", "2", "--orders", "1", "--processes", "1", "--json", "--trace")
    document = json.loads(done.stdout)
    assert (document["seed"], document["orders"], document["processes"]) == (2, 1, 1)
    assert document["promised"] <= document["payments"]
    assert any("order-01" in line for line in document["trace"])
    assert done.returncode == 0


def test_options_without_a_meaning_together_are_refused() -> None:
    done = simulate("--seed", "1", "--seeds", "2")
    assert done.returncode == 2
    assert b"--seeds" in done.stderr
    assert done.stdout == b""


@pytest.mark.parametrize(
    ("given", "option"),
    [
        ("trace", "trace"),
        *[(f"seed {name}", name) for name in ("seeds", "from", "jobs", "shrink", "mutants")],
        *[(f"mutants {name}", name) for name in (*OF_SCENARIO, "shrink", "trace")],
    ],
)
def test_an_option_without_a_meaning_beside_others_is_named(given: str, option: str) -> None:
    with pytest.raises(typer.BadParameter) as error:
        refuse_combinations(given.split())
    assert error.value.param_hint == f"--{option}"


@pytest.mark.parametrize(
    "given", ["", "seed json trace", "seed days orders only", "mutants seeds jobs json", "from days"]
)
def test_other_options_go_together(given: str) -> None:
    refuse_combinations(given.split())


@pytest.mark.parametrize("name", SURE)
def test_a_broken_build_is_found(name: str) -> None:
    [mutant] = [each for each in MUTANTS if each.name == name]
    assert find(mutant, 100) is not None


def test_seeds_do_without_whole_kinds_of_faults_and_together_have_all() -> None:
    had = [{fault for fault in Fault if Faults(Chance(seed)).has(fault)} for seed in range(40)]
    assert set().union(*had) == set(Fault)
    assert min(len(faults) for faults in had) < len(Fault) // 2


def test_a_logger_that_is_first_used_in_a_run_speaks_after_it() -> None:
    log = structlog.get_logger("first used in a run")
    with silence_logs(), capture_logs() as within:
        log.warning("not wanted")
    with capture_logs() as after:
        log.warning("wanted")
    assert ([line["event"] for line in within], [line["event"] for line in after]) == ([], ["wanted"])
