"""Each broken build is one change of the source as it is today."""

from __future__ import annotations

import ast
import json
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from proof.mutants.builds import ROOT, NoResult, apply, fails_test, find, find_holding_tests
from proof.mutants.mutant import Mutant
from proof.mutants.run import MUTANTS, run_mutants


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda each: each.name)
def test_it_changes_the_source_of_today(mutant: Mutant, tmp_path: Path) -> None:
    text = (ROOT / mutant.file).read_text(encoding="utf-8")
    copy = tmp_path / mutant.file
    copy.parent.mkdir(parents=True)
    copy.write_text(text, encoding="utf-8")
    apply(mutant, tmp_path)
    broken = copy.read_text(encoding="utf-8")
    ast.parse(broken)
    assert broken != text


def test_a_change_of_what_is_no_longer_there_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("x = 1\n")
    with pytest.raises(ValueError, match="has changed"):
        apply(Mutant("gone", "a.py", "x = 2\n", ""), tmp_path)


def run_table(mutant: Mutant, capsys: pytest.CaptureFixture[str]) -> str:
    """Return what the table says of one mutant that is not found."""
    assert run_mutants(1, 1, Console(), [mutant], as_json=True) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["missed"] == 1
    return str(document["builds"][0]["result"])


def test_a_build_that_is_too_slow_does_not_end_the_table(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("proof.mutants.builds.START_S", 0.0)
    monkeypatch.setattr("proof.mutants.builds.LONGEST_SEED_S", 0.01)
    with pytest.raises(NoResult, match=r"^no result within 0\.01 s$"):
        find(MUTANTS[0], 1)
    assert run_table(MUTANTS[0], capsys) == "no result within 0.01 s"


def test_a_build_that_does_not_start_does_not_end_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    broken = Mutant("it does not start", "proof/mutants/mutant.py", "@dataclass(", "@nothing(")
    assert run_table(broken, capsys) == "it ended with status 1: NameError: name 'nothing' is not defined"


def test_a_check_that_raises_finds_a_build_and_names_the_place() -> None:
    broken = Mutant("a check raises", "proof/simulation.py", "    _check_end(scene)\n", "    {}['gone']\n")
    found = find(broken, 1)
    assert found is not None
    assert found["failure"].startswith("the run ended with an error: KeyError('gone'), from proof/simulation.py:")


def test_no_two_have_the_same_name() -> None:
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)


@pytest.mark.parametrize("mutant", [each for each in MUTANTS if each.elsewhere], ids=lambda each: each.name)
def test_the_test_that_finds_it_is_there(mutant: Mutant) -> None:
    file, _, test = mutant.test.partition("::")
    assert f"def {test}(" in (ROOT / file).read_text(encoding="utf-8")
    assert mutant.reason


@pytest.mark.slow
def test_a_build_counts_as_found_only_if_its_test_fails_in_it() -> None:
    paid = next(mutant for mutant in MUTANTS if mutant.name == "a paid order is closed")
    assert fails_test(paid)
    file = paid.test.partition("::")[0]
    assert not fails_test(replace(paid, elsewhere=f"{file}::test_a_note_is_added_once"))
    assert not fails_test(replace(paid, elsewhere=f"{file}::test_that_is_not_there"))


@pytest.mark.slow
def test_a_test_that_fails_in_every_build_finds_none(capsys: pytest.CaptureFixture[str]) -> None:
    paid = next(mutant for mutant in MUTANTS if mutant.name == "a paid order is closed")
    gone = replace(paid, elsewhere=f"{paid.test.partition('::')[0]}::test_that_is_not_there")
    assert find_holding_tests([paid, MUTANTS[0]]) == {paid.test}
    assert find_holding_tests([gone]) == find_holding_tests([MUTANTS[0]]) == frozenset()
    assert run_table(gone, capsys) == f"{gone.test}: it does not pass in a build that is not broken"
