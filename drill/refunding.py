"""The afternoon of a drill: refunds, and five minutes in which WeChat refuses the merchant's credentials."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from drill.plan import REFUNDED_SHARE, REFUNDING, SCENARIOS, PlannedOrder, Refunding, deal, sample
from drill.scene import Scene, for_all
from wechat.domain.errors import Bilingual
from wechat.domain.orders import MIN_REFUND_INTERVAL

SOON = MIN_REFUND_INTERVAL + timedelta(seconds=1)
REFUSED_MINUTES = 5
FAULTS: tuple[Mapping[str, Any], ...] = (
    {"path": "/secapi/pay/refund", "fault": "system_error", "probability": 0.05, "after": True},
    {"path": "/secapi/pay/refund", "fault": "http_500", "probability": 0.05},
    {"path": "/v3/refund/domestic/refunds", "fault": "probe", "probability": 0.05},
    {"path": "/v3/refund/domestic/refunds", "fault": "http_500", "probability": 0.05, "after": True},
    {"path": "/v3/refund/domestic/refunds", "fault": "timeout_after", "times": 1},
    {"path": "/pay/refundquery", "fault": "wrong_signature", "probability": 0.05},
)
UNTRUSTED: tuple[Mapping[str, Any], ...] = (
    {"path": "/v3/*", "fault": "refuse", "code": "NO_AUTH", "message": "商户无此权限"},
    {"path": "/pay/*", "fault": "refuse", "code": "NOAUTH", "message": "商户无此接口权限"},
    {"path": "/secapi/*", "fault": "refuse", "code": "CERT_ERROR", "message": "证书校验错误"},
)
"""WeChat Pay's answers to every request while it refuses the merchant's credentials."""


class Afternoon:
    """Refunds of every planned kind, until all of them are final."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._record, self._shop, self._wechat = scene.record, scene.shop, scene.wechat
        self._totals = {customer.number: customer.total for customer in scene.record.planned}

    async def run(self) -> None:
        """Plan the refunds of the afternoon, request them under faults, and wait until they end."""
        await self._plan()
        await self._refund_poor(self._numbers(Refunding.POOR))
        await self._refund_on_bad_credentials(self._numbers(Refunding.UNTRUSTED))
        await self._scene.add_faults(FAULTS)
        apart = (Refunding.POOR, Refunding.UNTRUSTED)
        await for_all(self._refund_one, [each for each in self._record.refunding.items() if each[1] not in apart])
        await self._scene.end_faults()
        await self._let_refunds_end()

    async def _plan(self) -> None:
        record, chance = self._record, self._scene.chance
        numbers = sample(record.plainly_paid, REFUNDED_SHARE, chance)
        record.refunding = dict(zip(numbers, deal(REFUNDING, len(numbers), chance), strict=False))
        self._scene.say(Bilingual(f"{len(numbers)} 笔订单退款", f"{len(numbers)} orders refunded"))
        for number, kind in record.refunding.items():
            if scenario := SCENARIOS.get(kind):
                await self._wechat.control("POST", "refunds/scenarios", {"scenario": scenario, "out_trade_no": number})

    def _numbers(self, wanted: Refunding) -> list[str]:
        return [number for number, kind in self._record.refunding.items() if kind is wanted]

    async def _refund_one(self, planned: tuple[str, Refunding]) -> None:
        number, kind = planned
        total = self._totals[number]
        part = self._scene.chance.randrange(1, total)
        if kind is Refunding.CONSOLE:
            body = {"out_trade_no": number, "refund": part, "reason": "商户平台退款"}
            await self._wechat.control("POST", "console/refunds", body)
        elif kind is Refunding.THRICE:
            third = total // 3
            await asyncio.gather(*(self._shop.refund(number, third, f"{number}-{n}") for n in range(3)))
        elif kind is Refunding.REPEATED:
            await self._refund_repeatedly(number, part)
        else:
            await self._shop.refund(number, part if kind is Refunding.PART else total, _number_in_full(number))
        if kind is Refunding.TOO_MUCH:
            self._record.too_much += 1
            more = await self._shop.refund(number, 1, f"{number}-1")
            self._record.too_much_refused += (more.status, more.body.get("code")) == (409, "NOT_REFUNDABLE")

    async def _refund_repeatedly(self, number: str, refund: int) -> None:
        body, path = {"refund": refund, "reason": "点了两次"}, f"/api/orders/{number}/refunds"
        answers = await asyncio.gather(*(self._shop.ask("POST", path, body, key=f"{number}-r") for _ in range(2)))
        self._record.repeated += 1
        self._record.repeated_as_one += len({answer.body.get("out_refund_no") for answer in answers}) == 1

    async def _refund_poor(self, numbers: Sequence[str]) -> None:
        """Refund without balance: WeChat Pay refuses, and accepts the same refund under the same number once there is
        balance.

        It runs first in the afternoon, while no refund can be closed and bring balance back.
        """
        balance = (await self._wechat.control("GET", "balance"))["balance"]
        await self._wechat.control("POST", "balance", {"transfer": -balance})
        await self._ask_in_full(numbers)
        await self._wechat.control("POST", "balance", {"transfer": balance})
        await self._ask_in_full(numbers)
        await self._scene.advance(SOON)
        self._record.poor = [_number_in_full(number) for number in numbers]

    async def _refund_on_bad_credentials(self, numbers: Sequence[str]) -> None:
        """Refund while WeChat Pay refuses our credentials for five minutes: the requests are kept and sent
        afterwards."""
        self._scene.say(Bilingual("微信支付拒绝凭据五分钟", "WeChat Pay refuses the credentials for five minutes"))
        await self._scene.add_faults(UNTRUSTED)
        await self._ask_in_full(numbers)
        refused = {customer.number: await self._try_to_place(customer) for customer in self._record.late}
        for _ in range(REFUSED_MINUTES):
            await self._scene.advance(timedelta(minutes=1))
        await self._scene.end_faults()
        await for_all(self._sell_late, [customer for customer in self._record.late if refused[customer.number]])
        await self._ask_in_full(numbers)
        await self._scene.advance(SOON)
        self._record.untrusted = [_number_in_full(number) for number in numbers]

    async def _ask_in_full(self, numbers: Sequence[str]) -> None:
        for number in numbers:
            await self._shop.refund(number, self._totals[number], _number_in_full(number))

    async def _try_to_place(self, customer: PlannedOrder) -> bool:
        """Whether the order is refused with an answer that asks to repeat it."""
        answer = await self._shop.try_to_place(customer, self._wechat.users[0], tries=1)
        return answer.status != 201

    async def _sell_late(self, customer: PlannedOrder) -> None:
        order = await self._shop.place(customer, self._wechat.users[0])
        heard = await self._wechat.pay(order, customer.scenario, customer.coupons)
        self._record.late_then_placed += heard == "ok"

    async def _let_refunds_end(self) -> None:
        """Wait until all refunds are final: sent a minute apart, queried, abnormal ones sent to another account."""
        self._scene.say(Bilingual("退款得到最终结果", "refunds become final"))
        for _ in range(4):
            await self._scene.advance(SOON)
        for refund in (await self._wechat.refunds()).values():
            if refund["state"] == "ABNORMAL":
                await self._wechat.control("POST", f"console/refunds/{refund['out_refund_no']}/resend")
        for span in (SOON, timedelta(minutes=10), timedelta(hours=2), timedelta(hours=2)):
            await self._scene.advance(span)


def _number_in_full(number: str) -> str:
    """Return the number under which the whole amount of an order is refunded."""
    return f"{number}-0"
