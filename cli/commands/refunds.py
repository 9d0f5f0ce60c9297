"""``refund …``: create a refund (a repetition under the same number is the same refund), query and cancel refunds."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.console import RenderableType

from cli.amounts import AmountInFen, AmountInYuan, FundsAccount, parse_amount
from cli.commands.orders import NUMBER, STATE, timeline
from cli.context import Context, OrderNo, RefundNo, Yes, declare, number
from cli.output import Screen, moment, money, words
from cli.problems import Exit, Problem
from wechat.domain.errors import Bilingual
from wechat.domain.labels import REFUND_STATES
from wechat.domain.times import to_v2
from wechat.support.cli_hints import command

Refund = Mapping[str, Any]

app = typer.Typer(no_args_is_help=True, help=words("退款", "refunds"))

DONE_FOR = ("ABNORMAL", "CLOSED", "REFUSED")
REFUND_NUMBER = Bilingual("商户退款单号", "out_refund_no")
AMOUNT = Bilingual("退款", "Refund")
REASON = Bilingual("原因", "Reason")
CREATED = Bilingual("申请时间", "Requested")


@declare(
    app,
    "refund create",
    words(
        "申请退款；结果未知时用打印的单号重试，不会重复退款",
        "Refund. If the outcome is unknown, repeat with the printed number: it refunds once.",
    ),
    next_step="refund list {no}",
)
def create(
    context: Context,
    no: OrderNo,
    reason: Annotated[
        str, typer.Option(help=words("用户会看到，至多 80 字节", "shown to the payer, at most 80 bytes"))
    ],
    amount: AmountInFen = None,
    yuan: AmountInYuan = None,
    out_refund_no: Annotated[
        str | None,
        typer.Option(help=words("商户退款单号，不指定则自动生成", "the refund's number; generated if absent")),
    ] = None,
    key: Annotated[
        str | None,
        typer.Option(
            help=words(
                "幂等键（Idempotency-Key），代替单号，两天内有效",
                "an Idempotency-Key in place of a number, valid for two days",
            )
        ),
    ] = None,
    funds: FundsAccount = None,
    yes: Yes = False,
) -> None:
    """Refund an order. Repeating it with the printed number makes no second refund."""
    fen = parse_amount(amount, yuan)
    wish: dict[str, Any] = {"refund": fen, "reason": reason, **({"funds_account": funds} if funds else {})}
    order = f"/api/orders/{number('out_trade_no', no)}"
    again = bool(out_refund_no or key)  # possibly a repetition, which needs no further refundable amount
    context.screen.confirm(lambda: _question(context, order, fen, again=again), yes=yes)
    if out_refund_no or not key:
        wish["out_refund_no"] = number("out_refund_no", out_refund_no or _new_number())
    _finish(context.screen, _read_again(context, _send(context, no, wish, key or "")))


@declare(app, "refund show", words("看一笔退款与时间线", "Show a refund with its timeline."), next_step="order list")
def show(context: Context, no: RefundNo) -> None:
    """Show a refund with its timeline."""
    refund = context.service.get(f"/api/refunds/{number('out_refund_no', no)}")
    context.screen.show(refund, *_views(context.screen, refund))


@declare(
    app,
    "refund query",
    words(
        "向微信支付查询，并按结果更新退款状态；不会重新提交",
        "Query WeChat Pay and update the refund; the refund is not sent again.",
    ),
    next_step="refund show {no}",
)
def query(context: Context, no: RefundNo) -> None:
    """Query WeChat Pay and record the result; nothing is sent."""
    refund = context.service.post(f"/api/refunds/{number('out_refund_no', no)}/query")
    context.screen.show(refund, *_views(context.screen, refund))


@declare(
    app,
    "refund cancel",
    words(
        "取消微信支付尚未受理的退款，释放金额", "Cancel a refund that WeChat Pay does not have, and release its amount."
    ),
    next_step="refund show {no}",
)
def cancel(context: Context, no: RefundNo, yes: Yes = False) -> None:
    """Cancel a refund that WeChat Pay has not accepted, and release its amount."""
    path = f"/api/refunds/{number('out_refund_no', no)}"
    context.screen.confirm(lambda: _cancel_question(context.service.get(path)), yes=yes)
    refund = context.service.post(f"{path}/cancel")
    context.screen.show(refund, *_views(context.screen, refund))


@declare(
    app, "refund list", words("一笔订单的退款，旧的在前", "An order's refunds, oldest first."), next_step="order list"
)
def list_refunds(context: Context, no: OrderNo) -> None:
    """An order's refunds, oldest first."""
    found = context.service.get(f"/api/orders/{number('out_trade_no', no)}/refunds")
    context.screen.show(found, _listing(context.screen, found["refunds"]))


