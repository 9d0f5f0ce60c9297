"""One suite for both generations of WeChat Pay: our gateways against the simulator, over real sockets."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from service.clocks import SystemClock
from storage.embedded.servers import free_port
from tests.contract.samples import an_order
from tests.support.keys import certificate_pem, key, private_pem
from tests.support.runtime import RecordedTelemetry, a_runtime
from tests.support.simulator import SimulatorProcess
from wechat.domain.errors import GatewayRefused, NotSent, OutcomeUnknown
from wechat.domain.facts import Api, RemoteState
from wechat.domain.money import Fen
from wechat.domain.orders import Order, Prepay, TradeType
from wechat.pay.certificates import Certificates, KeyRing, PlatformKey, load_public_key, load_signer
from wechat.pay.ciphers import AeadCipher
from wechat.pay.gateway import AnotherOrder, ApiContext, Gateway, Merchant
from wechat.pay.signing import Signer, SignType
from wechat.pay.v2.gateway import V2Gateway
from wechat.pay.v3.gateway import V3Gateway
from wechat.support.transport import Transport

CALLS = ["prepay", "query", "close"]
PATHS = {
    "v2": {"prepay": "/pay/unifiedorder", "query": "/pay/orderquery", "close": "/pay/closeorder"},
    "v3": {
        "prepay": "/v3/pay/transactions/jsapi",
        "query": "/v3/pay/transactions/out-trade-no/*",
        "close": "/v3/pay/transactions/out-trade-no/*/close",
    },
}


APP_FIELDS = ("appid", "partnerid", "prepayid", "package", "noncestr", "timestamp", "sign")


class Bench:
    """A gateway of one kind, and the simulator behind it."""

    def __init__(self, kind: str, simulator: SimulatorProcess) -> None:
        self.kind, self.api = kind, kind[:2]
        self.simulator = simulator
        self.known = simulator.credentials
        self.transport = Transport(RecordedTelemetry(), total_s=5)
        self.hasty_transport = Transport(RecordedTelemetry(), total_s=0.6)
        self.gateway = self.build()
        self.hasty_gateway = self.build(self.hasty_transport)

    async def close(self) -> None:
        await self.transport.close()
        await self.hasty_transport.close()

    def build(self, transport: Transport | None = None, *, hosts: tuple[str, ...] = (), **keys: Any) -> Gateway:
        """The gateway with other ``hosts``, other keys than the right ones, or a ``transport`` that waits less."""
        merchant = Merchant(self.known["mchid"], self.known["appid"], "咖啡", "https://pay.example.com")
        wire = ApiContext(transport or self.transport, hosts or (self.simulator.url,), SystemClock())
        if self.api == "v2":
            kind = SignType.MD5 if self.kind == "v2 MD5" else SignType.HMAC_SHA256
            return V2Gateway(wire, merchant, keys.get("v2_key", self.known["api_v2_key"]), kind)
        pems = (self.known["merchant_private_key_pem"], self.known["merchant_cert_pem"])
        ours = load_signer(self.known["mchid"], *pems, RecordedTelemetry())
        public = PlatformKey(self.known["public_key_id"], load_public_key(self.known["public_key_pem"]))
        ring = KeyRing(SystemClock(), keys.get("public", public))
        return V3Gateway(wire, merchant, keys.get("signer", ours), AeadCipher(self.known["api_v3_key"]), ring)

    def order(self, trade_type: TradeType = TradeType.JSAPI, **changed: Any) -> Order:
        now = datetime.now(UTC).replace(microsecond=0)
        order = an_order(
            f"T{secrets.token_hex(12)}",
            api=Api(self.api),
            appid=self.known["appid"],
            mchid=self.known["mchid"],
            trade_type=trade_type,
            openid=self.known["users"][0]["openid"] if trade_type is TradeType.JSAPI else "",
            notify_url="http://127.0.0.1:9/notify",
            created_at=now,
            expires_at=now + timedelta(minutes=30),
        )
        return replace(order, **changed)

    async def placed(self, **changed: Any) -> tuple[Order, Prepay]:
        order = self.order(**changed)
        return order, await self.gateway.prepay(order, datetime.now(UTC))

    def pay(self, prepay: Prepay, scenario: str = "lost_notification") -> dict[str, str]:
        """The payer pays in WeChat's browser with what our cashier was given."""
        params = self.gateway.pay_params(self.known["appid"], prepay).as_json()
        asked = {**params, "url": "http://127.0.0.1:8888/pay/1", "scenario": scenario}
        return self.simulator.control("POST", "bridge", asked)

    def fault(self, call: str, fault: str, **more: Any) -> None:
        rule = {"path": PATHS[self.api][call], "fault": fault, "times": 1} | more
        payload = self.simulator.control("POST", "faults", rule)
        assert "faults" in payload, payload

    def call(self, call: str, order: Order, gateway: Gateway | None = None) -> Any:
        more = (datetime.now(UTC),) if call == "prepay" else ()
        return getattr(gateway or self.gateway, call)(order, *more)


