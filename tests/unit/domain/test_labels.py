"""Whatever a timeline or a state can say has a name in both languages."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping

from simulator.web import texts as simulated
from simulator.web.texts import name_state
from tests.support.service import ROOT
from wechat.domain import labels
from wechat.domain.api_keys import Scope
from wechat.domain.deliveries import DeliveryState
from wechat.domain.facts import RefundState
from wechat.domain.labels import DELIVERY_STATES, ORDER_STATES, REFUND_STATES, SCOPES, SOURCES, TIMELINE, label
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
    assert label(ORDER_STATES, "REFUND", "zh") == "已支付（有退款，REFUND）"
    assert label(SCOPES, "operate", "en") == "Operate (books, repairs, events, operate)"
    assert set(Scope) == SCOPES.keys()


def test_no_label_has_two_pairs_of_brackets_in_a_row() -> None:
    named = [each for module in (labels, simulated) for each in vars(module).items()]
    tables = [each for name, each in named if name.isupper() and isinstance(each, Mapping)]
    shown = [label(names, str(code), lang) for names in tables for code in names for lang in ("zh", "en")]
    assert len(shown) > 200
    assert [each for each in shown if "）（" in each or ") (" in each] == []


def test_the_simulator_writes_codes_as_the_service_does() -> None:
    assert name_state("SUCCESS", "zh", refund=True) == "退款成功（SUCCESS）"
    assert (name_state("NOTPAY", "en"), name_state("NEW", "en")) == ("not paid (NOTPAY)", "NEW")
