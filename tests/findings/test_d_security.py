"""Security, row by row (D1 to D6)."""

from __future__ import annotations

import pytest

from tests.contract.samples import an_order
from tests.unit.test_v2_answers import FIELDS, gateway
from wechat.domain.errors import OutcomeUnknown

SIGNED_FOR_SOMEBODY_ELSE = [
    {"mch_id": "1900000002"},
    {"mch_id": ""},
    {"appid": "wx0123456789abcdef"},
    {"appid": ""},
    {"nonce_str": ""},
    {"result_code": ""},
    {"result_code": "success"},
    {"result_code": "FAIL"},
    {"result_code": "FAIL", "err_code": ""},
]


@pytest.mark.parametrize("change", SIGNED_FOR_SOMEBODY_ELSE, ids=str)
async def test_d6_a_signed_v2_answer_decides_only_what_it_was_asked(change: dict[str, str]) -> None:
    """For another merchant or account, of no single use, or without a readable result: neither yes nor no."""
    with pytest.raises(OutcomeUnknown):
        await gateway(FIELDS | change).close(an_order())
