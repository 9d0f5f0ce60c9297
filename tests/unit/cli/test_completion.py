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


@pytest.mark.parametrize(("arguments", "says"), [((), "安装命令补全"), (("order", "list"), "显示这段帮助")])
def test_the_options_that_typer_adds_are_explained_in_chinese(arguments: tuple[str, ...], says: str) -> None:
    command = [sys.executable, str(ROOT / "manage.py"), *arguments, "--help"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LC_")}
    environment |= {"LANG": "zh_CN.UTF-8", "COLUMNS": "120"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=True)
    assert says in done.stdout
    assert "completion for" not in done.stdout
    assert "Show this message" not in done.stdout
