"""The process: settings, services, application, listen, drain.

The only place where stores, gateways and sessions are built. ``python server.py --settings FILE`` is what production
runs under supervisor; the demo runs the same with other settings.
"""

from __future__ import annotations

from service.interpreter import ensure_dependencies

ensure_dependencies()

import argparse
import asyncio
import gc
import signal
import socket
import sys
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import structlog
from prometheus_client import REGISTRY, Info
from tornado.httpserver import HTTPServer
from tornado.httputil import ParseBodyConfig, ParseMultipartConfig, set_parse_body_config
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler

from doctor.run import examine_start, refuse_start, report_start, summarize_start
from doctor.subject import read as read_subject
from handlers.web import plugin
from handlers.web.base import NotFoundHandler
from handlers.web.edge import Edge
from handlers.web.event_stream import FREE_TURN
from handlers.web.services import Probe, Services
from handlers.web.static import StaticFiles
from service import logs
from service.compose import Process, Storage, compose
from service.runtime import PrometheusTelemetry
from service.settings.loading import load
from service.settings.model import Settings
from service.settings.values import EMBEDDED
from storage.embedded.servers import EmbeddedMongo, EmbeddedRedis
from wechat.domain.errors import Bilingual, ConfigError, StoreUnavailable
from wechat.support.rate_limit import RateLimit

VERSION = "0.2.0"
ROOT = Path(__file__).parent
MAX_BODY = 64 * 1024
BACKLOG = 1024  # connections that the system keeps until they are accepted; those beyond wait a second and more
LINGER_S = 0.25
ANSWER_S = 3.0  # to answer those who wait for WeChat at the shutdown; the stores take up to 2.5 s
PREPARE_S = 3.0  # MongoDB and the simulator's clock are waited for this long before the first request is let in
REFUSED_LINES, REFUSED_LINES_PER_S = 20, 3.0  # for each status of each handler: anybody can cause refusals
GC_YOUNG = 10_000  # objects made between two looks for garbage; Python's own 700 are gone after two requests
HTTP_LIMITS: dict[str, Any] = {
    "max_body_size": MAX_BODY,
    "max_buffer_size": 2 * MAX_BODY,
    "max_header_size": 8 * 1024,
    "idle_connection_timeout": 10,
    "body_timeout": 5,
    "decompress_request": False,
}

NOT_MIGRATED = Bilingual(
    "mongo.url：数据库里是 0.1.0 的订单。停掉全部旧进程，用同一份设置运行 manage.py migrate --settings …，再启动",
    "mongo.url: the database holds orders of release 0.1.0. Stop every old process, run manage.py migrate --settings … "
    "with these settings, then start again",
)

log = structlog.get_logger("server")


class App(Application):
    """Tornado's application with our routes."""

    def __init__(self, services: Services, owned: Sequence[plugin.Owned]) -> None:
        self._refusals = RateLimit(services.clock, REFUSED_LINES, REFUSED_LINES_PER_S)
        self.on_answered: Callable[[Any], None] = lambda connection: None
        super().__init__(
            plugin.url_specs(owned, services),
            owned=owned,
            default_handler_class=NotFoundHandler,
            default_handler_args={"services": services, "access": plugin.Access.PUBLIC},
            cookie_secret=services.settings.session.secrets_by_version,
            key_version=next(iter(services.settings.session.secrets_by_version)),
            xsrf_cookies=True,
            xsrf_cookie_kwargs={"samesite": "Lax", "secure": services.settings.http.origin.startswith("https:")},
            template_path=str(ROOT / "templates"),
            static_path=str(ROOT / "static"),
            static_handler_class=StaticFiles,
        )

    def log_request(self, handler: RequestHandler) -> None:
        """Log a request by its path without the query, which may carry a code. Lines of refusals are rate-limited."""
        self.on_answered(handler.request.connection)
        refused = handler.get_status() >= 400
        kind = f"{type(handler).__name__} {handler.get_status()}"
        if refused and not self._refusals.take(kind):
            return
        log.info(
            "request",
            method=handler.request.method,
            path=handler.request.path,
            status=handler.get_status(),
            duration_s=round(handler.request.request_time(), 4),
            **({"suppressed": self._refusals.refused_since(kind)} if refused else {}),
        )


async def start_embedded_servers(settings: Settings, stack: AsyncExitStack) -> tuple[str, str]:
    """The addresses of MongoDB and Redis, after starting those that are ``embedded``. Raises ConfigError."""
    mongo = EmbeddedMongo(settings.mongo.directory) if settings.mongo.url == EMBEDDED else None
    redis = EmbeddedRedis(settings.redis.directory) if settings.redis.url == EMBEDDED else None
    servers = [server for server in (mongo, redis) if server]
    for server in servers:
        stack.callback(server.stop)
    await asyncio.gather(*(asyncio.to_thread(server.start) for server in servers))
    for server in servers:
        watch = asyncio.create_task(server.keep_running(), name=f"watch {server.name}")
        stack.callback(watch.cancel)
    return mongo.url if mongo else settings.mongo.url, redis.url if redis else settings.redis.url


def examine(file: Path) -> None:
    """Say in one block what is wrong with the settings file and this machine. Raises ConfigError in production, for
    what would lose or misdirect money."""
    subject = read_subject(file)
    results = examine_start(subject)
    if block := report_start(results, subject.production):
        print(block, file=sys.stderr)  # noqa: T201 - for whoever starts it; the log is for machines
    if subject.production:
        refuse_start(results)


