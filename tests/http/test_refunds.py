"""Refunds through the whole service, v2's over mutual TLS, against a WeChat that stands in at its ports."""

from __future__ import annotations

import json
import secrets
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import aiohttp
import pytest

from storage.embedded.servers import EmbeddedMongo, EmbeddedRedis, free_port
from storage.mongo.storage import MongoStorage
from tests.contract.samples import MCHID, a_payment, a_storage, an_order
from tests.http.client import MERCHANT
from tests.support.keys import certificate_pem, private_pem, public_pem
from tests.support.platform import Platform, transaction_id
from tests.support.refund_notices import v3_refund
from tests.support.refund_wechat import RefundWeChat, server_pem
from tests.support.service import ServiceProcess, overlay
from tests.support.settings import KNOWN
from wechat.domain.facts import Api
from wechat.domain.money import Fen
from wechat.domain.orders import TradeState, order_key

CREDENTIALS = KNOWN | {"public_key_pem": public_pem("platform"), "users": [{"openid": "osim-a"}]}
BOTH = pytest.mark.parametrize("api", ["v2", "v3"])


@pytest.fixture(scope="module")
async def wechat(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RefundWeChat]:
    directory = tmp_path_factory.mktemp("wechat")
    (directory / "public_key.key.pem").write_text(private_pem("platform"))
    (directory / "platform_1.key.pem").write_text(private_pem("certificate"))
    async with RefundWeChat(Platform(CREDENTIALS, directory), directory) as wechat:
        yield wechat


@pytest.fixture(scope="module")
def refunding(wechat: RefundWeChat, directory: Path, mongo: EmbeddedMongo, redis: EmbeddedRedis) -> Iterator[str]:
    """The address of a service that refunds each order through the API that took it."""
    settings = overlay(free_port(), wechat.url, CREDENTIALS, mongo.url, redis.url, directory)
    settings["mongo"]["database"] = "refunding"
    settings["pay"]["refund_api"] = "same"
    settings["pay"]["v3"]["certificates"] = False
    settings["pay"]["v2"] |= {
        "client_cert": certificate_pem(),
        "client_key": private_pem(),
        "ca": server_pem(),
        "refund_urls": [wechat.secure_url],
    }
    service = ServiceProcess.start(directory, settings, "refunding")
    yield service.url
    assert service.defects == []
    assert service.stop() == 0


class RefundMerchant:
    """The merchant's system, and a way to have paid orders without paying."""

    def __init__(self, url: str, storage: MongoStorage, wechat: RefundWeChat, session: aiohttp.ClientSession) -> None:
        self.url, self.storage, self.wechat, self.session = url, storage, wechat, session
        self.number = ""

    async def paid(self, api: str) -> str:
        number = f"T{secrets.token_hex(10)}"
        order = an_order(
            number,
            api=Api(api),
            appid=KNOWN["appid"],
            total=Fen(100),
            trade_state=TradeState.SUCCESS,
            payments=(a_payment(transaction_id(), 100, datetime.now(UTC)),),
            next_check_at=None,
        )
        assert await self.storage.orders.insert(order, "write-1")
        self.number = number
        return number

    async def ask(self, method: str, target: str, body: Any = None, **headers: str) -> tuple[int, dict[str, Any]]:
        data = None if body is None else json.dumps(body)
        sent = MERCHANT | {"Accept-Language": "en"} | headers
        async with self.session.request(method, self.url + target, data=data, headers=sent) as answer:
            return answer.status, cast(dict[str, Any], await answer.json())

    async def refund(self, number: str, refund: Any = 60, **headers: str) -> tuple[int, dict[str, Any]]:
        named = {"Idempotency-Key": secrets.token_hex(6)} | headers
        return await self.ask("POST", f"/api/orders/{number}/refunds", {"refund": refund, "reason": "缺货"}, **named)

    def takes(self, status: str = "PROCESSING") -> None:
        """WeChat takes refunds of the order made last; asked, it says ``status``."""

        def v2(fields: dict[str, str]) -> dict[str, str]:
            numbers = {"out_trade_no": self.number, "total_fee": "100", "transaction_id": "42"}
            if "refund_fee" in fields:
                return numbers | {
                    "out_refund_no": fields["out_refund_no"],
                    "refund_id": "5030",
                    "refund_fee": fields["refund_fee"],
                }
            row = {"out_refund_no_0": fields["out_refund_no"], "refund_id_0": "5030", "refund_fee_0": "60"}
            return numbers | row | {"refund_count": "1", "refund_status_0": status}

        def v3(data: dict[str, Any]) -> tuple[int, dict[str, Any]]:
            number = self.wechat.asked[-1][0].rpartition("/")[2]
            amount = {"refund": data["amount"]["refund"] if data else 60, "total": 100}
            return 200, {
                "refund_id": "5030",
                "out_refund_no": data.get("out_refund_no", number),
                "out_trade_no": self.number,
                "status": status,
                "amount": amount,
            }

        self.wechat.v2, self.wechat.v3 = v2, v3


