"""``manage.py drill``: run a day of orders at the WeChat simulator with every fault, and print the verdict as a
table."""

from __future__ import annotations

import asyncio
import json
import random
import tempfile
import time
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from drill.day import Day
from drill.plan import customers
from drill.receiver import Receiver
from drill.scene import DayRecord, Say, Scene
from drill.shop import Shop, WeChat, session
from drill.stack import Stack
from drill.verdict import Line, Seen, lines
from service.clocks import SystemClock
from service.runtime import SystemRandom
from storage.mongo.storage import MongoStorage
from wechat.domain.errors import Bilingual

DATABASE = "fenpay"
AT_ONCE = 16


def main(count: int, seed: int, directory: Path | None, lang: str, *, as_json: bool) -> int:
    """Run a day of ``count`` orders; return 0 if every line of the verdict is right, otherwise 1."""
    talk = Console(stderr=True)
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="fenpay-drill-") as made:
        result, facts = asyncio.run(
            _drill(count, seed, directory or Path(made), lambda text: talk.print(f"… {text.to(lang)}"))
        )
    facts["seconds"] = round(time.monotonic() - started, 1)
    if as_json:
        rows = [{"line": line.en, "wanted": line.wanted, "found": line.found, "right": line.right} for line in result]
        print(json.dumps(facts | {"right": all(line.right for line in result), "lines": rows}, ensure_ascii=False))
    else:
        show(result, facts, lang)
    return 0 if all(line.right for line in result) else 1


async def _drill(count: int, seed: int, directory: Path, say: Say) -> tuple[list[Line], dict[str, Any]]:
    chance = random.Random(seed)
    async with Receiver(chance) as receiver, session() as line:
        stack = await asyncio.to_thread(Stack(directory, receiver.port).__enter__)
        store = MongoStorage(stack.mongo_url, DATABASE, clock=SystemClock(), random=SystemRandom())
        try:
            receiver.secret = stack.webhook_secret
            shop, wechat = Shop(stack, line), WeChat(stack, line)
            record = DayRecord(customers(count, chance), date.min)
            await Day(Scene(stack, shop, wechat, store, chance, record, say)).live()
            seen = await _read_both_sides(record, shop, wechat)
            return lines(record, seen, receiver), _facts(record, seen, receiver, stack)
        finally:
            await store.close()
            await asyncio.to_thread(stack.__exit__)


async def _read_both_sides(record: DayRecord, shop: Shop, wechat: WeChat) -> Seen:
    """Read the current data of both sides."""
    orders = {order["out_trade_no"]: order async for order in shop.pages("/api/orders", "orders")}
    refunds: dict[str, dict[str, Any]] = {}
    places = asyncio.Semaphore(AT_ONCE)

    async def refunds_of(number: str) -> None:
        async with places:
            for refund in (await shop.ask("GET", f"/api/orders/{number}/refunds")).body["refunds"]:
                refunds[refund["out_refund_no"]] = refund

    await asyncio.gather(*(refunds_of(number) for number in orders))
    return Seen(orders, refunds, await wechat.orders(), await wechat.refunds(), await wechat.truth(record.day))


def _facts(record: DayRecord, seen: Seen, receiver: Receiver, stack: Stack) -> dict[str, Any]:
    attempts = [attempt for order in seen.true_orders.values() for attempt in order["attempts"]]
    by_query = sum(
        any(line["what"] == "paid" and line["source"] == "query" for line in order["timeline"])
        for order in seen.orders.values()
    )
    return {
        "day": record.day.isoformat(),
        "orders": len(record.planned),
        "paid_by_query": by_query,
        "refunds": len(seen.true_refunds),
        "notifications": len(attempts),
        "notifications_accepted": sum(attempt["right"] for attempt in attempts),
        "deliveries": receiver.received,
        "kills": stack.kills,
    }


def show(result: Sequence[Line], facts: dict[str, Any], lang: str) -> None:
    """Print the verdict's table, and a line about the day."""
    headings = Bilingual("应为", "expected").to(lang), Bilingual("实为", "found").to(lang)
    table = Table(
        title=Bilingual(f"{facts['day']} · {facts['orders']} 笔订单", f"{facts['day']} · {facts['orders']} orders").to(
            lang
        )
    )
    table.add_column("")
    for heading in headings:
        table.add_column(heading, justify="right")
    table.add_column("")
    for line in result:
        mark = "[green]✔[/green]" if line.right else "[bold red]✘[/bold red]"
        table.add_row(line.en if lang == "en" else line.zh, str(line.wanted), str(line.found), mark)
    console = Console()
    console.print(table)
    console.print(_summary(facts).to(lang))


def _summary(facts: dict[str, Any]) -> Bilingual:
    return Bilingual(
        f"通知 {facts['notifications']} 次，接受 {facts['notifications_accepted']} 次；"
        f"查单确认已支付 {facts['paid_by_query']} 笔；退款 {facts['refunds']} 笔；推送 {facts['deliveries']} 次；"
        f"服务被终止 {facts['kills']} 次；{facts['seconds']} 秒",
        f"{facts['notifications']} notifications, {facts['notifications_accepted']} accepted; {facts['paid_by_query']} "
        f"orders found paid by query; {facts['refunds']} refunds; {facts['deliveries']} deliveries; "
        f"{facts['kills']} services killed; {facts['seconds']} s",
    )
