"""One suite for refunds over both generations of WeChat Pay, over real sockets and, for v2, real mutual TLS."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest

from storage.embedded.servers import free_port
from tests.contract.samples import a_refund
from tests.support.keys import certificate_pem, curve_pem, key, private_pem, public_pem
from tests.support.platform import Platform
from tests.support.receiving import KNOWN, NowClock
from tests.support.refund_wechat import RefundWeChat, server_pem
from tests.support.runtime import RecordedTelemetry
from wechat.domain.errors import ConfigError, GatewayRefused, NotSent, OutcomeUnknown
from wechat.domain.facts import RefundState, RemoteRefund
from wechat.domain.money import Fen
from wechat.pay.certificates import KeyRing, PlatformKey, load_signer
from wechat.pay.ciphers import AeadCipher
from wechat.pay.gateway import ApiContext, Merchant, RefundGateway
from wechat.pay.v2.gateway import V2Gateway
from wechat.pay.v2.mutual_tls import client_context
from wechat.pay.v2.refunds import V2Refunds
from wechat.pay.v3.gateway import V3Gateway
from wechat.pay.v3.refunds import V3Refunds
from wechat.support.transport import Transport

BOTH = pytest.mark.parametrize("api", ["v2", "v3"])
CALLS = pytest.mark.parametrize("call", ["refund", "query_refund"])
REFUND = a_refund(total=Fen(100))


class Bench:
    """Our two refund gateways and the WeChat they speak to."""

    def __init__(self, wechat: RefundWeChat) -> None:
        self.wechat = wechat
        self.opened: list[Transport] = []

    def gateway(self, api: str, *, hosts: tuple[str, ...] = (), cert: str = "ours", ca: str = "") -> RefundGateway:
        """``hosts`` in place of WeChat's own, another client certificate, other authorities than its own."""
        clock, merchant = NowClock(), Merchant(KNOWN["mchid"], KNOWN["appid"])
        wire = ApiContext(self.transport(), hosts or (self.wechat.url,), clock)
        if api == "v3":
            signer = load_signer(KNOWN["mchid"], private_pem(), certificate_pem(), RecordedTelemetry())
            ring = KeyRing(clock, PlatformKey("PUB_KEY_ID_01", key("platform").public_key()))
            return V3Refunds(V3Gateway(wire, merchant, signer, AeadCipher(KNOWN["api_v3_key"]), ring))
        tls = client_context(certificate_pem(cert), private_pem(cert), ca or server_pem())
        secure = ApiContext(self.transport(tls=tls), hosts or (self.wechat.secure_url,), clock)
        return V2Refunds(V2Gateway(wire, merchant, KNOWN["api_v2_key"]), secure)

    def transport(self, **more: Any) -> Transport:
        self.opened.append(Transport(RecordedTelemetry(), total_s=5, **more))
        return self.opened[-1]

    async def ask(self, api: str, call: str, **more: Any) -> RemoteRefund:
        gateway = self.gateway(api, **more)
        found = await (gateway.refund(REFUND) if call == "refund" else gateway.query_refund(REFUND))
        assert found.proof.startswith(api)
        return found.value

    def says(self, status: str = "PROCESSING", **changed: Any) -> None:
        """Let WeChat answer both calls about ``REFUND``."""
        self.wechat.v2 = lambda fields: v2_answer(fields, status, changed)
        self.wechat.v3 = lambda data: (200, v3_answer(status) | changed)

    def refuses(self, code: str, status: int = 400) -> None:
        self.wechat.v2 = lambda fields: {"result_code": "FAIL", "err_code": code, "err_code_des": "不行"}
        self.wechat.v3 = lambda data: (status, {"code": code, "message": "不行"})


def v2_answer(fields: dict[str, str], status: str, changed: dict[str, str]) -> dict[str, str]:
    row = "_0" if "refund_fee" not in fields else ""
    answer = {
        "transaction_id": REFUND.transaction_id,
        "out_trade_no": REFUND.out_trade_no,
        f"out_refund_no{row}": REFUND.out_refund_no,
        f"refund_id{row}": "50300001",
        f"refund_fee{row}": "60",
        "total_fee": "100",
    }
    if row:
        done = {"refund_success_time_0": "2026-03-01 12:05:06"} if status == "SUCCESS" else {}
        answer |= {"refund_count": "1", "refund_status_0": status} | done
    return answer | {f"{name}{row}" if f"{name}{row}" in answer else name: value for name, value in changed.items()}


