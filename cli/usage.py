"""Run the command line so that a mistyped command fails as every other failure: in the reader's language, with a next
command, and with ``--json`` as one document."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from typing import Any, cast

import typer
import typer.main
import typer.rich_utils

from cli.output import Screen, language
from cli.problems import Exit, Problem
from wechat.domain.errors import Bilingual
from wechat.support.cli_hints import command

UsageError: type[Exception] = typer.BadParameter.__mro__[1]  # typer does not export it

CHINESE = (
    (r"^Missing argument (.+)\.$", r"缺少参数 \1"),
    (r"^Missing option (.+)\.$", r"缺少选项 \1"),
    (r"^No such command (.+?)\.", r"没有命令 \1"),
    (r"^No such option: (\S+)", r"没有选项 \1"),
    (r" Did you mean (.+)\?$", r"，是不是 \1？"),
    (r" \(Possible options: (.+)\)$", r"，是不是 \1？"),
    (r"^Invalid value for (.+?): ", r"\1 的值不对："),
    (r"Input should be a valid integer.*$", "应为整数"),
    (r"Input should be greater than or equal to (\d+)$", r"不能小于 \1"),
    (r"Input should be less than or equal to (\d+)$", r"不能大于 \1"),
    (r"('[^']*') is not one of (.+)\.$", r"\1 不在 \2 之中"),
    (r"^Got unexpected extra argument\(s\) \((.+)\)$", r"多余的参数：\1"),
    (r"^Option (.+) does not take a value\.$", r"选项 \1 不带值"),
    (r"^Option (.+) requires an argument\.$", r"选项 \1 要带值"),
)
"""Typer's sentences, which exist in English only; a sentence that is not listed is not translated."""


PANELS = {
    "ARGUMENTS_PANEL_TITLE": "参数",
    "OPTIONS_PANEL_TITLE": "选项",
    "COMMANDS_PANEL_TITLE": "命令",
    "DEFAULT_STRING": "[默认 {}]",
    "ENVVAR_STRING": "[环境变量 {}]",
    "REQUIRED_LONG_STRING": "[必填]",
}
"""Typer's headings in the help of our commands."""
OWN_OPTIONS = {
    "Show this message and exit.": "显示这段帮助",
    "Install completion for the current shell.": "为当前 shell 安装命令补全",
    "Install completion for the specified shell.": "为指定的 shell 安装命令补全",
    "Show completion for the current shell, to copy it or customize the installation.": (
        "打印当前 shell 的补全脚本，用于自行安装"
    ),
    "Show completion for the specified shell, to copy it or customize the installation.": (
        "打印指定 shell 的补全脚本，用于自行安装"
    ),
}
"""The help of the options that Typer adds itself."""


def run(app: typer.Typer) -> None:
    """Run ``app`` on the process's arguments and exit."""
    program = typer.main.get_command(app)
    if language() == "zh":
        for name, words in PANELS.items():
            setattr(typer.rich_utils, name, words)
        _translate_own_options(program)
    try:
        sys.exit(program(standalone_mode=False))
    except typer.Abort:
        sys.exit(int(Exit.FAILED))
    except UsageError as error:
        if type(error).__name__ != "NoArgsIsHelpError":  # which has printed the help already
            Screen(language(), as_json="--json" in sys.argv).problem(_problem(app, error))
    sys.exit(int(Exit.USAGE))


def translate(message: str) -> Bilingual:
    """Return Typer's ``message`` in both languages."""
    english = chinese = message.replace("Value error, ", "")
    for pattern, replacement in CHINESE:
        chinese = re.sub(pattern, replacement, chinese)
    return Bilingual(chinese, english)


def _translate_own_options(program: Any) -> None:
    """Translate the help of Typer's own options to Chinese, in ``program`` and all its commands."""
    for option in program.get_params(typer.Context(program)):
        if getattr(option, "help", None) in OWN_OPTIONS:
            option.help = OWN_OPTIONS[option.help]
    for below in getattr(program, "commands", {}).values():
        _translate_own_options(below)


def _problem(app: typer.Typer, error: Exception) -> Problem:
    """Describe a wrong command line, and name the help of its command."""
    message = str(cast(Any, error).format_message())
    return Problem(Exit.USAGE, "USAGE", translate(message), next_step=command(_verb(app, sys.argv[1:]), "--help"))


def _verb(app: typer.Typer, arguments: Sequence[str]) -> str:
    """Return the words that name a command; not every error of Typer's knows its command."""
    at: Any = typer.main.get_command(app)
    named = []
    for word in arguments:
        at = getattr(at, "commands", {}).get(word)
        if at is None:
            break
        named.append(word)
    return " ".join(named)