@pytest.fixture(scope="module")
def simulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimulatorProcess]:
    process = SimulatorProcess.start(tmp_path_factory.mktemp("wechat"))
    yield process
    assert process.stop() == 0


@pytest.fixture(params=["v2 MD5", "v2 HMAC-SHA256", "v3"])
async def bench(request: pytest.FixtureRequest, simulator: SimulatorProcess) -> AsyncIterator[Bench]:
    bench = Bench(request.param, simulator)
    yield bench
    simulator.control("DELETE", "faults")
    await bench.close()


@pytest.mark.parametrize(
    ("trade_type", "field", "start"),
    [
        (TradeType.JSAPI, "prepay_id", "wx"),
        (TradeType.NATIVE, "code_url", "weixin://"),
        (TradeType.MWEB, "h5_url", "http"),
        (TradeType.APP, "prepay_id", "wx"),
    ],
)
async def test_each_trade_type_gives_what_its_payer_needs(
    bench: Bench, trade_type: TradeType, field: str, start: str
) -> None:
    _, prepay = await bench.placed(trade_type=trade_type)
    assert getattr(prepay, field).startswith(start)
    assert [name for name in ("prepay_id", "code_url", "h5_url") if getattr(prepay, name)] == [field]


async def test_the_same_order_again_is_payable_under_the_same_number(bench: Bench) -> None:
    order, first = await bench.placed()
    second = await bench.gateway.prepay(order, datetime.now(UTC))
    assert first.prepay_id
    assert second.prepay_id
    assert bench.simulator.order(order.out_trade_no)["total"] == order.total


async def test_the_same_number_with_another_total_is_refused(bench: Bench) -> None:
    order, _ = await bench.placed()
    with pytest.raises(GatewayRefused) as refused:
        await bench.gateway.prepay(replace(order, total=Fen(1)), datetime.now(UTC))
    assert refused.value.public_code in ("INVALID_REQUEST", "OUT_TRADE_NO_USED")


async def test_an_unpaid_order_is_known_and_unpaid(bench: Bench) -> None:
    order, _ = await bench.placed()
    found = await bench.gateway.query(order)
    assert (found.value.state, found.value.out_trade_no) == (RemoteState.NOTPAY, order.out_trade_no)
    assert found.proof.startswith(bench.api)


async def test_a_paid_order_is_found_with_its_money_by_either_number(bench: Bench) -> None:
    order, prepay = await bench.placed(total=Fen(4200), description="咖啡 & <茶>", attach="桌号 7")
    assert bench.pay(prepay) == {"err_msg": "get_brand_wcpay_request:ok"}
    found = (await bench.gateway.query(order)).value
    assert (found.state, found.total, found.currency, found.appid) == (RemoteState.SUCCESS, 4200, "CNY", order.appid)
    assert (found.openid, found.attach, found.trade_type) == (order.openid, "桌号 7", "JSAPI")
    assert found.success_time is not None
    assert abs(found.success_time - datetime.now(UTC)) < timedelta(minutes=5)
    assert (await bench.gateway.query(order, transaction_id=found.transaction_id)).value == found


async def test_an_order_that_wechat_never_saw_is_told_so(bench: Bench) -> None:
    with pytest.raises(GatewayRefused) as refused:
        await bench.gateway.query(bench.order())
    assert refused.value.public_code == "ORDER_NOT_EXIST"


async def test_an_order_can_be_closed_and_is_then_closed(bench: Bench) -> None:
    order, _ = await bench.placed()
    bench.simulator.control("POST", "clock", {"advance_s": 301})
    await bench.gateway.close(order)
    assert (await bench.gateway.query(order)).value.state is RemoteState.CLOSED
    with pytest.raises(GatewayRefused) as refused:
        await bench.gateway.prepay(order, datetime.now(UTC))
    assert refused.value.public_code == "ORDER_CLOSED"


@pytest.mark.parametrize("old", [False, True])
async def test_a_paid_order_cannot_be_closed_in_either_spelling(bench: Bench, old: bool) -> None:
    order, prepay = await bench.placed()
    bench.pay(prepay)
    bench.simulator.control("POST", "clock", {"advance_s": 301})
    if old:
        bench.fault("close", "old_spelling")
    with pytest.raises(GatewayRefused) as refused:
        await bench.gateway.close(order)
    assert refused.value.public_code == "ORDER_PAID"