def v3_answer(status: str) -> dict[str, Any]:
    done = {"success_time": "2026-03-01T12:05:06+08:00"} if status == "SUCCESS" else {}
    return {
        "refund_id": "50300001",
        "out_refund_no": REFUND.out_refund_no,
        "transaction_id": REFUND.transaction_id,
        "out_trade_no": REFUND.out_trade_no,
        "status": status,
        "amount": {"total": 100, "refund": 60, "payer_total": 100, "payer_refund": 60, "currency": "CNY"},
    } | done


@pytest.fixture(scope="module")
async def wechat(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RefundWeChat]:
    directory = tmp_path_factory.mktemp("wechat")
    (directory / "public_key.key.pem").write_text(private_pem("platform"))
    (directory / "platform_1.key.pem").write_text(private_pem("certificate"))
    async with RefundWeChat(Platform(KNOWN, directory), directory) as wechat:
        yield wechat


@pytest.fixture
async def bench(wechat: RefundWeChat) -> AsyncIterator[Bench]:
    wechat.reset()
    bench = Bench(wechat)
    yield bench
    for transport in bench.opened:
        await transport.close()


# -- what is sent ------------------------------------------------------------------------------------------------------


async def test_a_v2_refund_shows_the_client_certificate_and_sends_its_fields(bench: Bench) -> None:
    bench.says()
    assert (await bench.ask("v2", "refund")).state is RefundState.PROCESSING
    [(path, fields)] = bench.wechat.asked
    assert path == "/secapi/pay/refund"
    assert {name: value for name, value in fields.items() if name not in ("sign", "nonce_str")} == {
        "appid": KNOWN["appid"],
        "mch_id": KNOWN["mchid"],
        "sign_type": "HMAC-SHA256",
        "transaction_id": REFUND.transaction_id,
        "out_refund_no": REFUND.out_refund_no,
        "total_fee": "100",
        "refund_fee": "60",
        "refund_fee_type": "CNY",
        "refund_desc": "缺货",
        "notify_url": "https://pay.example.com/notify",
    }


async def test_a_v3_refund_sends_its_body_and_a_query_its_number_quoted(bench: Bench) -> None:
    bench.says()
    await bench.ask("v3", "refund")
    odd = a_refund("R|@*20260301")
    with pytest.raises(OutcomeUnknown):  # the stand-in speaks of REFUND
        await bench.gateway("v3").query_refund(odd)
    assert bench.wechat.asked == [
        (
            "/v3/refund/domestic/refunds",
            {
                "transaction_id": REFUND.transaction_id,
                "out_refund_no": REFUND.out_refund_no,
                "reason": "缺货",
                "notify_url": "https://pay.example.com/notify",
                "amount": {"refund": 60, "total": 100, "currency": "CNY"},
            },
        ),
        ("/v3/refund/domestic/refunds/R%7C%40%2A20260301", {}),
    ]


# -- what is answered --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("api", "status", "state"),
    [
        ("v2", "SUCCESS", RefundState.SUCCESS),
        ("v2", "REFUNDCLOSE", RefundState.CLOSED),
        ("v2", "PROCESSING", RefundState.PROCESSING),
        ("v2", "CHANGE", RefundState.ABNORMAL),
        ("v3", "SUCCESS", RefundState.SUCCESS),
        ("v3", "CLOSED", RefundState.CLOSED),
        ("v3", "PROCESSING", RefundState.PROCESSING),
        ("v3", "ABNORMAL", RefundState.ABNORMAL),
    ],
)
async def test_a_query_tells_each_state(bench: Bench, api: str, status: str, state: RefundState) -> None:
    bench.says(status)
    found = await bench.ask(api, "query_refund")
    done = datetime(2026, 3, 1, 4, 5, 6, tzinfo=UTC) if state is RefundState.SUCCESS else None
    assert found == RemoteRefund(
        KNOWN["mchid"],
        REFUND.out_refund_no,
        REFUND.out_trade_no,
        "50300001",
        state,
        60,
        100,
        done,
        REFUND.transaction_id,
    )


