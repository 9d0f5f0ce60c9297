"""Every slip is named, and no other; what is right is called right; no key is ever shown."""

from __future__ import annotations

import json

import pytest

from tests.explain import corpus
from tests.explain.corpus import Case
from wechat.explain.signature import explain

RIGHT = [*corpus.v2_right(), *corpus.v3_request_right(), *corpus.v3_answers_right()]
WRONG = [*corpus.v2_slips(), *corpus.v3_request_slips(), *corpus.v3_answers_slips()]
CASES = [*RIGHT, *WRONG]


def raw(case: Case) -> bytes:
    return case.text.encode() if isinstance(case.text, str) else case.text


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.kind}: {case.name}")
def test_the_slip_is_named_and_no_other(case: Case) -> None:
    found = explain(raw(case), case.keys)
    assert (found.kind, sorted(slip.code for slip in found.slips)) == (case.kind, sorted(case.slips))
    assert found.verdict == ("wrong" if case.slips else "correct")


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.kind}: {case.name}")
def test_no_key_is_shown(case: Case) -> None:
    found = explain(raw(case), case.keys)
    shown = json.dumps(found.as_json(), ensure_ascii=False) + repr(found) + repr(case.keys)
    assert [secret for secret in case.keys.secrets if secret in shown] == []
    assert "PRIVATE KEY-----\n" not in shown
