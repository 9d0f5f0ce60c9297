"""``support``: all about an order in one HTML file, to send to whoever is asked for help, without personal data."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from tornado.template import Template

from cli.context import AsJson, KeyFile, OrderNo, Url, command_context, number
from cli.output import Screen, moment, money, words
from cli.problems import Exit, Problem
from wechat.domain.errors import Bilingual
from wechat.domain.labels import ORDER_STATES, REFUND_STATES, SOURCES, TIMELINE, VERDICTS, label
from wechat.support.cli_hints import command

TEMPLATE = Path(__file__).resolve().parents[1] / "templates" / "support.html"
PERSONAL = frozenset({"openid", "payer"})
FREE_TEXTS = frozenset({"attach", "client_ip"})
SHOWN = 4
MODE = 0o600

app = typer.Typer()

TEXTS = {
    "title": Bilingual("订单支持文件", "Support file of an order"),
    "made": Bilingual("生成时间", "Made at"),
    "order": Bilingual("订单", "Order"),
    "timeline": Bilingual("时间线", "Timeline"),
    "refunds": Bilingual("退款", "Refunds"),
    "notifications": Bilingual("微信的通知", "WeChat's notifications"),
    "refused": Bilingual("被拒绝的通知", "Notifications that were refused"),
    "wechat": Bilingual("微信支付查询结果", "What WeChat Pay says now"),
    "none": Bilingual("没有", "none"),
    "redacted": Bilingual("个人信息已隐去，不含密钥。", "Personal data are cut out; it holds no keys."),
}


@app.command(
    help=words(
        "把一笔订单的全部经过写成一个 HTML 文件，个人信息已隐去",
        "Write all about an order into one HTML file, without personal data.",
    )
)
def support(
    no: OrderNo,
    out: Annotated[Path | None, typer.Option(help=words("写到这个文件", "the file to write"))] = None,
    url: Url = None,
    key_file: KeyFile = None,
    as_json: AsJson = False,
) -> None:
    """Write all about an order into one HTML file, without personal data."""
    with command_context("support", url, key_file, as_json, next_step=command("order list")) as context:
        diagnosis = redact(context.service.get(f"/api/orders/{number('out_trade_no', no)}/why"))
        file = out or Path(f"support-{no.replace('|', '_').replace('*', '_')}.html")
        _write(file, render(context.screen, diagnosis))
        context.screen.show({"file": str(file)}, str(file))


def redact(value: Any, name: str = "") -> Any:
    """``value`` with payers cut to their first and last letters, and free texts to their length."""
    if isinstance(value, Mapping):
        return {key: redact(each, key) for key, each in value.items()}
    if isinstance(value, list):
        return [redact(each, name) for each in value]
    if isinstance(value, str) and name in PERSONAL:
        return f"{value[:SHOWN]}…{value[-SHOWN:]}" if len(value) > 2 * SHOWN else "…"
    if isinstance(value, str) and name in FREE_TEXTS:
        return f"({len(value)})"
    return value


def render(screen: Screen, diagnosis: Mapping[str, Any]) -> str:
    """The file's text, in the reader's language. The template escapes everything."""
    template = Template(TEMPLATE.read_bytes(), autoescape="xhtml_escape")
    page: bytes = template.generate(
        t=lambda name: TEXTS[name].to(screen.lang),
        lang=screen.lang,
        diagnosis=diagnosis,
        made_at=moment(datetime.now(UTC).isoformat()),
        money=money,
        moment=moment,
        order_state=lambda code: label(ORDER_STATES, code, screen.lang),
        refund_state=lambda code: label(REFUND_STATES, code, screen.lang),
        event=lambda code: label(TIMELINE, code, screen.lang),
        source=lambda code: label(SOURCES, code, screen.lang),
        verdict=lambda code: label(VERDICTS, code, screen.lang),
    )
    return page.decode()


def _write(file: Path, text: str) -> None:
    """Write it for its owner only. Raises Problem."""
    try:
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, MODE), "w", encoding="utf-8") as stream:
            os.fchmod(stream.fileno(), MODE)  # also where the file was there before
            stream.write(text)
    except OSError as error:
        message = Bilingual(f"写不了 {file}（{error.strerror}）", f"{file} cannot be written ({error.strerror})")
        raise Problem(Exit.FAILED, "NOT_WRITTEN", message, next_step=command("support", "--help")) from None