async def test_a_v2_refund_is_found_among_others_of_its_order(bench: Bench) -> None:
    bench.says()
    rows = bench.wechat.v2({})
    others = {name.replace("_0", "_1"): value for name, value in rows.items() if name.endswith("_0")}
    first = {"out_refund_no_0": "another-1", "refund_id_0": "1", "refund_fee_0": "1", "refund_status_0": "SUCCESS"}
    bench.wechat.v2 = lambda fields: rows | others | first
    found = await bench.ask("v2", "query_refund")
    assert (found.refund_id, found.refund) == ("50300001", 60)


@BOTH
async def test_a_refund_that_never_arrived_is_told_by_one_word(bench: Bench, api: str) -> None:
    bench.refuses("REFUNDNOTEXIST" if api == "v2" else "RESOURCE_NOT_EXISTS", 404)
    with pytest.raises(GatewayRefused) as no:
        await bench.ask(api, "query_refund")
    assert no.value.public_code == "REFUND_NOT_EXIST"


@pytest.mark.parametrize(
    ("api", "code", "status", "public"),
    [
        ("v2", "NOTENOUGH", 0, "NOT_ENOUGH"),
        ("v2", "TRADE_OVERDUE", 0, "TRADE_OVERDUE"),
        ("v2", "ERROR", 0, "ERROR"),
        ("v2", "USER_ACCOUNT_ABNORMAL", 0, "USER_ACCOUNT_ABNORMAL"),
        ("v3", "NOT_ENOUGH", 403, "NOT_ENOUGH"),
        ("v3", "INVALID_REQUEST", 400, "INVALID_REQUEST"),
        ("v3", "RESOURCE_NOT_EXISTS", 404, "RESOURCE_NOT_EXISTS"),
        ("v3", "USER_ACCOUNT_ABNORMAL", 403, "USER_ACCOUNT_ABNORMAL"),
    ],
)
async def test_a_no_is_a_no_in_wechats_words(bench: Bench, api: str, code: str, status: int, public: str) -> None:
    bench.refuses(code, status)
    with pytest.raises(GatewayRefused) as no:
        await bench.ask(api, "refund")
    assert (no.value.public_code, no.value.wire_code, no.value.wire_message) == (public, code, "不行")


@pytest.mark.parametrize(
    ("api", "code", "status"),
    [
        ("v2", "SYSTEMERROR", 0),
        ("v2", "BIZERR_NEED_RETRY", 0),
        ("v2", "FREQUENCY_LIMITED", 0),
        ("v3", "FREQUENCY_LIMITED", 429),
        ("v3", "SYSTEM_ERROR", 500),
        ("v3", "", 400),
        ("v3", "", 202),
    ],
)
@CALLS
async def test_what_may_have_happened_all_the_same_is_unknown(
    bench: Bench, api: str, code: str, status: int, call: str
) -> None:
    bench.refuses(code, status)
    with pytest.raises(OutcomeUnknown):
        await bench.ask(api, call)


@BOTH
@CALLS
async def test_an_answer_that_is_signed_by_somebody_else_is_unknown(bench: Bench, api: str, call: str) -> None:
    bench.says("SUCCESS")
    bench.wechat.sign_with = "another-key-another-key-another-"
    bench.wechat.v3_headers = {"Wechatpay-Nonce": "another"}
    with pytest.raises(OutcomeUnknown):
        await bench.ask(api, call)


@pytest.mark.parametrize(
    ("api", "changed"),
    [
        ("v2", {"out_refund_no": "another-1"}),
        ("v2", {"out_trade_no": "another-1"}),
        ("v2", {"refund_fee": "59"}),
        ("v2", {"total_fee": "99"}),
        ("v2", {"refund_fee": "60.0"}),
        ("v2", {"refund_id": ""}),
        ("v3", {"out_refund_no": "another-1"}),
        ("v3", {"out_trade_no": "another-1"}),
        ("v3", {"amount": {"total": 100, "refund": 59}}),
        ("v3", {"amount": {"total": 99, "refund": 60}}),
        ("v3", {"amount": {"total": 100, "refund": "60"}}),
        ("v3", {"amount": None}),
        ("v3", {"status": "DONE"}),
        ("v3", {"status": None}),
        ("v3", {"refund_id": None}),
        ("v3", {"success_time": "yesterday"}),
    ],
)
@CALLS
async def test_an_answer_that_is_not_about_this_refund_is_unknown(
    bench: Bench, api: str, call: str, changed: dict[str, Any]
) -> None:
    bench.says(**changed)
    with pytest.raises(OutcomeUnknown):
        await bench.ask(api, call)


