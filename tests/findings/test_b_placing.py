"""A number whose order WeChat refused can be used again; names in the settings fit what WeChat takes."""

from __future__ import annotations

import secrets
from typing import Any

import pytest

from service.settings.sections import Product, ShopSettings
from service.settings.values import MAX_ORIGIN, _origin
from tests.http.client import Shop
from tests.support.clock import ManualClock
from tests.support.ordering import Service
from tests.support.stall import Stall, stalled
from wechat.domain.errors import Conflict, GatewayRefused, OutcomeUnknown
from wechat.domain.orders import Order, TradeState
from wechat.orders.requests import MAX_DESCRIPTION, CreateOrderRequest
from wechat.pay.codes import KNOWN_AT_WECHAT

NUMBER = "a-number-of-a-shop"


@pytest.fixture
def local() -> Service:
    return Service(ManualClock())


def sale(**changed: Any) -> CreateOrderRequest:
    body = {"description": "x", "total": 100, "trade_type": "NATIVE", "out_trade_no": NUMBER}
    return CreateOrderRequest.parse(body | changed)


def refused(code: str = "PARAM_ERROR") -> GatewayRefused:
    return GatewayRefused("native", code=code, wire_code=code)


@pytest.mark.parametrize("code", ["PARAM_ERROR", "NO_AUTH", "SIGN_ERROR", "INVALID_REQUEST", "COMMUNICATION_FAIL"])
async def test_b2_an_order_that_wechat_refused_is_placed_again_under_its_number(local: Service, code: str) -> None:
    local.v3.failures = [refused(code)]
    with pytest.raises(GatewayRefused):
        await local.sale(sale())
    again = (await local.sale(sale(description="y", total=250))).order
    assert (again.out_trade_no, again.total, again.description) == (NUMBER, 250, "y")
    assert again.prepay is not None
    stored = local.backend.orders[NUMBER]
    assert [entry.what for entry in stored.timeline] == ["created", "prepay_refused", "placed_again", "prepay"]
    assert stored.timeline[2].detail == {"total": 100}
    assert local.numbers == [NUMBER]


async def test_b2_over_the_other_api_too(local: Service) -> None:
    local.v3.failures = [refused()]
    with pytest.raises(GatewayRefused):
        await local.sale(sale())
    assert (await local.sale(sale(total=250, api="v2"))).order.api == "v2"


async def test_b2_not_where_wechat_may_have_the_order(local: Service) -> None:
    """The first request got no answer, and arrives later, for all that is known."""
    local.v3.failures = [OutcomeUnknown("native"), refused("ORDER_NOT_EXIST"), refused()]
    with pytest.raises(GatewayRefused):
        await local.sale(sale())
    await another_is_refused(local)
    local.v3.failures = [refused()]
    with pytest.raises(GatewayRefused):
        await local.sale(sale())
    await another_is_refused(local)


@pytest.mark.parametrize("code", sorted(KNOWN_AT_WECHAT))
async def test_b2_not_where_wechat_says_that_it_has_one(local: Service, code: str) -> None:
    local.v3.failures = [refused(code)]
    with pytest.raises((GatewayRefused, Conflict)):
        await local.sale(sale())
    await another_is_refused(local)


async def test_b2_not_once_it_could_be_paid(local: Service) -> None:
    local.v3.failures = [refused()]
    with pytest.raises(GatewayRefused):
        await local.sale(sale())
    assert (await local.sale(sale())).order.prepay
    await another_is_refused(local)


async def test_b2_not_while_the_first_request_is_under_way(local: Service) -> None:
    core = local.process()
    await core.updates.insert(core.orders._drafts.draft_order(sale(), "203.0.113.7", "shop"))
    await another_is_refused(local)


async def test_b2_a_late_answer_to_the_first_request_is_not_one_to_the_second(local: Service) -> None:
    """The first request is under way while another process is refused and a second order takes the number."""
    stall = Stall(local.v3, "prepay", after=True)
    first = await stalled(local.sale(sale()), stall)
    other = await replace_in_another_process(local)
    stall.go.set()
    with pytest.raises(Conflict) as conflict:
        await first
    assert conflict.value.public_code == "OUT_TRADE_NO_USED"
    assert local.stored(other) == other