@pytest.fixture
async def merchant(refunding: str, wechat: RefundWeChat, mongo: EmbeddedMongo) -> AsyncIterator[RefundMerchant]:
    wechat.reset()
    storage = a_storage(mongo.url, "refunding")
    async with aiohttp.ClientSession() as session:
        yield RefundMerchant(refunding, storage, wechat, session)
    await storage.close()


@BOTH
async def test_a_refund_is_taken_asked_after_and_shown(merchant: RefundMerchant, api: str) -> None:
    number = await merchant.paid(api)
    merchant.takes()
    status, refund = await merchant.refund(number)
    assert (status, refund["state"], refund["api"], refund["refund"], refund["total"]) == (
        202,
        "PROCESSING",
        api,
        60,
        100,
    )
    assert [line["what"] for line in refund["timeline"]] == ["requested", "sent", "processing"]
    merchant.takes("SUCCESS")
    status, done = await merchant.ask("POST", f"/api/refunds/{refund['out_refund_no']}/query")
    assert (status, done["state"], done["refund_id"]) == (200, "SUCCESS", "5030")
    assert await merchant.ask("GET", f"/api/refunds/{refund['out_refund_no']}") == (200, done)
    assert await merchant.ask("GET", f"/api/orders/{number}/refunds") == (200, {"refunds": [done]})
    _, order = await merchant.ask("GET", f"/api/orders/{number}")
    assert (order["trade_state"], order["refund_reserved"]) == ("REFUND", 60)
    assert [line["what"] for line in order["timeline"]] == ["created", "refund_reserved", "refund"]


async def test_a_refund_that_wechat_finishes_at_once_is_created(merchant: RefundMerchant) -> None:
    number = await merchant.paid("v3")
    merchant.takes("SUCCESS")
    assert (await merchant.refund(number))[0] == 201


@BOTH
async def test_a_no_is_told_in_wechats_words_and_frees_the_money(merchant: RefundMerchant, api: str) -> None:
    number = await merchant.paid(api)
    code = "USER_ACCOUNT_ABNORMAL"
    merchant.wechat.v2 = lambda fields: {"result_code": "FAIL", "err_code": code, "err_code_des": "用户账号注销"}
    merchant.wechat.v3 = lambda data: (403, {"code": code, "message": "用户账号注销"})
    status, error = await merchant.refund(number)
    assert (status, error["code"], error["wechat"]["message"]) == (502, code, "用户账号注销")
    assert error["wechat"]["next"].startswith("Contact the payer")
    _, listed = await merchant.ask("GET", f"/api/orders/{number}/refunds")
    assert [refund["state"] for refund in listed["refunds"]] == ["REFUSED"]
    assert (await merchant.ask("GET", f"/api/orders/{number}"))[1]["refund_reserved"] == 0


async def test_a_lost_answer_leaves_the_refund_open(merchant: RefundMerchant) -> None:
    number = await merchant.paid("v3")
    merchant.wechat.v3 = lambda data: (500, {"code": "SYSTEM_ERROR", "message": ""})
    status, refund = await merchant.refund(number)
    assert (status, refund["state"]) == (202, "REQUESTED")
    assert (await merchant.ask("GET", f"/api/orders/{number}"))[1]["refund_reserved"] == 60


@BOTH
async def test_a_refund_that_waits_is_cancelled_and_its_money_is_refundable_again(
    merchant: RefundMerchant, api: str
) -> None:
    number = await merchant.paid(api)
    merchant.takes()
    await merchant.refund(number, 1)
    _, queued = await merchant.refund(number, 99)
    sent = len(merchant.wechat.asked)
    target = f"/api/refunds/{queued['out_refund_no']}/cancel"
    status, cancelled = await merchant.ask("POST", target)
    assert (status, cancelled["state"], cancelled["due_at"]) == (200, "REFUSED", None)
    assert [line["what"] for line in cancelled["timeline"]] == ["requested", "cancelled"]
    assert await merchant.ask("POST", target) == (200, cancelled)
    assert len(merchant.wechat.asked) == sent
    assert (await merchant.refund(number, 99))[0] == 202


