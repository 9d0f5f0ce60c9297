"""Practising reconciliation: differences are hidden in a bill, and an answer is scored."""

from __future__ import annotations

import pytest

from simulator.bills.faults import InjectedDifference, InjectedKind
from simulator.control.practice import score_answer


def hide(number: str, refund: str = "") -> InjectedDifference:
    kind = InjectedKind.REFUND_MISSING_THERE if refund else InjectedKind.AMOUNT
    return InjectedDifference("2026-03-01", kind, number, f"sim{number}", refund, "", number)


PLANTED = [hide("order001"), hide("order002", "refund01")]
KNOWN = {"order001", "order002", "order003", "refund01"}


@pytest.mark.parametrize(
    ("answer", "points", "found", "missed", "wrong"),
    [
        ("order001\nrefund01", 100, 2, 0, []),
        ("order001", 50, 1, 1, []),
        ("order001 order003", 0, 1, 1, ["order003"]),
        ("", 0, 0, 2, []),
        ("日期,单号\r\n2026-03-01,`order001\r\n2026-03-01,order002,refund01,退款", 100, 2, 0, []),
    ],
)
def test_an_answer_is_scored(answer: str, points: int, found: int, missed: int, wrong: list[str]) -> None:
    score = score_answer(PLANTED, answer, KNOWN)
    assert (score.points, len(score.found), len(score.missed), list(score.wrong)) == (points, found, missed, wrong)


def test_where_nothing_is_hidden_nothing_is_won() -> None:
    assert score_answer([], "order001", KNOWN).points == 0
