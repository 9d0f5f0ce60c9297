"""Parts that several of the simulator's pages show: a state as a badge, and the attempts to notify."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any, NamedTuple

from tornado.web import UIModule

from simulator.web.pages import PageHandler
from simulator.web.texts import name_attempt, name_state, translator

LOOKS = {
    "NOTPAY": "wait",
    "SUCCESS": "good",
    "REFUND": "info",
    "PROCESSING": "wait",
    "ABNORMAL": "bad",
    "CHANGE": "bad",
}
"""The badge of each state; a state without an entry is plain."""


class Part(UIModule):
    handler: PageHandler


class Badge(Part):
    """The state of an order, or of a refund."""

    def render(self, state: str, *, refund: bool = False) -> str:
        name = name_state(state, self.handler.lang, refund=refund)
        return self.render_string("badge.html", name=name, looks=LOOKS.get(state, "")).decode()


class AttemptGroup(NamedTuple):
    """Consecutive attempts with the same result: ``answer`` is the status or the error."""

    kind: str
    answer: str
    right: bool
    times: int


class Attempts(Part):
    """The merchant's answers to each notification; equal consecutive answers are counted."""

    def render(self, attempts: Sequence[dict[str, Any]]) -> str:
        lang = self.handler.lang
        silence = translator(lang)("no_reply")
        groups = groupby((name_attempt(each["kind"], lang), _answer(each, silence), each["right"]) for each in attempts)
        shown = [AttemptGroup(*ended, times=len(list(each))) for ended, each in groups]
        return self.render_string("attempts.html", groups=shown).decode()


def _answer(attempt: dict[str, Any], silence: str) -> str:
    return str(attempt["status"] or attempt["error"] or silence)
