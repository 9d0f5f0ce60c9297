"""Security, row by row (D1 to D6)."""

from __future__ import annotations

import asyncio
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.contract.samples import an_order
from tests.http.client import Shop
from tests.support.service import ServiceProcess
from tests.support.v2_answers import FIELDS, gateway
from wechat.domain.errors import OutcomeUnknown


async def come_back(shop: Shop) -> dict[str, str]:
    """Start an authorization; the code and state that WeChat sends the browser back with."""
    out = await shop.get("/oauth/authorize?next=/")
    back = await shop.get(out.at.partition("#")[0])
    query = parse_qs(urlsplit(back.at).query)
    return {name: query[name][0] for name in ("code", "state")}


async def test_d1_a_used_code_signs_nobody_else_in(shop: Shop, service: ServiceProcess) -> None:
    """A thief who has read the victim's address, in a browser and with a state of his own or the victim's."""
    shop.cookie("wxsim_user", shop.users[0]["id"])
    victim = await come_back(shop)
    assert (await shop.get(f"/oauth/callback?code={victim['code']}&state={victim['state']}")).status == 302
    async with Shop(service.url, shop.simulator) as thief:
        thief.cookie("wxsim_user", thief.users[1]["id"])
        own = await come_back(thief)
        stolen = [f"/oauth/callback?code={victim['code']}&state={each['state']}" for each in (own, victim)]
        told = [await thief.get(target) for target in stolen]
        assert [answer.status for answer in told] == [302, 403]
        assert (
            urlsplit(told[0].at).path == "/connect/oauth2/authorize"
        )  # refused by WeChat, so once more from the start
        assert "fenpay_session" not in thief.cookies()
        many = await asyncio.gather(*(thief.get(stolen[1]) for _ in range(10)))
        assert {answer.status for answer in many} == {403}
    async with Shop(service.url, shop.simulator) as another:
        assert (await another.get(stolen[0])).status == 403


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