@pytest.mark.parametrize("call", CALLS)
async def test_a_wrong_key_is_refused_with_advice(bench: Bench, call: str) -> None:
    order, _ = await bench.placed()
    pems = (private_pem("theirs"), certificate_pem("theirs"))
    stranger = load_signer(bench.known["mchid"], *pems, RecordedTelemetry())
    forger = Signer(bench.known["mchid"], bench.known["merchant_serial_no"], key("theirs"))
    for signer in (stranger, forger):
        gateway = bench.build(v2_key=bench.known["api_v2_key"][::-1], signer=signer)
        with pytest.raises(GatewayRefused) as refused:
            await bench.call(call, order, gateway)
        assert refused.value.public_code == "SIGN_ERROR"
        assert f"pay.{bench.api}" in str(refused.value.advice)
        assert bench.known["api_v2_key"][::-1] not in str(refused.value)


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("code", ["PARAM_ERROR", "NO_AUTH", "APPID_MCHID_NOT_MATCH"])
async def test_a_refusal_carries_wechats_code_and_words(bench: Bench, call: str, code: str) -> None:
    order, _ = await bench.placed()
    bench.fault(call, "refuse", code=code, message="模拟的说明")
    with pytest.raises(GatewayRefused) as refused:
        await bench.call(call, order)
    assert (refused.value.public_code, refused.value.wire_message) == (code, "模拟的说明")
    assert bool(refused.value.request_id) is (bench.api == "v3")
    assert refused.value.advice.causes


UNKNOWN = ["timeout_before", "timeout_after", "http_500", "system_error", "unsigned", "wrong_signature", "probe"]


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("fault", UNKNOWN)
async def test_without_an_answer_that_proves_itself_the_outcome_is_unknown(bench: Bench, call: str, fault: str) -> None:
    order, _ = await bench.placed()
    bench.simulator.control("POST", "clock", {"advance_s": 301})
    bench.fault(call, fault)
    with pytest.raises(OutcomeUnknown):
        await bench.call(call, order, bench.hasty_gateway)


@pytest.mark.parametrize("code", ["SYSTEMERROR", "SYSTEM_ERROR", "FREQUENCY_LIMITED", "BANKERROR"])
async def test_a_code_that_leaves_it_open_is_an_unknown_outcome(bench: Bench, code: str) -> None:
    order = bench.order()
    bench.fault("prepay", "refuse", code=code)
    with pytest.raises(OutcomeUnknown):
        await bench.gateway.prepay(order, datetime.now(UTC))


async def test_an_order_that_took_effect_unseen_is_found_by_its_number(bench: Bench) -> None:
    order = bench.order()
    bench.fault("prepay", "timeout_after")
    with pytest.raises(OutcomeUnknown):
        await bench.hasty_gateway.prepay(order, datetime.now(UTC))
    assert (await bench.gateway.query(order)).value.state is RemoteState.NOTPAY
    assert (await bench.gateway.prepay(order, datetime.now(UTC))).prepay_id


@pytest.mark.parametrize("call", CALLS)
async def test_a_slow_answer_within_the_budget_is_an_answer(bench: Bench, call: str) -> None:
    order, _ = await bench.placed()
    bench.simulator.control("POST", "clock", {"advance_s": 301})
    bench.fault(call, "delay", ms=200)
    await bench.call(call, order)


async def test_an_answer_about_another_order_proves_nothing(bench: Bench) -> None:
    order, prepay = await bench.placed()
    other, _ = await bench.placed()
    bench.pay(prepay)
    number = (await bench.gateway.query(order)).value.transaction_id
    with pytest.raises(AnotherOrder):
        await bench.gateway.query(other, transaction_id=number)


@pytest.mark.parametrize("call", CALLS)
async def test_where_nobody_listens_nothing_was_sent(bench: Bench, call: str) -> None:
    gateway = bench.build(hosts=(f"http://127.0.0.1:{free_port()}",))
    with pytest.raises(NotSent):
        await bench.call(call, bench.order(), gateway)


@pytest.mark.parametrize("first", ["refuses", "hangs", "hangs up"])
async def test_the_second_host_answers_when_the_first_does_not(bench: Bench, first: str) -> None:
    async with await asyncio.start_server(_behaviour(first), "127.0.0.1", 0) as server:
        port = free_port() if first == "refuses" else server.sockets[0].getsockname()[1]
        gateway = bench.build(hosts=(f"http://127.0.0.1:{port}", bench.simulator.url))
        assert (await gateway.prepay(bench.order(), datetime.now(UTC))).prepay_id


