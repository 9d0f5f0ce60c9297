"""/notify from outside: the answer table, and an attack on it."""

from __future__ import annotations

import asyncio
import base64
import json
import random
from typing import Any

import pytest

from storage.embedded.servers import EmbeddedMongo
from storage.stores.all import REFUSED
from tests.http.client import MERCHANT, Response, Shop
from tests.support.keys import key
from tests.support.platform import Message, Platform, an_order, transaction_id
from tests.support.receiving import MALFORMED, MISMATCHES
from tests.support.service import ServiceProcess
from tests.support.stored import lasting_sizes, order_document

V2_OK = b"<xml><return_code><![CDATA[SUCCESS]]></return_code><return_msg><![CDATA[OK]]></return_msg></xml>"
BOTH = pytest.mark.parametrize("api", ["v2", "v3"])


def write(platform: Platform, api: str, order: dict[str, Any], **changed: Any) -> Message:
    return platform.v2(order, **changed) if api == "v2" else platform.v3(order, **changed)


def stored_sizes(url: str) -> dict[str, int]:
    """The number of documents of each collection, without refused notifications and recorded calls, which are limited."""
    return {name: size for name, size in lasting_sizes(url).items() if name != REFUSED}


def failed(response: Response, status: int, api: str) -> bool:
    """FAIL in the API's own form, with this status, and nothing of the message in it."""
    if response.status != status:
        return False
    if api == "v2":
        return response.body.startswith(b"<xml><return_code><![CDATA[FAIL]]></return_code>")
    return bool(response.json()["code"] == "FAIL")


@BOTH
async def test_a_genuine_payment_is_answered_in_its_own_language_after_it_is_stored(
    shop: Shop, platform: Platform, mongo: EmbeddedMongo, api: str
) -> None:
    order = await shop.sold(api=api)
    response = await shop.notify(write(platform, api, order))
    stored = order_document(mongo.url, order["out_trade_no"])
    assert response.status == 200
    assert response.body == V2_OK if api == "v2" else response.json()["code"] == "SUCCESS"
    assert stored["trade_state"] == "SUCCESS"
    assert stored["sequence"] == 1  # one event


@BOTH
async def test_duplicates_at_once_to_two_processes_are_one_effect(
    shop: Shop, platform: Platform, pair: tuple[ServiceProcess, ServiceProcess], mongo: EmbeddedMongo, api: str
) -> None:
    orders = [await shop.sold(api=api) for _ in range(10)]
    messages = [write(platform, api, order) for order in orders]
    sends = [
        shop.notify(message, f"{process.url}/notify") for message in messages for _ in range(10) for process in pair
    ]
    random.Random(1).shuffle(sends)
    responses = await asyncio.gather(*sends)
    assert {answer.status for answer in responses} == {200}
    for order in orders:
        stored = order_document(mongo.url, order["out_trade_no"])
        assert (stored["trade_state"], stored["sequence"]) == ("SUCCESS", 1)
        assert [line["what"] for line in stored["timeline"]].count("paid") == 1
        [message] = (await shop.stored(order["out_trade_no"]))["notifications"]
        assert message["seen"] == 20


async def test_the_same_payment_with_another_notification_id_is_one_effect(
    shop: Shop, platform: Platform, mongo: EmbeddedMongo
) -> None:
    order, number = await shop.sold(), transaction_id()
    for _ in range(3):
        assert (await shop.notify(platform.v3(order, transaction_id=number))).status == 200
    assert (await shop.notify(platform.v2(order, transaction_id=number))).status == 200
    assert order_document(mongo.url, order["out_trade_no"])["sequence"] == 1


@pytest.mark.parametrize(("api", "reason", "changed"), MISMATCHES)
async def test_a_mismatch_is_a_409_that_is_recorded_and_pays_nothing(
    shop: Shop, platform: Platform, api: str, reason: str, changed: dict[str, Any]
) -> None:
    order = await shop.sold(api=api, total=100)
    message = write(platform, api, order, **changed)
    for _ in range(3):
        assert failed(await shop.notify(message), 409, api)
    stored = await shop.stored(order["out_trade_no"])
    assert stored["trade_state"] == "NOTPAY"
    if reason != "unknown_order":
        [recorded] = stored["notifications"]
        assert (recorded["seen"], recorded["verdict"]) == (3, reason)


@pytest.mark.parametrize(("api", "changed"), MALFORMED)
async def test_a_broken_field_is_a_400(shop: Shop, platform: Platform, api: str, changed: dict[str, Any]) -> None:
    assert failed(await shop.notify(write(platform, api, an_order(), **changed)), 400, api)


