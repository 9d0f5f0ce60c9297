"""The gate of /notify: which messages become facts, and what facts do to an order."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any

import pytest
from multidict import CIMultiDict

from storage.stores.all import NOTIFICATIONS, NUMBERS, ORDERS
from tests.contract.samples import an_order
from tests.support.keys import key
from tests.support.platform import Message, Platform, transaction_id
from tests.support.receiving import COUPON_V3, KNOWN, MALFORMED, MISMATCHES, World, v3_amount
from wechat.domain.errors import (
    FenpayError,
    GatewayRefused,
    Malformed,
    Mismatch,
    NotifyError,
    NotSent,
    OutcomeUnknown,
    SignatureInvalid,
    StoreUnavailable,
    Unconfirmed,
)
from wechat.domain.facts import RemoteState, Transaction
from wechat.domain.metrics import Metric
from wechat.domain.orders import Order, TimelineEntry, TradeState
from wechat.domain.times import BEIJING
from wechat.domain.transitions import close


@pytest.fixture
def world(platform: Platform) -> World:
    return World(platform)


BOTH = pytest.mark.parametrize("api", ["v2", "v3"])


@BOTH
async def test_a_genuine_payment_pays_the_order_and_tells_the_outbox(world: World, api: str) -> None:
    await world.receive(world.write(api))
    assert world.state is TradeState.SUCCESS
    assert world.backend.staged == [(world.order.out_trade_no, "order.paid")]


@BOTH
async def test_repeated_a_thousand_times_it_pays_once(world: World, api: str) -> None:
    message = world.write(api)
    for _ in range(1000):
        await world.receive(message)
    assert world.backend.staged == [(world.order.out_trade_no, "order.paid")]
    assert world.events.count("paid") == 1
    assert world.seen == [1000]


async def test_a_defect_is_not_counted_as_a_message_that_was_applied(world: World) -> None:
    def defect(before: Order | None, after: Order) -> None:
        raise RuntimeError("a defect")

    world.core.updates.observers = (defect,)
    with pytest.raises(RuntimeError):
        await world.receive(world.write("v3"))
    counted = world.backend.telemetry.counted
    assert (counted[(Metric.NOTIFICATIONS, "v3", "failed")], counted[(Metric.NOTIFICATIONS, "v3", "applied")]) == (1, 0)


async def test_the_same_payment_by_both_apis_is_one_effect(world: World) -> None:
    number = transaction_id()
    await world.receive(world.write("v2", transaction_id=number))
    await world.receive(world.write("v3", transaction_id=number))
    assert len(world.backend.staged) == 1


async def test_both_kinds_of_v2_signature_are_taken(world: World) -> None:
    await world.receive(world.platform.v2(world.wanted, kind="MD5"))
    assert world.state is TradeState.SUCCESS


async def test_a_platform_certificate_signs_as_well_as_the_public_key(world: World) -> None:
    body = world.platform.v3_body(world.wanted)
    await world.receive(world.platform.v3_signed(body, key=world.platform.certificate_key, serial="AB01"))
    assert world.state is TradeState.SUCCESS


@pytest.mark.parametrize(
    ("api", "changed"), [("v2", {"cash_fee": "80", "coupon_fee": "20"}), ("v3", {"amount": COUPON_V3})]
)
async def test_a_coupon_does_not_make_an_order_unpaid(world: World, api: str, changed: dict[str, Any]) -> None:
    await world.receive(world.write(api, **changed))
    assert world.stored.payer_total == 80
    assert world.state is TradeState.SUCCESS


@pytest.mark.parametrize(("api", "reason", "changed"), MISMATCHES)
async def test_what_does_not_match_our_order_is_recorded_refused_and_alarmed_once(
    world: World, api: str, reason: str, changed: dict[str, Any]
) -> None:
    message = world.write(api, **changed)
    for _ in range(15):
        with pytest.raises(Mismatch) as refused:
            await world.receive(message)
        assert (refused.value.reason, refused.value.status) == (reason, 409)
    assert world.stored == world.order
    assert world.seen == [15]
    assert world.verdicts == [reason]
    assert world.alarms(f"notify_{reason}") == 1


@pytest.mark.parametrize(("api", "changed"), MALFORMED)
async def test_a_genuine_message_with_a_broken_field_is_malformed(
    world: World, api: str, changed: dict[str, Any]
) -> None:
    with pytest.raises(Malformed):
        await world.receive(world.write(api, **changed))
    assert world.stored == world.order
    assert not world.backend.messages


@pytest.mark.parametrize("amount", [2**63, -1, "80", 80.0, True, None])
async def test_an_odd_payer_total_is_only_not_told(world: World, amount: Any) -> None:
    await world.receive(world.write("v3", **v3_amount(payer_total=amount)))
    assert world.stored.payer_total is None


async def test_a_failed_v2_payment_is_acknowledged_and_pays_nothing(world: World) -> None:
    await world.receive(world.write("v2", result_code="FAIL", err_code="SYSTEMERROR", transaction_id="", total_fee=""))
    assert world.state is TradeState.NOTPAY
    assert world.verdicts == ["not_paid"]


@pytest.mark.parametrize(
    "changed", [{"out_trade_no": "20260301120506abc", "total_fee": "100", "result_code": "SUCCESS"}]
)
@pytest.mark.parametrize(
    "more", [{}, {"sign_type": "MD5"}, {"sign": ""}, {"return_code": "FAIL"}, {"return_code": "SUCCESS"}]
)
async def test_a_message_without_a_signature_proves_nothing(
    world: World, changed: dict[str, str], more: dict[str, str]
) -> None:
    rows = "".join(f"<{name}>{value}</{name}>" for name, value in {**changed, **more}.items())
    with pytest.raises(SignatureInvalid):
        await world.receive(Message(f"<xml>{rows}</xml>".encode()))
    assert world.stored == world.order


@pytest.mark.parametrize("wrong", ["v3 key", "none", "short"])
async def test_a_v2_message_signed_with_another_key_proves_nothing(world: World, wrong: str) -> None:
    other = {"v3 key": KNOWN["api_v3_key"], "none": "None", "short": "0"}[wrong]
    with pytest.raises(SignatureInvalid):
        await world.receive(world.platform.v2_signed(world.platform.v2_fields(world.wanted), key=other))


@pytest.mark.parametrize("name", ["Wechatpay-Signature", "Wechatpay-Timestamp", "Wechatpay-Nonce", "Wechatpay-Serial"])
@pytest.mark.parametrize("how", ["missing", "empty", "twice", "long"])
async def test_each_v3_header_counts(world: World, name: str, how: str) -> None:
    message = world.write("v3")
    value = message.headers.pop(name)
    changed = {"missing": {}, "empty": {name: ""}, "twice": {name: f"{value},{value}"}, "long": {name: value * 100}}[
        how
    ]
    with pytest.raises(SignatureInvalid):
        await world.receive(Message(message.body, message.headers | changed))


@pytest.mark.parametrize("kind", ["NONE", "", "WECHATPAY2-SM2-WITH-SM3", "wechatpay2-sha256-rsa2048", "RSA"])
async def test_another_signature_type_is_refused(world: World, kind: str) -> None:
    with pytest.raises(SignatureInvalid):
        await world.receive(
            world.platform.v3_signed(world.platform.v3_body(world.wanted), Wechatpay_Signature_Type=kind)
        )


async def test_the_signature_type_may_be_missing_or_right(world: World) -> None:
    body = world.platform.v3_body(world.wanted)
    await world.receive(world.platform.v3_signed(body, Wechatpay_Signature_Type="WECHATPAY2-SHA256-RSA2048"))
    assert world.state is TradeState.SUCCESS


@pytest.mark.parametrize("skew_s", [-864_000, -301, 301, 864_000])
async def test_a_stale_message_is_refused(world: World, skew_s: int) -> None:
    with pytest.raises(SignatureInvalid) as refused:
        await world.receive(world.platform.v3_signed(world.platform.v3_body(world.wanted), skew_s=skew_s))
    assert refused.value.reason == "stale"


@pytest.mark.parametrize("skew_s", [-298, 298])
async def test_five_minutes_are_not_stale(world: World, skew_s: int) -> None:
    await world.receive(world.platform.v3_signed(world.platform.v3_body(world.wanted), skew_s=skew_s))
    assert world.state is TradeState.SUCCESS


async def test_the_merchants_own_key_is_not_wechats(world: World) -> None:
    body = world.platform.v3_body(world.wanted)
    for serial in ("PUB_KEY_ID_01", "AB01", ""):
        with pytest.raises(SignatureInvalid):
            await world.receive(world.platform.v3_signed(body, key=key("ours"), serial=serial))


@pytest.mark.parametrize(
    "change",
    [lambda b: b + b"\n", lambda b: b.replace(b'"', b"'", 1), lambda b: json.dumps(json.loads(b)).encode() + b" "],
)
async def test_a_changed_v3_body_is_refused(world: World, change: Any) -> None:
    message = world.write("v3")
    with pytest.raises(SignatureInvalid):
        await world.receive(replace(message, body=change(message.body)))


@pytest.mark.parametrize(
    "changed",
    [{"event_type": "TRANSACTION.FAIL"}, {"event_type": None}, {"event_type": ["TRANSACTION.SUCCESS"]}, {"resource": None}, {"resource": []},
     {"id": ""}, {"id": None}, {"id": "\ud800"}, {"create_time": "now"}],
)  # fmt: skip
async def test_a_signed_envelope_of_another_shape_is_malformed(world: World, changed: dict[str, Any]) -> None:
    plain = json.dumps(world.platform.v3_transaction(world.wanted)).encode()
    envelope = world.platform.v3_envelope(plain) | changed
    with pytest.raises(Malformed):
        await world.receive(world.platform.v3_signed(json.dumps(envelope).encode()))


@pytest.mark.parametrize(
    "changed",
    [{"algorithm": "AEAD_AES_128_GCM"}, {"algorithm": None}, {"original_type": "refund"}, {"nonce": "short"}, {"nonce": 1}, {"nonce": None},
     {"associated_data": "refund"}, {"associated_data": None}, {"associated_data": 1}, {"ciphertext": "AAA"}, {"ciphertext": ""}, {"ciphertext": None}],
)  # fmt: skip
async def test_a_resource_that_does_not_open_is_malformed(world: World, changed: dict[str, Any]) -> None:
    plain = json.dumps(world.platform.v3_transaction(world.wanted)).encode()
    envelope = world.platform.v3_envelope(plain)
    envelope["resource"] |= changed
    with pytest.raises(Malformed):
        await world.receive(world.platform.v3_signed(json.dumps(envelope).encode()))


@pytest.mark.parametrize("plain", [b"", b"[]", b"null", b'"x"', b"{}", b"not json", b"[" * 30_000, b"\xff"])
async def test_a_plaintext_that_is_no_transaction_is_malformed(world: World, plain: bytes) -> None:
    with pytest.raises(Malformed):
        await world.receive(world.platform.v3_signed(json.dumps(world.platform.v3_envelope(plain)).encode()))


async def test_an_echo_is_acknowledged_and_pays_nothing(world: World) -> None:
    plain = json.dumps(world.platform.v3_transaction(world.wanted)).encode()
    envelope = world.platform.v3_envelope(plain, event_type="SECURITY_ECHO.SUCCESS")
    await world.receive(world.platform.v3_signed(json.dumps(envelope).encode()))
    assert world.stored == world.order


@pytest.mark.parametrize("original", ["transaction", "refund"])
@pytest.mark.parametrize("kind", ["REFUND.SUCCESS", "REFUND.ABNORMAL", "REFUND.CLOSED"])
async def test_a_payment_announced_as_a_refund_is_malformed(world: World, kind: str, original: str) -> None:
    plain = json.dumps(world.platform.v3_transaction(world.wanted)).encode()
    envelope = world.platform.v3_envelope(plain, event_type=kind)
    envelope["resource"]["original_type"] = original
    with pytest.raises(Malformed):
        await world.receive(world.platform.v3_signed(json.dumps(envelope).encode()))
    assert world.stored == world.order


async def test_a_failed_v3_check_never_falls_back_to_v2(world: World) -> None:
    v2, v3 = world.write("v2"), world.write("v3")
    with pytest.raises(NotifyError):
        await world.receive(Message(v2.body, v3.headers))
    assert world.state is TradeState.NOTPAY


@pytest.mark.parametrize("left", [1, 2, 3])
async def test_a_mixture_of_headers_is_neither(world: World, left: int) -> None:
    v2, v3 = world.write("v2"), world.write("v3")
    some = {name: v3.headers[name] for name in list(v3.headers)[:left]}
    for message in (Message(v2.body, some), Message(v3.body, some)):
        with pytest.raises(SignatureInvalid):
            await world.receive(message)


@BOTH
async def test_a_transaction_pays_one_order(world: World, api: str) -> None:
    other = world.place(an_order("20260301120507def", total=100))
    number = transaction_id()
    await world.receive(world.write(api, transaction_id=number))
    with pytest.raises(Mismatch) as refused:
        await world.receive(world.write(api, transaction_id=number, out_trade_no=other.out_trade_no))
    assert refused.value.reason == "transaction_used"


LATE = "4200000000202603010000000042"


def made_minutes_ago(world: World, api: str, minutes: float, **changed: Any) -> Message:
    at = datetime.now(BEIJING) - timedelta(minutes=minutes)
    v2, v3 = {"time_end": at.strftime("%Y%m%d%H%M%S")}, {"success_time": at.isoformat(timespec="seconds")}
    return world.write(api, transaction_id=LATE, **(v2 if api == "v2" else v3), **changed)


def transaction(world: World, state: RemoteState, number: str = LATE) -> Transaction:
    order = world.order
    return Transaction(order.appid, order.mchid, order.out_trade_no, state, order.total, transaction_id=number)


@BOTH
@pytest.mark.parametrize(
    ("now", "then"), [(RemoteState.SUCCESS, TradeState.SUCCESS), (RemoteState.REFUND, TradeState.PAID_LATE)]
)
async def test_a2_an_old_payment_is_what_wechat_says_of_it_now(
    world: World, api: str, now: RemoteState, then: TradeState
) -> None:
    """An old notification is checked by a query: the payment may have been refunded in the merchant console since."""
    world.v3.answer = transaction(world, now)
    await world.receive(made_minutes_ago(world, api, 3))
    assert world.state is then


@BOTH
@pytest.mark.parametrize(
    "answer",
    [NotSent("query"), OutcomeUnknown("query"), GatewayRefused("query", code="SIGN_ERROR"), RemoteState.NOTPAY],
)
async def test_an_old_payment_that_wechat_does_not_confirm_releases_nothing_and_comes_again(
    world: World, api: str, answer: FenpayError | RemoteState
) -> None:
    world.v3.answer = answer if isinstance(answer, FenpayError) else transaction(world, answer, "")
    message = made_minutes_ago(world, api, 3)
    with pytest.raises(Unconfirmed) as refused:
        await world.receive(message)
    assert (refused.value.status, world.state) == (503, TradeState.NOTPAY)
    world.v3.answer = transaction(world, RemoteState.SUCCESS)
    await world.receive(message)
    assert world.state is TradeState.SUCCESS


@BOTH
async def test_an_old_message_that_does_not_fit_is_refused_without_a_query(world: World, api: str) -> None:
    changed = {"total_fee": "1"} if api == "v2" else v3_amount(total=1)
    with pytest.raises(Mismatch):
        await world.receive(made_minutes_ago(world, api, 3, **changed))


@BOTH
async def test_an_old_message_about_a_paid_order_needs_no_query(world: World, api: str) -> None:
    await world.receive(made_minutes_ago(world, api, 0))
    await world.receive(made_minutes_ago(world, api, 3))
    assert world.state is TradeState.SUCCESS


@BOTH
async def test_a_second_payment_of_a_paid_order_is_a_mismatch(world: World, api: str) -> None:
    await world.receive(world.write(api))
    paid = world.stored
    with pytest.raises(Mismatch) as refused:
        await world.receive(world.write(api))
    assert refused.value.reason == "second_payment"
    second = world.stored
    assert replace(second, payments=paid.payments, timeline=paid.timeline) == paid
    assert second.transaction_id == paid.transaction_id
    assert (len(second.payments), second.timeline[-1].what) == (2, "second_payment")


@BOTH
async def test_money_for_a_closed_order_is_taken_and_goods_are_not_released(world: World, api: str) -> None:
    entry = TimelineEntry(world.clock.now(), "closed", "worker")
    await world.core.updates.update(world.order.key, lambda order: close(order, entry))
    message = world.write(api)
    await world.receive(message)
    await world.receive(message)
    assert world.state is TradeState.PAID_LATE
    assert world.backend.staged == [
        (world.order.out_trade_no, "order.closed"),
        (world.order.out_trade_no, "order.paid_late"),
    ]
    assert world.alarms("paid_late") == 1


@BOTH
async def test_money_from_another_openid_is_taken_with_one_alarm_and_releases_nothing(world: World, api: str) -> None:
    changed: dict[str, Any] = {"openid": "osim-b"} if api == "v2" else {"payer": {"openid": "osim-b"}}
    message = world.write(api, **changed)
    for _ in range(3):
        await world.receive(message)
    assert world.state is TradeState.PAID_LATE
    assert world.backend.staged == [(world.order.out_trade_no, "order.paid_late")]
    assert world.alarms("openid_differs") == 1


@BOTH
async def test_without_the_store_nothing_is_acknowledged(world: World, api: str) -> None:
    message = world.write(api)
    for collection in (NOTIFICATIONS, NUMBERS, ORDERS):
        world.backend.down.add(collection)
        with pytest.raises(StoreUnavailable):
            await world.receive(message)
        world.backend.down.clear()
    assert world.backend.staged == []
    await world.receive(message)
    assert world.state is TradeState.SUCCESS


async def test_the_alarm_is_not_lost_when_the_store_failed_the_first_time(world: World) -> None:
    message = world.write("v3", **v3_amount(total=1))
    world.backend.down.add(ORDERS)
    with pytest.raises(StoreUnavailable):
        await world.receive(message)
    world.backend.down.clear()
    for _ in range(3):
        with pytest.raises(Mismatch):
            await world.receive(message)
    assert world.alarms("notify_total") == 1


async def test_a_message_that_comes_before_its_order_is_applied_when_it_comes_again(world: World) -> None:
    late = an_order("20260301120508ghi", total=100)
    message = world.write("v3", out_trade_no=late.out_trade_no)
    with pytest.raises(Mismatch):
        await world.receive(message)
    world.place(late)
    await world.receive(message)
    assert world.backend.orders[late.out_trade_no].trade_state is TradeState.SUCCESS
    assert world.verdicts == ["applied"]


async def test_headers_are_read_without_regard_to_case(world: World) -> None:
    message = world.write("v3")
    headers = {name.lower(): value for name, value in message.headers.items()}
    await world.core.receiver.receive(CIMultiDict(MappingProxyType(headers)), message.body)
    assert world.state is TradeState.SUCCESS