def _new_number() -> str:
    """Return a refund number as the service makes them: a readable time and random digits, so that no two are equal."""
    return f"{to_v2(datetime.now(UTC))}{secrets.token_hex(6)}"


def _question(context: Context, path: str, amount: int, *, again: bool) -> Bilingual:
    """Return the question to confirm a refund. Raises Problem if it needs no confirmation: there is no such order, or
    too little is refundable."""
    order = context.service.get(path)
    if not again:
        _must_be_refundable(order, amount)
    no, what, left = order["out_trade_no"], order["description"], money(_left(order))
    return Bilingual(
        f"从订单 {no}（{what}，可退 {left}）退款 {money(amount)}？",
        f"Refund {money(amount)} of order {no} ({what}, {left} refundable)?",
    )


def _cancel_question(refund: Refund) -> Bilingual:
    no, order, amount = refund["out_refund_no"], refund["out_trade_no"], money(refund["refund"])
    return Bilingual(f"取消订单 {order} 的退款 {no}（{amount}）？", f"Cancel refund {no} ({amount}) of order {order}?")


def _must_be_refundable(order: Mapping[str, Any], amount: int) -> None:
    """Raise Problem if the service would refuse the refund. The service checks again and decides."""
    no, left = order["out_trade_no"], _left(order)
    if not order["transaction_id"]:
        text = Bilingual("订单未支付，不能退款", "The order is not paid")
        raise Problem(Exit.FAILED, "ORDER_NOT_PAID", text, next_step=command("why", no))
    if amount > left:
        text = Bilingual(
            f"申请退款 {money(amount)}，可退金额只有 {money(left)}",
            f"{money(amount)} is more than the refundable amount, {money(left)}",
        )
        raise Problem(Exit.FAILED, "NOT_REFUNDABLE", text, next_step=command("refund list", no))


def _left(order: Mapping[str, Any]) -> int:
    """Return the refundable amount, in fen."""
    return int(order["total"]) - int(order["refund_reserved"])


def _send(context: Context, no: str, wish: dict[str, Any], key: str) -> Refund:
    """Request the refund and return it. A Problem that leaves the outcome open carries the command that repeats the
    same request under the same name.

    The name is printed before anything is sent, so that it is known however this process ends.
    """
    name = {"out_refund_no": wish["out_refund_no"]} if "out_refund_no" in wish else {"key": key}
    for what, value in name.items():
        context.screen.say(Bilingual(f"退款使用 {what} {value}", f"Refunding with {what} {value}"))
    try:
        refund: Refund = context.service.post(f"/api/orders/{no}/refunds", wish, key=key)
    except KeyboardInterrupt:
        text = Bilingual("已中断，结果未知", "Interrupted; the outcome is unknown")
        raise _repeatable(context, Problem(Exit.UNREACHED, "INTERRUPTED", text), no, wish, name) from None
    except Problem as problem:
        if problem.unknown:
            raise _repeatable(context, problem, no, wish, name) from None
        problem.next_step = problem.next_step or _after_a_no(problem, no, name)
        raise
    _advise(context.screen, name)
    return refund


def _advise(screen: Screen, name: Mapping[str, str]) -> None:
    what = next(iter(name))
    screen.say(Bilingual(f"重试请使用同一个 {what}，不会重复退款", f"Repeat with the same {what}: it refunds once"))


