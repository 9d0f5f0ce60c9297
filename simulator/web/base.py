"""Base classes of handlers of WeChat's own paths: faults, durability before the answer, empty 404s and 405s."""

from __future__ import annotations

import asyncio
import contextlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field

from tornado.iostream import StreamClosedError
from tornado.web import HTTPError, RequestHandler

from simulator.control.faults import Fault, Rule
from simulator.simulator import Simulator

HANG_S = 60.0
CONTENT_SECURITY = "default-src 'self'; frame-ancestors {ancestors}; form-action {actions}"


@dataclass(slots=True)
class Reply:
    """An answer before it is signed. ``signed`` is False for answers that WeChat does not sign."""

    status: int
    body: bytes
    content_type: str = "application/json; charset=utf-8"
    headers: Mapping[str, str] = field(default_factory=dict)
    signed: bool = False


class Handler(RequestHandler):
    """Only loopback names are accepted, and WeChat's if enabled, so that a page of another site cannot reach the
    simulator by a name of its own (DNS rebinding).

    Requests that pages of other sites send are refused, unless ``for_other_pages``. On loopback browsers name the
    origin of every request; programs do not.
    """

    simulator: Simulator
    for_other_pages = False

    def initialize(self, simulator: Simulator) -> None:
        self.simulator = simulator

    def prepare(self) -> None:
        if self.request.host_name.strip("[]") not in self.simulator.host_names:
            raise HTTPError(421)
        site = self.request.headers.get("Sec-Fetch-Site", "none")
        if self.request.method == "POST" and site not in ("same-origin", "none") and not self.for_other_pages:
            raise HTTPError(403)

    def set_default_headers(self) -> None:
        self.clear_header("Server")
        self.set_header("Cache-Control", "no-cache, must-revalidate")
        self.set_header("X-Content-Type-Options", "nosniff")

    def write_error(self, status_code: int, **kwargs: object) -> None:
        """Answer unknown paths and methods without a body, as WeChat does."""
        self.finish(b"")

    def origin(self) -> str:
        """Return the address under which this simulator was called, such as ``http://127.0.0.1:9000``."""
        return f"{self.request.protocol}://{self.request.host}"


class WechatHandler(Handler, ABC):
    """A call of WeChat's. A subclass implements one API's format; ``work`` is the call itself."""

    def initialize(self, simulator: Simulator) -> None:
        super().initialize(simulator)
        self.fault: Fault | None = None
        self._gone = asyncio.Event()

    def on_connection_close(self) -> None:
        self._gone.set()

    @abstractmethod
    async def work(self) -> Reply:
        """Check and carry out the request; refusals are replies too."""

    @abstractmethod
    def refusal(self, code: str, message: str) -> Reply:
        """Return a refusal that was requested as a fault, in the API's form."""

    @abstractmethod
    def system_error(self) -> Reply: ...

    def sign(self, reply: Reply) -> Reply:
        """Return the signed answer, or one whose signature is wrong as ``self.fault`` says."""
        return reply

    async def answer(self) -> None:
        """Handle the request; the HTTP methods of a call delegate to this."""
        rule = self.simulator.faults.draw(self.request.path)
        self.fault = rule.fault if rule else None
        if rule and rule.ms:
            await asyncio.sleep(rule.ms / 1000)
        reply = None if rule and rule.spares else await self._take_effect()
        if self.fault in (Fault.TIMEOUT_BEFORE, Fault.TIMEOUT_AFTER):
            await self._hang()
        else:
            await self._send((self._instead(rule) if rule else None) or reply)

    async def _take_effect(self) -> Reply:
        reply = await self.work()
        await self.simulator.journal.durable()
        return reply

    def _instead(self, rule: Rule) -> Reply | None:
        """Return the answer of a fault in place of the correct one."""
        match rule.fault:
            case Fault.REFUSE:
                return self.refusal(rule.code, rule.message)
            case Fault.SYSTEM_ERROR:
                return self.system_error()
            case Fault.HTTP_500:
                return Reply(500, b"", "text/html")
            case _:
                return None

    async def _hang(self) -> None:
        """Do not answer until the caller gives up."""
        try:
            async with asyncio.timeout(HANG_S):
                await self._gone.wait()
        except TimeoutError:
            self.detach().close()

    async def _send(self, reply: Reply | None) -> None:
        if reply is None:
            raise HTTPError(500)
        reply = self.sign(reply) if reply.signed else reply
        self.set_status(reply.status)
        if reply.status != 204:
            self.set_header("Content-Type", reply.content_type)
        else:
            self.clear_header("Content-Type")
        for name, value in reply.headers.items():
            self.set_header(name, value)
        with contextlib.suppress(StreamClosedError):  # the caller has gone
            await self.finish(reply.body or None)
