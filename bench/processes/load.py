"""The load generator, a process of its own: reads requests from a file, sends them, prints its measurements as JSON.

    python -m bench.processes.load REQUESTS --url http://127.0.0.1:8888 --clients 32

REQUESTS holds one JSON object per line: ``{"method", "path", "headers", "body"}``. Requests are sent in order by a
fixed number of clients, each of which waits for its answer before it sends the next (a closed loop). No request starts
after ``--seconds``; one without an answer counts as status 0.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections import Counter
from collections.abc import Iterator, Sequence
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
    answers: list[str] | None,
) -> None:
    """Send requests until none is left; ``seen`` collects seconds, ``answers`` bodies of successful answers."""
    for request in requests:
        started = time.perf_counter()
        try:
            async with session.request(
                request["method"], url + request["path"], headers=request["headers"], data=request["body"] or None
            ) as answer:
                body = await answer.read()
        except (aiohttp.ClientError, TimeoutError):
            statuses[0] += 1
        else:
            statuses[answer.status] += 1
            if answers is not None and answer.ok:
                answers.append(body.decode())
        seen.append(time.perf_counter() - started)


def take_until(deadline: float, requests: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield ``requests`` until ``deadline`` passes."""
    for request in requests:
        if time.perf_counter() > deadline:
            return
        yield request


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("requests", type=Path)
    parser.add_argument("--url", required=True)
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=240.0)
    parser.add_argument("--answers", action="store_true", help="print the bodies of successful answers too")
    arguments = parser.parse_args()
    requests = [json.loads(line) for line in arguments.requests.read_text().splitlines()]
    seen: list[float] = []
    answers: list[str] | None = [] if arguments.answers else None
    statuses: Counter[int] = Counter()
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=arguments.clients), timeout=aiohttp.ClientTimeout(total=30)
    ) as session:
        started = time.perf_counter()
        shared = take_until(started + arguments.seconds, requests)
        clients = [client(session, arguments.url, shared, seen, statuses, answers) for _ in range(arguments.clients)]
        await asyncio.gather(*clients)
        spent = time.perf_counter() - started
    seen.sort()
    result = {
        "count": len(seen),
        "seconds": spent,
        "p50_ms": seen[len(seen) // 2] * 1000,
        "p99_ms": seen[int(len(seen) * 0.99)] * 1000,
        "statuses": statuses,
        "answers": answers or [],
    }
    print(json.dumps(result))


if __name__ == "__main__":
    uvloop.run(main())
