"""The load generator, a process of its own: reads requests from a file, sends them, prints what it saw as JSON.

    python -m bench.load REQUESTS --url http://127.0.0.1:8888 --clients 32

REQUESTS holds one JSON object a line: ``{"method", "path", "headers", "body"}``. Requests are sent in order by a fixed
number of clients, each waiting for its answer before it takes the next (a closed loop).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import uvloop


async def client(
    session: aiohttp.ClientSession,
    url: str,
    requests: Iterator[dict[str, Any]],
    seen: list[float],
    statuses: Counter[int],
) -> None:
    """Take requests until none is left; ``seen`` collects seconds."""
    for request in requests:
        started = time.perf_counter()
        async with session.request(
            request["method"], url + request["path"], headers=request["headers"], data=request["body"] or None
        ) as answer:
            await answer.read()
            statuses[answer.status] += 1
        seen.append(time.perf_counter() - started)


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("requests", type=Path)
    parser.add_argument("--url", required=True)
    parser.add_argument("--clients", type=int, default=32)
    arguments = parser.parse_args()
    requests = [json.loads(line) for line in arguments.requests.read_text().splitlines()]
    seen: list[float] = []
    statuses: Counter[int] = Counter()
    shared = iter(requests)
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=arguments.clients), timeout=aiohttp.ClientTimeout(total=30)
    ) as session:
        started = time.perf_counter()
        clients = [client(session, arguments.url, shared, seen, statuses) for _ in range(arguments.clients)]
        await asyncio.gather(*clients)
        spent = time.perf_counter() - started
    seen.sort()
    result = {
        "count": len(seen),
        "seconds": spent,
        "p50_ms": seen[len(seen) // 2] * 1000,
        "p99_ms": seen[int(len(seen) * 0.99)] * 1000,
        "statuses": statuses,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    uvloop.run(main())
