"""A v2 gateway whose answers a test sets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from tests.contract.samples import an_order
from tests.support.clock import ManualClock
from wechat.pay.gateway import ApiContext, Merchant
from wechat.pay.signing import SignType, v2_sign
from wechat.pay.v2.gateway import V2Gateway
from wechat.pay.v2.xmlcodec import build
from wechat.support.transport import Answer, Request, Transport

KEY = "2" * 32
SAMPLE = an_order()
FIELDS = {
    "return_code": "SUCCESS",
    "result_code": "SUCCESS",
    "appid": SAMPLE.appid,
    "mch_id": SAMPLE.mchid,
    "nonce_str": "n",
}


class Answering:
    """``Transport`` that returns one signed answer."""

    def __init__(self, fields: dict[str, str]) -> None:
        self._fields = fields

    async def send(self, hosts: Sequence[str], request: Request) -> Answer:
        sign = v2_sign(self._fields, KEY, SignType.HMAC_SHA256)
        return Answer(200, {}, build(self._fields | {"sign": sign}))


def gateway(fields: dict[str, str]) -> V2Gateway:
    wire = ApiContext(cast(Transport, Answering(fields)), ("https://wechat",), ManualClock())
    return V2Gateway(wire, Merchant(SAMPLE.mchid, SAMPLE.appid), KEY)