async def serve(settings: Settings, telemetry: PrometheusTelemetry, file: Path) -> None:
    """Listen until SIGTERM or SIGINT, then drain. ``file`` is where the settings came from. Raises ConfigError."""
    stop = _stop_signal()
    async with AsyncExitStack() as stack:
        process = compose(settings, *await start_embedded_servers(settings, stack), telemetry)
        services = replace(process.services, self_check=partial(summarize_start, file))
        app = App(services, plugin.load(settings.plugin_names, services))
        examine(file)
        for part in process.closing:
            stack.push_async_callback(part.close)
        process.clock.start()
        preparing = asyncio.create_task(prepare(process), name="prepare")
        preparing.add_done_callback(lambda done: stop.set() if _is_failure(done) else None)
        stack.callback(preparing.cancel)
        await asyncio.wait({preparing}, timeout=PREPARE_S)
        if not _is_failure(preparing):
            for part in process.background:
                part.start()
            await plugin.start_all(settings.plugin_names, services, stack)
            server = Edge(app, **HTTP_LIMITS)
            app.on_answered, app.settings[FREE_TURN] = server.end, server.free_turn
            _listen(server, settings)
            _spare_collections()
            await stop.wait()
            await drain(server, process, settings.http.drain_s)
        if _is_failure(preparing):
            await preparing
    log.info("stopped")


def _listen(server: HTTPServer, settings: Settings) -> None:
    """Raises ConfigError."""
    sockets = listening_sockets(settings)
    server.add_sockets(sockets)
    if settings.in_memory:
        log.warning("stored_in_memory", name="orders are gone when this process ends")
    log.info("listening", port=sockets[0].getsockname()[1], url=settings.http.public_base_url)


def _spare_collections() -> None:
    """Have the garbage collector look less often, and never again at what was made at the start and stays to the end.

    It takes a tenth of the event loop's time otherwise.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_YOUNG)


async def prepare(process: Process) -> None:
    """Wait for the clock, which dates orders, and for the stores. Raises ConfigError."""
    await asyncio.gather(process.clock.ready(), _prepare_stores(process.storage, process.services.probes["mongo"]))


async def _prepare_stores(storage: Storage, probe: Probe) -> None:
    """Have the stores make their indexes, as soon as their server answers.

    Raises ConfigError where the database holds orders of an old release: taking new ones beside them would lose them.
    """
    while True:
        try:
            if await storage.holds_old_release():
                raise ConfigError([NOT_MIGRATED])
            return await probe()
        except StoreUnavailable as error:
            log.error("stores_not_ready", error=str(error))
        await asyncio.sleep(1)


def _is_failure(task: asyncio.Task[None]) -> bool:
    return task.done() and not task.cancelled() and task.exception() is not None


def listening_sockets(settings: Settings) -> list[socket.socket]:
    """Bind the address of the settings. Raises ConfigError when that fails."""
    host, port = settings.http.host, settings.http.port
    try:
        return bind_sockets(port, host, backlog=BACKLOG)
    except OSError as error:
        why = error.strerror or "?"
        raise ConfigError(
            [
                Bilingual(
                    f"http.port：无法监听 {host}:{port}（{why}）；换一个端口，或停掉占用它的程序",
                    f"http.port: cannot listen on {host}:{port} ({why}); take another port or stop what holds this one",
                )
            ]
        ) from None


async def drain(server: HTTPServer, process: Process, limit_s: float) -> None:
    """Take no new connections, answer the requests that are being handled, then close.

    Connections that are kept alive are served a little longer: a request may be on its way, and its answer says close.
    Who still waits for WeChat near the end is answered 503: WeChat may take longer than the process has.
    """
    in_flight = process.services.in_flight
    in_flight.draining = True
    process.services.feed.close()
    process.services.insight.live.end_watchers()
    server.stop()
    await asyncio.sleep(LINGER_S)
    await in_flight.quiet(max(0.0, limit_s - ANSWER_S))
    for transport in process.transports:
        transport.give_up()
    await in_flight.quiet(min(limit_s, ANSWER_S))
    await server.close_all_connections()


def _stop_signal() -> asyncio.Event:
    """Set by the first SIGTERM or SIGINT; further ones change nothing."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return stop


async def print_routes(settings: Settings, telemetry: PrometheusTelemetry) -> None:
    """The table of routes, without starting or connecting to anything."""
    services = compose(settings, "mongodb://127.0.0.1", "redis://127.0.0.1", telemetry).services
    print(plugin.table(plugin.load(settings.plugin_names, services)))  # noqa: T201 - the answer to --routes


def run(main: Coroutine[Any, Any, None]) -> None:
    """Run ``main`` on uvloop, or on asyncio's own loop where uvloop is not installed."""
    try:
        import uvloop  # noqa: PLC0415
    except ImportError:
        asyncio.run(main)
    else:
        uvloop.run(main)


def main() -> int:
    parser = argparse.ArgumentParser(description="Fenpay: WeChat Official Account payments")
    parser.add_argument("--settings", type=Path, default=ROOT / "settings.yml", help="settings file (YAML)")
    parser.add_argument("--routes", action="store_true", help="print the table of routes and end")
    arguments = parser.parse_args()
    try:
        settings = load(arguments.settings)
        logs.setup(settings.log.level, settings.log.format)
        set_parse_body_config(ParseBodyConfig(multipart=ParseMultipartConfig(enabled=False)))
        Info("fenpay_build", "What runs").info({"version": VERSION})
        telemetry = PrometheusTelemetry(REGISTRY)
        run(print_routes(settings, telemetry) if arguments.routes else serve(settings, telemetry, arguments.settings))
    except ConfigError as error:
        for problem in error.problems:
            print(f"✘ {problem.zh}\n  {problem.en}", file=sys.stderr)  # noqa: T201 - the start stops here
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main())
