"""The HTTP client of a running service: JSON or a file; every failure is a ``Problem``.

Standard library only. Redirects are not followed, so that the API key is sent to the given address only.
"""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode
from urllib.request import HTTPRedirectHandler, OpenerDirector, ProxyHandler, Request, build_opener

from cli.endpoint import Endpoint
from cli.problems import Exit, Problem, refusal
from wechat.domain.errors import Bilingual

ANSWER_S = 60.0  # a query may wait for WeChat, and for its spare host after that
PIECE = 64 * 1024
SILENCE_S = 30.0  # a stream carries something at least every ten seconds
RECEIVER_S = 10.0  # as long as a webhook may take
OPEN = b": open\n"


class Service:
    """A running service. Every call may raise Problem."""

    def __init__(self, place: Endpoint, lang: str) -> None:
        self.place = place
        self._headers = {"Accept-Language": lang}
        self._opener = _opener(place.local)

    def get(self, path: str, **query: str | int | None) -> Any:
        """Return the JSON at ``path``; parameters that are None are left out."""
        return self._json(Request(self._url(path, query), headers=self._headers, method="GET"), ANSWER_S)  # noqa: S310 - place allows http and https only

    def post(
        self,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        key: str = "",
        timeout_s: float = ANSWER_S,
        **query: str | None,
    ) -> Any:
        """Post ``body`` to ``path`` and return the answer's JSON; ``key`` is sent as Idempotency-Key."""
        data = json.dumps(body or {}, ensure_ascii=False).encode()
        headers = {"Content-Type": "application/json"} | ({"Idempotency-Key": key} if key else {})
        return self._json(Request(self._url(path, query), data, self._headers | headers, method="POST"), timeout_s)  # noqa: S310 - see get

    def download(self, path: str, **query: str | int | None) -> Iterator[tuple[bytes, int]]:
        """Yield the file at ``path`` in pieces, each with the total number of bytes; yield nothing if there is
        no file."""
        request = Request(self._url(path, query), headers=self._headers, method="GET")  # noqa: S310 - see get
        with self._answer(request, ANSWER_S) as answer:
            left = total = int(answer.headers.get("Content-Length") or 0)
            while piece := answer.read(PIECE):
                left -= len(piece)
                yield piece, total
            if left > 0:
                raise http.client.IncompleteRead(b"", left)

    def stream(self, path: str, **query: str | None) -> Iterator[tuple[str, Any]]:
        """Yield the Server-Sent Events of ``path``: each event's name and its JSON; first ``("open", None)``.

        Ends when the service closes the stream. Raises Problem as every call does, also when the service falls silent.
        """
        request = Request(self._url(path, query), headers=self._headers, method="GET")  # noqa: S310 - see get
        with self._answer(request, SILENCE_S) as answer:
            name = ""
            for line in answer:
                field, _, value = line.decode("utf-8", "replace").rstrip("\n").partition(": ")
                if line == OPEN:
                    yield "open", None
                elif field == "event":
                    name = value
                elif field == "data":
                    yield name, _document(value.encode())

    def _json(self, request: Request, timeout_s: float) -> Any:
        with self._answer(request, timeout_s) as answer:
            body = _document(answer.read())
        if body is None:
            raise refusal(404, None)
        return body

    @contextmanager
    def _answer(self, request: Request, timeout_s: float) -> Iterator[http.client.HTTPResponse]:
        self.authorize(request)
        try:
            with self._opener.open(request, timeout=timeout_s) as answer:
                yield answer
        except HTTPError as error:
            with error:
                raise self._build_refusal(error) from None
        except URLError as error:
            raise self._build_unreachable(error.reason) from None
        except (OSError, http.client.HTTPException) as error:
            raise self._build_unreachable(error) from None

    def authorize(self, request: Request) -> None:
        """Add to ``request`` the headers that authorize it."""
        request.add_header("Authorization", f"Bearer {self.place.key}")

    def _build_refusal(self, error: HTTPError) -> Problem:
        if error.code in range(300, 400):
            text = Bilingual(
                "这个地址转去别处；请把 --url 换成最终的地址", "This address redirects; give --url the final address"
            )
            return Problem(Exit.CONFIG, "REDIRECTED", text)
        body = _document(error.read())
        problem = refusal(error.code, body if isinstance(body, dict) and {"code", "message"} <= body.keys() else None)
        if problem.code is Exit.UNREACHED and "wechat" not in problem.answer:  # the service itself is in trouble
            problem.next_step = self.place.next_step
        return problem

    def _build_unreachable(self, reason: object) -> Problem:
        """Return the Problem of a failed connection, ``unknown`` unless it was never established."""
        never = isinstance(reason, ConnectionRefusedError | socket.gaierror)
        where = self.place.url
        if never:
            text = Bilingual(f"连不上 {where}；服务在运行吗？", f"{where} cannot be reached; is the service running?")
        elif isinstance(reason, TimeoutError):
            text = Bilingual(f"{where} 没有按时应答", f"{where} did not answer in time")
        else:
            text = Bilingual(f"与 {where} 的连接中断", f"The connection to {where} was interrupted")
        return Problem(Exit.UNREACHED, "NO_ANSWER", text, next_step=self.place.next_step, unknown=not never)

    def _url(self, path: str, query: Mapping[str, str | int | None]) -> str:
        """Return the URL. Numbers in paths are not escaped: the service's routes need their ``|``, ``*`` and ``@`` as
        they are."""
        pairs = {name: value for name, value in query.items() if value is not None}
        return f"{self.place.url}{path}" + (f"?{urlencode(pairs)}" if pairs else "")


def post_once(address: str, body: bytes, headers: Mapping[str, str]) -> tuple[int, str]:
    """Post ``body`` to a receiver on this machine. Return the status, 0 without an answer, and a text that describes
    it."""
    request = Request(address, body, dict(headers), method="POST")  # noqa: S310 - check_receiver allows http and https only
    try:
        with _opener(local=True).open(request, timeout=RECEIVER_S) as answer:
            return answer.status, str(answer.status)
    except HTTPError as error:
        error.close()
        return error.code, str(error.code)
    except URLError as error:
        return 0, _name_failure(error.reason)
    except (OSError, http.client.HTTPException) as error:
        return 0, _name_failure(error)


def _name_failure(reason: object) -> str:
    if isinstance(reason, TimeoutError):
        return "timeout"
    return "connection refused" if isinstance(reason, ConnectionRefusedError) else "no answer"


class _Stay(HTTPRedirectHandler):
    """A redirect handler that follows no redirect."""

    def redirect_request(self, *_: Any) -> None:
        return None


def _opener(local: bool) -> OpenerDirector:
    """Return an opener that never uses a proxy for loopback addresses."""
    return build_opener(_Stay, ProxyHandler({})) if local else build_opener(_Stay)


def _document(body: bytes) -> Any:
    """Return ``body`` as a JSON object; None for anything else."""
    try:
        return json.loads(body)
    except ValueError:
        return None
