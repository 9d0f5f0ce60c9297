"""``sign explain``: whether a signature is right, and if not, which line is wrong. Offline: it needs no service."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text as Styled

from cli.context import AsJson
from cli.credentials import find_keys
from cli.output import Screen, clean, language, words
from cli.problems import Exit, Problem
from wechat.domain.errors import Bilingual
from wechat.sign_explain.capture import MOST_BYTES
from wechat.sign_explain.model import DOCUMENTS, NAMES, Explanation, Kind, Slip, Verdict, split_lines
from wechat.sign_explain.signature import explain
from wechat.support.cli_hints import command

app = typer.Typer(no_args_is_help=True, help=words("签名 · 离线检查", "check signatures, offline"))

EXITS = {Verdict.CORRECT: Exit.OK, Verdict.WRONG: Exit.FAILED, Verdict.UNRECOGNISED: Exit.USAGE}
VERDICTS = {
    Verdict.CORRECT: (Bilingual("✔ 签名正确", "✔ The signature is right"), "bold green"),
    Verdict.WRONG: (Bilingual("✘ 签名不对", "✘ The signature is wrong"), "bold red"),
    Verdict.UNRECOGNISED: (Bilingual("– 无法判断", "– Cannot be determined"), "bold yellow"),
}
LONGEST = 400  # characters of a line that a person is shown
VALUE_OR_PATH = Bilingual("值或文件路径", "a value or a path")

Key = Annotated[
    list[str] | None,
    typer.Option(
        "--key",
        metavar="KEY",
        help=words(
            "APIv2密钥、APIv3密钥、消息推送 Token 或 webhook 密钥：值或文件路径；可多次给出，第一个视为应使用的密钥",
            "APIv2 key, APIv3 key, push token or webhook secret: a value or a path; repeatable, the first is "
            "the one that should be used",
        ),
    ),
]


def _pem(name: str, zh: str, en: str) -> typer.models.OptionInfo:
    help_text = words(f"{zh}：PEM 或文件路径", f"{en}: PEM or a path")
    return typer.Option(f"--{name}", metavar="PEM", help=help_text)  # type: ignore[no-any-return]  # typer says Any


@app.callback()
def sign() -> None:
    """Group of commands, so that ``explain`` stays a subcommand."""


@app.command(
    "explain",
    help=words("检查签名，指出错在哪一行；不联网", "Check a signature and say which line is wrong; offline."),
)
def explain_command(
    file: Annotated[
        str,
        typer.Argument(metavar="[FILE|-]", help=words("报文文件，- 为标准输入", "the message; - reads standard input")),
    ] = "-",
    kind: Annotated[
        Kind | None, typer.Option(help=words("报文种类，默认自动识别", "its kind; detected automatically by default"))
    ] = None,
    key: Key = None,
    private_key: Annotated[str | None, _pem("private-key", "商户API私钥", "merchant API private key")] = None,
    public_key: Annotated[str | None, _pem("public-key", "微信支付公钥", "WeChat Pay public key")] = None,
    certificate: Annotated[
        str | None, _pem("certificate", "商户API证书或微信支付平台证书", "merchant API or platform certificate")
    ] = None,
    ticket: Annotated[
        str | None, typer.Option(help=words("jsapi_ticket：值或文件路径", "jsapi_ticket: value or path"))
    ] = None,
    settings: Annotated[
        Path | None, typer.Option(help=words("从配置文件取密钥", "take the keys from a settings file"))
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Read the message, recognise its kind, explain it, show the result."""
    screen = Screen(language(), as_json=as_json)
    try:
        keys = find_keys(settings, key or [], private_key, public_key, certificate, ticket)
        found = explain(_read(file), keys, kind)
    except Problem as problem:
        problem.next_step = problem.next_step or command("sign explain", "--help")
        screen.problem(problem)
        raise typer.Exit(int(problem.code)) from None
    screen.show(found.as_json(), *_views(found, screen.lang))
    if found.hint:
        screen.say(found.hint)
    if found.kind is None:
        screen.next_step(command("sign explain", "--help"))
    raise typer.Exit(int(EXITS[found.verdict]))


def _read(file: str) -> bytes:
    if file == "-":
        return sys.stdin.buffer.read(MOST_BYTES)
    try:
        with Path(file).open("rb") as stream:
            return stream.read(MOST_BYTES)
    except (OSError, ValueError):
        text = Bilingual(f"无法读取文件 {file[:80]}", f"The file {file[:80]} cannot be read")
        raise Problem(Exit.USAGE, "UNREADABLE_FILE", text) from None


def _views(found: Explanation, lang: str) -> Iterator[Styled]:
    """Yield the lines for a person: the string to sign, both signatures, the verdict, and each slip with its line."""
    if found.kind:
        yield Styled(NAMES[found.kind].to(lang), style="bold")
    if found.string_to_sign:
        yield Styled()
        yield Styled(Bilingual("待签名串", "String to sign").to(lang), style="bold")
        yield from _lines(found)
        yield Styled()
    for name, value in (
        (Bilingual("计算得到", "Computed"), found.computed),
        (Bilingual("报文里的", "In the message"), found.given),
    ):
        if value:
            yield Styled(f"{name.to(lang)}  {_short(value)}")
    text, style = VERDICTS[found.verdict]
    yield Styled(text.to(lang), style=style)
    for slip in found.slips:
        yield from _slip(slip, lang)
    if found.slips and found.kind:
        yield Styled(f"{Bilingual('文档', 'Document').to(lang)}  {DOCUMENTS[found.kind]}", style="dim")


def _lines(found: Explanation) -> Iterator[Styled]:
    """Yield the lines to sign; for a line that was signed otherwise, the wrong one in red above the right one
    in green."""
    changed = list(found.changed_lines())
    wrong_by_right = {right: wrong for wrong, right in changed if right}
    for line in split_lines(found.string_to_sign):
        wrong = wrong_by_right.get(line)
        if wrong:
            yield Styled(f"  ✘ {_short(wrong)}", style="red")
        mark, style = ("✔", "green") if wrong is not None else (" ", "")
        yield Styled(f"  {mark} {_short(line)}", style=style)
    for wrong, right in changed:
        if not right:
            yield Styled(f"  ✘ {_short(wrong)}", style="red")


def _slip(slip: Slip, lang: str) -> Iterator[Styled]:
    yield Styled.assemble((f"✘ {slip.code}", "red"), f"  {clean(slip.text.to(lang))}")
    if slip.wrong:
        yield Styled(f"    ✘ {_short(slip.wrong)}", style="red")
    if slip.right:
        yield Styled(f"    ✔ {_short(slip.right)}", style="green")


def _short(text: str) -> str:
    shown = clean(text.replace("\n", "⏎"))
    return shown if len(shown) <= LONGEST else f"{shown[:LONGEST]}… ({len(shown)})"