async def test_b2_a_late_refusal_of_the_first_does_not_free_the_number_of_the_second(local: Service) -> None:
    stall = Stall(local.v3, "prepay")
    first = await stalled(local.sale(sale()), stall)
    other = await replace_in_another_process(local)
    local.v3.failures = [refused()]
    stall.go.set()
    with pytest.raises(Conflict):
        await first
    assert local.stored(other) == other


async def test_b2_a_close_of_the_first_does_not_close_the_second(local: Service) -> None:
    local.v3.failures = [refused()]
    with pytest.raises(GatewayRefused):
        await local.sale(sale())
    stall = Stall(local.v3, "close")
    closing = await stalled(local.orders.close(NUMBER, source="merchant"), stall)
    other = (await local.sale(sale(total=250))).order
    local.v3.failures = [refused("ORDER_NOT_EXIST")]
    stall.go.set()
    with pytest.raises(Conflict):
        await closing
    assert local.stored(other).trade_state is TradeState.NOTPAY


async def replace_in_another_process(local: Service) -> Order:
    """The first order is refused and replaced there; the order that has its number then."""
    process = local.process()
    local.v3.failures = [refused()]
    with pytest.raises(GatewayRefused):
        await process.orders.place_order(sale(), merchant="shop", client_ip="203.0.113.7")
    return (await process.orders.place_order(sale(total=250), merchant="shop", client_ip="203.0.113.7")).order


async def another_is_refused(local: Service) -> None:
    with pytest.raises(Conflict) as conflict:
        await local.sale(sale(total=250))
    assert conflict.value.public_code == "OUT_TRADE_NO_USED"
    assert (local.backend.orders[NUMBER].total, local.backend.orders[NUMBER].trade_state) == (
        100,
        TradeState.NOTPAY,
    )


@pytest.mark.parametrize("api", ["v2", "v3"])
async def test_b2_wechat_takes_the_second_one(shop: Shop, api: str) -> None:
    number = f"B2-{secrets.token_hex(8)}"
    path = "/pay/unifiedorder" if api == "v2" else "/v3/pay/transactions/native"
    fault = {"path": path, "fault": "refuse", "code": "PARAM_ERROR", "message": "参数错误", "times": 1}
    shop.simulator.control("POST", "faults", fault)
    wish = shop.sale(trade_type="NATIVE", openid=None, api=api, out_trade_no=number)
    assert (await shop.sell(wish)).code == "PARAM_ERROR"
    told = await shop.sell(wish | {"total": 1})
    assert (told.status, told.json()["total"]) == (201, 1), told.body
    assert shop.simulator.order(number)["total"] == 1


# -- names in the settings ------------------------------------------------------------------------------------------


def product(name: str) -> Product:
    return Product(sku="x", name=name, name_en="x", price=1)


def test_b2_a_products_name_leaves_room_for_its_quantity() -> None:
    longest = product("好" * 40)
    assert len(f"{longest.name} × 999".encode()) == MAX_DESCRIPTION


@pytest.mark.parametrize("name", ["", "咖啡☕\ufe0f", "😀", " a", "a\nb", "好" * 41])
def test_b2_b6_a_name_that_wechat_refuses_stops_the_start(name: str) -> None:
    with pytest.raises(ValueError, match="name"):
        product(name)
    if len(name) != 41:
        with pytest.raises(ValueError, match="name"):
            ShopSettings(name=name)


def test_b2_a_shops_name_and_address_fit_an_h5_order() -> None:
    assert ShopSettings(name="好" * 21).name
    with pytest.raises(ValueError, match="bytes"):
        ShopSettings(name="好" * 22)
    host = f"{'a' * 63}.{'b' * (MAX_ORIGIN - len('https://') - 64)}"
    assert _origin(f"https://{host}")
    with pytest.raises(ValueError, match="characters"):
        _origin(f"https://{host}b")
