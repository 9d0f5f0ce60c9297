"""``listen``: forward a running service's events to a program on this machine, as a webhook would receive them."""

from __future__ import annotations

import base64
import os
import secrets
import time
from collections.abc import Mapping
from typing import Annotated, Any, NamedTuple

import typer
from rich.text import Text as Styled

from cli.client import post_once
from cli.context import Context, declare, stream_context
from cli.endpoint import check_receiver
from cli.following import follow
from cli.output import clean, words
from cli.problems import Exit, Problem
from wechat.domain.errors import Bilingual
from wechat.events.signature import PREFIX, parse_secret, sign

SECRET_VARIABLE = "FENPAYCLI_WEBHOOK_SECRET"  # noqa: S105 - the name of a variable
PAUSES_S = (1.0, 5.0, 15.0)
"""Pauses between attempts. A program that restarts on a laptop is ready by then; events are not kept for later."""
MOST_SEEN = 1000
"""Number of event ids to remember, because an event may be received twice."""

app = typer.Typer()

ForwardTo = Annotated[
    str,
    typer.Option(
        "--forward-to",
        metavar="ADDRESS",
        help=words(
            "本机程序的地址，如 http://127.0.0.1:3000/hook",
            "address of a program on this machine, such as http://127.0.0.1:3000/hook",
        ),
    ),
]


class Forwarded(NamedTuple):
    """The result of forwarding one event: ``result`` is an HTTP status or the reason why there is none."""

    ok: bool
    result: str
    tries: int


@declare(
    app,
    "listen",
    words(
        "把服务的事件转发到本机程序，签名不变；Ctrl-C 结束",
        "Forward the service's events to a program on this machine, with the signature unchanged; Ctrl-C ends it.",
    ),
    within=stream_context,
)
def listen(
    context: Context,
    forward_to: ForwardTo,
    target: Annotated[
        str | None,
        typer.Option(help=words("与这个 webhook 相同的事件和签名", "use the events and the secrets of this webhook")),
    ] = None,
) -> None:
    """Forward the service's events to a program on this machine."""
    address, secret = check_receiver(forward_to), "" if target else _find_secret(context)
    seen: dict[str, None] = {}
    for name, data in follow(context, "/api/events/stream", target=target):
        if name == "missed":
            context.screen.say(Bilingual(f"漏收 {data['count']} 条", f"{data['count']} events were skipped"))
        elif data["id"] not in seen:
            seen[data["id"]] = None
            if len(seen) > MOST_SEEN:
                del seen[next(iter(seen))]
            _show(context, data, forward(address, data, secret))


def forward(address: str, event: Mapping[str, Any], secret: str) -> Forwarded:
    """Post an event, a few times at most; sign with ``secret`` if the service did not sign it."""
    body = str(event["body"]).encode()
    for tries, pause_s in enumerate((*PAUSES_S, 0.0), start=1):
        status, result = post_once(address, body, event["headers"] or _sign(secret, str(event["id"]), body))
        if 200 <= status < 300 or tries > len(PAUSES_S):
            break
        time.sleep(pause_s)
    return Forwarded(200 <= status < 300, result, tries)


def _sign(secret: str, event_id: str, body: bytes) -> dict[str, str]:
    """Return the headers of a webhook, signed and dated now."""
    timestamp = int(time.time())
    return {
        "Content-Type": "application/json",
        "User-Agent": "Fenpay",
        "webhook-id": event_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": sign(parse_secret(secret), event_id, timestamp, body),
    }


def _find_secret(context: Context) -> str:
    """Return the developer's own secret, or a new one, which is shown. Raises Problem."""
    secret = os.environ.get(SECRET_VARIABLE, "")
    if not secret:
        secret = PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()
        context.screen.say(Bilingual(f"本次签名密钥：{secret}", f"Signing secret: {secret}"))
        return secret
    try:
        parse_secret(secret)
    except ValueError:
        text = Bilingual(
            f"{SECRET_VARIABLE} 应为 whsec_ 加 24–64 字节的 base64",
            f"{SECRET_VARIABLE} must be whsec_ followed by 24 to 64 bytes in base64",
        )
        raise Problem(Exit.CONFIG, "BAD_SECRET", text, next_step=f"unset {SECRET_VARIABLE}") from None
    return secret


def _show(context: Context, event: Mapping[str, Any], forwarded: Forwarded) -> None:
    about = {"id": event["id"], "type": event["type"]}
    times = f" ×{forwarded.tries}" if forwarded.tries > 1 else ""
    mark = "✔" if forwarded.ok else "✘"
    line = Styled(clean(f"{mark} {event['type']}  {event['id']}  {forwarded.result}{times}"))
    if not forwarded.ok:
        line.stylize("red")
    context.screen.emit(about | forwarded._asdict(), line)