@BOTH
async def test_another_orders_transaction_is_a_409(shop: Shop, platform: Platform, api: str) -> None:
    mine, other = await shop.sold(api=api, total=1), await shop.sold(api=api, total=1)
    number = transaction_id()
    assert (await shop.notify(write(platform, api, mine, transaction_id=number))).status == 200
    assert failed(await shop.notify(write(platform, api, other, transaction_id=number)), 409, api)
    assert await shop.state(other["out_trade_no"]) == "NOTPAY"


@BOTH
async def test_a_second_payment_is_a_409_and_the_first_stays(shop: Shop, platform: Platform, api: str) -> None:
    order = await shop.sold(api=api)
    await shop.notify(write(platform, api, order))
    paid = await shop.stored(order["out_trade_no"])
    assert failed(await shop.notify(write(platform, api, order)), 409, api)
    assert (await shop.stored(order["out_trade_no"]))["transaction_id"] == paid["transaction_id"]


@BOTH
async def test_money_for_a_closed_order_is_taken_and_told(shop: Shop, platform: Platform, api: str) -> None:
    order = await shop.sold(api="v3")
    closed = await shop.ask("POST", f"/api/orders/{order['out_trade_no']}/close", headers=MERCHANT)
    assert closed.json()["trade_state"] == "CLOSED"
    assert (await shop.notify(write(platform, api, order))).status == 200
    assert await shop.state(order["out_trade_no"]) == "PAID_LATE"


# forged --------------------------------------------------------------------------------------------------------------


def forgeries(platform: Platform, order: dict[str, Any]) -> list[tuple[str, str, Message]]:
    """Forged messages of an attacker who knows everything but the keys: API version, name and message of each."""
    v2, body = platform.v2_fields(order), platform.v3_body(order)
    genuine = platform.v3_signed(body)
    signature = genuine.headers["Wechatpay-Signature"]
    junk = base64.b64encode(bytes(256)).decode()
    return [
        (
            "v2",
            "no signature",
            Message(platform.v2_signed(v2).body.replace(b"<sign>", b"<sing>").replace(b"</sign>", b"</sing>")),
        ),
        ("v2", "wrong key", platform.v2_signed(v2, key="0" * 32)),
        ("v2", "MD5 with the wrong key", platform.v2_signed(v2, "MD5", key="0" * 32)),
        ("v2", "the v3 key", platform.v2_signed(v2, key=platform.known["api_v3_key"])),
        (
            "v2",
            "not ASCII",
            Message(platform.v2_signed(v2).body.replace(b"<sign><![CDATA[", "<sign><![CDATA[签名".encode())),
        ),
        ("v2", "two signatures", Message(platform.v2_signed(v2).body.replace(b"</xml>", b"<sign>x</sign></xml>"))),
        (
            "v2",
            "unsigned FAIL",
            Message(
                f"<xml><return_code>FAIL</return_code><out_trade_no>{order['out_trade_no']}</out_trade_no></xml>".encode()
            ),
        ),
        ("v3", "another key", platform.v3_signed(body, key=key("stranger"))),
        ("v3", "unknown serial", platform.v3_signed(body, key=key("stranger"), serial="0123456789ABCDEF")),
        ("v3", "unknown public key", platform.v3_signed(body, key=key("stranger"), serial="PUB_KEY_ID_999")),
        ("v3", "empty serial", platform.v3_signed(body, Wechatpay_Serial="")),
        ("v3", "zeros", platform.v3_signed(body, Wechatpay_Signature=junk)),
        ("v3", "probe", platform.v3_signed(body, Wechatpay_Signature=f"WECHATPAY/SIGNTEST/{junk[:300]}")),
        ("v3", "not base64", platform.v3_signed(body, Wechatpay_Signature="!!!")),
        ("v3", "not ASCII", platform.v3_signed(body, Wechatpay_Signature="é" * 20)),
        ("v3", "stale", platform.v3_signed(body, skew_s=-301)),
        ("v3", "ahead", platform.v3_signed(body, skew_s=330)),  # far enough ahead to be still ahead when it is sent
        ("v3", "old", platform.v3_signed(body, skew_s=-864_000)),
        ("v3", "another nonce", platform.v3_signed(body, Wechatpay_Nonce="x")),
        (
            "v3",
            "another time",
            platform.v3_signed(body, Wechatpay_Timestamp=str(int(genuine.headers["Wechatpay-Timestamp"]) - 1)),
        ),
        ("v3", "a changed body", Message(body.replace(b"TRANSACTION", b"transaction"), genuine.headers)),
        ("v3", "two signatures", Message(body, genuine.headers | {"Wechatpay-Signature": f"{signature},{signature}"})),
        ("v3", "no algorithm", platform.v3_signed(body, Wechatpay_Signature_Type="NONE")),
        ("v3", "v2's body under v3's headers", Message(platform.v2_signed(v2).body, platform.v3_signed(body).headers)),
    ]


