"""Whom a v2 answer must be for, and what must be in it: a right signature alone is not enough."""

from __future__ import annotations

import pytest

from tests.support.v2_answers import FIELDS, SAMPLE, gateway
from wechat.domain.errors import GatewayRefused, OutcomeUnknown
from wechat.pay.codes import is_final


async def test_an_answer_for_us_is_one() -> None:
    await gateway(FIELDS).close(SAMPLE)


@pytest.mark.parametrize("change", [{"appid": "wxother"}, {"mch_id": "1900000002"}, {"nonce_str": ""}])
async def test_an_answer_for_somebody_else_or_without_a_nonce_proves_nothing(change: dict[str, str]) -> None:
    with pytest.raises(OutcomeUnknown):
        await gateway(FIELDS | change).close(SAMPLE)


@pytest.mark.parametrize("text", ["系统繁忙，请稍后再试", "SYSTEMERROR", "system error"])
async def test_a_fail_without_a_signature_may_leave_the_outcome_open(text: str) -> None:
    with pytest.raises(OutcomeUnknown):
        await gateway({"return_code": "FAIL", "return_msg": text}).close(SAMPLE)


@pytest.mark.parametrize("text", ["签名错误", "商户号mch_id与appid不匹配"])
async def test_a_fail_without_a_signature_is_never_final(text: str) -> None:
    with pytest.raises(GatewayRefused) as refused:
        await gateway({"return_code": "FAIL", "return_msg": text}).close(SAMPLE)
    assert not is_final(refused.value)
