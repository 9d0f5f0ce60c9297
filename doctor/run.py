"""Check a settings file: for ``manage.py doctor``, and at the service's start."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from doctor import machine
from doctor.check import Check, Part, look_all, look_now
from doctor.checks.console import COMPARED
from doctor.report import Result, Status
from doctor.subject import Subject, read
from doctor.table import CHECKS
from doctor.ticks import write_ticks
from wechat.diagnosis.health import Check as Health
from wechat.domain.errors import Bilingual, ConfigError

OFFLINE = (Part.HOST, Part.STORES, Part.NETWORK, Part.CONSOLE)
LIVE = (*OFFLINE, Part.WECHAT)


async def examine(file: Path, *, live: bool = False) -> list[Result]:
    """Run every check of ``file``; those that query WeChat only if ``live``."""
    return await look_all(CHECKS, read(file), LIVE if live else OFFLINE)


def examine_values(values: Mapping[str, Any], ids: Iterable[str], file: Path) -> list[Result]:
    """Run the checks with these ids on settings that are still being made for ``file``."""
    subject = Subject(file, machine.read_machine(), values, None)
    wanted = [check for check in CHECKS if check.id in ids]
    return asyncio.run(look_all(wanted, subject, LIVE))


def tick(file: Path, ids: Sequence[str]) -> None:
    """Store that the texts of these checks were found in WeChat's consoles. Raises ConfigError."""
    subject = read(file)
    values = {check_id: value(subject) for check_id, value in COMPARED.items() if check_id in ids}
    unknown = [check_id for check_id in ids if check_id not in values]
    if unknown or subject.file_problems:
        known = ", ".join(COMPARED)
        text = Bilingual(f"--tick 可取 {known}", f"--tick must be one of {known}")
        raise ConfigError(list(subject.file_problems) or [text])
    write_ticks(file, values)


def tick_texts(file: Path, ids: Sequence[str], lang: str) -> str:
    """Store ticks as ``tick`` does, but return the error in ``lang``; empty without one."""
    try:
        tick(file, ids)
    except ConfigError as error:
        return error.text.to(lang)
    return ""


def examine_start(subject: Subject, checks: Sequence[Check] = CHECKS) -> list[Result]:
    """Run the checks that wait for nothing, as the service starts; without that of the port, which the service tries
    itself."""
    return look_now([check for check in checks if check.part is Part.HOST and check.id != "host.port"], subject)


def report_start(results: Iterable[Result], production: bool) -> str:
    """Return the faults as one text for the terminal; empty without any. Faults that stop the start are left to its
    error."""
    failed = [result for result in results if result.failed and not (production and result.stops)]
    lines = [f"✘ doctor: {len(failed)}"]
    for result in failed:
        judgement = result.judgement
        lines += [f"✘ {result.id}：{judgement.seen.zh}", f"  {result.id}: {judgement.seen.en}"]
        lines += [
            f"    {line}" for line in dict.fromkeys((*judgement.fix.zh.splitlines(), *judgement.fix.en.splitlines()))
        ]
    return "\n".join(lines) if failed else ""


def summarize_start(file: Path) -> list[Health]:
    """Run the checks of the start on ``file``; return their numbers, and each that is not in order."""
    results = examine_start(read(file))
    by_status = Counter(result.judgement.status for result in results)
    warned, failed = by_status[Status.WARN], by_status[Status.FAIL]
    numbers = Bilingual(
        f"检查 {len(results)} 项：{failed} 项错误，{warned} 项提醒",
        f"{len(results)} checks: {failed} failed, {warned} warnings",
    )
    return [
        Health("doctor", failed == 0, numbers),
        *(
            Health(result.id, False, result.judgement.seen)
            for result in results
            if result.judgement.status in (Status.WARN, Status.FAIL)
        ),
    ]


def refuse_start(results: Iterable[Result]) -> None:
    """Raise ConfigError for faults that would lose or misdirect money."""
    found = [
        Bilingual(
            f"{result.id}：{result.judgement.seen.zh}；{result.judgement.fix.zh}",
            f"{result.id}: {result.judgement.seen.en}; {result.judgement.fix.en}",
        )
        for result in results
        if result.failed and result.stops
    ]
    if found:
        raise ConfigError(found)