async def test_no_forgery_is_accepted_and_none_moves_the_order(shop: Shop, platform: Platform) -> None:
    order = await shop.sold()
    before = await shop.stored(order["out_trade_no"])
    for api, name, message in forgeries(platform, order):
        response = await shop.notify(message)
        assert failed(response, 401, api) or failed(response, 400, api), (api, name, response)
        assert response.status == 401 or name == "two signatures", (api, name, response)
    assert await shop.stored(order["out_trade_no"]) == before


@pytest.mark.parametrize(
    "headers",
    [{"Host": "localhost"}, {"Host": "127.0.0.1"}, {"Host": ""}, {"X-Forwarded-Host": "localhost"}, {"X-Real-IP": "101.226.103.5"},
     {"X-Forwarded-For": "101.226.103.5"}, {"User-Agent": "Mozilla/4.0"}, {"Forwarded": "for=127.0.0.1"}, {"X-Debug": "1"}],
)  # fmt: skip
@pytest.mark.parametrize("target", ["/notify", "/notify?debug=1", "/notify?verify=false"])
async def test_no_header_and_no_query_lets_a_forgery_in(
    shop: Shop, platform: Platform, headers: dict[str, str], target: str
) -> None:
    order = an_order()
    for forged in (
        platform.v3_signed(platform.v3_body(order), key=key("stranger")),
        platform.v2_signed(platform.v2_fields(order), key="0" * 32),
    ):
        assert (await shop.notify(forged, target, **headers)).status in (400, 401)


@pytest.mark.parametrize("left", [1, 2, 3])
async def test_a_mixture_of_both_apis_headers_is_a_401(shop: Shop, platform: Platform, left: int) -> None:
    order = await shop.sold(api="v2")
    signing = [name for name in platform.v3(order).headers if name.startswith("Wechatpay-")][:left]
    some = {name: value for name, value in platform.v3(order).headers.items() if name in signing}
    response = await shop.notify(Message(platform.v2(order).body, some))
    assert (response.status, response.json()["code"]) == (401, "FAIL")
    assert await shop.state(order["out_trade_no"]) == "NOTPAY"


async def test_a_replay_after_the_window_is_refused_and_within_it_harmless(shop: Shop, platform: Platform) -> None:
    order = await shop.sold()
    message = platform.v3(order)
    assert [(await shop.notify(message)).status for _ in range(5)] == [200] * 5
    body = platform.v3_body(order)
    assert (await shop.notify(platform.v3_signed(body, skew_s=-600))).status == 401


async def test_ten_thousand_forged_serials_do_not_make_us_ask_wechat(shop: Shop, platform: Platform) -> None:
    def downloads() -> int:
        return int(shop.simulator.control("GET", "stats")["served"].get("/v3/certificates", 0))

    order = await shop.sold()
    before = downloads()
    body = platform.v3_body(order)
    forged = [platform.v3_signed(body, key=key("stranger"), serial=f"{i:040X}") for i in range(200)]
    responses = await asyncio.gather(*(shop.notify(message) for message in forged))
    assert {answer.status for answer in responses} == {401}
    assert downloads() - before <= 1
    assert (
        await shop.notify(
            platform.v3_signed(
                platform.v3_body(order), key=platform.certificate_key, serial=platform.known["platform_serial_no"]
            )
        )
    ).status == 200


# mutated -------------------------------------------------------------------------------------------------------------


