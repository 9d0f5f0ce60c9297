"""Every slip is named, and no other; what is right is called right; no key is ever shown."""

from __future__ import annotations

import json

import pytest

from tests.sign_explain.cases import CASES, raw
from tests.sign_explain.corpus import Case
from wechat.sign_explain.signature import explain


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.kind}: {case.name}")
def test_the_slip_is_named_and_no_other(case: Case) -> None:
    found = explain(raw(case), case.keys)
    assert (found.kind, sorted(slip.code for slip in found.slips)) == (case.kind, sorted(case.slips))
    assert found.verdict == ("wrong" if case.slips else "correct")
    if not case.slips and found.computed:
        assert (found.given or "").endswith(found.computed)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.kind}: {case.name}")
def test_no_key_is_shown(case: Case) -> None:
    found = explain(raw(case), case.keys)
    shown = json.dumps(found.as_json(), ensure_ascii=False) + repr(found) + repr(case.keys)
    assert [secret for secret in case.keys.secrets if secret in shown] == []
    assert "PRIVATE KEY-----\n" not in shown
