"""People with the list of orders open, in a process of its own: each holds a stream of live updates and reads the row
of every order that it names, as a page does. Prints its measurements as JSON.

    python -m bench.processes.watchers --url http://127.0.0.1:8888 --cookie VALUE --watchers 50 --seconds 20
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections import Counter
from contextlib import suppress

import aiohttp
import uvloop

STREAM = "/console/live?topic=orders"
DATA = b"data: "


async def watch(session: aiohttp.ClientSession, url: str, rows: list[float], statuses: Counter[int]) -> None:
    """Follow one stream until cancelled; ``rows`` collects the seconds that each row took."""
    async with session.get(url + STREAM, timeout=aiohttp.ClientTimeout(total=None)) as stream:
        statuses[stream.status] += 1
        async for line in stream.content:
            number = json.loads(line[len(DATA) :]).get("number") if line.startswith(DATA) else None
            if number:
                started = time.perf_counter()
                async with session.get(f"{url}/console/orders/rows/{number}", headers={"HX-Request": "true"}) as answer:
                    await answer.read()
                rows.append(time.perf_counter() - started)
                statuses[answer.status] += 1


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", required=True)
    parser.add_argument("--cookie", required=True)
    parser.add_argument("--watchers", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=20.0)
    arguments = parser.parse_args()
    rows: list[float] = []
    statuses: Counter[int] = Counter()
    headers = {"Cookie": f"fenpay_staff={arguments.cookie}"}
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), headers=headers) as session:
        tasks = [asyncio.create_task(watch(session, arguments.url, rows, statuses)) for _ in range(arguments.watchers)]
        print("watching", flush=True)
        await asyncio.wait(tasks, timeout=arguments.seconds)
        for task in tasks:
            task.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.gather(*tasks, return_exceptions=True)
    rows.sort()
    slowest_ms = [rows[int(len(rows) * share)] * 1000 for share in (0.5, 0.99)] if rows else [0.0, 0.0]
    print(json.dumps({"rows": len(rows), "p50_ms": slowest_ms[0], "p99_ms": slowest_ms[1], "statuses": statuses}))


if __name__ == "__main__":
    uvloop.run(main())
