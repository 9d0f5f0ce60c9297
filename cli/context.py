"""Shared parts of the commands: declaration, options, the service that they call, and their failures."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from datetime import date
from inspect import Parameter, Signature, signature
from pathlib import Path
from re import Pattern
from typing import Annotated, Any, Concatenate, ParamSpec, cast

import typer

from cli import endpoint as place
from cli.client import Service
from cli.output import Screen, language, words
from cli.problems import Exit, Problem
from wechat.domain.errors import Bilingual
from wechat.domain.orders import OUT_TRADE_NO
from wechat.domain.refunds import OUT_REFUND_NO
from wechat.support.cli_hints import command

P = ParamSpec("P")

Url = Annotated[
    str | None, typer.Option("--url", envvar=place.URL_VARIABLE, help=words("服务的地址", "the service's address"))
]
KeyFile = Annotated[
    Path | None,
    typer.Option(
        "--key-file",
        help=words(
            f"Fenpay API Key 的文件，或设置环境变量 {place.KEY_VARIABLE}",
            f"file with the API key; or set {place.KEY_VARIABLE}",
        ),
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help=words("输出一个 JSON 文档", "print one JSON document"))]
AsJsonLines = Annotated[bool, typer.Option("--json", help=words("每行一个 JSON", "one JSON document per line"))]
Yes = Annotated[bool, typer.Option("--yes", help=words("不再询问", "do not ask for confirmation"))]
OrderNo = Annotated[str, typer.Argument(metavar="NO", help=words("商户订单号", "out_trade_no"))]
RefundNo = Annotated[str, typer.Argument(metavar="NO", help=words("商户退款单号", "out_refund_no"))]

Limit = Annotated[int, typer.Option(min=1, max=100, help=words("返回条数", "number of entries"))]
Cursor = Annotated[
    str | None, typer.Option(help=words("从上一页的 next_cursor 接着列", "the next_cursor of the previous page"))
]
Day = Annotated[
    str,
    typer.Argument(
        metavar="DATE", help=words("北京时间的日期，如 2026-03-01", "a date in Beijing time, such as 2026-03-01")
    ),
]

NUMBERS = {
    "out_trade_no": (
        OUT_TRADE_NO,
        Bilingual("6 到 32 位的 0-9 A-Z a-z _ - | *", "6 to 32 characters of 0-9 A-Z a-z _ - | *"),
    ),
    "out_refund_no": (
        OUT_REFUND_NO,
        Bilingual("6 到 64 位的 0-9 A-Z a-z _ - | * @", "6 to 64 characters of 0-9 A-Z a-z _ - | * @"),
    ),
}

ELSEWHERE = {
    "ORDER_NOT_FOUND": command("order list"),
    "REFUND_NOT_FOUND": command("order list"),
    "BILL_TOO_OLD": command("bill", "--help"),
}
"""Commands for errors after which the command's own next step would fail in the same way."""
ELSEWHERE_ON_THE_NET = ("NOT_FENPAY", "REDIRECTED")
"""Errors that show another server: the address is wrong, and no key would help."""
NOT_BEFORE = ("DAY_NOT_OVER", "BILL_NOT_READY")
"""Errors that end by themselves: the same command succeeds later."""


@dataclass(frozen=True, slots=True)
class Context:
    """A running command's service and screen."""

    service: Service
    screen: Screen

    def next_page(self, verb: str, page: Mapping[str, Any], state: str | None, limit: int) -> None:
        """Print the command for the next page of a listing."""
        if page["next_cursor"]:
            options = ["--limit", str(limit), *(("--state", state) if state else ())]
            self.screen.next_step(command(verb, *options, "--cursor", page["next_cursor"]))


@contextmanager
def command_context(
    verb: str, next_step: str, *, url: Url = None, key_file: KeyFile = None, as_json: AsJson = False
) -> Iterator[Context]:
    """Run the body as ``manage.py VERB``. A Problem is shown and ends the process, with ``next_step`` if it
    names none."""
    screen = Screen(language(), as_json=as_json)
    try:
        service = Service(place.find(url, key_file, os.environ), screen.lang)
        yield Context(service, screen)
    except Problem as problem:
        problem.next_step = problem.next_step or _next(problem, verb, next_step)
        screen.problem(problem)
        raise typer.Exit(int(problem.code)) from None


@contextmanager
def stream_context(
    verb: str, next_step: str, *, url: Url = None, key_file: KeyFile = None, as_json: AsJsonLines = False
) -> Iterator[Context]:
    """Run the body as ``command_context`` does, until Ctrl-C."""
    with (
        command_context(verb, next_step, url=url, key_file=key_file, as_json=as_json) as context,
        suppress(KeyboardInterrupt),
    ):
        yield context


Work = Callable[Concatenate[Context, P], None]
"""The function of a command, with its own arguments and options."""


def declare(
    app: typer.Typer,
    verb: str,
    help_text: str,
    *,
    next_step: str = "",
    within: Callable[..., AbstractContextManager[Context]] = command_context,
) -> Callable[[Work[P]], Work[P]]:
    """Make a function the command ``manage.py VERB``, as in ``@declare(app, "refund list", …)``.

    The function receives a Context; options beside its own are the keywords of ``within``. ``next_step`` is for
    failures that name no command themselves; ``{no}`` in it is replaced by the argument ``no``.
    """
    shared = [each for each in _parameters(within) if each.kind is Parameter.KEYWORD_ONLY]

    def decorate(work: Work[P]) -> Work[P]:
        own = _parameters(work)[1:]

        def run(**given: Any) -> None:
            then = command(*(word.format_map(given) for word in next_step.split())) if next_step else ""
            with within(verb, then, **{each.name: given.pop(each.name) for each in shared}) as context:
                cast(Callable[..., None], work)(context, **given)

        parameters = [each.replace(kind=Parameter.KEYWORD_ONLY) for each in (*own, *shared)]
        run.__signature__ = Signature(parameters)  # type: ignore[attr-defined]  # what Typer reads
        run.__annotations__ = {each.name: each.annotation for each in parameters}
        app.command(verb.rsplit(maxsplit=1)[-1], help=help_text)(run)
        return work

    return decorate


def _parameters(function: Callable[..., Any]) -> list[Parameter]:
    return list(signature(function, eval_str=True).parameters.values())


def number(kind: str, text: str) -> str:
    """Return ``text`` if it has the format of an ``out_trade_no`` or ``out_refund_no``. Raises Problem."""
    pattern: Pattern[str]
    pattern, shape = NUMBERS[kind]
    if not pattern.fullmatch(text):
        raise Problem(Exit.USAGE, "BAD_NUMBER", Bilingual(f"{kind} 是 {shape.zh}", f"{kind} must be {shape.en}"))
    return text


def day(text: str) -> str:
    """Return ``text`` if it is a date. Raises Problem."""
    try:
        if date.fromisoformat(text).isoformat() == text:
            return text
    except ValueError:
        pass
    raise Problem(Exit.USAGE, "BAD_DATE", Bilingual("日期写作 2026-03-01", "Write the date as 2026-03-01"))


def _next(problem: Problem, verb: str, next_step: str) -> str:
    """Return the command for a failure that names none itself."""
    if problem.code is Exit.USAGE and problem.name not in NOT_BEFORE:
        return command(verb, "--help")
    if problem.name in ELSEWHERE_ON_THE_NET:
        return f"export {place.URL_VARIABLE}=https://pay.example.com"
    if problem.code is Exit.CONFIG:
        return f"read -rs {place.KEY_VARIABLE} && export {place.KEY_VARIABLE}"
    return ELSEWHERE.get(problem.name) or next_step or command(verb, "--help")
