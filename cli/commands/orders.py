"""``order …``: list, create and show orders, query WeChat Pay about one, close one."""

from __future__ import annotations

import io
import secrets
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import segno
import typer
from rich.console import RenderableType
from rich.text import Text as Styled

from cli.amounts import AmountInFen, AmountInYuan, parse_amount
from cli.context import Context, Cursor, Limit, OrderNo, Yes, declare, number
from cli.output import Screen, moment, money, words
from cli.problems import Exit, Problem
from wechat.domain.errors import Bilingual
from wechat.domain.labels import (
    AMOUNTS,
    FIELDS,
    NOTIFICATION_KINDS,
    ORDER_STATES,
    SOURCES,
    TIMELINE,
    VERDICTS,
    name_of,
)
from wechat.support.cli_hints import command

Order = Mapping[str, Any]

app = typer.Typer(no_args_is_help=True, help=words("订单", "orders"))

State = Annotated[str | None, typer.Option(help=words("只看一种状态：", "only this state: ") + ", ".join(ORDER_STATES))]
NUMBER = Bilingual("商户订单号", "out_trade_no")
STATE = Bilingual("状态", "State")
TOTAL = Bilingual("金额", "Total")
CREATED = Bilingual("下单时间", "Created")
DESCRIPTION = Bilingual("说明", "Description")


@declare(app, "order list", words("列出订单，新的在前", "List orders, newest first."))
def list_orders(context: Context, state: State = None, limit: Limit = 20, cursor: Cursor = None) -> None:
    """List orders, newest first."""
    wanted = _state(state) if state else None
    page = context.service.get("/api/orders", trade_state=wanted, limit=limit, cursor=cursor)
    context.screen.show(page, _listing(context.screen, page["orders"]))
    context.next_page("order list", page, wanted, limit)


@declare(
    app, "order create", words("下单；NATIVE 订单显示二维码", "Place an order; for a NATIVE order, show the QR code.")
)
def create(
    context: Context,
    description: Annotated[str, typer.Option(help=words("商品说明", "what is sold"))],
    amount: AmountInFen = None,
    yuan: AmountInYuan = None,
    trade_type: Annotated[
        str, typer.Option("--trade-type", help=words("交易类型：", "the trade type: ") + "NATIVE, JSAPI, MWEB, APP")
    ] = "NATIVE",
    openid: Annotated[str | None, typer.Option(help=words("JSAPI 订单的用户", "the payer of a JSAPI order"))] = None,
    no: Annotated[str | None, typer.Option("--no", help=words("商户订单号", "out_trade_no"))] = None,
    attach: Annotated[str | None, typer.Option(help=words("附加数据", "extra data, returned with the payment"))] = None,
    expires_in_s: Annotated[
        int | None,
        typer.Option("--expires-in", metavar="S", help=words("多少秒内可支付", "valid for S seconds")),
    ] = None,
    api: Annotated[str | None, typer.Option(help=words("API 版本：", "the API version: ") + "v3, v2")] = None,
    payer_client_ip: Annotated[
        str | None,
        typer.Option("--payer-client-ip", help=words("MWEB 订单：用户的 IP", "the payer's IP, for MWEB")),
    ] = None,
    key: Annotated[str | None, typer.Option(help=words("幂等键（Idempotency-Key）", "the Idempotency-Key"))] = None,
) -> None:
    """Place an order; for a NATIVE order, show the QR code."""
    wish = {
        "description": description,
        "total": parse_amount(amount, yuan),
        "trade_type": trade_type.upper(),
        "openid": openid,
        "out_trade_no": number("out_trade_no", no) if no else None,
        "attach": attach,
        "expires_in_s": expires_in_s,
        "api": api,
        "payer_client_ip": payer_client_ip,
    }
    given = {name: value for name, value in wish.items() if value is not None}
    order = context.service.post("/api/orders", given, key=key or f"cli-{secrets.token_hex(12)}")
    context.screen.show(order, *_views(context.screen, order), *_qr(order))
    context.screen.next_step(command("order show", order["out_trade_no"]))


@declare(
    app,
    "order show",
    words("查看一笔订单：状态、时间线、收到的通知", "Show an order with its timeline and notifications."),
    next_step="order list",
)
def show(context: Context, no: OrderNo) -> None:
    """Show an order with its timeline and notifications."""
    order = context.service.get(f"/api/orders/{number('out_trade_no', no)}")
    context.screen.show(order, *_views(context.screen, order))


@declare(
    app,
    "order query",
    words("向微信支付查询，并按结果更新订单状态", "Query WeChat Pay and update the order."),
    next_step="why {no}",
)
def query(context: Context, no: OrderNo) -> None:
    """Query WeChat Pay and record the result."""
    order = context.service.post(f"/api/orders/{number('out_trade_no', no)}/query")
    context.screen.show(order, *_views(context.screen, order))


