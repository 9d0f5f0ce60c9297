"""All HTTP requests to WeChat: a pooled session, a time budget, a spare host, errors that tell what may have happened.

This module does not depend on the API version. Redirects are not followed, answers are read up to a limit, and of an
address only the call's name is logged, because queries carry access tokens.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import structlog
from yarl import URL

from wechat.domain.calls import Direction, Exchange
from wechat.domain.errors import NotSent, OutcomeUnknown, RemoteError
from wechat.domain.metrics import Metric
from wechat.domain.news import NewsKind, NewsValue
from wechat.domain.ports import Telemetry
from wechat.support.circuit import Circuits
from wechat.support.connection import build_not_sent, build_unknown
from wechat.support.contact import Contact

CONNECT_S = 3.0
TOTAL_S = 10.0
MAX_ANSWER = 1024 * 1024
CONNECTIONS = 50
DOWNLOAD_S = 300.0
STALL_S = 30.0
PIECE = 64 * 1024
HANGS = "not sent: the latest calls got no answer in time"

log = structlog.get_logger("wechat.support.transport")


@dataclass(frozen=True, slots=True)
class Request:
    """A request to WeChat. ``call`` is its name in logs and metrics, ``target`` path and query as signed and sent.

    ``repeatable``: sending the same bytes twice has the effect of sending them once. ``api`` is v2, v3 or account,
    empty when the call is not recorded; ``out_trade_no`` is the order that the call is about.
    """

    call: str
    method: str
    target: str
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    repeatable: bool = True
    api: str = ""
    out_trade_no: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, headers (case-insensitive) and raw body, exactly as received, from ``host``.

    ``exchange`` is the record of the call, None when it is not recorded.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    host: str = ""
    exchange: Exchange | None = None

    def note_verdict(self, verdict: str) -> None:
        """Record the result of the signature check."""
        if self.exchange:
            self.exchange.verdict = verdict


class Transport:
    """An aiohttp session with our limits; close it at shutdown. ``tls`` has the trusted and the own certificates."""

    def __init__(
        self,
        telemetry: Telemetry,
        *,
        connect_s: float = CONNECT_S,
        total_s: float = TOTAL_S,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._telemetry = telemetry
        self._tls = tls
        self._connect_s = connect_s
        self._total_s = total_s
        self._circuits = Circuits(total_s, time.monotonic)
        self._under_way: set[asyncio.Timeout] = set()
        self._gave_up = False
        self.contact = Contact()
        self.on_exchange: Callable[[Exchange], None] | None = None
        """Called with each request that names its API, after its answer or failure. The caller that checks the answer's
        signature sets the verdict in it before any other task can run."""
        self._session: aiohttp.ClientSession | None = None

    def give_up(self) -> None:
        """End every call in progress as unknown and send no more, so that callers can be answered before the exit.

        Downloads continue.
        """
        self._gave_up = True
        now = asyncio.get_running_loop().time()
        for limit in self._under_way:
            limit.reschedule(now)

    async def close(self) -> None:
        if self._session:
            await self._session.close()

    async def send(self, hosts: Sequence[str], request: Request) -> Answer:
        """Send to the first host, and to the next ones where repeating is safe; all hosts share the time budget.

        After a host that was not reached, the next one is tried at once with the remaining time; after an unknown
        outcome only if the request is repeatable. Raises NotSent or OutcomeUnknown; any HTTP status is an answer.
        """
        deadline = time.monotonic() + self._total_s
        gravest: RemoteError | None = None
        for tried, host in enumerate(hosts):
            share_s = (deadline - time.monotonic()) / (len(hosts) - tried)
            try:
                return await self._record(host, request, self._once(host, request, share_s))
            except NotSent as error:
                gravest = gravest or error
            except OutcomeUnknown as error:
                gravest = error
                if not request.repeatable:
                    break
        raise gravest or NotSent(request.call)

    async def download(self, host: str, request: Request, sink: Callable[[bytes], None], *, most: int) -> Answer:
        """Send to ``host``. The body of a 200 goes to ``sink`` in pieces, up to ``most`` bytes; others are returned.

        ``sink`` runs in a thread, one piece at a time; its errors end the download. The bytes are passed as received,
        not decompressed. Raises NotSent, or OutcomeUnknown for an answer that is cut short, stalls or is longer.
        """
        return await self._record(host, request, self._download(host, request, sink, most))

    async def _record(self, host: str, request: Request, asking: Coroutine[Any, Any, Answer]) -> Answer:
        """Await ``asking`` and report its exchange to ``on_exchange``, however it ends."""
        if self.on_exchange is None or not request.api:
            return await asking
        exchange = _begin_exchange(host, request)
        started = time.monotonic()
        try:
            answer = replace(await asking, exchange=exchange)
            exchange.status, exchange.answer_headers, exchange.answer_body = answer.status, answer.headers, answer.body
            return answer
        except RemoteError as error:
            exchange.error = error.wire_message or error.public_code
            raise
        except asyncio.CancelledError:
            exchange.error = "cancelled"
            raise
        finally:
            exchange.duration_s = time.monotonic() - started
            self.on_exchange(exchange)

    async def _download(self, host: str, request: Request, sink: Callable[[bytes], None], most: int) -> Answer:
        started = time.monotonic()
        timeout = aiohttp.ClientTimeout(total=DOWNLOAD_S, sock_connect=self._connect_s, sock_read=STALL_S)
        try:
            async with self._open().request(
                request.method,
                _address(host, request.target),
                data=request.body or None,
                headers={"Accept-Encoding": "identity", **request.headers},
                timeout=timeout,
                allow_redirects=False,
                auto_decompress=False,
            ) as response:
                body = await _stream(response, request.call, sink, most)
                self._observe(request, f"http_{response.status // 100}xx", started, host)
                return Answer(response.status, response.headers, body, host)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise build_not_sent(request.call, error, host) from error
        except (aiohttp.ClientError, TimeoutError) as error:
            raise build_unknown(request.call, error, host) from error

    async def _once(self, host: str, request: Request, budget_s: float) -> Answer:
        if self._gave_up or not self._circuits.admits(host, request.call):
            raise NotSent(request.call, wire_message="shutting down" if self._gave_up else HANGS)
        started, sent_s, result, hung = time.monotonic(), time.time(), "cancelled", False
        try:
            answer = await self._exchange(host, request, budget_s)
            result = f"http_{answer.status // 100}xx"
            self.contact.note_answer(urlsplit(host).netloc, answer.headers, sent_s, time.time(), time.monotonic())
        except RemoteError as error:
            self.contact.note_failure(urlsplit(host).netloc, error.wire_message, time.monotonic())
            result, hung = error.public_code.lower(), isinstance(error.__cause__, TimeoutError)
            raise
        except asyncio.CancelledError:
            hung = time.monotonic() - started >= budget_s / 2  # the caller's own, shorter time limit has run out
            raise
        finally:
            self._circuits.report(host, request.call, hung=hung and not self._gave_up)
            self._observe(request, result, started, host)
        return answer

    async def _exchange(self, host: str, request: Request, budget_s: float) -> Answer:
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=min(self._connect_s, budget_s))
        limit = asyncio.timeout(budget_s)
        self._under_way.add(limit)
        try:
            async with (
                limit,
                self._open().request(
                    request.method,
                    _address(host, request.target),
                    data=request.body or None,
                    headers=request.headers,
                    timeout=timeout,
                    allow_redirects=False,
                ) as response,
            ):
                body = await _read_up_to_limit(response, request.call)
                return Answer(response.status, response.headers, body, host)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise build_not_sent(request.call, error, host) from error
        except (aiohttp.ClientError, TimeoutError) as error:
            raise build_unknown(request.call, error, host) from error
        finally:
            self._under_way.discard(limit)

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=CONNECTIONS, ttl_dns_cache=60, ssl=self._tls or True),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=True,
                trust_env=False,
            )
        return self._session

    def _observe(self, request: Request, result: str, started: float, host: str) -> None:
        spent = time.monotonic() - started
        self._telemetry.observe(Metric.API_REQUEST_SECONDS, spent, request.call, result)
        about: dict[str, NewsValue] = {"call": request.call, "host": host, "result": result}
        about["duration_s"] = round(spent, 4)
        log.debug("wechat_call", **about)
        self._telemetry.publish(NewsKind.CALL, "", about)


def _begin_exchange(host: str, request: Request) -> Exchange:
    return Exchange(
        Direction.OUT,
        request.api,
        request.call,
        request.out_trade_no,
        request.method,
        host + request.target,
        request.headers,
        request.body,
    )


async def _read_up_to_limit(response: aiohttp.ClientResponse, call: str) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > MAX_ANSWER:
            raise OutcomeUnknown(call, wire_message="answer over 1 MiB")
    return bytes(body)


async def _stream(response: aiohttp.ClientResponse, call: str, sink: Callable[[bytes], None], most: int) -> bytes:
    if response.status != 200:
        return await _read_up_to_limit(response, call)
    size = 0
    async for piece in response.content.iter_chunked(PIECE):
        size += len(piece)
        if size > most:
            raise OutcomeUnknown(call, wire_message="download over the limit")
        await asyncio.to_thread(sink, piece)  # unzipping one piece of a bomb takes a while
    return b""


def _address(host: str, target: str) -> URL:
    """Return the URL with path and query unchanged, as they were signed."""
    return URL(host + target, encoded=True)