async def test_a_refund_whose_outcome_is_unknown_or_that_wechat_has_is_not_cancelled(merchant: RefundMerchant) -> None:
    number = await merchant.paid("v3")
    merchant.wechat.v3 = lambda data: (500, {"code": "SYSTEM_ERROR", "message": ""})
    _, refund = await merchant.refund(number)
    target = f"/api/refunds/{refund['out_refund_no']}/cancel"
    status, error = await merchant.ask("POST", target)
    assert (status, error["code"]) == (409, "REFUND_OUTCOME_UNKNOWN")
    assert (await merchant.ask("GET", f"/api/orders/{number}"))[1]["refund_reserved"] == 60
    merchant.takes()
    status, error = await merchant.ask("POST", target)
    assert (status, error["code"]) == (409, "REFUND_TAKEN")


async def test_the_same_key_is_one_refund_and_another_wish_a_mismatch(merchant: RefundMerchant) -> None:
    number = await merchant.paid("v3")
    merchant.takes()
    key = {"Idempotency-Key": secrets.token_hex(8)}
    first, again = await merchant.refund(number, **key), await merchant.refund(number, **key)
    assert first == again
    status, error = await merchant.refund(number, 59, **key)
    assert (status, error["code"]) == (422, "IDEMPOTENCY_KEY_REUSED")
    assert len(merchant.wechat.asked) == 1


async def test_more_than_is_left_is_a_conflict(merchant: RefundMerchant) -> None:
    number = await merchant.paid("v3")
    merchant.takes()
    await merchant.refund(number)
    status, error = await merchant.refund(number, 41)
    assert (status, error["code"]) == (409, "NOT_REFUNDABLE")


BAD_BODIES = [
    {},
    {"refund": 60},
    {"reason": "缺货"},
    {"refund": "60", "reason": "缺货"},
    {"refund": 0, "reason": "缺货"},
    {"refund": 101, "reason": "缺货"},
    {"refund": 60, "reason": ""},
    {"refund": 60, "reason": "缺货", "out_refund_no": "a b"},
    {"refund": 60, "reason": "缺货", "total": 100},
]


@pytest.mark.parametrize("body", BAD_BODIES)
async def test_a_bad_body_is_refused_by_name_and_wechat_is_not_called(
    merchant: RefundMerchant, body: dict[str, Any]
) -> None:
    number = await merchant.paid("v3")
    status, error = await merchant.ask("POST", f"/api/orders/{number}/refunds", body)
    assert (status, error.keys() >= {"code", "message", "request_id"}) == (400, True)
    assert await merchant.ask("GET", f"/api/orders/{number}/refunds") == (200, {"refunds": []})
    assert merchant.wechat.asked == []


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("POST", "/api/orders/T00000000000/refunds"),
        ("GET", "/api/orders/T00000000000/refunds"),
        ("GET", "/api/refunds/R00000000000"),
        ("POST", "/api/refunds/R00000000000/query"),
    ],
)
async def test_what_is_not_there_is_not_found_and_a_stranger_is_not_let_in(
    merchant: RefundMerchant, method: str, target: str
) -> None:
    body = {"refund": 60, "reason": "缺货"} if target.endswith("refunds") and method == "POST" else None
    assert (await merchant.ask(method, target, body))[0] == 404
    assert (await merchant.ask(method, target, body, Authorization="Bearer nobody"))[0] == 401


async def test_a_refund_message_is_applied_over_http(merchant: RefundMerchant) -> None:
    number = await merchant.paid("v3")
    merchant.takes()
    _, refund = await merchant.refund(number)
    stored = await merchant.storage.orders.get(order_key(MCHID, number))
    assert stored is not None
    message = v3_refund(merchant.wechat.platform, stored.value.refunds[0])
    async with merchant.session.post(f"{merchant.url}/notify", data=message.body, headers=message.headers) as answer:
        assert (answer.status, (await answer.json())["code"]) == (200, "SUCCESS")
    _, done = await merchant.ask("GET", f"/api/refunds/{refund['out_refund_no']}")
    assert done["state"] == "SUCCESS"
    _, order = await merchant.ask("GET", f"/api/orders/{number}")
    assert [message["kind"] for message in order["notifications"]] == ["refund"]
