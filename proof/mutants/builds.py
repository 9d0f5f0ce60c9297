"""Broken builds: copies of the source with one change, in which a process of its own runs seeds or a test."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from proof.mutants.mutant import Mutant

ROOT = Path(__file__).parents[2]
FAILED = re.compile(r"^\d+ failed", re.MULTILINE)
"""pytest's last line. A test that could not start is an error and does not count."""
RESULT = re.compile(r"^(PASSED|FAILED|ERROR) ([^\s\[]+)", re.MULTILINE)
"""pytest's line about one test, with its name before the parameters."""
NOT_COPIED = (".*", "__pycache__", "var", "node_modules")
START_S, LONGEST_SEED_S = 300.0, 5.0
"""Time limits of a broken build: to begin and to end, including one seed that never ends; and for each seed."""


def apply(mutant: Mutant, root: Path) -> None:
    """Apply the mutant to the source under ``root``. Raises ValueError if the source has changed."""
    file = root / mutant.file
    text = file.read_text(encoding="utf-8")
    if text.count(mutant.old) != 1:
        raise ValueError(f"{mutant.name}: {mutant.file} has changed")
    file.write_text(text.replace(mutant.old, mutant.new), encoding="utf-8")


class NoResult(Exception):
    """A broken build ended without saying whether a seed or a test finds it."""


def find(mutant: Mutant, seeds: int, shrink_s: float = 0.0) -> dict[str, Any] | None:
    """Return the first seed that finds ``mutant``, with its failure; None if none does. Raises NoResult.

    With ``shrink_s`` the failing scenario is made smaller for so many seconds.
    """
    command = ["-m", "proof.mutants.run", str(seeds), str(shrink_s)]
    with break_copy(mutant) as root:
        done = _run(command, root, START_S + shrink_s + seeds * LONGEST_SEED_S)
    if done.returncode:
        raise NoResult(f"it ended with status {done.returncode}: {_last_line(done.stderr)}")
    try:
        found: dict[str, Any] | None = json.loads(_last_line(done.stdout))
    except ValueError:
        raise NoResult(f"its last line is no JSON: {_last_line(done.stdout)}") from None
    return found


def fails_test(mutant: Mutant) -> bool:
    """Whether the test that ``mutant`` names fails in the broken build. False also if pytest is missing. Raises
    NoResult."""
    with break_copy(mutant) as root:
        done = _run(["-m", "pytest", "-n0", "-x", "-p", "no:cacheprovider", mutant.test], root, START_S)
    return bool(FAILED.search(done.stdout))


def find_holding_tests(mutants: Sequence[Mutant]) -> frozenset[str]:
    """Return the tests that ``mutants`` name which pass in a copy that is not broken: a test that fails in every copy
    finds nothing. Raises NoResult."""
    names = list(dict.fromkeys(mutant.test for mutant in mutants if mutant.test))
    if not names:
        return frozenset()
    with copy_source() as root:
        done = _run(["-m", "pytest", "-n0", "-rA", "-p", "no:cacheprovider", *names], root, START_S)
    results: dict[str, set[str]] = {}
    for result, name in RESULT.findall(done.stdout):
        results.setdefault(name, set()).add(result)
    return frozenset(name for name in names if results.get(name) == {"PASSED"})


@contextmanager
def copy_source() -> Iterator[Path]:
    """Copy the project to a temporary folder, and return it."""
    with tempfile.TemporaryDirectory(prefix="fenpay-mutant-") as name:
        root = Path(name, "fenpay")
        shutil.copytree(ROOT, root, ignore=shutil.ignore_patterns(*NOT_COPIED))
        yield root


@contextmanager
def break_copy(mutant: Mutant) -> Iterator[Path]:
    """Copy the project to a temporary folder, apply ``mutant`` there, and return the folder."""
    with copy_source() as root:
        apply(mutant, root)
        yield root


def _run(options: Sequence[str], root: Path, limit_s: float) -> subprocess.CompletedProcess[str]:
    """Run Python in ``root``. Raises NoResult if it takes too long."""
    command = [sys.executable, *options]
    try:
        return subprocess.run(  # noqa: S603 - our own source
            command, cwd=root, capture_output=True, text=True, timeout=limit_s, check=False
        )
    except subprocess.TimeoutExpired:
        raise NoResult(f"no result within {limit_s:g} s") from None


def _last_line(text: str) -> str:
    return text.strip().rpartition("\n")[2]
