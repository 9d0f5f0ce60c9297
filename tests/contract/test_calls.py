"""What is recorded of a call, over real sockets: the very string that was signed, and the one that was verified."""

from __future__ import annotations

import asyncio
import hmac
import re
import secrets
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta

import pytest

from service.clocks import SystemClock
from storage.embedded.servers import free_port
from tests.contract.samples import HOUR, NOW, an_order
from tests.support.runtime import RecordedTelemetry
from tests.support.simulator import SimulatorProcess
from wechat.account.client import AccountClient
from wechat.calls.redaction import redact
from wechat.calls.texts import V2_KEY, signed_answer, signed_request
from wechat.domain.calls import VERIFIED, Call, Exchange
from wechat.domain.errors import AccountRefused, FenpayError, GatewayRefused, NotSent, OutcomeUnknown
from wechat.domain.facts import Api
from wechat.domain.orders import Order, TradeType
from wechat.pay.certificates import KeyRing, PlatformKey, load_public_key, load_signer
from wechat.pay.ciphers import AeadCipher
from wechat.pay.gateway import ApiContext, Gateway, Merchant
from wechat.pay.signing import rsa_verify
from wechat.pay.v2 import xmlcodec
from wechat.pay.v2.gateway import V2Gateway
from wechat.pay.v3.gateway import V3Gateway
from wechat.support.transport import Request, Transport


class Bench:
    """A gateway of one kind whose calls are recorded."""

    def __init__(self, api: str, simulator: SimulatorProcess, hosts: tuple[str, ...] = ()) -> None:
        self.api, self.known = api, simulator.credentials
        self.exchanges: list[Exchange] = []
        self.transport = Transport(RecordedTelemetry(), total_s=5)
        self.transport.on_exchange = self.exchanges.append
        self.signer = load_signer(
            self.known["mchid"],
            self.known["merchant_private_key_pem"],
            self.known["merchant_cert_pem"],
            RecordedTelemetry(),
        )
        self.public_key = load_public_key(self.known["public_key_pem"])
        wire = ApiContext(self.transport, hosts or (simulator.url,), SystemClock())
        merchant = Merchant(self.known["mchid"], self.known["appid"])
        self.gateway: Gateway = V2Gateway(wire, merchant, self.known["api_v2_key"])
        if api == "v3":
            ring = KeyRing(SystemClock(), PlatformKey(self.known["public_key_id"], self.public_key))
            self.gateway = V3Gateway(wire, merchant, self.signer, AeadCipher(self.known["api_v3_key"]), ring)

    def order(self) -> Order:
        now = datetime.now(UTC).replace(microsecond=0)
        return an_order(
            f"T{secrets.token_hex(12)}",
            api=Api(self.api),
            appid=self.known["appid"],
            mchid=self.known["mchid"],
            trade_type=TradeType.NATIVE,
            openid="",
            notify_url="http://127.0.0.1:9/notify",
            created_at=now,
            expires_at=now + timedelta(minutes=30),
            close_after=None,
        )

    @property
    def call(self) -> Call:
        """The latest one, as it is kept."""
        return redact(self.exchanges[-1], "call-1", NOW, HOUR, 16_384)


@pytest.fixture(scope="module")
def simulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimulatorProcess]:
    process = SimulatorProcess.start(tmp_path_factory.mktemp("wechat"))
    yield process
    assert process.stop() == 0


@pytest.fixture(params=["v2", "v3"])
async def bench(request: pytest.FixtureRequest, simulator: SimulatorProcess) -> AsyncIterator[Bench]:
    bench = Bench(request.param, simulator)
    yield bench
    simulator.control("DELETE", "faults")
    await bench.transport.close()


async def test_the_string_that_was_signed_is_the_one_that_the_signature_is_over(bench: Bench) -> None:
    order = bench.order()
    await bench.gateway.prepay(order, datetime.now(UTC))
    [exchange] = bench.exchanges
    signed = signed_request(bench.call)
    if bench.api == "v3":
        given = re.search(r'signature="([^"]+)"', exchange.request_headers["Authorization"])
        assert given and bench.signer.sign(signed.encode()) == given[1]
    else:
        fields = xmlcodec.parse(exchange.request_body)
        whole = signed.replace(V2_KEY, bench.known["api_v2_key"])
        assert sign_of(whole, bench.known["api_v2_key"]) == fields["sign"]
        assert bench.known["api_v2_key"] not in repr(bench.call)
    assert (bench.call.out_trade_no, bench.call.api, bench.call.status) == (order.out_trade_no, bench.api, 200)


def sign_of(text: str, key: str) -> str:
    """v2's HMAC-SHA256 of a whole text, which ends in the key."""
    return hmac.digest(key.encode(), text.encode(), "sha256").hex().upper()


