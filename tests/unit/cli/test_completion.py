"""Completion: what bash and zsh ask of ``manage.py`` when somebody presses Tab."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.support.service import ROOT


@pytest.mark.parametrize(
    ("shell", "asked", "names"),
    [
        ("bash", {"COMP_WORDS": "manage.py ord", "COMP_CWORD": "1"}, "order"),
        ("zsh", {"_TYPER_COMPLETE_ARGS": "manage.py ord"}, '"order"'),
    ],
)
def test_a_shell_completes_a_command(shell: str, asked: dict[str, str], names: str) -> None:
    environment = os.environ | asked | {"_MANAGE.PY_COMPLETE": f"complete_{shell}"}
    command = [sys.executable, str(ROOT / "manage.py")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=True)
    assert names in done.stdout
    assert "refund" not in done.stdout
