"""Limits of the HTTP server: how many connections and requests there are at once, and which are refused beyond that.

Connections are capped below the process's limit of open files. When all are taken, the one that has been sending its
request for the longest time is closed for a new one. When descriptors run out nevertheless, accepting pauses.

A limited number of requests is handled at once; others wait in a queue, and when the queue is full the answer is 503.
WeChat's notifications do not wait in that queue.
"""

from __future__ import annotations

import asyncio
import resource
import secrets
import socket
from collections import deque
from collections.abc import Awaitable, Iterable
from typing import Any, cast

import orjson
import structlog
from tornado.http1connection import HTTP1ServerConnection
from tornado.httpserver import HTTPServer
from tornado.httputil import (
    HTTPConnection,
    HTTPHeaders,
    HTTPMessageDelegate,
    RequestStartLine,
    ResponseStartLine,
)
from tornado.iostream import IOStream

from handlers.web.texts import preferred_language
from wechat.domain.errors import StoreUnavailable

FILES_KEPT = 64
"""Descriptors reserved for other uses than client connections: stores, calls to WeChat, files."""
ACCEPTED_AT_ONCE = 128
GRACE_S = 0.05
"""A client may send for this long before its connection can be closed for another client's."""
PAUSE_S = 0.25
REPORT_S = 10.0
READ_TURNS = 8
OTHER_TURNS = 32
"""Requests handled at once: GET, and those that may wait for WeChat. More would slow each other and the notifications
down."""
TURN_S = 1.0
"""A request that takes longer waits for another system, so it no longer counts."""
MOST_WAITING = 512
LONGEST_WAIT_S = 2.0

log = structlog.get_logger("handlers.edge")


def most_connections() -> int:
    """Return the number of connections that fit below the limit of open files."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(8, min(files // 2, files - FILES_KEPT))


class Turns:
    """A limit of ``most`` requests handled at once, and a queue of those that wait."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._at_work: dict[HTTPConnection, asyncio.TimerHandle] = {}
        self._waiting: deque[tuple[float, IncomingRequest]] = deque()

    def enter(self, request: IncomingRequest) -> None:
        """Start ``request`` now, queue it, or refuse it if the queue is full."""
        if len(self._at_work) < self._most and not self._waiting:
            self._start(request)
        elif len(self._waiting) < MOST_WAITING:
            self._waiting.append((asyncio.get_running_loop().time(), request))
        else:
            request.refuse()

    def leave(self, connection: HTTPConnection) -> None:
        """Free the turn of ``connection``: its request was answered, or needs no turn any more."""
        timer = self._at_work.pop(connection, None)
        if timer is not None:
            timer.cancel()
            asyncio.get_running_loop().call_soon(self._admit)

    def _start(self, request: IncomingRequest) -> None:
        timer = asyncio.get_running_loop().call_later(TURN_S, self.leave, request.connection)
        self._at_work[request.connection] = timer
        request.start()

    def _admit(self) -> None:
        """Start the next queued request; skip clients that left, and refuse requests that waited for too long."""
        while self._waiting and len(self._at_work) < self._most:
            since, request = self._waiting.popleft()
            if request.gone:
                continue
            if asyncio.get_running_loop().time() - since > LONGEST_WAIT_S:
                request.refuse()
                continue
            self._start(request)
            return


class IncomingRequest(HTTPMessageDelegate):
    """A request, from its first byte until its handler starts."""

    def __init__(
        self, handler: HTTPMessageDelegate, edge: Edge, client: HTTP1ServerConnection, connection: HTTPConnection
    ) -> None:
        self.connection = connection
        self.gone = False
        self._handler = handler
        self._edge = edge
        self.client = client
        self.method = self.path = self._lang = ""

    def headers_received(
        self, start_line: RequestStartLine | ResponseStartLine, headers: HTTPHeaders
    ) -> Awaitable[None] | None:
        if isinstance(start_line, RequestStartLine):
            self.method, self.path = start_line.method, start_line.path
            self._lang = preferred_language(headers.get("Accept-Language", ""))
        return self._handler.headers_received(start_line, headers)

    def data_received(self, chunk: bytes) -> Awaitable[None] | None:
        return self._handler.data_received(chunk)

    def finish(self) -> None:
        self._edge.begin(self)

    def on_connection_close(self) -> None:
        self.gone = True
        self._edge.end(self.connection)
        self._handler.on_connection_close()

    def start(self) -> None:
        """Pass the request to its handler."""
        self._handler.finish()

    def refuse(self) -> None:
        """Answer 503 BUSY; nothing has been done."""
        message = StoreUnavailable.text.to(self._lang)
        body = orjson.dumps({"code": "BUSY", "message": message, "request_id": secrets.token_hex(8)})
        headers = HTTPHeaders({"Content-Type": "application/json; charset=utf-8", "Content-Length": str(len(body))})
        headers["Retry-After"] = "1"
        self._edge.end(self.connection)
        self.connection.write_headers(ResponseStartLine("HTTP/1.1", 503, "Service Unavailable"), headers, body)
        self.connection.finish()


