"""The simulation as a command: seeds that hold, a trace that repeats to the byte, broken builds that are found."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
import structlog
from rich.console import Console
from structlog.testing import capture_logs

from proof.checks.coverage import PLACED
from proof.faults import Fault, Faults
from proof.mutants.builds import ROOT, find
from proof.mutants.run import MUTANTS
from proof.run import Options, run_seeds
from proof.runtime.chance import Chance
from proof.simulation import Scenario, silence_logs
from proof.simulation import simulate as simulate_seed

SEEDS = int(os.environ.get("SEEDS", "80"))
PART = 40
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
    seeds = min(PART, SEEDS + 1 - first)
    assert run_seeds(Options(Scenario(first), seeds=seeds), Console()) == 0
    printed = capsys.readouterr().out
    assert f"{seeds} seeds" in printed
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
