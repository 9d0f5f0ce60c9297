"""The life of an order against stores in memory and a WeChat that does as it is told."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from storage.stores.all import ORDERS
from tests.support.clock import ManualClock
from tests.support.ordering import COFFEE, OPENID, SALE, Service, transaction
from wechat.domain.errors import (
    BadRequest,
    Conflict,
    GatewayRefused,
    Gone,
    IdempotencyMismatch,
    Mismatch,
    NotFound,
    NotSent,
    OutcomeUnknown,
    StoreUnavailable,
)
from wechat.domain.facts import Api, RemoteState, Verified
from wechat.domain.orders import TradeState, TradeType
from wechat.orders.drafts import FIRST_CHECK
from wechat.orders.requests import CheckoutRequest, CreateOrderRequest
from wechat.orders.service import CHECKS_S
from wechat.refunds.late_payments import LatePolicy


@pytest.fixture
def service(clock: ManualClock) -> Service:
    return Service(clock)


# placing -------------------------------------------------------------------------------------------------------------


async def test_the_price_is_the_catalogues(service: Service) -> None:
    placed = await service.basket(CheckoutRequest(sku="coffee", quantity=2))
    assert (placed.order.total, placed.order.description) == (3600, "拿铁咖啡 × 2")
    assert placed.pay is not None
    assert placed.pay.package == "prepay_id=wx-1"


@pytest.mark.parametrize(
    ("basket", "field"),
    [
        (CheckoutRequest(sku="nothing"), "sku"),
        (CheckoutRequest(sku="penny", quantity=21), "quantity"),
        (CheckoutRequest(sku="coffee", quantity=3), "total"),
    ],
)
async def test_what_cannot_be_sold_is_refused_before_anything_is_stored(
    service: Service, basket: CheckoutRequest, field: str
) -> None:
    with pytest.raises(BadRequest) as refused:
        await service.basket(basket)
    assert refused.value.field == field
    assert (service.numbers, service.claimed, service.v3.calls) == ([], [], [])


async def test_the_order_is_stored_before_wechat_is_asked(service: Service) -> None:
    service.v3.failures = [NotSent("jsapi")]
    with pytest.raises(NotSent):
        await service.basket()
    [order] = service.backend.orders.values()
    assert order.trade_state is TradeState.NOTPAY
    assert order.next_check_at == service.clock.now() + FIRST_CHECK


async def test_a_refusal_of_the_second_try_is_noted_too(service: Service) -> None:
    service.v3.failures = [
        OutcomeUnknown("prepay"),
        GatewayRefused("query", code="ORDER_NOT_EXIST"),
        GatewayRefused("prepay", code="PARAM_ERROR"),
    ]
    with pytest.raises(GatewayRefused):
        await service.basket()
    [order] = service.backend.orders.values()
    lines = [(line.what, line.detail.get("code")) for line in order.timeline]
    assert lines == [("created", None), ("prepay_unknown", None), ("prepay_refused", "PARAM_ERROR")]
    assert not order.is_refused  # the first try may have reached WeChat


async def test_fifty_clicks_at_once_are_one_order_and_one_call(service: Service) -> None:
    placed = await asyncio.gather(*(service.basket() for _ in range(50)))
    assert len({place.order.out_trade_no for place in placed}) == len(service.numbers) == 1
    assert service.v3.calls == ["prepay"]


async def test_clicks_in_two_processes_are_one_order(service: Service) -> None:
    other = service.process().orders
    placed = await asyncio.gather(
        service.basket(), other.place_checkout(COFFEE, openid=OPENID, client_ip="203.0.113.7")
    )
    assert len({place.order.out_trade_no for place in placed}) == len(service.numbers) == 1


async def test_other_payers_and_other_baskets_have_orders_of_their_own(service: Service) -> None:
    await service.basket()
    await service.basket(openid="other")
    await service.basket(CheckoutRequest(sku="penny"))
    assert len(service.numbers) == 3


@pytest.mark.parametrize("how", ["paid", "closed", "expired"])
async def test_a_basket_whose_order_is_over_is_a_new_order_once(service: Service, how: str) -> None:
    first = (await service.basket()).order
    if how == "paid":
        await service.pay_at_wechat(first)
        await service.query(first)
    elif how == "closed":
        await service.close(first)
    else:
        service.clock.advance(1800)
    placed = await asyncio.gather(*(service.basket() for _ in range(20)))
    assert {place.order.out_trade_no for place in placed}.isdisjoint({first.out_trade_no})
    assert len(service.numbers) == 2


async def test_fifty_sales_with_one_key_are_one_order_and_one_call(service: Service) -> None:
    placed = await asyncio.gather(*(service.sale(key="k") for _ in range(50)))
    assert len({place.order.out_trade_no for place in placed}) == 1
    assert service.v3.calls == ["prepay"]


async def test_a_key_with_another_body_is_refused(service: Service) -> None:
    await service.sale(key="k")
    with pytest.raises(IdempotencyMismatch):
        await service.sale(SALE.model_copy(update={"total": 1}), key="k")
    assert len(service.numbers) == 1


async def test_two_merchants_may_use_one_key(service: Service) -> None:
    await service.sale(key="k")
    await service.sale(key="k", merchant="other")
    assert len(service.numbers) == 2


async def test_a_key_whose_order_was_not_stored_leads_to_one_order_all_the_same(service: Service) -> None:
    service.backend.down.add(ORDERS)
    with pytest.raises(StoreUnavailable):
        await service.while_time_passes(service.sale(key="k"))
    service.backend.down.clear()
    assert service.numbers == []
    [number] = service.claimed
    assert (await service.sale(key="k")).order.out_trade_no == number
    assert service.numbers == [number]


async def test_a_number_used_twice_is_the_first_order_if_it_is_the_same_sale(service: Service) -> None:
    sale = SALE.model_copy(update={"out_trade_no": "20260301-1"})
    assert (
        (await service.sale(sale)).order.out_trade_no == (await service.sale(sale)).order.out_trade_no == "20260301-1"
    )
    with pytest.raises(Conflict) as refused:
        await service.sale(sale.model_copy(update={"total": 1}))
    assert refused.value.public_code == "OUT_TRADE_NO_USED"


async def test_an_api_that_is_not_configured_is_refused(service: Service) -> None:
    service.core = service.process(only=Api.V3)
    with pytest.raises(BadRequest):
        await service.sale(SALE.model_copy(update={"api": Api.V2}))
    assert not service.numbers


async def test_each_order_stays_with_the_api_that_took_it(service: Service) -> None:
    old = (await service.process(api=Api.V2).orders.place_checkout(COFFEE, openid=OPENID, client_ip="1.1.1.1")).order
    await service.query(old)
    assert (service.v2.calls, service.v3.calls) == (["prepay", "query"], [])


async def test_an_order_whose_api_was_taken_from_the_settings_is_told_so(service: Service) -> None:
    old = (await service.process(api=Api.V2).orders.place_checkout(COFFEE, openid=OPENID, client_ip="1.1.1.1")).order
    service.core = service.process(only=Api.V3)
    service.backend.put(replace(old, prepay=None))
    for act in (service.query(old), service.orders.pay(old.out_trade_no)):
        with pytest.raises(Conflict) as refused:
            await act
        assert "pay.v2" in refused.value.text.en


# unknown outcomes ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arrived", [True, False])
async def test_after_an_unknown_outcome_wechat_is_queried_and_the_number_kept(service: Service, arrived: bool) -> None:
    queue = service.v3.lost if arrived else service.v3.failures
    queue.append(OutcomeUnknown("jsapi"))
    placed = await service.basket()
    assert service.v3.calls == ["prepay", "query", "prepay"]
    assert placed.pay is not None
    assert len(service.numbers) == 1


async def test_twice_unknown_is_told_and_a_later_click_keeps_the_number(service: Service) -> None:
    service.v3.lost = [OutcomeUnknown("jsapi"), OutcomeUnknown("jsapi")]
    with pytest.raises(OutcomeUnknown):
        await service.basket()
    assert (await service.basket()).order.out_trade_no in service.numbers
    assert len(service.numbers) == 1


async def test_an_order_that_turns_out_paid_is_not_offered_again(service: Service) -> None:
    order = (await service.basket()).order
    service.clock.advance(100)
    await service.pay_at_wechat(order)
    service.backend.put(replace(service.stored(order), prepay=None))
    service.v3.failures = [GatewayRefused("jsapi", code="ORDER_PAID")]
    with pytest.raises(Conflict) as refused:
        await service.orders.pay(order.out_trade_no)
    assert refused.value.public_code == "ORDER_PAID"
    assert service.stored(order).trade_state is TradeState.SUCCESS


@pytest.mark.parametrize("code", ["PARAM_ERROR", "SIGN_ERROR", "NO_AUTH", "APPID_MCHID_NOT_MATCH", "OUT_TRADE_NO_USED"])
async def test_a_refusal_is_passed_on_and_noted(service: Service, code: str) -> None:
    service.v3.failures = [GatewayRefused("jsapi", code=code)]
    with pytest.raises(GatewayRefused):
        await service.basket()
    [order] = service.backend.orders.values()
    assert order.timeline[-1].detail == {"code": code}
    assert service.v3.calls == ["prepay"]


# paying --------------------------------------------------------------------------------------------------------------


async def test_pay_parameters_are_fresh_over_the_same_prepay_id_while_it_lives(service: Service) -> None:
    order = (await service.basket()).order
    service.clock.advance(1000)
    again = await service.orders.pay(order.out_trade_no)
    assert again.pay is not None
    assert again.pay.package == "prepay_id=wx-1"
    assert service.v3.calls == ["prepay"]


async def test_a_dead_prepay_id_is_replaced_under_the_same_number(service: Service) -> None:
    order = (await service.sale(SALE.model_copy(update={"expires_in_s": 86400}))).order
    service.clock.advance(2 * 3600)
    again = await service.orders.pay(order.out_trade_no)
    assert again.pay is not None
    assert (again.pay.package, again.order.out_trade_no) == ("prepay_id=wx-2", order.out_trade_no)


async def test_twenty_requests_for_a_dead_prepay_id_are_one_call(service: Service) -> None:
    order = (await service.sale(SALE.model_copy(update={"expires_in_s": 86400}))).order
    service.clock.advance(2 * 3600)
    await asyncio.gather(*(service.orders.pay(order.out_trade_no) for _ in range(20)))
    assert service.v3.calls == ["prepay", "prepay"]


async def test_an_order_that_is_over_cannot_be_paid(service: Service) -> None:
    paid, closed, expired = [(await service.sale()).order for _ in range(3)]
    await service.pay_at_wechat(paid)
    await service.query(paid)
    await service.close(closed, source="merchant")
    with pytest.raises(Conflict, match="ORDER_PAID"):
        await service.orders.pay(paid.out_trade_no)
    with pytest.raises(Conflict, match="ORDER_CLOSED"):
        await service.orders.pay(closed.out_trade_no)
    service.clock.advance(1800)
    with pytest.raises(Gone):
        await service.orders.pay(expired.out_trade_no)


async def test_another_payers_order_is_not_found(service: Service) -> None:
    order = (await service.basket()).order
    native = (await service.sale(CreateOrderRequest(description="x", total=1, trade_type=TradeType.NATIVE))).order
    assert await service.orders.get(order.out_trade_no, openid=OPENID)
    for number, openid in [
        (order.out_trade_no, "other"),
        (order.out_trade_no, ""),
        (native.out_trade_no, ""),
        ("nothing", OPENID),
    ]:
        with pytest.raises(NotFound):
            await service.orders.get(number, openid=openid)


# asking and closing --------------------------------------------------------------------------------------------------


async def test_a_query_that_says_paid_pays_the_order(service: Service) -> None:
    order = (await service.basket()).order
    await service.pay_at_wechat(order)
    assert (await service.query(order)).trade_state is TradeState.SUCCESS
    assert service.backend.staged == [(order.out_trade_no, "order.paid")]


async def test_twenty_queries_at_once_are_one_call(service: Service) -> None:
    order = (await service.basket()).order
    await asyncio.gather(*(service.query(order) for _ in range(20)))
    assert service.v3.calls == ["prepay", "query"]


async def test_a_query_with_another_total_pays_nothing(service: Service) -> None:
    order = (await service.basket()).order
    service.v3.on_query = lambda o: replace(transaction(o, RemoteState.SUCCESS), total=1)
    with pytest.raises(Mismatch):
        await service.query(order)
    assert service.stored(order).trade_state is TradeState.NOTPAY


async def test_a8_a_payment_that_does_not_fit_is_alarmed_once_however_often_it_is_found(service: Service) -> None:
    order = (await service.basket()).order
    service.v3.on_query = lambda o: replace(transaction(o, RemoteState.SUCCESS), total=1)
    for _ in range(3):
        with pytest.raises(Mismatch):
            await service.query(order)
    service.clock.advance(31)
    await service.work()
    assert service.backend.telemetry.alarms("query_total") == 1
    assert [entry.what for entry in service.stored(order).timeline].count("query_total") == 1


async def test_a_payment_that_does_not_fit_is_alarmed_when_a_closed_order_is_checked_again(service: Service) -> None:
    service.v3.failures = [OutcomeUnknown("prepay"), OutcomeUnknown("query")]
    with pytest.raises(OutcomeUnknown):
        await service.basket()
    [number] = service.numbers
    await service.close(service.backend.orders[number])
    service.v3.on_query = lambda o: replace(transaction(o, RemoteState.SUCCESS), total=1)
    service.clock.advance(601)
    await service.work()
    assert service.backend.telemetry.alarms("query_total") == 1


@pytest.mark.parametrize("policy", list(LatePolicy))
async def test_a2_a_payment_that_was_refunded_in_the_console_before_we_heard_of_it_releases_nothing(
    service: Service, policy: LatePolicy
) -> None:
    """Neither does the policy for late payments return it: how much of it is left is not known here."""
    order = (await service.basket()).order
    service.v3.on_query = lambda o: transaction(o, RemoteState.REFUND)
    assert (await service.query(order)).trade_state is TradeState.PAID_LATE
    assert service.backend.staged == [(order.out_trade_no, "order.paid_late")]
    assert service.backend.telemetry.alarms("refunded_elsewhere") == 1
    service.clock.advance(3600)
    assert not await service.work()
    assert service.stored(order).refunds == ()


@pytest.mark.parametrize("state", [RemoteState.CLOSED, RemoteState.REVOKED])
async def test_what_wechat_closed_is_closed_here(service: Service, state: RemoteState) -> None:
    order = (await service.basket()).order
    service.v3.known[order.out_trade_no] = state
    assert (await service.query(order)).trade_state is TradeState.CLOSED


async def test_closing_a_paid_order_finds_the_payment(service: Service) -> None:
    order = (await service.basket()).order
    await service.pay_at_wechat(order)
    with pytest.raises(Conflict, match="ORDER_PAID"):
        await service.close(order)
    assert service.stored(order).trade_state is TradeState.SUCCESS


async def test_a_close_with_an_unknown_outcome_closes_nothing_here(service: Service) -> None:
    order = (await service.basket()).order
    service.v3.failures = [OutcomeUnknown("close")]
    with pytest.raises(OutcomeUnknown):
        await service.close(order)
    assert service.stored(order).trade_state is TradeState.NOTPAY


@pytest.mark.parametrize("code", ["SIGN_ERROR", "NO_AUTH", "INVALID_REQUEST", "RULE_LIMIT"])
async def test_a_close_that_wechat_refuses_closes_nothing_here(service: Service, code: str) -> None:
    order = (await service.basket()).order
    service.v3.failures = [GatewayRefused("close", code=code)]
    with pytest.raises(GatewayRefused):
        await service.close(order)
    assert service.stored(order).trade_state is TradeState.NOTPAY


@pytest.mark.parametrize("code", ["ORDER_CLOSED", "ORDER_NOT_EXIST"])
async def test_a_close_that_finds_nothing_to_close_closes_it_here(service: Service, code: str) -> None:
    order = (await service.basket()).order
    service.v3.failures = [GatewayRefused("close", code=code)]
    assert (await service.close(order)).trade_state is TradeState.CLOSED


async def test_a_young_v2_order_is_closed_when_wechat_takes_it(service: Service) -> None:
    order = (await service.sale(SALE.model_copy(update={"api": Api.V2}))).order
    assert (await service.close(order)).trade_state is TradeState.NOTPAY
    assert "close" not in service.v2.calls
    service.clock.advance(301)
    assert not await service.work()  # it may have reached WeChat only now
    service.clock.advance(10)
    assert await service.work()
    assert service.stored(order).trade_state is TradeState.CLOSED


async def test_a_young_v2_order_says_once_that_it_will_be_closed(service: Service) -> None:
    order = (await service.sale(SALE.model_copy(update={"api": Api.V2}))).order
    for _ in range(5):
        await service.close(order)
    assert [entry.what for entry in service.stored(order).timeline].count("close_scheduled") == 1


@pytest.mark.parametrize("paid", [False, True])
async def test_an_order_that_reaches_wechat_after_its_close_is_found_and_closed_there(
    service: Service, paid: bool
) -> None:
    """Its process died with the request under way, so nobody here knows that it arrived."""
    service.v3.failures = [OutcomeUnknown("prepay"), OutcomeUnknown("query")]
    with pytest.raises(OutcomeUnknown):
        await service.basket()
    [number] = service.numbers
    order = service.backend.orders[number]
    assert (await service.close(order)).trade_state is TradeState.CLOSED
    service.v3.known[number] = RemoteState.SUCCESS if paid else RemoteState.NOTPAY
    service.clock.advance(599)
    assert not await service.work()
    service.clock.advance(2)
    assert await service.work()
    assert service.stored(order).trade_state is (TradeState.PAID_LATE if paid else TradeState.CLOSED)
    assert service.v3.known[number] is (RemoteState.SUCCESS if paid else RemoteState.CLOSED)
    await service.work()
    assert service.stored(order).next_check_at is None


async def test_an_order_that_never_reached_wechat_is_checked_once_after_its_close(service: Service) -> None:
    service.v3.failures = [OutcomeUnknown("prepay"), OutcomeUnknown("query")]
    with pytest.raises(OutcomeUnknown):
        await service.basket()
    [number] = service.numbers
    order = await service.close(service.backend.orders[number])
    service.clock.advance(601)
    service.v3.failures = [OutcomeUnknown("query")]
    assert await service.work()
    service.clock.advance(3600)
    assert await service.work()
    assert service.stored(order).next_check_at is None
    assert service.v3.calls[-3:] == ["close", "query", "query"]


@pytest.mark.parametrize("api", list(Api))
async def test_an_order_that_is_closed_while_it_is_placed_is_closed_at_wechat(service: Service, api: Api) -> None:
    """The buyer is told that it is closed, and nobody can pay it."""
    gateway = service.v2 if api is Api.V2 else service.v3
    gateway.before_prepay = service.close
    with pytest.raises(Conflict, match="ORDER_CLOSED"):
        await service.sale(SALE.model_copy(update={"api": api, "out_trade_no": "closed-meanwhile"}))
    order = service.backend.orders["closed-meanwhile"]
    service.clock.advance(0 if api is Api.V3 else 311)
    assert await service.work()
    assert (gateway.known["closed-meanwhile"], service.stored(order).next_check_at) == (RemoteState.CLOSED, None)


@pytest.mark.parametrize("first", ["close", "notify"])
async def test_of_a_close_and_a_payment_at_once_neither_is_lost(service: Service, first: str) -> None:
    for _ in range(50):
        order = (await service.sale()).order
        fact = Verified(transaction(order, RemoteState.SUCCESS), "test")
        acts = [service.close(order), service.core.recorder.apply(fact, source="notify")]
        await asyncio.gather(*(acts if first == "close" else reversed(acts)), return_exceptions=True)
        assert service.stored(order).trade_state in (TradeState.SUCCESS, TradeState.PAID_LATE)


# the worker ----------------------------------------------------------------------------------------------------------


async def test_an_unpaid_order_is_asked_after_at_growing_intervals_and_closed_at_its_end(service: Service) -> None:
    order = (await service.basket()).order
    for _ in range(1800 // 5 + 2):
        service.clock.advance(5)
        await service.work()
    assert service.stored(order).trade_state is TradeState.CLOSED
    assert service.v3.calls.count("close") == 1
    assert 6 <= service.v3.calls.count("query") <= 12


async def test_a_payment_whose_notification_was_lost_is_found_within_ninety_seconds(service: Service) -> None:
    order = (await service.basket()).order
    service.clock.advance(20)
    await service.pay_at_wechat(order)
    for _ in range(14):
        service.clock.advance(5)
        await service.work()
    assert service.stored(order).trade_state is TradeState.SUCCESS
    assert CHECKS_S[0] <= 60


async def test_two_workers_do_not_look_at_one_order(service: Service) -> None:
    await service.basket()
    service.clock.advance(31)
    other = service.process().worker
    assert sorted(await asyncio.gather(service.work(), other.once())) == [False, True]
    assert service.v3.calls == ["prepay", "query"]


async def test_looks_that_fail_for_hours_become_rare_and_the_first_that_succeeds_ends_it(service: Service) -> None:
    order = (await service.basket()).order
    service.v3.failures = [OutcomeUnknown("query")] * 1000
    for _ in range(3 * 60):
        service.clock.advance(60)
        await service.work()
    assert 8 <= service.v3.calls.count("query") <= 12
    assert service.stored(order).trade_state is TradeState.NOTPAY
    service.v3.failures = []
    service.clock.advance(3600)
    await service.work()
    assert service.stored(order).trade_state is TradeState.CLOSED


async def test_a_failed_look_is_repeated_after_a_minute(service: Service) -> None:
    order = (await service.basket()).order
    await service.pay_at_wechat(order)
    service.clock.advance(31)
    service.v3.failures = [OutcomeUnknown("query")]
    assert await service.work()
    assert not await service.work()
    service.clock.advance(61)
    assert await service.work()
    assert service.stored(order).trade_state is TradeState.SUCCESS
