"""For whoever runs the service: is it alive, can it take money, what has it done. And WeChat's domain files."""

from __future__ import annotations

import asyncio

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from tornado.web import HTTPError

from handlers.ops.identity import IdentityHandler
from handlers.web.base import ApiHandler, BaseHandler, takes_query
from handlers.web.plugin import Access, Route
from handlers.web.services import Probe, Services
from wechat.domain.errors import FenpayError

PROBE_S = 2.0


class LiveHandler(BaseHandler):
    """The process answers; nothing else is touched."""

    def get(self) -> None:
        self.write("ok\n")


class ReadyHandler(BaseHandler):
    """200 when everything that a payment needs answers, 503 otherwise; ``?verbose`` names each part."""

    @takes_query("verbose")
    async def get(self) -> None:
        probes = self.services.probes
        results = await asyncio.gather(*(_passes(probe) for probe in probes.values()))
        results.append(not self.services.in_flight.draining)
        self.set_status(200 if all(results) else 503)
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        if "verbose" in self.request.arguments or not all(results):
            for name, passed in zip((*probes, "serving"), results, strict=True):
                self.write(f"[{'+' if passed else '-'}]{name} {'ok' if passed else 'failed'}\n")
            if self.services.settings.in_memory:
                self.write("[!]storage in memory: one process, and gone when it ends\n")
        else:
            self.write("ok\n")


class MetricsHandler(BaseHandler):
    """Prometheus text; no label carries an order, an openid or an address."""

    def get(self) -> None:
        self.set_header("Content-Type", CONTENT_TYPE_LATEST)
        self.write(generate_latest())


class VerifyFileHandler(ApiHandler):
    """The file that WeChat's console asks to be put at the domain's root."""

    def get(self, name: str) -> None:
        path = self.services.settings.http.verify_files / name
        if not path.is_file():
            raise HTTPError(404)
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.write(path.read_bytes())


async def _passes(probe: Probe) -> bool:
    try:
        async with asyncio.timeout(PROBE_S):
            await probe()
    except (FenpayError, TimeoutError):
        return False
    return True


def routes(services: Services) -> list[Route]:
    return [
        Route(pattern=r"/livez", handler=LiveHandler, access=Access.PUBLIC, name="livez"),
        Route(pattern=r"/readyz", handler=ReadyHandler, access=Access.PUBLIC, name="readyz"),
        Route(pattern=r"/metrics", handler=MetricsHandler, access=Access.PUBLIC, name="metrics"),
        Route(pattern=r"/identity", handler=IdentityHandler, access=Access.PUBLIC, name="identity"),
        Route(
            pattern=r"/(MP_verify_[0-9A-Za-z]{1,64}\.txt)",
            handler=VerifyFileHandler,
            access=Access.PUBLIC,
            name="verify_file",
        ),
    ]
