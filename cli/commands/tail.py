"""``tail``: show the news of the service as they happen."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any

import typer
from rich.text import Text as Styled

from cli.context import Context, declare, number, stream_context
from cli.following import follow
from cli.output import Screen, clean, moment, money, words
from cli.problems import Exit, Problem
from wechat.domain.errors import Bilingual
from wechat.domain.labels import (
    DELIVERY_STATES,
    NEWS,
    NOTIFICATION_KINDS,
    ORDER_STATES,
    REFUND_STATES,
    SOURCES,
    TIMELINE,
    VERDICTS,
)

Data = Mapping[str, Any]

CLOCK = slice(11, 19)
"""The time of day within a moment."""

app = typer.Typer()


@declare(
    app,
    "tail",
    words(
        "实时显示订单、通知、拒绝、调用微信；Ctrl-C 结束",
        "Show orders, notifications, refusals and calls to WeChat as they happen; Ctrl-C ends it.",
    ),
    within=stream_context,
)
def tail(
    context: Context,
    kind: Annotated[list[str] | None, typer.Option(help=words("只看这些：", "only these: ") + ", ".join(NEWS))] = None,
    order: Annotated[str | None, typer.Option(metavar="NO", help=words("只看这笔订单", "this order only"))] = None,
) -> None:
    """Show the news of the service as they happen."""
    about = number("out_trade_no", order) if order else None
    for name, data in follow(context, "/api/stream", kind=_kinds(kind or []), out_trade_no=about):
        context.screen.emit({"kind": name} | data, describe(context.screen, name, data))


def describe(screen: Screen, name: str, data: Data) -> Styled:
    """Return one line of news for a person."""
    if name == "missed":
        text = Bilingual(f"漏收 {data['count']} 条：读取过慢", f"{data['count']} skipped: they were read too slowly")
        return Styled(text.to(screen.lang), style="yellow")
    kind = NEWS[name].to(screen.lang) if name in NEWS else name
    parts = [moment(data["at"])[CLOCK], kind, data["out_trade_no"], *_PARTS.get(name, _parts_of_others)(screen, data)]
    line = Styled(clean("  ".join(str(part) for part in parts if part)))
    if name in ("refused", "alarm"):
        line.stylize("red")
    return line


def _kinds(wanted: list[str]) -> str | None:
    """Return the kinds to show. Raises Problem for an unknown kind."""
    if unknown := [kind for kind in wanted if kind not in NEWS]:
        kinds, what = ", ".join(NEWS), unknown[0]
        text = Bilingual(f"没有 {what}；--kind 可取 {kinds}", f"There is no kind {what}; --kind must be one of {kinds}")
        raise Problem(Exit.USAGE, "BAD_KIND", text)
    return ",".join(wanted) or None


def _parts_of_order(screen: Screen, data: Data) -> list[str]:
    source = SOURCES[data["source"]].to(screen.lang) if data["source"] in SOURCES else data["source"]
    state = screen.translate(data["state"], ORDER_STATES)
    return [screen.translate(data["what"], TIMELINE), state, money(data["total"]), source]


def _parts_of_refund(screen: Screen, data: Data) -> list[str]:
    return [data["out_refund_no"], screen.translate(data["state"], REFUND_STATES), money(data["refund"])]


def _parts_of_notification(screen: Screen, data: Data) -> list[str]:
    times = f"×{data['seen']}" if data["seen"] > 1 else ""
    kind = screen.translate(data["type"], NOTIFICATION_KINDS)
    return [f"{data['api']} {kind}", screen.translate(data["verdict"], VERDICTS), times]


def _parts_of_refusal(screen: Screen, data: Data) -> list[str]:
    return [data["api"] or "", data["reason"]]


def _parts_of_call(screen: Screen, data: Data) -> list[str]:
    return [data["call"], data["host"], data["result"], f"{data['duration_s']:.3f} s"]


def _parts_of_event(screen: Screen, data: Data) -> list[str]:
    return [data["type"], data["id"]]


def _parts_of_delivery(screen: Screen, data: Data) -> list[str]:
    outcome = screen.translate(data["outcome"], DELIVERY_STATES)
    return [data["type"], f"→ {data['target']}", data["result"], outcome]


def _parts_of_alarm(screen: Screen, data: Data) -> list[str]:
    return [data["alarm"], data["subject"] or ""]


def _parts_of_others(screen: Screen, data: Data) -> list[str]:
    """Return the parts of a kind that this release does not know, from a newer service."""
    return [f"{name}={value}" for name, value in data.items() if name not in ("kind", "at", "out_trade_no")]


_PARTS: Mapping[str, Callable[[Screen, Data], list[str]]] = {
    "order": _parts_of_order,
    "refund": _parts_of_refund,
    "notification": _parts_of_notification,
    "refused": _parts_of_refusal,
    "call": _parts_of_call,
    "event": _parts_of_event,
    "delivery": _parts_of_delivery,
    "alarm": _parts_of_alarm,
}