@pytest.mark.parametrize(
    "answer", [b"", b"<html>502</html>", b"{}", b"[]", b"null", b"<xml/>", b"\xff" * 10, b"x" * 2_000_000]
)
@pytest.mark.parametrize("status", [200, 204, 302, 400, 404, 429, 502])
async def test_whatever_a_proxy_answers_in_between_is_an_unknown_outcome(
    bench: Bench, answer: bytes, status: int
) -> None:
    if status == 204 and answer:
        answer = b""
    async with await asyncio.start_server(_answering(status, answer), "127.0.0.1", 0) as server:
        gateway = bench.build(hosts=(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}",))
        with pytest.raises(OutcomeUnknown):
            await gateway.prepay(bench.order(), datetime.now(UTC))


@pytest.mark.parametrize("scenario", ["success", "cancel", "not_enough"])
async def test_what_the_cashier_is_given_is_accepted_by_wechats_browser(bench: Bench, scenario: str) -> None:
    _, prepay = await bench.placed()
    wanted = {"success": "ok", "cancel": "cancel", "not_enough": "fail"}[scenario]
    assert bench.pay(prepay, scenario)["err_msg"] == f"get_brand_wcpay_request:{wanted}"


@pytest.mark.parametrize("name", ["appId", "timeStamp", "nonceStr", "package", "signType", "paySign"])
async def test_pay_params_are_good_for_nothing_else(bench: Bench, name: str) -> None:
    order, prepay = await bench.placed()
    _, other = await bench.placed()
    params = bench.gateway.pay_params(bench.known["appid"], prepay).as_json()
    changed = {
        "package": f"prepay_id={other.prepay_id}",
        "signType": "MD5" if "MD5" not in bench.kind else "HMAC-SHA256",
    }
    params[name] = changed.get(name, params[name][:-1] + ("0" if params[name][-1] != "0" else "1"))
    payload = bench.simulator.control("POST", "bridge", {**params, "url": "http://127.0.0.1:8888/pay/1"})
    assert payload["err_msg"] == "get_brand_wcpay_request:fail"
    assert bench.simulator.order(order.out_trade_no)["trade_state"] == "NOTPAY"


@pytest.mark.parametrize("name", [*APP_FIELDS, ""])
async def test_what_an_app_is_given_is_accepted_by_wechat_and_good_for_nothing_else(bench: Bench, name: str) -> None:
    order, prepay = await bench.placed(trade_type=TradeType.APP, appid=bench.known["app_appid"])
    params = bench.gateway.app_params(order.appid, prepay).as_json()
    assert tuple(params) == APP_FIELDS
    if name:
        params[name] = params[name][:-1] + ("0" if params[name][-1] != "0" else "1")
    told = bench.simulator.control("POST", "app", params)
    assert told["err_msg"] == ("app:fail" if name else "app:ok")
    assert bench.simulator.order(order.out_trade_no)["trade_state"] == ("NOTPAY" if name else "SUCCESS")


@pytest.mark.parametrize("mode", ["certificate", "grey", "public_key"])
async def test_v3_verifies_in_each_key_mode(simulator: SimulatorProcess, mode: str) -> None:
    bench = Bench("v3", simulator)
    simulator.control("POST", "keys", {"mode": mode})
    try:
        public = (
            None
            if mode == "certificate"
            else PlatformKey(bench.known["public_key_id"], load_public_key(bench.known["public_key_pem"]))
        )
        gateway = bench.build(public=public)
        assert isinstance(gateway, V3Gateway)
        if mode == "certificate":
            with pytest.raises(NotSent):
                await gateway.prepay(bench.order(), datetime.now(UTC))
            cipher = AeadCipher(bench.known["api_v3_key"])
            await Certificates(gateway._ring, cipher, gateway.certificates, a_runtime(SystemClock())).refresh()
        if mode == "public_key":
            with pytest.raises(GatewayRefused) as refused:
                await gateway.certificates()
            assert refused.value.public_code == "RESOURCE_NOT_EXISTS"
            assert "pay.v3.public_key" in refused.value.advice.next_step.en
        assert (await gateway.prepay(bench.order(), datetime.now(UTC))).prepay_id
    finally:
        simulator.control("POST", "keys", {"mode": "grey"})
        await bench.close()


Behaviour = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Any]


def _behaviour(name: str) -> Behaviour:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        if name == "hangs":
            await asyncio.sleep(6)
        writer.close()

    return serve


def _answering(status: int, body: bytes) -> Behaviour:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head = f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\nLocation: http://127.0.0.1:1/\r\nConnection: close\r\n\r\n"
        writer.write(head.encode() + body)
        try:
            await writer.drain()
        except ConnectionError:
            return
        writer.close()

    return serve
