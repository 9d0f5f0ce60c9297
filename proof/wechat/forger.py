"""An attacker who answers in WeChat's place without WeChat's keys: everything is paid, closed and refunded."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from proof.wechat.payments import Order, OrderRequest, Payment, Refund, Refused, WeChat
from proof.wechat.platform_keys import OneKey, make_key
from proof.wechat.protocol_v2 import ProtocolV2, read_xml
from proof.wechat.protocol_v3 import ProtocolV3
from wechat.domain.facts import Api
from wechat.support.transport import Answer, Request

FORGED_KEY = "f" * 32
"""Stands for the merchant's keys, which the forger does not have."""
STRANGE_SERIAL = "7F00000000000000000000000000000000000001"
"""The serial of a certificate that WeChat never had."""


class LyingWeChat(WeChat):
    """The forger's version of ``world``. Requests have no effect."""

    def __init__(self, world: WeChat) -> None:
        super().__init__()
        self._world = world

    def place(self, request: OrderRequest, api: str, now: datetime) -> Order:
        return Order(request, api, "forged", now)

    def find(self, number: str) -> Order:
        order = self._world.find(number)
        request = order.request
        payment = Payment(f"forged-{number}", number, request.total, request.openid, order.created_at)
        return replace(order, payments=[payment])

    def find_payment(self, transaction_id: str) -> Payment:
        return self._world.find_payment(transaction_id)

    def close(self, number: str, api: str, now: datetime) -> None:
        """Answer that the order is closed."""

    def refund(self, transaction_id: str, out_refund_no: str, amount: int, total: int, now: datetime) -> Refund:
        number = self._world.find_payment(transaction_id).number
        return _invent(Refund(out_refund_no, "forged", transaction_id, number, amount, total, now), now)

    def find_refund(self, out_refund_no: str) -> Refund:
        refund = self._world.find_refund(out_refund_no)
        return _invent(refund, refund.created_at)


class ForgerV2(ProtocolV2):
    """Answers v2 without checking the request's signature."""

    def answer(self, request: Request, now: datetime) -> Answer:
        return self._build_answer({"result_code": "SUCCESS", **self._act(request.target, read_xml(request.body), now)})


class Forger:
    """Forge answers of both API versions; those of v3 alternately under ``serial`` and under one that WeChat
    never had."""

    def __init__(self, world: WeChat, appid: str, mchid: str, serial: str, begin: datetime) -> None:
        lying, key = LyingWeChat(world), make_key("forger")
        keys = [OneKey(each, key, begin) for each in (serial, STRANGE_SERIAL)]
        self._v2 = ForgerV2(lying, appid, mchid, FORGED_KEY)
        self._v3 = [ProtocolV3(lying, appid, mchid, FORGED_KEY, each) for each in keys]

    def answer(self, api: Api, request: Request, now: datetime) -> Answer:
        """Return a forged answer; a 500 if the forger has none."""
        self._v3.reverse()
        try:
            answer = self._v2.answer(request, now) if api is Api.V2 else self._v3[0].answer(request, now)
        except Refused:
            return Answer(500, {}, b"")
        return answer if answer.status < 300 else Answer(500, {}, b"")


def _invent(refund: Refund, at: datetime) -> Refund:
    return replace(refund, state="SUCCESS", success_at=at)
