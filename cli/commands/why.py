"""``why``: what happened to an order, in one sentence."""

from __future__ import annotations

import typer

from cli.context import Context, OrderNo, declare, number
from cli.output import cell, words

app = typer.Typer()


@declare(
    app,
    "why",
    words("用一句话说明一笔订单发生了什么", "Say in one sentence what happened to an order."),
    next_step="order list",
)
def why(context: Context, no: OrderNo) -> None:
    """Describe our record, WeChat Pay's current answer and the notifications in one sentence."""
    diagnosis = context.service.get(f"/api/orders/{number('out_trade_no', no)}/why")
    context.screen.show(diagnosis, cell(diagnosis["sentence"]))
    context.screen.next_step(diagnosis["next"] or "")
