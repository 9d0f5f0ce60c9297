"""How soon the command line answers."""

from __future__ import annotations

import subprocess
import sys

from scripts.steps import ROOT

SLOW = ("aiohttp", "motor", "tornado", "pydantic")
"""Packages of the service, each of which takes a tenth of a second or more to import."""


def test_a_command_imports_none_of_the_packages_that_only_the_service_needs() -> None:
    code = f"import sys, manage; print(*(name for name in {SLOW} if name in sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert run.stdout.split() == []
