"""Whom a v2 answer must be for, and what must be in it: a right signature alone is not enough."""

from __future__ import annotations

import pytest

from tests.support.v2_answers import FIELDS, SAMPLE, gateway
from wechat.domain.errors import OutcomeUnknown


async def test_an_answer_for_us_is_one() -> None:
    await gateway(FIELDS).close(SAMPLE)


@pytest.mark.parametrize("change", [{"appid": "wxother"}, {"mch_id": "1900000002"}, {"nonce_str": ""}])
async def test_an_answer_for_somebody_else_or_without_a_nonce_proves_nothing(change: dict[str, str]) -> None:
    with pytest.raises(OutcomeUnknown):
        await gateway(FIELDS | change).close(SAMPLE)