async def test_a_v2_query_with_an_undocumented_status_or_time_is_unknown(bench: Bench) -> None:
    for changed in ({"refund_status": "DONE"}, {"refund_success_time_0": "2026-02-31 00:00:00"}):
        bench.says("SUCCESS", **changed)
        with pytest.raises(OutcomeUnknown):
            await bench.ask("v2", "query_refund")


# -- the way there -----------------------------------------------------------------------------------------------------


@BOTH
async def test_a_refund_goes_to_the_next_host_only_if_the_first_was_not_reached(bench: Bench, api: str) -> None:
    bench.says()
    there = bench.wechat.secure_url if api == "v2" else bench.wechat.url
    nobody = f"{there[: there.index('://')]}://127.0.0.1:{free_port()}"
    assert (await bench.ask(api, "refund", hosts=(nobody, there))).state is RefundState.PROCESSING
    with pytest.raises(NotSent):
        await bench.ask(api, "refund", hosts=(nobody,))


@BOTH
async def test_a_refund_of_unknown_outcome_is_not_sent_again_to_the_next_host(bench: Bench, api: str) -> None:
    """A no from the second host would not say what became of it at the first."""
    bench.says()
    bench.wechat.hangs_up = True
    there = bench.wechat.secure_url if api == "v2" else bench.wechat.url
    with pytest.raises(OutcomeUnknown):
        await bench.ask(api, "refund", hosts=(there, there))
    assert len(bench.wechat.asked) == 1


async def test_without_a_client_certificate_v2_refunds_are_not_sent_and_can_be_asked_after(bench: Bench) -> None:
    wire = ApiContext(bench.transport(), (bench.wechat.url,), NowClock())
    gateway = V2Refunds(V2Gateway(wire, Merchant(KNOWN["mchid"], KNOWN["appid"]), KNOWN["api_v2_key"]), None)
    with pytest.raises(NotSent):
        await gateway.refund(REFUND)
    bench.says("SUCCESS")
    assert (await gateway.query_refund(REFUND)).value.state is RefundState.SUCCESS


async def test_a_certificate_that_wechat_does_not_take_is_no_answer(bench: Bench) -> None:
    bench.says()
    with pytest.raises((OutcomeUnknown, NotSent)):
        await bench.ask("v2", "refund", cert="other")
    assert bench.wechat.asked == []


async def test_a_server_that_no_trusted_authority_vouches_for_is_sent_nothing(bench: Bench) -> None:
    with pytest.raises(NotSent):
        await bench.ask("v2", "refund", ca=certificate_pem("other"))
    assert bench.wechat.asked == []


@pytest.mark.parametrize(
    ("cert", "secret", "setting", "says"),
    [
        (private_pem(), certificate_pem(), "pay.v2.client_key", "this is a certificate, a private key is needed"),
        (private_pem(), private_pem(), "pay.v2.client_cert", "this is a private key, a certificate is needed"),
        (public_pem(), private_pem(), "pay.v2.client_cert", "this is a public key, a certificate is needed"),
        (certificate_pem(), private_pem("other"), "pay.v2.client_cert", "does not belong to pay.v2.client_key"),
        (certificate_pem(), curve_pem("private"), "pay.v2.client_key", "of another kind than RSA"),
        ("p12", private_pem(), "pay.v2.client_cert", "is not a usable PEM"),
    ],
)
def test_a_wrong_file_is_told_by_setting_and_kind(cert: str, secret: str, setting: str, says: str) -> None:
    with pytest.raises(ConfigError) as wrong:
        client_context(cert, secret)
    [problem] = wrong.value.problems
    assert problem.en.startswith(f"{setting}: ")
    assert says in problem.en


@pytest.mark.parametrize(
    ("ca", "says"),
    [
        (private_pem(), "this is a private key, a certificate is needed"),
        ("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n", "is not a usable PEM"),
        (f"{certificate_pem()}\n-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n", "is not a usable PEM"),
    ],
)
def test_a_wrong_authority_is_told_by_setting_and_kind(ca: str, says: str) -> None:
    with pytest.raises(ConfigError) as wrong:
        client_context(certificate_pem(), private_pem(), ca)
    [problem] = wrong.value.problems
    assert problem.en.startswith("pay.v2.ca: ")
    assert says in problem.en
