"""The HTTP server's end: a connection that the kernel has accepted is served."""

from __future__ import annotations

import asyncio
import socket

from tornado.httputil import HTTPHeaders, HTTPServerRequest, ResponseStartLine
from tornado.netutil import bind_sockets

from handlers.web.edge import Edge


async def test_a_connection_that_waits_when_the_server_stops_is_served() -> None:
    def answer(request: HTTPServerRequest) -> None:
        connection = request.connection
        assert connection is not None
        connection.write_headers(ResponseStartLine("HTTP/1.1", 200, "OK"), HTTPHeaders({"Content-Length": "0"}))
        connection.finish()

    server = Edge(answer)
    [listening] = bind_sockets(0, "127.0.0.1")
    server.add_sockets([listening])
    with socket.create_connection(listening.getsockname()) as client:
        server.stop()
        client.sendall(b"GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n")
        assert (await asyncio.to_thread(client.recv, 100)).startswith(b"HTTP/1.1 200")
        await server.close_all_connections()
