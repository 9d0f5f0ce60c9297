"""``bill …``: WeChat's bill of a day, as a file or as what it says."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path
from typing import IO, Annotated, Any

import typer
from rich.console import RenderableType

from cli.commands.orders import NUMBER, STATE
from cli.context import Context, Day, day, declare
from cli.output import Screen, cell, money, words
from cli.problems import Exit, Problem
from wechat.domain.errors import Bilingual
from wechat.domain.times import beijing, to_v3
from wechat.pay.bills.parser import BillBroken, BillKind, TradeLine, read_lines, trade_lines
from wechat.reconciliation.books import Totals, sum_lines
from wechat.reconciliation.labels import COUNTS, SUMS

app = typer.Typer(no_args_is_help=True, help=words("微信的账单", "WeChat's bills"))

Kind = Annotated[BillKind, typer.Option(help=words("后三种是资金账单", "the last three are fund flow bills"))]
SUM_NAMES = ("payments", "received", "settled", "refunds", "refunded", "settled_refunded", "fee", "fee_e5", "net")
STDOUT = Path("-")
NO_BILL = Bilingual("这一天没有账单：没有发生交易", "There is no bill for that day: there were no transactions")


@declare(app, "bill fetch", words("下载账单，原样保存", "Download a bill, unchanged."), next_step="bill fetch {date}")
def fetch(
    context: Context,
    date: Day,
    kind: Kind = BillKind.ALL,
    out: Annotated[
        Path | None,
        typer.Option(
            help=words(
                "写到这里，默认在当前目录；- 是标准输出",
                "the file to write; by default in the current directory; - for stdout",
            )
        ),
    ] = None,
) -> None:
    """Download a bill, unchanged."""
    if out == STDOUT:
        _print(context, day(date), kind)
        return
    path = out or Path(f"bill-{day(date)}-{kind}.csv")
    with _once_whole(path) as file:
        size = _download(context, day(date), kind, file)
    document = {"date": date, "kind": kind.value, "file": str(path) if size else None, "bytes": size}
    context.screen.show(document, *([cell(path)] if size else []))
    if not size:
        context.screen.say(NO_BILL)


@declare(
    app,
    "bill show",
    words("交易账单的合计与前几行", "Show the totals of a trade bill and its first lines."),
    next_step="bill fetch {date}",
)
def show(
    context: Context,
    date: Day,
    limit: Annotated[int, typer.Option(min=0, max=10_000, help=words("显示几行", "number of lines"))] = 20,
) -> None:
    """Show a trade bill's sums and its first lines."""
    with tempfile.NamedTemporaryFile(prefix="fenpay-bill-", suffix=".csv") as file:
        size = _download(context, day(date), BillKind.ALL, file)
        file.flush()
        lines, sums, unread = _read(Path(file.name), limit) if size else ([], dict.fromkeys(SUM_NAMES, 0), [])
    document = {"date": date, "sums": sums, "lines": [_line(line) for line in lines], "unread_lines": unread}
    context.screen.show(document, *_views(context.screen, lines, sums))
    if unread:
        numbers = ", ".join(map(str, unread))
        context.screen.say(Bilingual(f"第 {numbers} 行无法读取", f"Line {numbers} cannot be read"))
    if not size:
        context.screen.say(NO_BILL)


def _print(context: Context, date: str, kind: BillKind) -> None:
    """Write the bill to stdout, where no JSON document may follow. Raises Problem."""
    if context.screen.as_json:
        text = Bilingual(
            "标准输出只能是账单或 JSON 文档之一：--out - 与 --json 不能同用",
            "Standard output can hold either the bill or the JSON document: do not use --out - with --json",
        )
        raise Problem(Exit.USAGE, "TWO_DOCUMENTS", text)
    if not _download(context, date, kind, sys.stdout.buffer):
        context.screen.say(NO_BILL)


def _download(context: Context, date: str, kind: BillKind, into: IO[bytes]) -> int:
    """Write the bill to ``into``; return the number of bytes, 0 for a day without a bill."""
    size = 0
    with context.screen.downloading() as bar:
        task = bar.add_task(Bilingual(f"{date} 的账单", f"Bill of {date}").to(context.screen.lang), total=None)
        for piece, total in context.service.download(f"/api/bills/{date}", kind=kind.value):
            into.write(piece)
            size += len(piece)
            bar.update(task, completed=size, total=total)
    return size


@contextmanager
def _once_whole(path: Path) -> Iterator[IO[bytes]]:
    """Open a file that gets its name in one step when it is complete; an empty one is discarded. Raises Problem."""
    draft = path.with_name(f".{path.name}.part")
    try:
        with draft.open("wb") as file:
            yield file
        if draft.stat().st_size:
            draft.replace(path)
    except OSError as error:
        why = error.strerror or "?"
        text = Bilingual(f"无法写入 {path}：{why}", f"{path} cannot be written: {why}")
        raise Problem(Exit.CONFIG, "NOT_WRITABLE", text, next_step=f"ls -ld '{path.parent}'") from None
    finally:
        draft.unlink(missing_ok=True)


def _read(path: Path, limit: int) -> tuple[list[TradeLine], dict[str, int], list[int]]:
    """Return the first lines, the sums of all lines, and the numbers of unreadable lines.

    Raises Problem for a bill whose sums do not agree with its lines.
    """
    unread: list[BillBroken] = []
    try:
        lines = trade_lines(read_lines(path), unread=unread)
        first = list(islice(lines, limit))
        sums: Totals = sum_lines(chain(first, lines))
    except BillBroken as error:
        text = Bilingual(
            f"账单第 {error.line} 行格式错误（{error.reason}）",
            f"Line {error.line} of the bill cannot be read ({error.reason})",
        )
        raise Problem(Exit.FAILED, error.public_code, text) from None
    return first, {name: getattr(sums, name) for name in SUM_NAMES}, [fault.line for fault in unread]


def _line(line: TradeLine) -> dict[str, Any]:
    return line._asdict() | {"time": to_v3(line.time)}


def _views(screen: Screen, lines: Sequence[TradeLine], sums: Mapping[str, int]) -> list[RenderableType]:
    sheet = screen.sheet((text, str(sums[name]) if name in COUNTS else money(sums[name])) for name, text in SUMS)
    columns = (
        Bilingual("时间", "Time"),
        NUMBER,
        Bilingual("微信支付订单号", "transaction_id"),
        Bilingual("金额", "Amount"),
        STATE,
    )
    rows = [
        (
            beijing(line.time),
            line.out_trade_no,
            line.transaction_id,
            money(-line.refund if line.is_refund or (line.is_reversal and line.refund) else line.total),
            f"{line.trade_state} {line.refund_status}".strip(),
        )
        for line in lines
    ]
    return (
        [sheet, screen.table(Bilingual(f"前 {len(rows)} 行", f"First {len(rows)} lines"), columns, rows)]
        if rows
        else [sheet]
    )
