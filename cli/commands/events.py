"""``events …``: list the deliveries of events, resend them, send a test event."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer
from rich.console import RenderableType

from cli.commands.orders import NUMBER, STATE
from cli.context import Context, Cursor, Limit, Yes, declare
from cli.output import Screen, moment, words
from cli.problems import Exit, Problem
from wechat.domain.errors import Bilingual
from wechat.domain.events import EventType
from wechat.domain.labels import DELIVERY_STATES
from wechat.support.cli_hints import command

app = typer.Typer(no_args_is_help=True, help=words("推送给业务系统的事件", "events for the merchant's systems"))

EVENT_ID = re.compile(r"[0-9a-f]{24}", re.ASCII)
STATES = "pending, delivered, dead"
SHOWN = 60
"""Letters of a receiver's answer in a list; ``--json`` has all that is kept."""


@declare(app, "events list", words("列出推送记录，新的在前", "List deliveries, newest first."))
def list_events(
    context: Context,
    state: Annotated[
        str | None, typer.Option(help=words(f"只看一种状态：{STATES}", f"only this state: {STATES}"))
    ] = None,
    limit: Limit = 20,
    cursor: Cursor = None,
) -> None:
    """List deliveries, newest first."""
    page = context.service.get("/api/events", state=state, limit=limit, cursor=cursor)
    context.screen.show(page, _listing(context.screen, page["events"]))
    context.next_page("events list", page, state, limit)


@declare(
    app,
    "events resend",
    words(
        "重新推送；不指定 --target 时只推送给未送达的接收方",
        "Deliver an event again; without --target only to receivers that did not get it.",
    ),
    next_step="events list",
)
def resend(
    context: Context,
    event_id: Annotated[str, typer.Argument(metavar="ID", help=words("事件的 id", "the event's id"))],
    target: Annotated[
        str | None,
        typer.Option(
            help=words(
                "只推送给这个接收方，已送达的也重新推送", "only to this receiver, even if it already has the event"
            )
        ),
    ] = None,
    yes: Yes = False,
) -> None:
    """Resend an event; without --target to the targets that did not receive it."""
    if not EVENT_ID.fullmatch(event_id):
        text = Bilingual("事件 id 是 24 位十六进制，见 events list", "An event id has 24 hex digits; see events list")
        raise Problem(Exit.USAGE, "BAD_ID", text, next_step=command("events list"))
    if target:  # without a target, only undelivered events are resent
        question = Bilingual(
            f"{target} 可能已收到过这一事件，重新推送？", f"{target} may already have this event; send it again?"
        )
        context.screen.confirm(lambda: question, yes=yes)
    sent = context.service.post(f"/api/events/{event_id}/resend", target=target)
    context.screen.show(sent, _listing(context.screen, sent["events"]))


@declare(
    app,
    "events test",
    words("向一个 webhook 发送签名的测试事件", "Send a signed test event to a webhook, once."),
    next_step="doctor",
)
def test(
    context: Context,
    target: Annotated[str | None, typer.Option(help=words("webhook 的名称", "the webhook's name"))] = None,
    kind: Annotated[
        str, typer.Option("--type", help=words("事件：", "the event: ") + ", ".join(EventType))
    ] = EventType.ORDER_PAID,
) -> None:
    """Send one signed test event to a webhook."""
    trial = context.service.post("/api/events/test", target=target, type=kind)
    context.screen.show(trial, _trial(context.screen, trial))
    if not trial["delivered"]:
        result, name = trial["result"], trial["target"]
        text = Bilingual(f"{name} 没有接收：{result}", f"{name} did not accept it: {result}")
        raise Problem(Exit.FAILED, "NOT_DELIVERED", text)


def _trial(screen: Screen, trial: Mapping[str, Any]) -> RenderableType:
    return screen.sheet(
        [
            (Bilingual("事件", "Event"), trial["id"]),
            (Bilingual("类型", "Type"), trial["type"]),
            (Bilingual("接收方", "Target"), trial["target"]),
            (Bilingual("应答", "Response"), trial["result"]),
            (Bilingual("应答内容", "Response body"), (trial["answer"] or {}).get("text")),
            (Bilingual("用时", "Duration"), f"{trial['duration_s']:.3f} s"),
            (Bilingual("内容", "Body"), trial["body"]),
        ]
    )


def _listing(screen: Screen, deliveries: Sequence[Mapping[str, Any]]) -> RenderableType:
    columns = (
        Bilingual("事件", "Event"),
        Bilingual("类型", "Type"),
        NUMBER,
        Bilingual("接收方", "Target"),
        STATE,
        Bilingual("次数", "Tries"),
        Bilingual("最近", "Last"),
        Bilingual("下次", "Next"),
    )
    rows = [
        (
            *(one[name] for name in ("id", "type", "out_trade_no", "target")),
            screen.translate(one["state"], DELIVERY_STATES),
            one["tries"],
            _last(one),
            moment(one["due_at"]),
        )
        for one in deliveries
    ]
    return screen.table(Bilingual("推送记录", "Deliveries"), columns, rows)


def _last(delivery: Mapping[str, Any]) -> str:
    """Return the time and the result of the latest attempt, and the beginning of what the receiver answered."""
    if not delivery["attempts"]:
        return ""
    attempt = delivery["attempts"][-1]
    answer = " ".join(attempt["answer"]["text"].split()) if attempt["answer"] else ""
    return f"{moment(attempt['at'])} {attempt['result']} {answer[:SHOWN]}".rstrip()
