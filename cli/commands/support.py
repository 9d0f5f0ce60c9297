"""``support``: everything about an order in one HTML file for a support request, without personal data."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from cli.context import Context, OrderNo, declare, number
from cli.output import words
from cli.problems import Exit, Problem
from wechat.domain.errors import Bilingual
from wechat.support.cli_hints import command

MODE = 0o600

app = typer.Typer()


@declare(
    app,
    "support",
    words(
        "把一笔订单的全部经过写成一个 HTML 文件，个人信息已隐去",
        "Write everything about an order into one HTML file, without personal data.",
    ),
    next_step="order list",
)
def support(
    context: Context,
    no: OrderNo,
    out: Annotated[Path | None, typer.Option(help=words("写到这个文件", "the file to write"))] = None,
) -> None:
    """Write everything about an order to one HTML file, without personal data."""
    pieces = context.service.download(f"/api/orders/{number('out_trade_no', no)}/support")
    file = out or Path(f"support-{no.replace('|', '_').replace('*', '_')}.html")
    _write(file, b"".join(piece for piece, _ in pieces))
    context.screen.show({"file": str(file)}, str(file))


def _write(file: Path, page: bytes) -> None:
    """Write the file, readable by its owner only. Raises Problem."""
    try:
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, MODE), "wb") as stream:
            os.fchmod(stream.fileno(), MODE)  # also for an existing file
            stream.write(page)
    except OSError as error:
        message = Bilingual(f"无法写入 {file}（{error.strerror}）", f"{file} cannot be written ({error.strerror})")
        raise Problem(Exit.FAILED, "NOT_WRITTEN", message, next_step=command("support", "--help")) from None
