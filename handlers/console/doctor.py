"""The doctor in the console: runs ``manage.py doctor`` as a command, so that it checks the machine and the settings
file as an operator would."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from handlers.console.base import ConsoleHandler
from handlers.console.routes import Page, console_routes
from handlers.console.texts.doctor import MARKS, TEXTS
from handlers.web.plugin import Route
from handlers.web.services import Services
from wechat.domain.audit import Act
from wechat.domain.errors import Bilingual, Conflict, StoreUnavailable
from wechat.domain.staff import Permission

MANAGE = Path(__file__).parents[2] / "manage.py"
LIMIT_S = 90.0
NO_FILE = Bilingual("服务不是从设置文件启动的，无法自检", "The service was not started from a settings file")
NO_ANSWER = Bilingual("自检没有按时结束，请在服务器上运行", "The doctor did not finish in time; run it on the server")
BUSY = Bilingual("另一次自检正在运行，请稍后再试", "Another check is running; try again shortly")
_running = asyncio.Lock()

Checks = Sequence[dict[str, Any]]


class DoctorHandler(ConsoleHandler):
    """The page; its POST runs the checks, either offline or with calls to WeChat."""

    texts = TEXTS

    def get(self) -> None:
        self.render_console("doctor.html", checks=None, marks=MARKS, live=False)

    async def post(self) -> None:
        live = self.get_body_argument("live", "") == "1"
        checks = await examine(self.services.settings.file, self.lang, live=live)
        await self.audit(Act.RUN_DOCTOR, "live" if live else "offline")
        self.render_console("doctor.html", checks=checks, marks=MARKS, live=live)


async def examine(settings: Path | None, lang: str, *, live: bool) -> Checks:
    """Run the doctor and return its checks. Raises Conflict without a settings file or while another run is under way,
    StoreUnavailable when the doctor gives no answer."""
    if settings is None:
        raise Conflict(NO_FILE, code="NO_SETTINGS_FILE")
    if _running.locked():
        raise Conflict(BUSY, code="DOCTOR_RUNNING")
    async with _running:
        return await _run([*(("--live",) if live else ()), "--json", "--settings", str(settings)], lang)


async def _run(arguments: Sequence[str], lang: str) -> Checks:
    environment = os.environ | {"LANG": "zh_CN.UTF-8" if lang == "zh" else "en_US.UTF-8", "LC_ALL": "", "LANGUAGE": ""}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(MANAGE),
        "doctor",
        *arguments,
        env=environment,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        output, _ = await asyncio.wait_for(process.communicate(), LIMIT_S)
        checks: Checks = json.loads(output)["checks"]
    except (TimeoutError, ValueError, LookupError):
        raise StoreUnavailable(NO_ANSWER, code="DOCTOR_FAILED") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return checks


def routes(services: Services) -> list[Route]:
    return console_routes(services, Page("/console/doctor", DoctorHandler, "console_doctor", Permission.READ_SETTINGS))