@declare(app, "order close", words("关闭未支付的订单", "Close an unpaid order."), next_step="why {no}")
def close(context: Context, no: OrderNo, yes: Yes = False) -> None:
    """Close an unpaid order."""
    path = f"/api/orders/{number('out_trade_no', no)}"
    context.screen.confirm(lambda: _closing(context, path), yes=yes)
    order = context.service.post(f"{path}/close")
    context.screen.show(order, *_views(context.screen, order))
    if order["trade_state"] == "NOTPAY":
        text = Bilingual(
            "APIv2 订单下单满 5 分钟才能关闭，届时自动关闭",
            "APIv2 orders can be closed from 5 minutes after they are placed; the close is scheduled",
        )
        context.screen.say(text)


def _state(text: str) -> str:
    """Return the state that ``text`` names in any case. Raises Problem."""
    if text.upper() not in ORDER_STATES:
        states = ", ".join(ORDER_STATES)
        raise Problem(Exit.USAGE, "BAD_STATE", Bilingual(f"--state 可取 {states}", f"--state must be one of {states}"))
    return text.upper()


def _closing(context: Context, path: str) -> Bilingual:
    order = context.service.get(path)
    what, total = order["description"], money(order["total"])
    return Bilingual(
        f"关闭订单 {order['out_trade_no']}（{what}，{total}）？",
        f"Close order {order['out_trade_no']} ({what}, {total})?",
    )


def _listing(screen: Screen, orders: Sequence[Order]) -> RenderableType:
    rows = [
        (
            order["out_trade_no"],
            money(order["total"]),
            screen.translate(order["trade_state"], ORDER_STATES),
            moment(order["created_at"]),
            order["description"],
        )
        for order in orders
    ]
    return screen.table(Bilingual("订单", "Orders"), (NUMBER, TOTAL, STATE, CREATED, DESCRIPTION), rows)


def _views(screen: Screen, order: Order) -> list[RenderableType]:
    views: list[RenderableType] = [_sheet(screen, order), timeline(screen, order["timeline"])]
    if order.get("notifications"):
        views.append(_notifications(screen, order["notifications"]))
    return views


def _qr(order: Order) -> list[RenderableType]:
    """Return the payer's QR code as terminal characters."""
    if not order.get("code_url"):
        return []
    drawing = io.StringIO()
    segno.make(order["code_url"], error="m").terminal(drawing, compact=True)
    return [Styled.from_ansi(drawing.getvalue())]


def _sheet(screen: Screen, order: Order) -> RenderableType:
    left = money(order["total"] - order["refund_reserved"]) if order["transaction_id"] else ""
    return screen.sheet(
        [
            (NUMBER, order["out_trade_no"]),
            (STATE, screen.translate(order["trade_state"], ORDER_STATES)),
            (TOTAL, money(order["total"])),
            (Bilingual("可退", "Refundable"), left),
            (DESCRIPTION, order["description"]),
            (Bilingual("接口", "API"), f"{order['api']} {order['trade_type']}"),
            (Bilingual("微信支付订单号", "transaction_id"), order["transaction_id"]),
            (CREATED, moment(order["created_at"])),
            (Bilingual("支付截止时间", "Expires"), moment(order["expires_at"])),
            (Bilingual("支付时间", "Paid"), moment(order["paid_at"])),
            (Bilingual("二维码内容", "code_url"), order.get("code_url")),
            (Bilingual("H5 支付链接", "h5_url"), order.get("h5_url")),
        ]
    )


def timeline(screen: Screen, lines: Sequence[Mapping[str, Any]]) -> RenderableType:
    """Return a table of the timeline of an order or a refund, oldest first."""
    columns = (
        Bilingual("时间", "Time"),
        Bilingual("事件", "Event"),
        Bilingual("来源", "Source"),
        Bilingual("凭据", "By"),
        Bilingual("详情", "Detail"),
    )
    rows = [
        (
            moment(line["at"]),
            screen.translate(line["what"], TIMELINE),
            SOURCES[line["source"]].to(screen.lang) if line["source"] in SOURCES else line["source"],
            line["by"],
            _detail(screen, line["detail"]),
        )
        for line in lines
    ]
    return screen.table(Bilingual("时间线", "Timeline"), columns, rows)


def _notifications(screen: Screen, messages: Sequence[Mapping[str, Any]]) -> RenderableType:
    columns = (
        Bilingual("首次", "First"),
        Bilingual("末次", "Last"),
        Bilingual("类别", "Kind"),
        Bilingual("次数", "Times"),
        Bilingual("处理结果", "Verdict"),
    )
    rows = [
        (
            moment(one["first_at"]),
            moment(one["last_at"]),
            f"{one['api']} {screen.translate(one['kind'], NOTIFICATION_KINDS)}",
            one["seen"],
            screen.translate(one["verdict"], VERDICTS),
        )
        for one in messages
    ]
    return screen.table(Bilingual("微信支付的通知", "WeChat's notifications"), columns, rows)


def _detail(screen: Screen, detail: Mapping[str, Any]) -> str:
    parts = []
    for name, value in detail.items():
        shown = money(value) if name in AMOUNTS else value
        parts.append(f"{name_of(FIELDS, name, screen.lang)} {shown}")
    return ", ".join(parts)
