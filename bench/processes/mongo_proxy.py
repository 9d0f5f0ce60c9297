"""A TCP relay in front of a MongoDB server that records the commands passing through it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from socketserver import BaseRequestHandler, ThreadingTCPServer
from typing import Any
from urllib.parse import urlsplit

import bson

OP_MSG = 2013
HEADER = 16
BODY_AT = HEADER + 4 + 1  # after the flags and the kind of the first section
PIECE = 65536

Command = dict[str, Any]


@dataclass(slots=True)
class MongoProxy:
    """The address to connect to, and the recorded commands; ``commands`` may be emptied at any time."""

    url: str = ""
    commands: list[Command] = field(default_factory=list)


@contextmanager
def start_proxy(mongo_url: str) -> Iterator[MongoProxy]:
    """Start a proxy of the server at ``mongo_url``."""
    there, proxy = urlsplit(mongo_url), MongoProxy()

    class Relay(BaseRequestHandler):
        def handle(self) -> None:
            with suppress(OSError), socket.create_connection((there.hostname, there.port or 0)) as server:
                threading.Thread(target=_pump, args=(server, self.request, lambda _: None), daemon=True).start()
                _pump(self.request, server, Messages(proxy.commands.append).add)

    with ThreadingTCPServer(("127.0.0.1", 0), Relay) as listener:
        listener.daemon_threads = True
        listener.block_on_close = False
        threading.Thread(target=listener.serve_forever, daemon=True).start()
        port = listener.server_address[1]
        # directConnection, or the driver goes where the server says it is
        proxy.url = f"mongodb://127.0.0.1:{port}/?directConnection=true"
        yield proxy
        listener.shutdown()


class Messages:
    """Split a client's bytes into messages and pass the command of each to ``on_command``."""

    def __init__(self, on_command: Callable[[Command], None]) -> None:
        self._on_command = on_command
        self._rest = b""

    def add(self, data: bytes) -> None:
        self._rest += data
        while len(self._rest) >= HEADER and len(self._rest) >= (length := _int(self._rest, 0)):
            message, self._rest = self._rest[:length], self._rest[length:]
            if _int(message, 12) == OP_MSG:
                self._on_command(bson.decode(message[BODY_AT : BODY_AT + _int(message, BODY_AT)]))


def _pump(source: socket.socket, sink: socket.socket, seen: Callable[[bytes], None]) -> None:
    with suppress(OSError):
        while data := source.recv(PIECE):
            seen(data)
            sink.sendall(data)


def _int(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 4], "little")
