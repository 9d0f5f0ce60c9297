"""签名错误 from WeChat: the cause that applies is named, by our gateways against the simulator and by the rules alone."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from tests.contract.samples import an_order
from tests.support.clock import ManualClock
from tests.support.keys import key
from tests.support.runtime import RecordedTelemetry
from tests.support.simulator import SimulatorProcess
from wechat.domain.errors import GatewayRefused
from wechat.domain.facts import Api
from wechat.domain.orders import Order
from wechat.pay.certificates import KeyRing, PlatformKey, load_public_key, load_signer
from wechat.pay.ciphers import AeadCipher
from wechat.pay.gateway import ApiContext, Gateway, Merchant, RefusedRequest
from wechat.pay.key_files import read_pem
from wechat.pay.signing import Signer, v3_request_message
from wechat.pay.v2.gateway import V2Gateway
from wechat.pay.v3.gateway import V3Gateway
from wechat.sign_explain.model import Keys
from wechat.slips.sign_errors import SignErrors
from wechat.support.transport import Answer, Request, Transport

Change = Callable[[Request], Request]
OTHER_KEY = "0b6f2f52d1c1e4a1a94f9a3c7f20be15"


class Proxy(Transport):
    """The way to WeChat through a proxy that changes requests."""

    def __init__(self, change: Change) -> None:
        super().__init__(RecordedTelemetry())
        self._change = change

    async def send(self, hosts: Sequence[str], request: Request) -> Answer:
        return await super().send(hosts, self._change(request))


class Desk:
    """Gateways of one merchant, each with one thing wrong."""

    def __init__(self, simulator: SimulatorProcess) -> None:
        self.known = simulator.credentials
        self.url = simulator.url
        self.transports: list[Transport] = []

    def v2(self, secret: str) -> Gateway:
        wire = self._wire(lambda request: request, datetime.now(UTC), SignErrors(Keys(v2=secret), self.known["mchid"]))
        return V2Gateway(wire, self._merchant, secret)

    def v3(
        self, change: Change = lambda request: request, *, foreign_key: bool = False, off: timedelta = timedelta(0)
    ) -> Gateway:
        pems = (self.known["merchant_private_key_pem"], self.known["merchant_cert_pem"])
        signer = load_signer(self.known["mchid"], *pems, RecordedTelemetry())
        if foreign_key:
            signer = Signer(self.known["mchid"], signer.serial_no, key("another"))
        keys = Keys(certificate=read_pem(self.known["merchant_cert_pem"]))
        wire = self._wire(change, datetime.now(UTC) + off, SignErrors(keys, self.known["mchid"]))
        public = PlatformKey(self.known["public_key_id"], load_public_key(self.known["public_key_pem"]))
        return V3Gateway(wire, self._merchant, signer, AeadCipher("k" * 32), KeyRing(wire.clock, public))

    async def refuse(self, gateway: Gateway) -> GatewayRefused:
        """WeChat's refusal of a query, which is signed like everything else."""
        with pytest.raises(GatewayRefused) as refused:
            await gateway.query(self._order(gateway.api))
        assert refused.value.public_code == "SIGN_ERROR"
        return refused.value

    @property
    def _merchant(self) -> Merchant:
        return Merchant(self.known["mchid"], self.known["appid"])

    def _order(self, api: Api) -> Order:
        return replace(an_order(api=api), appid=self.known["appid"], mchid=self.known["mchid"])

    def _wire(self, change: Change, now: datetime, errors: SignErrors) -> ApiContext:
        self.transports.append(Proxy(change))
        return ApiContext(self.transports[-1], (self.url,), ManualClock(now), name_cause=errors.name_cause)


@pytest.fixture(scope="module")
def simulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimulatorProcess]:
    process = SimulatorProcess.start(tmp_path_factory.mktemp("wechat"))
    yield process
    assert process.stop() == 0


@pytest.fixture
async def desk(simulator: SimulatorProcess) -> AsyncIterator[Desk]:
    desk = Desk(simulator)
    yield desk
    for transport in desk.transports:
        await transport.close()


