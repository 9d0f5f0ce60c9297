"""Each field of what WeChat answers to an order, a query and a closing, absent, empty, of another type or new.

Money is never assumed: a query tells of a payment only where state, numbers, total and time are there in their own form.
Everything else is an unknown outcome, and no other error than the domain's own comes out.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import cast

import pytest

from tests.contract.samples import an_order
from tests.support import v2_answers
from tests.support.keys import key, private_pem
from tests.support.odd_values import ABSENT, ODD, TEXTS, changed
from tests.support.platform import Platform
from tests.support.receiving import KNOWN, NowClock
from wechat.domain.errors import OutcomeUnknown
from wechat.domain.facts import RemoteState
from wechat.pay.certificates import KeyRing, PlatformKey
from wechat.pay.ciphers import AeadCipher
from wechat.pay.gateway import ApiContext, Gateway, Merchant
from wechat.pay.signing import Signer
from wechat.pay.v3.gateway import V3Gateway
from wechat.support.transport import Answer, Request, Transport

V2_ORDER = v2_answers.SAMPLE
V3_ORDER = an_order(appid=KNOWN["appid"], mchid=KNOWN["mchid"], total=100)
V2_PAID = v2_answers.FIELDS | {
    "trade_state": "SUCCESS",
    "out_trade_no": V2_ORDER.out_trade_no,
    "transaction_id": "4200",
    "total_fee": str(V2_ORDER.total),
    "time_end": "20260301120506",
}
V3_PAID = {
    "trade_state": "SUCCESS",
    "appid": KNOWN["appid"],
    "mchid": KNOWN["mchid"],
    "out_trade_no": V3_ORDER.out_trade_no,
    "transaction_id": "4200",
    "success_time": "2026-03-01T12:05:06+08:00",
    "amount": {"total": 100, "currency": "CNY"},
}


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Platform:
    directory = tmp_path_factory.mktemp("wechat")
    (directory / "public_key.key.pem").write_text(private_pem("platform"))
    (directory / "platform_1.key.pem").write_text(private_pem("certificate"))
    return Platform(KNOWN, directory)


class Answering:
    """``Transport`` that gives one signed answer."""

    def __init__(self, platform: Platform, body: bytes, status: int) -> None:
        self._message, self._status = platform.v3_signed(body), status

    async def send(self, hosts: Sequence[str], request: Request) -> Answer:
        return Answer(self._status, self._message.headers, self._message.body)


def v3(platform: Platform, data: object, status: int = 200) -> V3Gateway:
    clock = NowClock()
    body = b"" if data is ABSENT else json.dumps(data).encode()
    wire = ApiContext(cast(Transport, Answering(platform, body, status)), ("https://wechat",), clock)
    ring = KeyRing(clock, PlatformKey("PUB_KEY_ID_01", key("platform").public_key()))
    merchant = Merchant(KNOWN["mchid"], KNOWN["appid"])
    return V3Gateway(wire, merchant, Signer("", "", key("ours")), AeadCipher(KNOWN["api_v3_key"]), ring)


async def is_unknown(call: Callable[[], Awaitable[object]]) -> bool:
    """Whether the outcome stays unknown; any other error is a defect."""
    try:
        await call()
    except OutcomeUnknown:
        return True
    return False


@pytest.mark.parametrize("value", ODD, ids=repr)
@pytest.mark.parametrize("name", ["attach", "bank_type", "trade_state_desc", "promotion_detail", "a_new_field"])
async def test_h3_what_only_informs_changes_no_v3_query(platform: Platform, name: str, value: object) -> None:
    fact = (await v3(platform, changed(V3_PAID, name, value)).query(V3_ORDER)).value
    assert (fact.state, fact.total) == (RemoteState.SUCCESS, 100)


@pytest.mark.parametrize("value", ODD, ids=repr)
@pytest.mark.parametrize("name", ["trade_state", "appid", "mchid", "out_trade_no", "success_time", "amount"])
async def test_h3_what_decides_is_demanded_of_a_v3_query(platform: Platform, name: str, value: object) -> None:
    gateway = v3(platform, changed(V3_PAID, name, value))
    assert await is_unknown(lambda: gateway.query(V3_ORDER))


@pytest.mark.parametrize("value", (*ODD, "100", 100.0, -100), ids=repr)
async def test_h3_a_v3_total_is_whole_fen_or_the_outcome_is_unknown(platform: Platform, value: object) -> None:
    gateway = v3(platform, V3_PAID | {"amount": changed({"currency": "CNY"}, "total", value)})
    assert await is_unknown(lambda: gateway.query(V3_ORDER))


@pytest.mark.parametrize("value", TEXTS, ids=str)
@pytest.mark.parametrize("name", ["attach", "bank_type", "cash_fee", "coupon_fee", "a_new_field"])
async def test_h3_what_only_informs_changes_no_v2_query(name: str, value: object) -> None:
    fact = (await v2_answers.gateway(changed(V2_PAID, name, value)).query(V2_ORDER)).value
    assert (fact.state, fact.total) == (RemoteState.SUCCESS, V2_ORDER.total)


@pytest.mark.parametrize("value", TEXTS, ids=str)
@pytest.mark.parametrize("name", ["trade_state", "appid", "mch_id", "out_trade_no", "time_end", "result_code"])
async def test_h3_what_decides_is_demanded_of_a_v2_query(name: str, value: object) -> None:
    gateway = v2_answers.gateway(changed(V2_PAID, name, value))
    assert await is_unknown(lambda: gateway.query(V2_ORDER))


@pytest.mark.parametrize("value", [ABSENT, "", "0", "new", "1.5", "-1", "9007199254740993"], ids=str)
async def test_h3_a_v2_total_is_whole_fen_or_the_outcome_is_unknown(value: object) -> None:
    gateway = v2_answers.gateway(changed(V2_PAID, "total_fee", value))
    assert await is_unknown(lambda: gateway.query(V2_ORDER))


@pytest.mark.parametrize("value", [each for each in ODD if each != "new"], ids=repr)
async def test_h4_a_v3_order_is_placed_by_its_prepay_id_alone(platform: Platform, value: object) -> None:
    odd = v3(platform, changed({}, "prepay_id", value))
    assert await is_unknown(lambda: odd.prepay(V3_ORDER, datetime.now(UTC)))
    told = v3(platform, changed({"prepay_id": "wx1"}, "a_new_field", value))
    assert (await told.prepay(V3_ORDER, datetime.now(UTC))).prepay_id == "wx1"


@pytest.mark.parametrize("value", [ABSENT, ""], ids=str)
async def test_h4_a_v2_order_is_placed_by_its_prepay_id_alone(value: object) -> None:
    gateway = v2_answers.gateway(changed(v2_answers.FIELDS, "prepay_id", value))
    assert await is_unknown(lambda: gateway.prepay(V2_ORDER, datetime.now(UTC)))


@pytest.mark.parametrize("value", TEXTS, ids=str)
@pytest.mark.parametrize("name", ["result_code", "appid", "mch_id", "nonce_str"])
async def test_h5_a_v2_closing_is_done_only_by_a_plain_success(name: str, value: object) -> None:
    gateway: Gateway = v2_answers.gateway(changed(v2_answers.FIELDS, name, value))
    assert await is_unknown(lambda: gateway.close(V2_ORDER)) == (name != "nonce_str" or value in (ABSENT, ""))


@pytest.mark.parametrize("data", [ABSENT, {}, {"a_new_field": None}], ids=repr)
async def test_h5_a_v3_closing_is_done_by_its_status(platform: Platform, data: object) -> None:
    await v3(platform, data, 204).close(V3_ORDER)
