"""Refund messages on /notify: v3's are facts, v2's are hints; and money that no goods are given for."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import ECB

from tests.contract.samples import paid
from tests.support.platform import Message, Platform, transaction_id, v2_xml
from tests.support.receiving import KNOWN, World
from tests.support.refund_fixture import lost
from tests.support.refund_notices import v3_refund
from wechat.domain.calls import Exchange
from wechat.domain.errors import Malformed, Mismatch, NotifyError, OutcomeUnknown, SignatureInvalid
from wechat.domain.facts import Api, RefundState
from wechat.domain.orders import Refund, TradeState
from wechat.domain.refunds import WINDOW
from wechat.refunds.late_payments import LatePolicy
from wechat.refunds.requests import RefundRequest


@pytest.fixture
def world(platform: Platform) -> World:
    return World(platform)


async def refunded(world: World, api: Api = Api.V3) -> Refund:
    """A refund of 60 fen of the world's paid order, being processed."""
    order = world.place(paid(replace(world.order, api=api), "42001", world.clock.now()))
    return await world.core.refunds.request(
        order.out_trade_no, RefundRequest(refund=60, reason="缺货"), by="shop", idempotency_key="once"
    )


def seal(plain: bytes, key: str = KNOWN["api_v2_key"]) -> str:
    """``req_info`` by the rule of the document, without the service's cipher."""
    padding = 16 - len(plain) % 16
    encryptor = Cipher(AES256(hashlib.md5(key.encode()).hexdigest().encode()), ECB()).encryptor()  # noqa: S305, S324
    return base64.b64encode(encryptor.update(plain + bytes([padding]) * padding) + encryptor.finalize()).decode()


def v2_plain(refund: Refund, state: str = "SUCCESS", **changed: str) -> bytes:
    fields = {
        "out_refund_no": refund.out_refund_no,
        "out_trade_no": refund.out_trade_no,
        "refund_account": "REFUND_SOURCE_RECHARGE_FUNDS",
        "refund_fee": str(refund.refund),
        "refund_id": "50300001",
        "refund_recv_accout": "支付用户零钱",
        "refund_request_source": "API",
        "refund_status": state,
        "success_time": "2026-03-01 12:05:06",
        "total_fee": str(refund.total),
        "transaction_id": refund.transaction_id,
    }
    rows = "\n".join(f"<{name}><![CDATA[{value}]]></{name}>" for name, value in (fields | changed).items())
    return f"<root>\n{rows}\n</root>".encode()


def v2_message(req_info: str, **changed: str) -> Message:
    fields = {"return_code": "SUCCESS", "appid": KNOWN["appid"], "mch_id": KNOWN["mchid"], "nonce_str": "n1"}
    return Message(v2_xml(fields | {"req_info": req_info} | changed), {"Content-Type": "text/xml"})


# -- v3 ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["SUCCESS", "ABNORMAL", "CLOSED"])
async def test_a_v3_refund_message_is_applied_once_however_often_it_comes(world: World, state: str) -> None:
    refund = await refunded(world)
    message = v3_refund(world.platform, refund, state)
    for _ in range(5):
        await world.receive(message)
    stored = world.backend.refunds[refund.out_refund_no]
    assert (stored.state, stored.refund_id) == (RefundState(state), "50300001")
    assert [event.what for event in stored.timeline].count(state.lower()) == 1
    assert world.seen == [5]
    assert world.refund_gateway.calls == [f"refund {refund.out_refund_no}"]


