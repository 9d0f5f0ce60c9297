"""Commands that sign their requests with the secret of the service's settings: users and API keys.

They need no API key, so that the first administrator can be added. See ``wechat.staff.operator``.
"""

from __future__ import annotations

import getpass
import secrets
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated
from urllib.request import Request

import typer

from cli import endpoint as place
from cli.client import Service
from cli.context import AsJson, Context, Url
from cli.credentials import read_values
from cli.output import Screen, language, words
from cli.problems import Exit, Problem
from wechat.domain.errors import Bilingual
from wechat.staff.operator import sign_request
from wechat.support.cli_hints import command

DEMO = place.DEMO.with_name("demo.yml")
GENERATED_BYTES = 12

SettingsFile = Annotated[
    Path | None,
    typer.Option("--settings", help=words("服务正在使用的配置文件", "the settings file of the running service")),
]


class OperatorService(Service):
    """A running service, called with signed requests."""

    def __init__(self, url: str, secret: str, lang: str) -> None:
        super().__init__(place.Endpoint(url, ""), lang)
        self._secret = secret

    def authorize(self, request: Request) -> None:
        body = request.data if isinstance(request.data, bytes) else b""
        at, nonce = int(time.time()), secrets.token_hex(16)
        signature = sign_request(self._secret, request.get_method(), request.selector, body, at, nonce)
        request.add_header("Authorization", signature)


@contextmanager
def operator_context(
    verb: str, next_step: str, *, url: Url = None, settings: SettingsFile = None, as_json: AsJson = False
) -> Iterator[Context]:
    """Run the body as ``manage.py VERB`` with the given settings file, or the demo's if none is given. A Problem is
    shown and ends the process."""
    screen = Screen(language(), as_json=as_json)
    try:
        value = read_values(settings or _demo_settings())
        secret = value("session.secret")
        if not secret:
            text = Bilingual("配置里没有 session.secret", "The settings have no session.secret")
            raise Problem(Exit.CONFIG, "NO_SECRET", text)
        address = url or f"http://{value('http.host') or '127.0.0.1'}:{value('http.port') or 8888}"
        yield Context(OperatorService(place.check_address(address), secret, screen.lang), screen)
    except Problem as problem:
        problem.next_step = problem.next_step or next_step or command(verb, "--help")
        screen.problem(problem)
        raise typer.Exit(int(problem.code)) from None


def ask_password(screen: Screen, *, generate: bool) -> tuple[str, str]:
    """Return a new password, and a text that shows it if it was generated here. Without a terminal it is the first line
    of stdin.

    Raises Problem if it was typed differently the second time.
    """
    if generate:
        made = secrets.token_urlsafe(GENERATED_BYTES)
        return made, made
    if not screen.interactive:
        return sys.stdin.readline().rstrip("\r\n"), ""
    typed = getpass.getpass(Bilingual("密码：", "Password: ").to(screen.lang))
    if getpass.getpass(Bilingual("再输入一次：", "Repeat the password: ").to(screen.lang)) != typed:
        raise Problem(Exit.USAGE, "NOT_THE_SAME", Bilingual("两次输入不一致", "The two passwords are different"))
    return typed, ""


def _demo_settings() -> Path:
    if not DEMO.exists():
        text = Bilingual("没有配置文件：给出 --settings", "No settings file: give --settings")
        raise Problem(Exit.CONFIG, "NO_SETTINGS", text, next_step="make run")
    return DEMO
