"""``alarms …``: what an operator has to look at, and noting that somebody has."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer
from rich.console import RenderableType

from cli.context import Context, Limit, declare
from cli.output import Screen, cell, moment, words
from cli.problems import Exit, Problem
from wechat.domain.errors import Bilingual
from wechat.domain.labels import ALARM_STATES
from wechat.support.cli_hints import command

app = typer.Typer(no_args_is_help=True, help=words("告警", "alarms"))

ALARM_ID = re.compile(r"[a-z0-9_]{1,48}-[0-9]{2}-[0-9a-f]{6}", re.ASCII)


@declare(app, "alarms list", words("列出告警，新的在前", "List alarms, newest first."))
def list_alarms(
    context: Context,
    everything: Annotated[
        bool, typer.Option("--all", help=words("包括已查看和已恢复的", "include seen and cleared alarms"))
    ] = False,
    limit: Limit = 20,
) -> None:
    """List alarms, newest first."""
    answer = context.service.get("/api/alarms", all="1" if everything else None, limit=limit)
    context.screen.show(answer, _listing(context.screen, answer["alarms"]))
    if answer["alarms"]:
        context.screen.next_step(answer["alarms"][0]["next"])


@declare(app, "alarms seen", words("标记一条告警为已查看", "Mark an alarm as seen."), next_step="alarms list")
def mark_seen(
    context: Context,
    alarm_id: Annotated[
        str, typer.Argument(metavar="ID", help=words("alarms list 里的编号", "an ID from alarms list"))
    ],
) -> None:
    """Mark an alarm as seen."""
    if not ALARM_ID.fullmatch(alarm_id):
        text = Bilingual("编号见 alarms list", "Take an ID from alarms list")
        raise Problem(Exit.USAGE, "BAD_ID", text, next_step=command("alarms list"))
    alarm = context.service.post(f"/api/alarms/{alarm_id}/seen")
    done = Bilingual(f"✔ {moment(alarm['seen_at'])} 已查看", f"✔ Seen at {moment(alarm['seen_at'])}")
    context.screen.show(alarm, cell(done.to(context.screen.lang)))


def _listing(screen: Screen, alarms: Sequence[Mapping[str, Any]]) -> RenderableType:
    columns = (
        Bilingual("末次", "Last"),
        Bilingual("次数", "Times"),
        Bilingual("状态", "State"),
        Bilingual("编号", "ID"),
        Bilingual("告警", "Alarm"),
    )
    rows = [
        (
            moment(one["last_at"]),
            one["count"],
            screen.translate(one["state"], ALARM_STATES),
            one["id"],
            one["sentence"],
        )
        for one in alarms
    ]
    return screen.table(Bilingual("告警", "Alarms"), columns, rows)
