"""Faults on request: which path fails, how, and how often. A restart forgets them."""

from __future__ import annotations

import fnmatch
import random
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


class Fault(StrEnum):
    """A kind of fault. The first three occur before the request has any effect, unless ``after`` is set."""

    REFUSE = "refuse"  # a refusal with ``code``, in the API's own words
    HTTP_500 = "http_500"  # an empty 500, as from a broken gateway
    SYSTEM_ERROR = "system_error"  # v2 SYSTEMERROR, v3 500 SYSTEM_ERROR, account errcode -1
    TIMEOUT_BEFORE = "timeout_before"  # no answer, no effect
    TIMEOUT_AFTER = "timeout_after"  # no answer, but it took effect
    UNSIGNED = "unsigned"  # the correct answer without its signature
    WRONG_SIGNATURE = "wrong_signature"  # the correct answer, signed with another key
    PROBE = "probe"  # the correct answer with a WECHATPAY/SIGNTEST/ signature (v2: a wrong one)
    DELAY = "delay"  # the correct answer, ``ms`` real milliseconds late
    OLD_SPELLING = "old_spelling"  # v3 error codes in their old spelling


REPLACING = frozenset({Fault.REFUSE, Fault.HTTP_500, Fault.SYSTEM_ERROR})


@dataclass(slots=True)
class Rule:
    """``path`` is a shell pattern. ``times`` left (None: no end) and ``probability`` decide whether the rule
    applies."""

    path: str
    fault: Fault
    times: int | None = None
    probability: float = 1.0
    code: str = ""
    message: str = ""
    ms: int = 0
    after: bool = False

    @classmethod
    def parse(cls, data: dict[str, Any]) -> Rule:
        """Parse a rule from control JSON. Raises ValueError with a sentence."""
        unknown = set(data) - set(cls.__slots__)
        if unknown:
            raise ValueError(f"unknown: {', '.join(sorted(unknown))}")
        try:
            rule = cls(**{**data, "fault": Fault(data.get("fault", ""))})
        except (TypeError, ValueError):
            raise ValueError(f"a fault has a path and a fault, one of: {', '.join(Fault)}") from None
        rule._check()
        return rule

    @property
    def spares(self) -> bool:
        """Whether the request has no effect."""
        return self.fault is Fault.TIMEOUT_BEFORE or (self.fault in REPLACING and not self.after)

    def _check(self) -> None:
        if not isinstance(self.path, str) or not self.path.startswith("/"):
            raise ValueError("path is a pattern such as /v3/pay/transactions/*")
        if not isinstance(self.code, str) or not isinstance(self.message, str) or type(self.after) is not bool:
            raise ValueError("code and message are texts, after is true or false")
        if self.times is not None and (type(self.times) is not int or self.times < 1):
            raise ValueError("times is a whole number from 1")
        if type(self.probability) not in (int, float) or not 0 < self.probability <= 1:
            raise ValueError("probability is above 0, at most 1")
        if type(self.ms) is not int or not 0 <= self.ms <= 120_000:
            raise ValueError("ms is 0 to 120000")


class Faults:
    """The rules in force; the first that matches and applies is used."""

    def __init__(self) -> None:
        self._rules: list[Rule] = []

    def add(self, rule: Rule) -> None:
        self._rules.append(rule)

    def clear(self) -> None:
        self._rules.clear()

    def as_json(self) -> list[dict[str, Any]]:
        return [asdict(rule) for rule in self._rules]

    def draw(self, path: str) -> Rule | None:
        """Return the rule that applies to this request, if any; a used-up rule is removed."""
        for rule in self._rules:
            if fnmatch.fnmatchcase(path, rule.path) and random.random() < rule.probability:
                self._spend(rule)
                return rule
        return None

    def _spend(self, rule: Rule) -> None:
        if rule.times is not None:
            rule.times -= 1
            if not rule.times:
                self._rules.remove(rule)
