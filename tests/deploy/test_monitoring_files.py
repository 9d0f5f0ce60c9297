"""Alert rules and dashboard name metrics, labels and values that the service exports."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from prometheus_client import Counter, Histogram

from scripts.programs import NO_PROMTOOL, promtool
from service.runtime import SHAPES

EXAMPLES = Path(__file__).parent / "alerts.test.yml"
DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
METRIC = re.compile(r"fenpay_[a-z_]+")
LABELS = re.compile(r"(fenpay_[a-z_]+)\{([^}]*)\}")
FIRST_COUNT = re.compile(r"(\w+) unless \1 offset")
"""A counter that was not there before: what an increase does not see."""
GROUPED = re.compile(r"by \(([^)]*)\)")


def rules() -> list[dict[str, object]]:
    [group] = yaml.safe_load((DEPLOY / "prometheus" / "alerts.yml").read_text(encoding="utf-8"))["groups"]
    found: list[dict[str, object]] = group["rules"]
    return found


def dashboard() -> list[dict[str, object]]:
    panels: list[dict[str, object]] = json.loads((DEPLOY / "grafana" / "fenpay.json").read_text(encoding="utf-8"))[
        "panels"
    ]
    return panels


def expressions() -> Iterator[str]:
    yield from (str(rule["expr"]) for rule in rules())
    for panel in dashboard():
        targets = panel["targets"]
        assert isinstance(targets, list)
        yield from (str(target["expr"]) for target in targets)


def exported() -> dict[str, tuple[str, ...]]:
    """Every series that is exported, with its labels."""
    found: dict[str, tuple[str, ...]] = {}
    for metric, shape in SHAPES.items():
        found[metric.value] = shape.labels
        if shape.kind is Histogram:
            found[f"{metric.value}_bucket"] = (*shape.labels, "le")
    return found


@pytest.mark.parametrize("expression", list(expressions()))
def test_an_expression_names_series_and_labels_that_are_exported(expression: str) -> None:
    known = exported()
    names = METRIC.findall(expression)
    assert names
    assert [name for name in names if name not in known] == []
    labels = {label for name in names for label in known[name]}
    asked = [label.strip() for group in GROUPED.findall(expression) for label in group.split(",")]
    for _, filters in LABELS.findall(expression):
        asked += [each.partition("=")[0].strip("~! ") for each in filters.split(",")]
    assert [label for label in asked if label not in labels] == []
    assert expression.count("(") == expression.count(")")


def test_what_is_counted_is_asked_as_a_rate_or_an_increase() -> None:
    """The sum of a counter since the start of each process says nothing."""
    counters = [metric.value for metric, shape in SHAPES.items() if shape.kind is Counter]
    bare = [
        (name, expression)
        for expression in expressions()
        for name in counters
        if re.search(rf"(?<!rate\()(?<!increase\(){name}\b", FIRST_COUNT.sub("", expression))
    ]
    assert bare == []


@pytest.mark.parametrize(
    "arguments", [("check", "rules", DEPLOY / "prometheus" / "alerts.yml"), ("test", "rules", EXAMPLES)]
)
def test_promtool_takes_the_rules_and_they_fire_on_the_series_of_the_examples(arguments: tuple[str, ...]) -> None:
    program = promtool()
    assert program, NO_PROMTOOL
    done = subprocess.run([program, *arguments], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_rule_has_an_example_in_which_it_fires() -> None:
    examples = yaml.safe_load(EXAMPLES.read_text(encoding="utf-8"))["tests"]
    fired = {check["alertname"] for one in examples for check in one["alert_rule_test"] if check.get("exp_alerts")}
    assert fired == {str(rule["alert"]) for rule in rules()}


def test_each_rule_has_a_name_of_its_own_and_says_what_to_do() -> None:
    assert len({str(rule["alert"]) for rule in rules()}) == len(rules())
    for rule in rules():
        annotations = rule["annotations"]
        assert isinstance(annotations, dict)
        assert annotations["summary"]


def test_every_metric_is_watched_or_drawn() -> None:
    payload = " ".join(expressions())
    left_out = {metric.value for metric in SHAPES if metric.value not in payload}
    assert left_out <= LEFT_OUT


LEFT_OUT = {
    "fenpay_order_checks_total",
    "fenpay_refund_checks_total",
    "fenpay_last_accepted_notification_timestamp_seconds",
}
"""For looking closer only: each order and refund is checked, and a quiet night has no notification."""
