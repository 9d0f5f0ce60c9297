"""Liveness, readiness and metrics for operators, and WeChat's domain verification files."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from tornado.web import HTTPError

from handlers.ops.identity import IdentityHandler
from handlers.web.base import ApiHandler, BaseHandler, takes_query
from handlers.web.plugin import Access, Route
from handlers.web.services import Probe, Services
from wechat.diagnosis.health import Check
from wechat.domain.errors import Bilingual, FenpayError

PROBE_S = 2.0
OK, DEGRADED, DOWN = "ok", "degraded", "down"
NOTHING = Bilingual("正常", "ok")
SHUTTING_DOWN = Bilingual("正在停止", "shutting down")


@dataclass(frozen=True, slots=True)
class Found:
    """The results of a health check: ``parts`` are required, each with the reason for its failure or None; ``checks``
    are the other results."""

    parts: Mapping[str, Bilingual | None]
    checks: Sequence[Check]
    in_memory: bool

    @property
    def word(self) -> str:
        if any(self.parts.values()):
            return DOWN
        return OK if all(check.ok for check in self.checks) else DEGRADED

    def lines(self, lang: str) -> Iterator[str]:
        """Yield a line for each part: ``[+]`` works, ``[-]`` fails, ``[!]`` fails while the service still runs."""
        for name, failure in self.parts.items():
            yield f"[-]{name} failed: {failure.to(lang)}\n" if failure else f"[+]{name} ok\n"
        for check in self.checks:
            yield f"[{'+' if check.ok else '!'}]{check.name} {check.text.to(lang)}\n"
        if self.in_memory:
            yield "[!]storage in memory: one process, and gone when it ends\n"

    def document(self) -> dict[str, Any]:
        """Return the same results as a JSON document."""
        parts = [_line(name, failure is None, failure or NOTHING) for name, failure in self.parts.items()]
        return {"status": self.word, "checks": [*parts, *(_line(*check) for check in self.checks)]}


def _line(name: str, ok: bool, text: Bilingual) -> dict[str, Any]:
    return {"name": name, "ok": ok, "zh": text.zh, "en": text.en}


class LiveHandler(BaseHandler):
    """Answer 200 as long as the process runs; nothing else is checked."""

    def get(self) -> None:
        self.write("ok\n")


class ReadyHandler(BaseHandler):
    """Answer 200 ``ok``; 200 ``degraded`` if something fails that notifications and pages do not need, so that a proxy
    keeps sending requests; 503 if a required part fails. ``?verbose`` also queries WeChat and names each part."""

    @takes_query("verbose")
    async def get(self) -> None:
        verbose = "verbose" in self.request.query_arguments
        found = await self.examine(ask=verbose)
        self.set_status(503 if found.word == DOWN else 200)
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.write(f"{found.word}\n" if not verbose or found.word != OK else "")
        for line in found.lines(self.lang) if verbose or found.word == DOWN else ():
            self.write(line)

    async def examine(self, *, ask: bool) -> Found:
        """Probe the stores and read the checks; with ``ask``, query WeChat first."""
        services = self.services
        asking = asyncio.ensure_future(services.health.ask()) if ask else None
        failures = await asyncio.gather(*(_run_probe(probe) for probe in services.probes.values()))
        if asking:
            await asking
        parts = dict(zip(services.probes, failures, strict=True))
        parts["serving"] = SHUTTING_DOWN if services.in_flight.draining else None
        return Found(parts, services.health.checks(), in_memory=services.settings.in_memory)


class HealthHandler(ReadyHandler):
    """The same results as JSON, for monitoring; WeChat is queried."""

    async def get(self) -> None:
        found = await self.examine(ask=True)
        self.set_status(503 if found.word == DOWN else 200)
        self.set_header("Content-Type", "application/json; charset=utf-8")
        self.write(orjson.dumps(found.document()))


class MetricsHandler(BaseHandler):
    """Prometheus text; no label carries an order, an openid or an address."""

    def get(self) -> None:
        self.set_header("Content-Type", CONTENT_TYPE_LATEST)
        self.write(generate_latest())


class VerifyFileHandler(ApiHandler):
    """The verification file that WeChat's console requires at the domain's root; 404 without one."""

    def get(self, name: str) -> None:
        path = self.services.settings.http.verify_files / name
        if not path.is_file():
            raise HTTPError(404)
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.write(path.read_bytes())


async def _run_probe(probe: Probe) -> Bilingual | None:
    """Run a probe for at most ``PROBE_S`` seconds; return the reason for its failure, or None."""
    try:
        async with asyncio.timeout(PROBE_S):
            await probe()
    except FenpayError as error:
        return error.text
    except TimeoutError:
        return Bilingual(f"{PROBE_S:.0f} 秒内没有应答", f"no answer within {PROBE_S:.0f} s")
    return None


def routes(services: Services) -> list[Route]:
    return [
        Route(pattern=r"/livez", handler=LiveHandler, access=Access.PUBLIC, name="livez"),
        Route(pattern=r"/readyz", handler=ReadyHandler, access=Access.PUBLIC, name="readyz"),
        Route(pattern=r"/healthz", handler=HealthHandler, access=Access.PUBLIC, name="healthz"),
        Route(pattern=r"/metrics", handler=MetricsHandler, access=Access.PUBLIC, name="metrics"),
        Route(pattern=r"/identity", handler=IdentityHandler, access=Access.PUBLIC, name="identity"),
        Route(
            pattern=r"/(MP_verify_[0-9A-Za-z]{1,64}\.txt)",
            handler=VerifyFileHandler,
            access=Access.PUBLIC,
            name="verify_file",
        ),
    ]
