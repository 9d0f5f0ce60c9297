"""Options of ``simulate`` that have no meaning together are refused, in words."""

from __future__ import annotations

from collections.abc import Collection

import typer

from cli.output import words

OF_SCENARIO = ("from", "days", "orders", "first-order", "processes", "without", "only")
NOT_WITH_SEED = ("seeds", "from", "jobs", "shrink", "mutants")
NOT_WITH_MUTANTS = (*OF_SCENARIO, "shrink")


def refuse_combinations(given: Collection[str]) -> None:
    """Refuse options that would have no effect beside the others that were ``given``. Raises BadParameter."""
    if "seed" in given:
        _refuse(given, NOT_WITH_SEED, words("不能与 --seed 同用", "it has no meaning with --seed"))
    if "mutants" in given:
        _refuse(given, NOT_WITH_MUTANTS, words("不能与 --mutants 同用", "it has no meaning with --mutants"))
    if "seed" not in given:
        _refuse(given, ("trace",), words("只能与 --seed 同用", "it has a meaning only with --seed"))


def given_options(context: typer.Context) -> set[str]:
    """Return the options on the command line, without dashes."""
    return {
        option.opts[0].removeprefix("--")
        for option in context.command.params
        if option.name and (source := context.get_parameter_source(option.name)) and source.name == "COMMANDLINE"
    }


def _refuse(given: Collection[str], names: Collection[str], why: str) -> None:
    for name in names:
        if name in given:
            raise typer.BadParameter(why, param_hint=f"--{name}")
