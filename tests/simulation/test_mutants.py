"""Each broken build is one change of the source as it is today."""

from __future__ import annotations

import ast
from dataclasses import replace
from pathlib import Path

import pytest

from proof.mutants.mutant import Mutant
from proof.mutants.run import MUTANTS, ROOT, apply, fails_test, find


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


def test_a_build_that_is_too_slow_does_not_end_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proof.mutants.run.START_S", 0.0)
    monkeypatch.setattr("proof.mutants.run.LONGEST_SEED_S", 0.01)
    assert find(MUTANTS[0], 1) is None


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