async def test_the_string_that_was_verified_is_the_one_that_wechats_signature_is_over(bench: Bench) -> None:
    await bench.gateway.prepay(bench.order(), datetime.now(UTC))
    assert bench.call.verdict == VERIFIED
    answer = bench.exchanges[0]
    if bench.api == "v3":
        rsa_verify(bench.public_key, signed_answer(bench.call).encode(), answer.answer_headers["Wechatpay-Signature"])
        assert bench.call.request_id
    else:
        key = bench.known["api_v2_key"]
        whole = signed_answer(bench.call).replace(V2_KEY, key)
        assert sign_of(whole, key) == xmlcodec.parse(answer.answer_body)["sign"]


async def test_an_answer_with_a_wrong_signature_is_recorded_with_its_verdict(
    bench: Bench, simulator: SimulatorProcess
) -> None:
    path = "/pay/unifiedorder" if bench.api == "v2" else "/v3/pay/transactions/native"
    assert "faults" in simulator.control("POST", "faults", {"path": path, "fault": "wrong_signature", "times": 1})
    with pytest.raises(OutcomeUnknown):
        await bench.gateway.prepay(bench.order(), datetime.now(UTC))
    assert bench.call.verdict == "sign_wrong"


async def test_a_refusal_is_recorded_as_it_came(bench: Bench) -> None:
    order = bench.order()
    with pytest.raises(GatewayRefused):
        await bench.gateway.query(order)
    call = bench.call
    assert call.out_trade_no == order.out_trade_no
    assert "ORDER" in call.answer.body and call.answer.size
    assert (call.verdict == VERIFIED) is (bench.api == "v2")  # v3 does not sign refusals
    assert call.duration_ms >= 0


async def test_each_host_that_was_tried_is_a_call(simulator: SimulatorProcess) -> None:
    nobody = f"http://127.0.0.1:{free_port()}"
    bench = Bench("v3", simulator, (nobody, simulator.url))
    await bench.gateway.prepay(bench.order(), datetime.now(UTC))
    first, second = bench.exchanges
    assert (first.status, first.verdict, second.status, second.verdict) == (0, "", 200, VERIFIED)
    assert first.url.startswith(nobody) and "connect call failed" in first.error
    await bench.transport.close()


async def test_a_call_that_nobody_answers_is_recorded_with_its_error(simulator: SimulatorProcess) -> None:
    bench = Bench("v2", simulator, (f"http://127.0.0.1:{free_port()}",))
    with pytest.raises(NotSent):
        await bench.gateway.close(bench.order())
    assert bench.call.error and not bench.call.answer.headers
    await bench.transport.close()


async def test_calls_of_the_account_are_recorded_without_its_secrets(simulator: SimulatorProcess) -> None:
    bench = Bench("v3", simulator)
    client, secret = AccountClient(bench.transport, simulator.url), bench.known["appsecret"]
    asked = {"grant_type": "client_credential", "appid": bench.known["appid"], "secret": secret}
    token = (await client.get("/cgi-bin/token", **asked))["access_token"]
    with pytest.raises(AccountRefused):
        await client.get("/cgi-bin/ticket/getticket", access_token="wrong", type="jsapi")
    kept = [redact(exchange, "call-1", NOW, HOUR, 16_384) for exchange in bench.exchanges]
    assert [call.api for call in kept] == ["account", "account"]
    assert secret in bench.exchanges[0].url and token in bench.exchanges[0].answer_body.decode()
    assert secret not in repr(kept) and token not in repr(kept)
    assert "40014" in kept[1].answer.body
    await bench.transport.close()


async def test_what_is_not_wechats_is_not_recorded_and_nothing_is_without_somebody_who_asks(
    simulator: SimulatorProcess,
) -> None:
    bench = Bench("v3", simulator)
    await bench.transport.send((simulator.url,), Request("clock", "GET", "/"))
    assert bench.exchanges == []
    bench.transport.on_exchange = None
    await bench.gateway.prepay(bench.order(), datetime.now(UTC))
    assert bench.exchanges == []
    await bench.transport.close()


async def test_a_call_that_its_caller_left_is_recorded_as_cancelled(simulator: SimulatorProcess) -> None:
    bench = Bench("v3", simulator)
    simulator.control(
        "POST", "faults", {"path": "/v3/pay/transactions/native", "fault": "delay", "ms": 500, "times": 1}
    )
    task = asyncio.create_task(bench.gateway.prepay(bench.order(), datetime.now(UTC)))
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises((asyncio.CancelledError, FenpayError)):
        await task
    assert bench.call.error == "cancelled"
    simulator.control("DELETE", "faults")
    await bench.transport.close()