@pytest.mark.parametrize(
    ("build", "code", "says", "fix"),
    [
        (lambda desk: desk.v2(OTHER_KEY), "WRONG_KEY", "pay.v2.key is not the APIv2 key of", "set pay.v2.key"),
        (
            lambda desk: desk.v3(foreign_key=True),
            "WRONG_KEY",
            "pay.v3.merchant_key is not the merchant API private key",
            "pay.v3.merchant_key",
        ),
        (lambda desk: desk.v3(off=timedelta(minutes=9)), "CLOCK_OFF", "9 minutes ahead of WeChat Pay", "set-ntp"),
        (lambda desk: desk.v3(off=timedelta(minutes=-7)), "CLOCK_OFF", "7 minutes behind WeChat Pay", "set-ntp"),
        (lambda desk: desk.v3(add_to_address), "URL_DIFFERS", "a proxy on the way out", "go out directly"),
        (lambda desk: desk.v3(add_body), "BODY_CHANGED", "a proxy on the way out", "go out directly"),
        (
            lambda desk: desk.v3(change_serial),
            "SERIAL_OF_OTHER_KEY",
            "has no valid certificate",
            "pay.v3.merchant_cert",
        ),
    ],
    ids=["v2 key", "v3 key", "clock ahead", "clock behind", "address", "body", "serial"],
)
async def test_the_cause_that_applies_is_named(
    desk: Desk, build: Callable[[Desk], Gateway], code: str, says: str, fix: str
) -> None:
    error = await desk.refuse(build(desk))
    assert error.cause
    assert error.cause.code == code
    assert says in error.cause.text.en
    assert error.advice.causes == (error.cause.text,)
    assert fix in error.advice.next_step.en
    assert says in str(error)


def add_to_address(request: Request) -> Request:
    return replace(request, target=f"{request.target}&from=proxy")


def add_body(request: Request) -> Request:
    return replace(request, body=b"{}")


def change_serial(request: Request) -> Request:
    """A certificate that the merchant number does not have."""
    head, _, _ = request.headers["Authorization"].rpartition('serial_no="')
    return replace(request, headers={**request.headers, "Authorization": f'{head}serial_no="{"7F" * 20}"'})


SIGNED = v3_request_message("POST", "/v3/x?a=1", "1772337906", "n1", b'{"total":1}')


@pytest.mark.parametrize(
    ("seen", "code"),
    [
        ("GET\n/v3/x?a=1\n1772337906\nn1\n", "METHOD_DIFFERS"),
        ("POST\n/x/v3/x?a=1\n1772337906\nn1\n", "URL_DIFFERS"),
        ("POST\n/v3/x?a=1\n1772337907\nn1\n", "TIMESTAMP_DIFFERS"),
        ("POST\n/v3/x?a=1\n1772337906\nn2\n{", "NONCE_DIFFERS"),
        ("POST\n/v3/x?a=", "WRONG_KEY"),  # cut, and equal as far as it goes
    ],
)
def test_the_line_that_wechat_saw_otherwise_is_named(seen: str, code: str) -> None:
    request = RefusedRequest(Api.V3, "", 1772337906.0, 1772337910.0, SIGNED, seen, len(SIGNED))
    assert SignErrors(Keys(), "1900000109").name_cause(request).code == code


@pytest.mark.parametrize(
    ("errors", "api", "code", "says"),
    [
        (SignErrors(Keys(v2="k" * 32, v3="k" * 32), "1"), Api.V2, "KEY_OF_OTHER_API", "the same as pay.v3.key"),
        (SignErrors(Keys(v2="k" * 32, appsecret="k" * 32), "1"), Api.V2, "KEY_OF_OTHER_API", "account.appsecret"),
        (SignErrors(Keys(), "1900000109", "1900000110"), Api.V3, "SERIAL_OF_OTHER_KEY", "of the merchant number"),
    ],
)
def test_a_key_of_something_else_is_named(errors: SignErrors, api: Api, code: str, says: str) -> None:
    cause = errors.name_cause(RefusedRequest(api, "签名错误"))
    assert (cause.code, says in cause.text.en) == (code, True)
    assert "kkkk" not in cause.text.zh + cause.text.en