@pytest.mark.parametrize(
    ("reason", "changed"),
    [
        ("refund", {"amount": {"total": 100, "refund": 59}}),
        ("refund_total", {"amount": {"total": 99, "refund": 60}}),
        ("mchid", {"mchid": "1900000999"}),
        ("out_trade_no", {"out_trade_no": "20260301999999zzz"}),
        ("unknown_refund", {"out_refund_no": "made-in-the-console"}),
    ],
)
async def test_a_v3_refund_that_is_not_ours_is_recorded_refused_and_alarmed_once(
    world: World, reason: str, changed: dict[str, Any]
) -> None:
    """J10 for unknown_refund: the bill books it."""
    refund = await refunded(world)
    message = v3_refund(world.platform, refund, **changed)
    for _ in range(15):
        with pytest.raises(Mismatch) as wrong:
            await world.receive(message)
        assert (wrong.value.reason, wrong.value.status) == (reason, 409)
    assert world.backend.refunds[refund.out_refund_no] == refund
    assert (world.seen, world.alarms(f"notify_{reason}")) == ([15], 1)


@pytest.mark.parametrize(
    "changed",
    [
        {"refund_status": "DONE"},
        {"refund_status": None},
        {"event_type": "REFUND.CLOSED"},
        {"event_type": "REFUND.PROCESSING"},
        {"refund_id": None},
        {"out_refund_no": ""},
        {"mchid": None},
        {"amount": None},
        {"amount": {"total": 100, "refund": "60"}},
        {"amount": {"total": 100, "refund": True}},
        {"amount": {"total": 100, "refund": 0}},
        {"success_time": "yesterday"},
    ],
)
async def test_a_v3_refund_with_a_broken_field_is_malformed(world: World, changed: dict[str, Any]) -> None:
    refund = await refunded(world)
    with pytest.raises(Malformed):
        await world.receive(v3_refund(world.platform, refund, **changed))
    assert world.backend.refunds[refund.out_refund_no] == refund
    assert not world.backend.messages


async def test_a_refund_announced_as_a_payment_is_malformed(world: World) -> None:
    """B11."""
    refund = await refunded(world)
    with pytest.raises(Malformed):
        await world.receive(v3_refund(world.platform, refund, event_type="TRANSACTION.SUCCESS"))


# -- v2 ----------------------------------------------------------------------------------------------------------------


async def test_a_v2_refund_message_is_a_reason_to_ask_and_the_answer_counts(world: World) -> None:
    refund = await refunded(world, Api.V2)
    world.refund_gateway.turns_out(refund, RefundState.CLOSED)
    await world.receive(v2_message(seal(v2_plain(refund, "SUCCESS"))))
    assert world.backend.refunds[refund.out_refund_no].state is RefundState.CLOSED
    assert world.refund_gateway.calls[-1] == f"query {refund.out_refund_no}"


async def test_a_v2_refund_message_about_a_refund_that_was_refused_here_brings_to_light_that_wechat_made_it(
    world: World,
) -> None:
    refund = await refunded(world, Api.V2)
    order = world.stored
    world.place(replace(order, refunds=(replace(refund, state=RefundState.REFUSED, next_check_at=None),)))
    world.refund_gateway.turns_out(refund, RefundState.SUCCESS)
    with pytest.raises(Mismatch) as wrong:
        await world.receive(v2_message(seal(v2_plain(refund))))
    assert wrong.value.reason == "refund_ended"


async def test_a_v2_refund_message_about_a_refund_that_succeeded_asks_nobody(world: World) -> None:
    """No query is sent: the message is unsigned and undated, so anyone who has seen it can repeat it for ever."""
    refund = await refunded(world, Api.V2)
    world.refund_gateway.turns_out(refund, RefundState.SUCCESS)
    message = v2_message(seal(v2_plain(refund)))
    for _ in range(5):
        await world.receive(message)
    assert world.refund_gateway.calls == [f"{what} {refund.out_refund_no}" for what in ("refund", "query")]


async def test_a_v2_refund_message_is_not_acknowledged_while_wechat_does_not_answer(world: World) -> None:
    refund = await refunded(world, Api.V2)
    world.refund_gateway.before = [lost("refundquery")]
    with pytest.raises(OutcomeUnknown):
        await world.receive(v2_message(seal(v2_plain(refund))))
    assert world.backend.refunds[refund.out_refund_no].state is RefundState.PROCESSING


