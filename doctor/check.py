"""The doctor's checks: a check is an entry of a table with a function. Run them side by side."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from doctor.report import Judgement, Result, fail, skip
from doctor.subject import Subject
from wechat.domain.errors import Bilingual

LIMIT_S = 20.0

Look = Callable[[Subject], Judgement | Awaitable[Judgement]]


class Part(StrEnum):
    """The part of the installation that a check examines."""

    HOST = "host"  # files and this machine; takes milliseconds, and the service's start runs it
    STORES = "stores"  # MongoDB and Redis
    NETWORK = "network"  # our own public address, receivers of webhooks
    WECHAT = "wechat"  # WeChat itself: only with --live
    CONSOLE = "console"  # facts that no API reports: compared by a person


@dataclass(frozen=True, slots=True)
class Check:
    """``stops``: the fault would lose or misdirect money, so production does not start with it. ``bare``: the check
    also works with a settings file that is not valid."""

    id: str
    why: Bilingual
    look: Look
    part: Part = Part.HOST
    stops: bool = False
    bare: bool = False


def look_now(checks: Iterable[Check], subject: Subject) -> list[Result]:
    """Run the checks of ``Part.HOST``, which wait for nothing."""
    return [_result(check, _ready(check, subject) or _guard(check, subject)) for check in checks]


async def look_all(checks: Sequence[Check], subject: Subject, parts: Iterable[Part]) -> list[Result]:
    """Run the checks of ``parts`` side by side and return results in the order of the table; the others are skipped."""
    wanted = frozenset(parts)
    return list(await asyncio.gather(*(_run_check(check, subject, check.part in wanted) for check in checks)))


async def _run_check(check: Check, subject: Subject, wanted: bool) -> Result:
    if not wanted:
        return _result(check, skip("加 --live 才检查", "checked only with --live"))
    if early := _ready(check, subject):
        return _result(check, early)
    try:
        async with asyncio.timeout(LIMIT_S):
            if inspect.iscoroutinefunction(check.look):
                return _result(check, await check.look(subject))
            return _result(check, await asyncio.to_thread(_guard, check, subject))
    except TimeoutError:
        return _result(check, _report_crash(f"{LIMIT_S:g} s"))
    except Exception as error:
        return _result(check, _report_crash(type(error).__name__))


def _ready(check: Check, subject: Subject) -> Judgement | None:
    """Return the reason why the check cannot run; None if it can."""
    if subject.settings is None and not check.bare:
        return skip("先修正配置", "fix the settings first")
    return None


def _guard(check: Check, subject: Subject) -> Judgement:
    try:
        judgement = check.look(subject)
    except Exception as error:
        return _report_crash(type(error).__name__)
    return judgement if isinstance(judgement, Judgement) else _report_crash("coroutine")


def _report_crash(why: str) -> Judgement:
    return fail(
        f"检查没有完成（{why}）",
        f"the check did not finish ({why})",
        Bilingual("这是本工具的缺陷，请带上这一行报告", "this is a defect of the tool: report it with this line"),
    )


def _result(check: Check, judgement: Judgement) -> Result:
    return Result(check.id, check.why, judgement, check.stops)
