"""A message that is cut off or masked is not judged: what is missing is said."""

from __future__ import annotations

import pytest

from tests.sign_explain import corpus, pastes
from tests.sign_explain.corpus import BODY, ORDER, V2, merchant, order, request
from tests.sign_explain.signing import joined, md5, rsa, v2
from wechat.sign_explain.incomplete import CUT_OFF, MASKED
from wechat.sign_explain.signature import explain
from wechat.sign_explain.slips import SlipCode

SIGNED = {"sign": v2(ORDER), **ORDER}
WHOLE = order(v2(ORDER))


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        (WHOLE[: WHOLE.index("<trade_type>")], CUT_OFF),
        (pastes.java_map(SIGNED)[:-60] + "...", CUT_OFF),
        (pastes.json_log(SIGNED)[:-40] + "…(truncated)", CUT_OFF),
        (pastes.java_map({**SIGNED, "openid": "oUpF****S6o"}), MASKED),
        (order(v2(ORDER)).replace(ORDER["out_trade_no"], "2015****6"), MASKED),
    ],
    ids=["XML", "a map", "JSON", "masked map", "masked XML"],
)
def test_what_is_missing_is_said_and_no_slip_is_invented(text: str, missing: object) -> None:
    found = explain(text.encode(), V2)
    assert (found.kind, found.verdict, found.slips, found.hint) == ("v2", "unrecognised", (), missing)


def test_a_slip_that_is_seen_is_named_in_a_message_that_is_cut_off() -> None:
    """Without its last field the signature proves nothing, but it is in lower case whatever was signed."""
    text = pastes.java_map({"sign": v2(ORDER).lower(), **ORDER})[:-60] + "..."
    found = explain(text.encode(), V2)
    assert ([slip.code for slip in found.slips], found.hint) == ([SlipCode.LOWER_CASE_RESULT], CUT_OFF)


def test_what_fits_in_spite_of_a_mark_at_the_end_is_right() -> None:
    assert explain(f"{WHOLE}...".encode(), V2).verdict == "correct"
    text = order(md5(f"{joined(ORDER)}&key=")) + "..."
    assert [slip.code for slip in explain(text.encode(), V2).slips] == [SlipCode.KEY_NOT_APPENDED]


def test_an_rsa_signature_still_tells_a_cut_body_from_a_wrong_key() -> None:
    cut = explain(request(rsa(corpus.message()), body=BODY[:-30]).encode(), merchant())
    assert ([slip.code for slip in cut.slips], cut.hint) == ([SlipCode.BODY_CHANGED], CUT_OFF)
