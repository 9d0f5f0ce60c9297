"""Starting the command line, so that a mistyped command too ends as ``--json`` promises."""

from __future__ import annotations

import sys
from typing import Any, cast

import typer

from cli.output import Screen, language
from cli.problems import Exit, Problem
from wechat.commands import command
from wechat.errors import Text

UsageError: type[Exception] = typer.BadParameter.__mro__[1]  # typer does not export it


def run(app: typer.Typer) -> None:
    """Run ``app`` on the process's arguments and exit."""
    if "--json" not in sys.argv:
        app()
    try:
        sys.exit(app(standalone_mode=False))
    except UsageError as error:
        told = str(cast(Any, error).format_message())
        problem = Problem(Exit.USAGE, "USAGE", Text(told, told), next_step=command("--help"))
    Screen(language(), as_json=True).problem(problem)
    sys.exit(int(problem.code))
