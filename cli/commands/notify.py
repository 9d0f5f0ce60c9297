"""``notify …``: list refused notifications with their reasons; verify or process one again."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer
from rich.console import RenderableType

from cli.commands.orders import NUMBER
from cli.context import Context, Limit, declare
from cli.output import Screen, cell, moment, words
from cli.problems import Exit, Problem
from wechat.domain.errors import Bilingual
from wechat.domain.labels import VERDICTS
from wechat.support.cli_hints import command

app = typer.Typer(no_args_is_help=True, help=words("被拒绝的通知", "notifications that were refused"))

PATH = "/api/notifications/refused"
REFUSED_ID = re.compile(r"[a-z0-9_]{1,32}-[0-9]{2}-[0-9a-f]{8}", re.ASCII)
RefusedId = Annotated[str, typer.Argument(metavar="ID", help=words("notify list 里的 ID", "an ID from notify list"))]


@declare(app, "notify list", words("列出被拒绝的通知，新的在前", "List refused notifications, newest first."))
def list_refusals(
    context: Context,
    reason: Annotated[str | None, typer.Option(help=words("只看一种原因", "only this reason"))] = None,
    limit: Limit = 20,
) -> None:
    """List refused notifications, newest first."""
    answer = context.service.get(PATH, reason=reason, limit=limit)
    found = answer["notifications"]
    context.screen.show(answer, _listing(context.screen, found), *_fixes(context.screen, found))
    if found:
        context.screen.next_step(command("notify show", found[0]["id"]))


@declare(
    app,
    "notify show",
    words("查看一条：原因、请求头、报文", "Show one: why it was refused, its headers and body."),
    next_step="notify list",
)
def show(context: Context, message_id: RefusedId) -> None:
    """Show one notification: the reason for its refusal, its headers and body."""
    message = context.service.get(f"{PATH}/{_check_id(message_id)}")
    headers = "\n".join(f"{name}: {value}" for name, value in message["headers"].items())
    context.screen.show(
        message, _sheet(context.screen, message), cell(""), cell(headers), cell(""), cell(message["body"])
    )
    context.screen.next_step(command("notify verify", message_id))


@declare(
    app,
    "notify verify",
    words("用现在的配置重新校验，不改变订单", "Check a notification with the current settings; no order is changed."),
    next_step="notify list",
)
def verify(context: Context, message_id: RefusedId) -> None:
    """Verify it with the current settings; no order is changed."""
    answer = context.service.post(f"{PATH}/{_check_id(message_id)}/verify")
    for slip in answer.get("slips", ()):
        line = f"✘ {slip['code']}  {slip['text']}"
        context.screen.say(Bilingual(line, line))
    _require_acceptance(answer, message_id)
    about = answer["out_trade_no"] or "–"
    context.screen.show(
        answer, cell(Bilingual(f"✔ 校验通过：{about}", f"✔ It passes the check: {about}").to(context.screen.lang))
    )
    context.screen.next_step(command("notify replay", message_id))


@declare(
    app,
    "notify replay",
    words(
        "重新校验并处理，与微信支付重发一样", "Check a notification again and apply it, as if WeChat Pay repeated it."
    ),
    next_step="notify list",
)
def replay(context: Context, message_id: RefusedId) -> None:
    """Verify it again and apply it, as if WeChat Pay had repeated it."""
    answer = context.service.post(f"{PATH}/{_check_id(message_id)}/replay")
    _require_acceptance(answer, message_id)
    verdict = context.screen.translate(answer["verdict"], VERDICTS)
    context.screen.show(
        answer, cell(Bilingual(f"✔ 校验通过，{verdict}", f"✔ It passes the check: {verdict}").to(context.screen.lang))
    )


def _check_id(message_id: str) -> str:
    """Return ``message_id`` if it has the right format. Raises Problem."""
    if not REFUSED_ID.fullmatch(message_id):
        text = Bilingual(
            "ID 见 notify list，如 stale-00-1a2b3c4d", "Take an ID from notify list, such as stale-00-1a2b3c4d"
        )
        raise Problem(Exit.USAGE, "BAD_ID", text, next_step=command("notify list"))
    return message_id


def _require_acceptance(answer: Mapping[str, Any], message_id: str) -> None:
    """Raise Problem if verification failed again."""
    if not answer["accepted"]:
        reason, said = answer["reason"], answer["message"]
        text = Bilingual(f"再次被拒绝（{reason}）：{said}", f"It is refused again ({reason}): {said}")
        raise Problem(Exit.FAILED, "REFUSED_AGAIN", text, next_step=command("notify show", message_id))


def _listing(screen: Screen, messages: Sequence[Mapping[str, Any]]) -> RenderableType:
    columns = (
        Bilingual("末次", "Last"),
        Bilingual("次数", "Times"),
        Bilingual("接口", "API"),
        Bilingual("序列号", "Serial"),
        NUMBER,
        Bilingual("编号", "ID"),
        Bilingual("原因", "Reason"),
    )
    rows = [
        (moment(one["last_at"]), one["seen"], one["api"], one["serial"], one["out_trade_no"], one["id"], one["meaning"])
        for one in messages
    ]
    return screen.table(Bilingual("被拒绝的通知", "Refused notifications"), columns, rows)


def _fixes(screen: Screen, messages: Sequence[Mapping[str, Any]]) -> list[RenderableType]:
    """Return what to do about each reason in the list, each reason once."""
    fixes = {one["reason"]: one["fix"] for one in messages}
    return [cell(f"{reason}: {fix}") for reason, fix in fixes.items()]


def _sheet(screen: Screen, message: Mapping[str, Any]) -> RenderableType:
    accepted = moment(message["accepted_at"])
    return screen.sheet(
        [
            (Bilingual("原因", "Reason"), f"{message['meaning']} ({message['reason']})"),
            (
                Bilingual("签名错误的原因", "Why the signature is wrong"),
                "；".join(slip["text"] for slip in message["slips"]),
            ),
            (Bilingual("处理", "What to do"), message["fix"]),
            (NUMBER, message["out_trade_no"]),
            (Bilingual("接口", "API"), message["api"]),
            (Bilingual("序列号", "Serial"), message["serial"]),
            (Bilingual("已知序列号", "Known serials"), ", ".join(message["known_serials"])),
            (Bilingual("到达时已过（秒）", "Age on arrival (s)"), message["age_s"]),
            (Bilingual("首次", "First"), moment(message["first_at"])),
            (Bilingual("末次", "Last"), moment(message["last_at"])),
            (Bilingual("次数", "Times"), message["seen"]),
            (Bilingual("已处理", "Accepted"), accepted),
        ]
    )
