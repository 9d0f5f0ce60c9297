"""``why``: what happened to an order, in one sentence."""

from __future__ import annotations

import typer

from cli.context import AsJson, KeyFile, OrderNo, Url, command_context, number
from cli.output import cell, words
from wechat.support.cli_hints import command

app = typer.Typer()


@app.command(help=words("一句话说清一笔订单发生了什么", "What happened to an order, in one sentence."))
def why(no: OrderNo, url: Url = None, key_file: KeyFile = None, as_json: AsJson = False) -> None:
    """Our record, what WeChat says now, and its notifications, as one sentence."""
    with command_context("why", url, key_file, as_json, next_step=command("order list")) as context:
        diagnosis = context.service.get(f"/api/orders/{number('out_trade_no', no)}/why")
        context.screen.show(diagnosis, cell(diagnosis["sentence"]))
        context.screen.next_step(diagnosis["next"] or "")