class Edge(HTTPServer):
    """``HTTPServer`` with a limit of connections and of requests handled at once. ``end`` must be called for each
    answered request."""

    def initialize(self, *arguments: Any, **limits: Any) -> None:
        super().initialize(*arguments, **limits)
        self._reads, self._others = Turns(READ_TURNS), Turns(OTHER_TURNS)
        self._receiving: dict[HTTP1ServerConnection, float] = {}
        """Clients that are still sending a request, with the start time, the earliest first."""
        self._unread: dict[HTTP1ServerConnection, float] = {}
        """Clients that are still reading an answer, with the start time, the earliest first."""
        self._clients: dict[HTTPConnection, HTTP1ServerConnection] = {}
        self._most = most_connections()
        self._open = 0
        self._closed_for_others = 0
        self._listening: list[socket.socket] = []
        self._accepts = False
        self._report_at = 0.0

    def add_sockets(self, sockets: Iterable[socket.socket]) -> None:
        self._listening += sockets
        self._resume()

    def stop(self) -> None:
        """Stop accepting connections. Those that wait in the kernel's queue are accepted first: closing resets them."""
        self._pause()
        for each in self._listening:
            self._accept(each)
            each.close()
        self._listening = []

    def start_request(self, server_conn: object, request_conn: HTTPConnection) -> HTTPMessageDelegate:
        client = cast(HTTP1ServerConnection, server_conn)
        self._unread.pop(client, None)
        self._receiving[client] = asyncio.get_running_loop().time()
        return IncomingRequest(super().start_request(server_conn, request_conn), self, client, request_conn)

    def begin(self, request: IncomingRequest) -> None:
        """Start or queue ``request``, which has been received completely."""
        self._receiving.pop(request.client, None)
        self._clients[request.connection] = request.client
        if request.path.startswith("/notify"):
            request.start()
        elif request.method == "GET" and not request.path.startswith("/oauth"):
            self._reads.enter(request)
        else:
            self._others.enter(request)

    def end(self, connection: HTTPConnection) -> None:
        """Free the turn of the request on ``connection``, which was answered; its client may still have to read the
        answer."""
        self.free_turn(connection)
        client = self._clients.pop(connection, None)
        if client is not None:
            self._unread[client] = asyncio.get_running_loop().time()

    def free_turn(self, connection: HTTPConnection) -> None:
        """Free the turn of the request on ``connection`` although its answer continues, so that another request can
        start."""
        self._reads.leave(connection)
        self._others.leave(connection)

    def handle_stream(self, stream: IOStream, address: tuple[Any, ...]) -> None:
        self._open += 1
        super().handle_stream(stream, address)

    def on_close(self, server_conn: object) -> None:
        self._open -= 1
        client = cast(HTTP1ServerConnection, server_conn)
        self._receiving.pop(client, None)
        self._unread.pop(client, None)
        super().on_close(server_conn)
        self._resume()

    def _pause(self) -> None:
        self._accepts = False
        for each in self._listening:
            asyncio.get_running_loop().remove_reader(each)

    def _resume(self) -> None:
        if not self._accepts and self._listening:
            self._accepts = True
            for each in self._listening:
                asyncio.get_running_loop().add_reader(each, self._accept, each)

    def _accept(self, listening: socket.socket) -> None:
        for _ in range(ACCEPTED_AT_ONCE):
            if self._open >= self._most and not self._make_room():
                return
            try:
                connection, address = listening.accept()
            except BlockingIOError:
                return
            except ConnectionAbortedError:
                continue
            except OSError as error:
                self._report("connections_paused", error)
                self._pause_for(PAUSE_S)
                return
            stream = IOStream(connection, max_buffer_size=self.max_buffer_size, read_chunk_size=self.read_chunk_size)
            self.handle_stream(stream, address)

    def _make_room(self) -> bool:
        """Close the client that has been sending, or not reading, for the longest time. Return False, and pause
        accepting, if no client has for ``GRACE_S``."""
        slow = self._receiving or self._unread
        if not slow:
            self._pause()  # until a connection ends
            return False
        client, since = next(iter(slow.items()))
        left_s = since + GRACE_S - asyncio.get_running_loop().time()
        if left_s > 0:
            self._pause_for(left_s)
            return False
        del slow[client]
        client.stream.close()
        self._report("connections_full")
        return True

    def _pause_for(self, seconds: float) -> None:
        self._pause()
        asyncio.get_running_loop().call_later(seconds, self._resume)

    def _report(self, event: str, error: OSError | None = None) -> None:
        """Log ``event`` at most once in ``REPORT_S``, with the number of times that it happened since."""
        self._closed_for_others += 1
        now = asyncio.get_running_loop().time()
        if now >= self._report_at:
            self._report_at = now + REPORT_S
            log.warning(event, total=self._closed_for_others, error=str(error.strerror) if error else "")
            self._closed_for_others = 0