async def test_fifty_splices_of_two_genuine_v2_messages_change_nothing(world: World) -> None:
    """A15: ECB lets blocks be put together anew, so what a message says is not believed."""
    refund = await refunded(world, Api.V2)
    one, two = (base64.b64decode(seal(v2_plain(refund, state))) for state in ("SUCCESS", "CHANGE"))
    before = world.backend.refunds[refund.out_refund_no]
    for splice in range(50):
        pattern = (splice + 1) * 0x9E3779B9  # any bits that differ from splice to splice
        blocks = [(one, two)[pattern >> i & 1][16 * i : 16 * i + 16] for i in range(min(len(one), len(two)) // 16)]
        try:
            await world.receive(v2_message(base64.b64encode(b"".join(blocks)).decode()))
        except NotifyError:
            continue
    assert world.backend.refunds[refund.out_refund_no] == before


@pytest.mark.parametrize(
    "req_info",
    [
        "not base64!",
        "AAAA",
        "",
        seal(b"<root/>"),
        seal(b"<xml><out_refund_no>R123456</out_refund_no></xml>"),
        seal(b"<!DOCTYPE root><root><out_refund_no>R123456</out_refund_no></root>"),
        seal(b"<root><out_refund_no>a.b$c123</out_refund_no><out_trade_no>20260301120506abc</out_trade_no></root>"),
        seal(b"<root><out_refund_no>R123456</out_refund_no></root>"),
        seal(b"<root><out_refund_no>R123456</out_refund_no></root>", "another-key-another-key-another-"),
        base64.b64encode(bytes(48)).decode(),
    ],
)
async def test_a_v2_refund_message_that_does_not_open_is_malformed(world: World, req_info: str) -> None:
    """A15."""
    with pytest.raises(Malformed):
        await world.receive(v2_message(req_info))
    assert not world.backend.messages
    assert world.refund_gateway.calls == []


async def test_a_v2_refund_message_to_another_merchant_is_refused(world: World) -> None:
    refund = await refunded(world, Api.V2)
    with pytest.raises(SignatureInvalid):
        await world.receive(v2_message(seal(v2_plain(refund)), mch_id="1900000999"))


async def test_a_v2_message_of_an_unknown_refund_is_alarmed_once_and_asks_nobody(world: World) -> None:
    refund = await refunded(world, Api.V2)
    message = v2_message(seal(v2_plain(refund, out_refund_no="made-in-the-console")))
    for _ in range(3):
        with pytest.raises(Mismatch):
            await world.receive(message)
    assert world.alarms("notify_unknown_refund") == 1
    assert world.refund_gateway.calls == [f"refund {refund.out_refund_no}"]


async def test_a_payment_with_a_req_info_pays_nothing(world: World) -> None:
    fields = world.platform.v2_fields(world.wanted, req_info="AAAA")
    with pytest.raises(Malformed):
        await world.receive(world.platform.v2_signed(fields))
    assert world.state is TradeState.NOTPAY


# -- money without goods -----------------------------------------------------------------------------------------------


async def look(world: World) -> None:
    """The workers do what is due: the orders, and then the refunds that came of it."""
    await world.core.do_due_work()


@pytest.fixture
def auto_refund(platform: Platform) -> World:
    """The policy is ``refund``, and the order is closed."""
    world = World(platform, LatePolicy.REFUND)
    world.order = world.place(replace(world.order, trade_state=TradeState.CLOSED, next_check_at=None))
    return world


async def test_a_late_payment_goes_back_whole_and_once(auto_refund: World) -> None:
    """J2."""
    message = auto_refund.write("v3", transaction_id="42009")
    for _ in range(5):
        await auto_refund.receive(message)
        await look(auto_refund)
    [refund] = auto_refund.backend.refunds.values()
    assert (refund.refund, refund.transaction_id, refund.state) == (100, "42009", RefundState.PROCESSING)
    assert auto_refund.refund_gateway.calls == [f"refund {refund.out_refund_no}"]
    assert auto_refund.state is TradeState.REFUND
    assert auto_refund.events.count("money_goes_back") == 1


async def test_who_died_before_noting_it_returns_a_late_payment_once_all_the_same(auto_refund: World) -> None:
    await auto_refund.receive(auto_refund.write("v3"))
    due = auto_refund.stored
    for _ in range(3):
        await auto_refund.core.late_payments.refund_late(due)
        auto_refund.clock.advance(61)
    await look(auto_refund)
    assert len(auto_refund.refund_gateway.taken) == 1
    assert len(auto_refund.backend.refunds) == 1


async def test_a_payment_by_another_payer_goes_back(platform: Platform) -> None:
    world = World(platform, LatePolicy.REFUND)
    await world.receive(world.write("v3", payer={"openid": "osim-b"}))
    await look(world)
    assert [refund.refund for refund in world.backend.refunds.values()] == [100]


async def test_a_late_payment_waits_for_an_operator_where_the_policy_is_to_ask(world: World) -> None:
    world.order = world.place(replace(world.order, trade_state=TradeState.CLOSED, next_check_at=None))
    for _ in range(3):
        await world.receive(world.write("v2", transaction_id="42009"))
        await look(world)
    assert (world.state, world.backend.refunds) == (TradeState.PAID_LATE, {})
    assert (world.events.count("needs_operator"), world.alarms("paid_late")) == (1, 1)
    refund = await world.core.refunds.request(
        world.order.out_trade_no, RefundRequest(refund=100, reason="晚到"), by="shop", idempotency_key="once"
    )
    assert refund.state is RefundState.PROCESSING


async def test_a_late_payment_that_cannot_go_back_waits_for_an_operator(auto_refund: World) -> None:
    await auto_refund.receive(auto_refund.write("v3"))
    auto_refund.clock.advance(WINDOW.total_seconds() + 60)
    await look(auto_refund)
    assert (auto_refund.state, auto_refund.events[-1]) == (TradeState.PAID_LATE, "needs_operator")
    assert auto_refund.alarms("late_money_kept") == 1


async def test_a_second_payment_goes_back_whole_and_once_and_the_first_stays(platform: Platform) -> None:
    """D8."""
    world, second = World(platform, LatePolicy.REFUND), transaction_id()
    await world.receive(world.write("v3", transaction_id="42001"))
    message = world.write("v3", transaction_id=second)
    for _ in range(15):
        with pytest.raises(Mismatch):
            await world.receive(message)
        await look(world)
    [refund] = world.backend.refunds.values()
    assert (refund.refund, refund.transaction_id, refund.surplus) == (100, second, True)
    assert world.alarms("notify_second_payment") == 1
    first = world.backend.orders[world.order.out_trade_no]
    assert (first.trade_state, first.transaction_id, first.refund_reserved) == (TradeState.SUCCESS, "42001", 0)
    await world.receive(v3_refund(platform, refund, amount={"total": 100, "refund": 100}))
    own = await world.core.refunds.request(
        first.out_trade_no, RefundRequest(refund=100, reason="缺货"), by="shop", idempotency_key="once"
    )
    assert own.open  # the order's own money is untouched


async def test_a_second_payment_waits_for_an_operator_where_the_policy_is_to_ask(world: World) -> None:
    await world.receive(world.write("v3", transaction_id="42001"))
    with pytest.raises(Mismatch):
        await world.receive(world.write("v3"))
    assert world.backend.refunds == {}


async def test_a_v2_refund_message_is_recorded_as_unsigned(world: World) -> None:
    refund = await refunded(world)
    exchanges: list[Exchange] = []
    world.core.receiver.on_exchange = exchanges.append
    await world.receive(v2_message(seal(v2_plain(refund))))
    assert [(exchange.verdict, exchange.out_trade_no) for exchange in exchanges] == [
        ("unsigned", world.order.out_trade_no)
    ]
