"""Orders, money, refunds and bills: what is prevented, and what is named where it cannot be."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from cli.amounts import parse_amount
from cli.problems import Problem
from service.logs import allowed_only
from storage.embedded.servers import free_port
from tests.contract.samples import NOW, an_order
from tests.support.bill_server import KEY, MERCHANT, BillServer
from tests.support.bill_text import PAID, bill
from tests.support.clock import ManualClock
from tests.support.ordering import SALE, Service
from tests.support.refund_fixture import Shop, lost
from tests.support.runtime import RecordedTelemetry, a_runtime
from tests.support.simulator import SimulatorProcess
from wechat.alarms.texts import sentence
from wechat.diagnosis.diagnosis import explain
from wechat.diagnosis.snapshot import OrderSnapshot, Outcome, RemoteStatus
from wechat.domain.alarms import new_alarm
from wechat.domain.errors import BadRequest, Conflict, GatewayRefused, NotSent, OutcomeUnknown
from wechat.domain.facts import RefundState, RemoteState, Transaction
from wechat.domain.orders import TradeState
from wechat.domain.times import to_v2, to_v3
from wechat.orders.requests import CheckoutRequest, CreateOrderRequest
from wechat.pay import codes
from wechat.pay.bills.gateways import V2Bills
from wechat.pay.bills.parser import BillKind, trade_lines
from wechat.pay.certificates import CertificateRole
from wechat.pay.expiry import ExpiryWatch
from wechat.sign_explain.model import Keys
from wechat.support.transport import Request, Transport


@pytest.fixture
def service(clock: ManualClock) -> Service:
    return Service(clock)


@pytest.fixture
def shop() -> Shop:
    return Shop()


# -- a number is used once ---------------------------------------------------------------------------------------------


async def test_a_page_that_is_loaded_again_has_the_same_order_and_the_same_parameters(service: Service) -> None:
    placed = [await service.basket() for _ in range(5)]
    assert len({each.order.out_trade_no for each in placed}) == 1
    assert {each.pay.package for each in placed if each.pay} == {"prepay_id=wx-1"}
    assert service.v3.calls == ["prepay"]


async def test_a_number_with_another_amount_is_refused_before_wechat_sees_it(service: Service) -> None:
    await service.sale(SALE.model_copy(update={"out_trade_no": "order-1"}))
    with pytest.raises(Conflict) as refused:
        await service.sale(SALE.model_copy(update={"out_trade_no": "order-1", "total": 1801}))
    assert refused.value.public_code == "OUT_TRADE_NO_USED"
    assert service.v3.calls == ["prepay"]


async def test_wechat_says_that_the_order_is_paid_and_it_is_settled(service: Service) -> None:
    order = (await service.sale()).order
    await service.pay_at_wechat(order)
    service.v3.failures.append(GatewayRefused("prepay", code="ORDER_PAID"))
    service.clock.advance(2 * 3600)
    with pytest.raises(Conflict):
        await service.orders.close(order.out_trade_no, source="merchant")
    assert (await service.query(order)).trade_state is TradeState.SUCCESS


async def test_a_notification_is_lost_and_the_query_finds_the_payment(service: Service) -> None:
    order = (await service.sale()).order
    await service.pay_at_wechat(order)
    service.clock.advance(40)
    await service.core.do_due_work()
    assert service.stored(order).trade_state is TradeState.SUCCESS


def test_a_lost_notification_is_named_by_why() -> None:
    order = an_order()
    paid = Transaction(
        order.appid, order.mchid, order.out_trade_no, RemoteState.SUCCESS, order.total, transaction_id="4200"
    )
    case = OrderSnapshot(order, RemoteStatus(Outcome.TOLD, paid), (), (), NOW)
    told, step = explain(case)
    assert "支付通知没有到达" in told.zh
    assert step == f"manage.py order query {order.out_trade_no}"


# -- money -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("total", [19.9, "1990", True, 0, -1, 10**12])
def test_money_is_whole_fen_and_anything_else_is_refused_by_name(total: Any) -> None:
    with pytest.raises(BadRequest) as refused:
        CreateOrderRequest.parse({"description": "x", "total": total, "openid": "o"})
    assert refused.value.field == "total"


@pytest.mark.parametrize(("fen", "yuan", "wanted"), [("1990", None, 1990), (None, "19.90", 1990), (None, "0.57", 57)])
def test_yuan_become_fen_without_floats(fen: str | None, yuan: str | None, wanted: int) -> None:
    assert parse_amount(fen, yuan) == wanted


def test_yuan_in_place_of_fen_is_named() -> None:
    with pytest.raises(Problem) as refused:
        parse_amount("19.90", None)
    assert "--yuan" in refused.value.text.en


@pytest.mark.parametrize("more", [{"total": 1}, {"openid": "o"}, {"price": 1}])
def test_a_browser_names_no_price_and_no_payer(more: dict[str, Any]) -> None:
    with pytest.raises(BadRequest) as refused:
        CheckoutRequest.parse({"sku": "coffee", "quantity": 1, **more})
    assert refused.value.public_code == "UNKNOWN_FIELD"


def test_times_are_beijings_for_one_api_and_have_an_offset_for_the_other() -> None:
    moment = datetime(2026, 3, 1, 4, 5, 6, tzinfo=UTC)
    assert (to_v2(moment), to_v3(moment)) == ("20260301120506", "2026-03-01T12:05:06+08:00")
    with pytest.raises(BadRequest) as refused:
        CreateOrderRequest.parse({"description": "x", "total": 1, "openid": "o", "expires_in_s": 10})
    assert refused.value.field == "expires_in_s"


@pytest.mark.parametrize("address", ["203.0.113.7, 10.0.0.1", "null", "fe80::1%eth0"])
def test_a_payers_address_is_one_address_or_refused_by_name(address: str) -> None:
    body = {"description": "x", "total": 1, "trade_type": "MWEB", "payer_client_ip": address}
    with pytest.raises(BadRequest) as refused:
        CreateOrderRequest.parse(body)
    assert refused.value.field == "payer_client_ip"
    assert CreateOrderRequest.parse(body | {"payer_client_ip": "::ffff:1.2.3.4"}).payer_client_ip == "1.2.3.4"


# -- an answer that cannot be trusted ----------------------------------------------------------------------------------


@pytest.mark.parametrize("reason", ["sign_wrong", "probe", "unknown_serial"])
async def test_an_answer_that_does_not_verify_is_no_failure_and_the_number_stays(shop: Shop, reason: str) -> None:
    shop.refund_gateway.after.append(OutcomeUnknown("refund", unverified=reason))
    refund = await shop.ask()
    assert refund.state is RefundState.REQUESTED
    await shop.work()
    assert shop.stored(refund).state is RefundState.PROCESSING
    assert list(shop.refund_gateway.taken) == [refund.out_refund_no]  # one refund, not two


@pytest.mark.parametrize(("reason", "names"), [("sign_wrong", "签名验证失败"), ("unknown_serial", "没有该序列号")])
def test_an_answer_that_does_not_verify_is_named_by_why(reason: str, names: str) -> None:
    error = OutcomeUnknown("query", unverified=reason)
    told, step = explain(OrderSnapshot(an_order(), RemoteStatus(Outcome.UNKNOWN, error=error), (), (), NOW))
    assert "微信支付已应答，但验签未通过" in told.zh
    assert names in told.zh
    assert step == "manage.py doctor --live"


# -- refunds -----------------------------------------------------------------------------------------------------------


async def test_there_is_too_little_money_and_the_refund_keeps_its_number(shop: Shop) -> None:
    error = GatewayRefused("refund", code="NOT_ENOUGH", wire_code="NOT_ENOUGH")
    shop.refund_gateway.before.append(error)
    refund = await shop.ask()
    assert refund.state is RefundState.REQUESTED
    assert shop.alarms("refund_not_now") == 1
    alarm = new_alarm("refund_not_now", refund.out_trade_no, "NOT_ENOUGH", NOW)
    assert "退款暂未受理，将自动重试" in sentence(alarm).zh
    await shop.work(minutes=30)
    assert list(shop.refund_gateway.taken) == [refund.out_refund_no]


async def test_a_time_out_does_not_refund_twice(shop: Shop) -> None:
    shop.refund_gateway.after.append(lost())
    refund = await shop.ask(key="k")
    again = await shop.ask(key="k")
    await shop.work()
    assert again.out_refund_no == refund.out_refund_no
    assert list(shop.refund_gateway.taken) == [refund.out_refund_no]


async def test_more_than_is_left_is_refused_here(shop: Shop) -> None:
    await shop.ask(60)
    with pytest.raises(Conflict) as refused:
        await shop.ask(60)
    assert refused.value.public_code == "NOT_REFUNDABLE"


async def test_an_abnormal_refund_is_an_alarm_that_names_the_console(shop: Shop) -> None:
    shop.refund_gateway.answers_as = RefundState.ABNORMAL
    refund = await shop.ask()
    assert shop.alarms("refund_abnormal") == 1
    assert "须在商户平台处理" in sentence(new_alarm("refund_abnormal", refund.out_trade_no, "", NOW)).zh


# -- bills, certificates -----------------------------------------------------------------------------------------------


@asynccontextmanager
async def bill_server(clock: ManualClock) -> AsyncIterator[BillServer]:
    async with BillServer(clock) as server:
        yield server


@pytest.mark.parametrize("said", ["No Bill Exist", "NO Bill Exist"])
async def test_a_day_without_a_bill_is_an_empty_day(
    clock: ManualClock, transport: Transport, tmp_path: Path, said: str
) -> None:
    async with bill_server(clock) as server:
        server.file = b""
        server.wire = (
            f"<xml><return_code>FAIL</return_code><return_msg>{said}</return_msg><error_code>20002</error_code></xml>"
        ).encode()
        bills = V2Bills(server.wired(transport), MERCHANT, KEY)
        found = await bills.fetch(NOW.date() - timedelta(days=1), BillKind.ALL, tmp_path / "bill.csv")
    assert found.path is None


def test_a_bill_is_read_by_the_names_of_its_columns_and_in_fen() -> None:
    [line] = trade_lines(bill(PAID, "`1.0,`18.0,`0,`0,`0.11,`18.0,`0"), [])
    assert (line.out_trade_no, line.total, line.fee_e5) == ("order-1", 1800, 10_800)


@pytest.mark.parametrize(("days", "alarms"), [(59, 0), (6, 1), (-1, 1)])
def test_a_certificate_does_not_end_in_silence(days: int, alarms: int) -> None:
    clock, telemetry = ManualClock(NOW), RecordedTelemetry()
    ends = {CertificateRole.MERCHANT: NOW + timedelta(days=days)}
    ExpiryWatch(lambda: ends, a_runtime(clock, telemetry=telemetry)).check()
    assert telemetry.raised == alarms * [("certificate_ends", "merchant certificate")]


# -- the way to WeChat -------------------------------------------------------------------------------------------------

REQUEST = Request("query", "GET", "/v3/pay/transactions/id/1")


@pytest.fixture
def slow(simulator: SimulatorProcess) -> Iterator[SimulatorProcess]:
    simulator.control("POST", "faults", {"path": "/cgi-bin/token", "fault": "delay", "ms": 400})
    yield simulator
    simulator.control("DELETE", "faults")


async def test_one_call_that_is_slow_holds_up_no_other(slow: SimulatorProcess) -> None:
    transport = Transport(RecordedTelemetry())
    began = time.monotonic()
    await asyncio.gather(*(transport.send([slow.url], Request("t", "GET", "/cgi-bin/token")) for _ in range(10)))
    assert time.monotonic() - began < 2.5  # ten in a row take four seconds
    await transport.close()


async def test_wechat_hangs_and_the_call_ends_in_time_with_a_name() -> None:
    async with hanging() as url:
        transport = Transport(RecordedTelemetry(), connect_s=0.3, total_s=0.3)
        with pytest.raises(OutcomeUnknown) as hung:
            await transport.send([url], REQUEST)
        await transport.close()
    assert hung.value.advice.causes
    assert hung.value.wire_code
    assert url.removeprefix("http://") in str(hung.value)


@asynccontextmanager
async def hanging() -> AsyncIterator[str]:
    """A server that takes connections and never answers."""
    server = await asyncio.start_server(lambda reader, writer: asyncio.sleep(5), "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def test_nobody_answers_and_the_host_and_the_reason_are_named() -> None:
    transport = Transport(RecordedTelemetry(), connect_s=0.5, total_s=0.5)
    host = f"127.0.0.1:{free_port()}"
    with pytest.raises(NotSent) as refused:
        await transport.send([f"http://{host}"], REQUEST)
    await transport.close()
    assert refused.value.wire_code == "CONNECTION_REFUSED"
    assert host in str(refused.value)


def test_an_error_carries_what_support_asks_for_and_no_secret() -> None:
    error = codes.failure("v3", "refund", "NOT_ENOUGH", "余额不足", http_status=403, request_id="08F78BD0-268443699")  # type: ignore[arg-type] # the name of an API
    assert error.public_code == "NOT_ENOUGH"
    assert (error.wire_message, error.request_id) == ("余额不足", "08F78BD0-268443699")
    assert error.advice.causes
    assert "Request-ID 08F78BD0-268443699" in str(error)
    shown = str(allowed_only(None, "", {"event": "x", "key": "s3cret", "authorization": "s3cret", "openid": "o" * 28}))
    assert "s3cret" not in shown
    assert "o" * 28 not in shown
    assert "s3cret" not in repr(Keys(v2="s3cret", appsecret="s3cret"))


async def test_a_payment_is_tried_without_money_and_without_a_domain(simulator: SimulatorProcess) -> None:
    """WeChat's own sandbox knows neither APIv3 nor JSAPI; the simulator signs, checks and notifies as WeChat does."""
    scenarios = simulator.control("GET", "scenarios")
    assert {"success", "lost_notification", "duplicate", "forged", "wrong_amount", "probe", "stale"} <= set(
        str(scenarios).replace("'", " ").split()
    )
