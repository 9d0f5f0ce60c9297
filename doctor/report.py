"""Results of checks, and the JSON document of all of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Any, NamedTuple

from wechat.domain.errors import Bilingual

NOTHING = Bilingual("", "")


class Status(StrEnum):
    """The result of a check. Only ``FAIL`` changes the exit code."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"
    SKIP = "skip"

    @property
    def mark(self) -> str:
        return {"ok": "✔", "warn": "!", "fail": "✘", "skip": "–"}[self]


GRAVITY = (Status.SKIP, Status.OK, Status.WARN, Status.FAIL)


class Judgement(NamedTuple):
    """A check's judgement: ``seen`` is what was found; ``fix`` is text to paste, or empty."""

    status: Status
    seen: Bilingual
    fix: Bilingual = NOTHING


class Result(NamedTuple):
    """The result of the check ``id``; ``why`` it matters. ``stops``: production does not start when the check fails."""

    id: str
    why: Bilingual
    judgement: Judgement
    stops: bool = False

    @property
    def failed(self) -> bool:
        return self.judgement.status is Status.FAIL

    def document(self, lang: str) -> dict[str, str]:
        judgement = self.judgement
        return {
            "id": self.id,
            "status": judgement.status.value,
            "seen": judgement.seen.to(lang),
            "why": self.why.to(lang),
            "fix": judgement.fix.to(lang),
        }


def document(results: Iterable[Result], lang: str) -> dict[str, Any]:
    """Return ``{"checks": [{"id", "status", "seen", "why", "fix"}]}``, in the reader's language."""
    return {"checks": [result.document(lang) for result in results]}


def ok(zh: str, en: str) -> Judgement:
    return Judgement(Status.OK, Bilingual(zh, en))


def skip(zh: str, en: str) -> Judgement:
    return Judgement(Status.SKIP, Bilingual(zh, en))


def warn(zh: str, en: str, fix: Bilingual) -> Judgement:
    return Judgement(Status.WARN, Bilingual(zh, en), fix)


def fail(zh: str, en: str, fix: Bilingual) -> Judgement:
    return Judgement(Status.FAIL, Bilingual(zh, en), fix)


def paste(command: str) -> Bilingual:
    """Return a fix that reads the same in both languages: a command, or lines of settings."""
    return Bilingual(command, command)


def combine(judgements: Sequence[Judgement], none: Judgement) -> Judgement:
    """Combine several judgements of one check: the status is the gravest, and passed judgements are left out unless all
    passed; ``none`` if there are none."""
    if not judgements:
        return none
    worst = max((each.status for each in judgements), key=GRAVITY.index)
    told = [
        each for each in dict.fromkeys(judgements) if each.status is worst or each.status in (Status.WARN, Status.FAIL)
    ]
    return Judgement(
        worst,
        Bilingual("；".join(each.seen.zh for each in told), "; ".join(each.seen.en for each in told)),
        Bilingual(_lines(each.fix.zh for each in told), _lines(each.fix.en for each in told)),
    )


def _lines(fixes: Iterable[str]) -> str:
    return "\n".join(dict.fromkeys(fix for fix in fixes if fix))
