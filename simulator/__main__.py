"""``python -m simulator --port 9000 --state DIR``: run the WeChat simulator, for this machine only.

A second port speaks TLS and asks for the merchant's certificate, which v2 requires for refunds.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from pathlib import Path

from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets

from simulator.app import application
from simulator.control.console import WECHAT_HOSTS
from simulator.simulator import Simulator
from simulator.state.clock import Calendar
from simulator.state.pki import server_context

HOST = "127.0.0.1"
MAX_BODY = 1024 * 1024


def main() -> None:
    """Parse the command line and serve until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(prog="python -m simulator", description="WeChat on this machine")
    parser.add_argument("--port", type=int, default=9000, help="0 takes a free one")
    parser.add_argument("--secure-port", type=int, default=0, help="of mutual TLS; 0 takes a free one")
    parser.add_argument("--state", type=Path, required=True, help="directory of keys and of the truth log")
    parser.add_argument("--speed", type=float, default=1.0, help="simulated seconds a second")
    parser.add_argument(
        "--wechat-hosts", action="store_true", help="answer under WeChat's own host names, too, on the TLS port"
    )
    parser.add_argument(
        "--calendar",
        type=Calendar,
        choices=list(Calendar),
        default=Calendar.WALL,
        help="whose dates messages and bills carry; simulated is for services that follow this clock",
    )
    chosen = parser.parse_args()
    try:
        import uvloop  # noqa: PLC0415 - optional: asyncio's own loop serves as well
    except ImportError:
        asyncio.run(serve(chosen))
    else:
        uvloop.run(serve(chosen))


async def serve(chosen: argparse.Namespace) -> None:
    """Listen, print the addresses, and end cleanly on a signal."""
    stopped = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, stopped.set)
    wechat_hosts = WECHAT_HOSTS if chosen.wechat_hosts else ()
    simulator = Simulator.open(chosen.state, chosen.speed, chosen.calendar, wechat_hosts)
    app = application(simulator)
    servers = [
        HTTPServer(app, max_body_size=MAX_BODY),
        HTTPServer(app, max_body_size=MAX_BODY, ssl_options=server_context(simulator.server, simulator.merchant)),
    ]
    port, secure_port = (listen(*each) for each in zip(servers, (chosen.port, chosen.secure_port), strict=True))
    simulator.secure_url = f"https://{HOST}:{secure_port}"
    simulator.sender.start()
    print(f"simulator listening on http://{HOST}:{port}", flush=True)  # noqa: T201
    if wechat_hosts:
        print(_how_to_trust(chosen.state, secure_port), flush=True)  # noqa: T201
    await stopped.wait()
    for server in servers:
        server.stop()
        await server.close_all_connections()
    await simulator.close()


def _how_to_trust(state: Path, secure_port: int) -> str:
    """Return what a program needs that calls WeChat by its host names."""
    certificate = (state / "server-wechat.cert.pem").resolve()
    way = "" if secure_port == 443 else f", and whatever leads port 443 to {secure_port} (or --secure-port 443)"
    return (
        f"as WeChat on https://{HOST}:{secure_port}\n"
        f"  names: a line '{HOST} {' '.join(WECHAT_HOSTS)}' in /etc/hosts{way}\n"
        f"  trust: SSL_CERT_FILE, REQUESTS_CA_BUNDLE or NODE_EXTRA_CA_CERTS = {certificate}"
    )


def listen(server: HTTPServer, port: int) -> int:
    """Return the port that ``server`` listens on; end the process if the port cannot be used."""
    try:
        sockets = bind_sockets(port, HOST)
    except OSError as error:
        sys.exit(f"cannot listen on {HOST}:{port}: {error.strerror}")
    server.add_sockets(sockets)
    return int(sockets[0].getsockname()[1])


if __name__ == "__main__":
    main()