def _after_a_no(problem: Problem, no: str, name: Mapping[str, str]) -> str:
    """Return the command that explains a definite refusal; empty if the command's own next step suffices."""
    if problem.name == "ORDER_NOT_PAID":
        return command("why", no)
    if problem.code is Exit.REFUSED and "out_refund_no" in name:  # the stored refund has WeChat's refusal
        return command("refund show", name["out_refund_no"])
    return ""


def _read_again(context: Context, refund: Refund) -> Refund:
    """Return the current state of a refund that was sent and not answered: a notification may have ended it
    meanwhile."""
    if refund["state"] != "REQUESTED" or not refund["sends"]:
        return refund
    try:
        found: Refund = context.service.get(f"/api/refunds/{refund['out_refund_no']}")
    except Problem:
        return refund  # it is stored, even if this second request fails
    return found


def _repeatable(
    context: Context, problem: Problem, no: str, wish: Mapping[str, Any], name: Mapping[str, str]
) -> Problem:
    """Return ``problem`` with the command that requests the same refund again, and not another one."""
    _advise(context.screen, name)
    options = {"amount": str(wish["refund"]), "reason": wish["reason"]} | {
        option.replace("_", "-"): value for option, value in name.items()
    }
    if "funds_account" in wish:
        options["funds"] = wish["funds_account"]
    problem.next_step = command(
        "refund create", no, *[part for option, value in options.items() for part in (f"--{option}", value)]
    )
    problem.more = dict(name)
    return problem


def _finish(screen: Screen, refund: Refund) -> None:
    screen.show(refund, *_views(screen, refund))
    state, no = str(refund["state"]), str(refund["out_refund_no"])
    if state in DONE_FOR:
        screen.next_step(command("refund show", no))
        raise typer.Exit(int(Exit.FAILED))
    if state != "SUCCESS":
        screen.next_step(command("refund show" if refund["due_at"] else "refund query", no))


def _state(screen: Screen, refund: Refund) -> str:
    """Return the state with its meaning; for a refund that was not sent yet, when it will be sent and why it waits."""
    if waits := refund["not_now"]:
        said = f"{waits['code']} {waits['message']}".rstrip()
        text = Bilingual(
            f"微信支付暂未受理（{said}），将用同一单号重试",
            f"WeChat Pay does not accept it now ({said}); it is sent again with the same number",
        )
        return screen.translate(refund["state"], {refund["state"]: text})
    if not refund["due_at"]:
        return screen.translate(refund["state"], REFUND_STATES)
    at = moment(refund["due_at"])[11:]
    queued = Bilingual(
        f"排队中，约 {at} 提交（同一订单两笔退款至少间隔 1 分钟）",
        f"queued, sent at about {at}; refunds of one order are at least a minute apart",
    )
    return screen.translate(refund["state"], {refund["state"]: queued})


def _listing(screen: Screen, refunds: Sequence[Refund]) -> RenderableType:
    rows = [
        (
            refund["out_refund_no"],
            money(refund["refund"]),
            _state(screen, refund),
            moment(refund["created_at"]),
            refund["reason"],
        )
        for refund in refunds
    ]
    return screen.table(Bilingual("退款", "Refunds"), (REFUND_NUMBER, AMOUNT, STATE, CREATED, REASON), rows)


def _views(screen: Screen, refund: Refund) -> list[RenderableType]:
    sheet = screen.sheet(
        [
            (REFUND_NUMBER, refund["out_refund_no"]),
            (STATE, _state(screen, refund)),
            (AMOUNT, f"{money(refund['refund'])} / {money(refund['total'])}"),
            (REASON, refund["reason"]),
            (NUMBER, refund["out_trade_no"]),
            (Bilingual("微信支付退款单号", "refund_id"), refund["refund_id"]),
            (CREATED, moment(refund["created_at"])),
            (Bilingual("退款成功时间", "Succeeded"), moment(refund["success_at"])),
        ]
    )
    return [sheet, timeline(screen, refund["timeline"])]
