#!/usr/bin/env python3
"""The operator's command line. ``demo`` starts one; everything else asks a running service: see ``cli/``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli import bills, books, events, orders, refunds, usage, why
from scripts import demo as demonstration
from scripts.steps import ROOT

app = typer.Typer(
    no_args_is_help=True, pretty_exceptions_enable=False, help="分付 Fenpay：运维命令 · operator's commands"
)


@app.command()
def demo(
    var: Annotated[Path, typer.Option(help="密钥、数据、日志的目录 · directory of keys, data and logs")] = ROOT / "var",
) -> None:
    """启动演示：本机微信与服务 · Start the demo: a local WeChat and the service. PORT=8888 by default."""
    raise typer.Exit(demonstration.main(var.absolute()))


app.add_typer(orders.app, name="order")
app.add_typer(refunds.app, name="refund")
app.add_typer(bills.app, name="bill")
app.add_typer(books.app)
app.add_typer(events.app, name="events")
app.add_typer(why.app)

if __name__ == "__main__":
    usage.run(app)
