"""The operator's command line."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from scripts import demo as demonstration
from scripts.steps import ROOT

app = typer.Typer(no_args_is_help=True, add_completion=False, help="分付 Fenpay：运维命令 · operator's commands")


@app.callback()
def commands() -> None:
    """Keep ``demo`` a command of its own while it is the only one."""


@app.command()
def demo(
    var: Annotated[Path, typer.Option(help="密钥、数据、日志的目录 · directory of keys, data and logs")] = ROOT / "var",
) -> None:
    """启动演示：本机微信与服务 · Start the demo: a local WeChat and the service. PORT=8888 by default."""
    raise typer.Exit(demonstration.main(var.absolute()))


if __name__ == "__main__":
    app()
