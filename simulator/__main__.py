"""``python -m simulator --port 9000 --state DIR [--speed N]``: WeChat on this machine, for this machine only."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from pathlib import Path

from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets

from simulator.app import application
from simulator.world import World

HOST = "127.0.0.1"
MAX_BODY = 1024 * 1024


def main() -> None:
    """Parse the command line and serve until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(prog="python -m simulator", description=__doc__)
    parser.add_argument("--port", type=int, default=9000, help="0 takes a free one")
    parser.add_argument("--state", type=Path, required=True, help="directory of keys and of the truth log")
    parser.add_argument("--speed", type=float, default=1.0, help="simulated seconds a second")
    chosen = parser.parse_args()
    try:
        import uvloop  # noqa: PLC0415 - where there is none, asyncio's own loop serves as well
    except ImportError:
        asyncio.run(serve(chosen.port, chosen.state, chosen.speed))
    else:
        uvloop.run(serve(chosen.port, chosen.state, chosen.speed))


async def serve(port: int, state: Path, speed: float) -> None:
    """Listen, say so in one line, and end cleanly when told to."""
    stopped = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, stopped.set)
    world = World.open(state, speed)
    server = HTTPServer(application(world), max_body_size=MAX_BODY)
    try:
        sockets = bind_sockets(port, HOST)
    except OSError as error:
        sys.exit(f"cannot listen on {HOST}:{port}: {error.strerror}")
    server.add_sockets(sockets)
    world.courier.start()
    print(f"simulator listening on http://{HOST}:{sockets[0].getsockname()[1]}", flush=True)  # noqa: T201
    await stopped.wait()
    server.stop()
    await server.close_all_connections()
    await world.close()


if __name__ == "__main__":
    main()
