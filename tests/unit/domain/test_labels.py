"""Whatever a timeline or a state can say has a name in both languages."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from tests.support.service import ROOT
from wechat.domain.deliveries import DeliveryState
from wechat.domain.facts import RefundState
from wechat.domain.labels import DELIVERY_STATES, ORDER_STATES, REFUND_STATES, SOURCES, TIMELINE, label
from wechat.domain.orders import TradeState

WRITERS = {"TimelineEntry": 1, "_line": 1, "_entry": 0, "_note": 1}
"""Functions that write a timeline, and which of their arguments is the event."""


def events_in(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = getattr(node.func, "id", getattr(node.func, "attr", ""))
        if name in WRITERS and len(node.args) > WRITERS[name]:
            for part in ast.walk(node.args[WRITERS[name]]):
                if isinstance(part, ast.Constant) and isinstance(part.value, str):
                    yield part.value


def test_every_event_of_a_timeline_has_a_name() -> None:
    found = {event for file in (ROOT / "wechat").rglob("*.py") for event in events_in(ast.parse(file.read_text()))}
    assert len(found) > 10
    assert found - TIMELINE.keys() == set()


def test_every_state_has_a_name() -> None:
    assert set(TradeState) == ORDER_STATES.keys()
    assert set(RefundState) == REFUND_STATES.keys()
    assert set(DeliveryState) == DELIVERY_STATES.keys()
    assert {state.lower() for state in RefundState} - {"requested", "closed", "refused"} <= TIMELINE.keys()


def test_the_code_follows_the_name() -> None:
    assert label(ORDER_STATES, "SUCCESS", "zh") == "已支付（SUCCESS）"
    assert label(ORDER_STATES, "SUCCESS", "en") == "paid (SUCCESS)"
    assert label(ORDER_STATES, "NEW", "zh") == "NEW"
    assert label(SOURCES, "v3", "zh") == "APIv3（v3）"