def mutations(genuine: bytes, seed: int, count: int) -> list[bytes]:
    """Bodies near a genuine one: flipped, cut, spliced, repeated, stuffed."""
    chance = random.Random(seed)
    stuffing = [
        b"",
        b"\x00",
        b"\xff\xfe",
        b"<!DOCTYPE x>",
        b"<!-- -->",
        b'"',
        b"{",
        b"[" * 5000,
        b"&e;",
        b"]]>",
        "签".encode(),
        b"9" * 400,
        b"\xef\xbb\xbf",
    ]
    made = []
    for _ in range(count):
        at, end = sorted(chance.randrange(len(genuine) + 1) for _ in range(2))
        how = chance.randrange(5)
        if how == 0 and at < len(genuine):
            flipped = bytearray(genuine)
            flipped[at] ^= 1 << chance.randrange(8)
            made.append(bytes(flipped))
        elif how == 1:
            made.append(genuine[:at])
        elif how == 2:
            made.append(genuine[:at] + genuine[end:])
        elif how == 3:
            made.append(genuine[:end] + genuine[at:])
        else:
            made.append(genuine[:at] + chance.choice(stuffing) + genuine[at:])
    return [body for body in made if body != genuine]


FIXED = [
    b"", b"[]", b"null", b'"x"', b"NaN", b"1e400", b"{}", b"[" * 5000, b"[" * 60_000, b'{"a":1,"a":2}', b'{"id":"\\ud800"}', b'{"n":' + b"9" * 5000 + b"}",
    b'{"$gt":""}', b'{"a\\u0000":1}', '{"a":1}'.encode("utf-16"), b"<xml/>", b"<xml>x</xml>", b"<xml><sign/></xml>", b"<xml><sign></sign></xml>",
    b"<xml><sign>" + b"A" * 60_000 + b"</sign></xml>", b"<xml><total_fee>abc</total_fee></xml>", b"\x1f\x8b\x08", b"\x00" * 100,
    b'<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/hostname">]><xml><a>&e;</a></xml>',
]  # fmt: skip


@BOTH
async def test_a_corpus_of_mutated_messages_is_refused_quietly(
    shop: Shop, platform: Platform, mongo: EmbeddedMongo, api: str
) -> None:
    order = await shop.sold(api=api, total=100)
    genuine = write(platform, api, order)
    before = (stored_sizes(mongo.url), await shop.stored(order["out_trade_no"]))
    unharmed = []  # a mutation of v2 outside every signed value is the same message
    for seed in range(12):
        bodies = [*mutations(genuine.body, seed, 50), *(FIXED if not seed else [])]
        for body, response in zip(
            bodies, await asyncio.gather(*(shop.notify(Message(body, genuine.headers)) for body in bodies)), strict=True
        ):
            if response.status == 200:
                unharmed.append(body)
            else:
                assert failed(response, 400, api) or failed(response, 401, api), (body, response)
    assert unharmed == []
    assert (stored_sizes(mongo.url), await shop.stored(order["out_trade_no"])) == before
    assert (await shop.notify(write(platform, api, order))).status == 200


@pytest.mark.parametrize(
    "kind",
    [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data",
        "multipart/form-data; boundary=x",
        "application/json; charset=utf-16",
        "x",
    ],
)
@BOTH
async def test_another_content_type_never_breaks_anything(shop: Shop, platform: Platform, api: str, kind: str) -> None:
    response = await shop.notify(write(platform, api, await shop.sold(api=api)), **{"Content-Type": kind})
    assert response.status in (200, 400)


async def test_genuine_messages_among_forged_ones_are_all_accepted(shop: Shop, platform: Platform) -> None:
    orders = [await shop.sold(api=api) for api in ("v2", "v3") for _ in range(10)]
    stranger = key("stranger")
    messages = [write(platform, order["api"], order) for order in orders]
    forged = [platform.v3_signed(platform.v3_body(order), key=stranger) for order in orders for _ in range(10)]
    sent = [*messages, *forged]
    responses = await asyncio.gather(*(shop.notify(message) for message in sent))
    assert [answer.status for answer in responses[: len(messages)]] == [200] * len(messages)
    assert {answer.status for answer in responses[len(messages) :]} == {401}


async def test_no_answer_shows_anything_of_the_message(shop: Shop, platform: Platform) -> None:
    order = an_order(out_trade_no="CANARY0123456789")
    for message in (
        platform.v2(order),
        platform.v3(order),
        Message(b"<xml><CANARY>1</CANARY>"),
        Message(b'{"CANARY":1}'),
    ):
        response = await shop.notify(message)
        assert b"CANARY" not in response.body
        assert "CANARY" not in json.dumps(dict(response.headers))


async def test_no_cookie_and_no_token_is_needed_where_wechat_reports(shop: Shop, platform: Platform) -> None:
    await shop.log_in()
    response = await shop.notify(platform.v3(await shop.sold()))
    assert response.status == 200
    assert "Set-Cookie" not in response.headers
