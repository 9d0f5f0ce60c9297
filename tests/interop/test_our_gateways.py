"""Our gateways and other people's verifiers: what ours send they accept, what theirs produce ours accept."""

from __future__ import annotations

import json
import re
import secrets
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from wechatpayv3.utils import aes_decrypt, build_authorization, load_private_key, rsa_sign
from wechatpy.pay import WeChatPay
from wechatpy.pay.utils import calculate_signature, calculate_signature_hmac, dict_to_xml

from service.clocks import SystemClock
from simulator.state.pki import Certified, load_certificate
from tests.simulator.merchant import number, unxml
from tests.simulator.sink import Sink
from tests.support.runtime import RecordedTelemetry
from wechat.domain.errors import OutcomeUnknown, SignatureInvalid
from wechat.domain.facts import Api
from wechat.domain.money import Fen
from wechat.domain.orders import Order, Prepay, TradeType
from wechat.pay.certificates import KeyRing, PlatformKey, load_signer
from wechat.pay.ciphers import AeadCipher
from wechat.pay.gateway import ApiContext, Gateway, Merchant
from wechat.pay.signing import SignType
from wechat.pay.v2.gateway import V2Gateway
from wechat.pay.v3.gateway import V3Gateway
from wechat.support.transport import Transport

APPID, MCHID, OPENID = "wx8888888888888888", "1900000109", "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o"
KEY = "8934e7d15453e97507ef794cf7b0519d"
KINDS = pytest.mark.parametrize("kind", list(SignType))
THEIR_SIGN = {SignType.MD5: calculate_signature, SignType.HMAC_SHA256: calculate_signature_hmac}


@pytest.fixture
async def wire(sink: Sink) -> AsyncIterator[ApiContext]:
    """A way out that ends in ``sink``, which answers nothing of use."""
    sink.answer = lambda _: (500, b"")
    transport = Transport(RecordedTelemetry())
    yield ApiContext(transport, (sink.url.removesuffix("/notify"),), SystemClock())
    await transport.close()


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> tuple[Certified, Certified]:
    """The merchant's and the platform's."""
    directory = tmp_path_factory.mktemp("keys")
    return load_certificate(directory, "merchant"), load_certificate(directory, "platform")


@pytest.fixture
def v3(wire: ApiContext, keys: tuple[Certified, Certified]) -> V3Gateway:
    merchant, platform = keys
    public = x509.load_pem_x509_certificate(platform.certificate_pem.encode()).public_key()
    assert isinstance(public, RSAPublicKey)
    ring = KeyRing(wire.clock, PlatformKey(platform.serial_no, public))
    signer = load_signer(MCHID, merchant.key_pem, merchant.certificate_pem, RecordedTelemetry())
    return V3Gateway(wire, Merchant(MCHID, APPID), signer, AeadCipher(KEY), ring)


def v2(wire: ApiContext, kind: SignType) -> V2Gateway:
    return V2Gateway(wire, Merchant(MCHID, APPID), KEY, kind)


def order(api: Api) -> Order:
    now = datetime.now(UTC)
    return Order(
        out_trade_no=number(),
        api=api,
        appid=APPID,
        mchid=MCHID,
        trade_type=TradeType.JSAPI,
        description="咖啡 & <茶>",
        total=Fen(1800),
        created_at=now,
        expires_at=now + timedelta(minutes=30),
        notify_url="http://127.0.0.1:8888/notify",
        client_ip="127.0.0.1",
        openid=OPENID,
        attach="桌号 7",
    )


async def sent(gateway: Gateway, sink: Sink) -> Any:
    """The first request that ``prepay`` sends."""
    with pytest.raises(OutcomeUnknown):
        await gateway.prepay(order(gateway.api), datetime.now(UTC))
    return sink.received[0]


@KINDS
async def test_wechatpy_accepts_the_signature_of_what_our_v2_sends(
    wire: ApiContext, sink: Sink, kind: SignType
) -> None:
    fields = unxml((await sent(v2(wire, kind), sink)).body)
    sign = fields.pop("sign")
    assert sign == THEIR_SIGN[kind](fields, KEY)


async def test_wechatpy_makes_the_same_pay_sign_on_v2(wire: ApiContext) -> None:
    params = v2(wire, SignType.MD5).pay_params(APPID, Prepay(datetime.now(UTC), "MD5", prepay_id="wx1"))
    theirs = WeChatPay(APPID, KEY, MCHID).jsapi.get_jsapi_signature("wx1", params.time_stamp, params.nonce_str)
    assert params.pay_sign == theirs


@KINDS
def test_our_v2_accepts_a_notification_that_wechatpy_writes(wire: ApiContext, kind: SignType) -> None:
    payload = {
        "return_code": "SUCCESS",
        "result_code": "SUCCESS",
        "appid": APPID,
        "mch_id": MCHID,
        "nonce_str": secrets.token_hex(16),
        "openid": OPENID,
        "trade_type": "JSAPI",
        "bank_type": "OTHERS",
        "total_fee": 1800,
        "cash_fee": 1800,
        "transaction_id": "4200000001202611240000000001",
        "out_trade_no": number(),
        "attach": "<b>&",
        "time_end": "20261124083000",
    }
    body = dict_to_xml(payload, THEIR_SIGN[kind](payload, KEY)).encode()
    transaction = v2(wire, kind).receive({}, body).value.transaction
    assert transaction is not None
    assert (transaction.total, transaction.out_trade_no, transaction.attach) == (1800, payload["out_trade_no"], "<b>&")
    with pytest.raises(SignatureInvalid):
        v2(wire, kind).receive({}, body.replace(b"1800", b"1801", 1))


async def test_wechatpayv3_makes_the_same_authorization(
    v3: V3Gateway, sink: Sink, keys: tuple[Certified, Certified], monkeypatch: pytest.MonkeyPatch
) -> None:
    request = await sent(v3, sink)
    items = dict(re.findall(r'(\w+)="([^"]*)"', request.headers["Authorization"]))
    monkeypatch.setattr("wechatpayv3.utils.time.time", lambda: float(items["timestamp"]))
    private = load_private_key(keys[0].key_pem)
    body = request.body.decode()
    theirs = build_authorization(request.path, "POST", MCHID, keys[0].serial_no, private, body, items["nonce_str"])
    assert items == dict(re.findall(r'(\w+)="([^"]*)"', theirs))


def test_wechatpayv3_makes_the_same_pay_sign(v3: V3Gateway, keys: tuple[Certified, Certified]) -> None:
    params = v3.pay_params(APPID, Prepay(datetime.now(UTC), "RSA", prepay_id="wx1"))
    signed = f"{APPID}\n{params.time_stamp}\n{params.nonce_str}\nprepay_id=wx1\n"
    assert params.pay_sign == rsa_sign(load_private_key(keys[0].key_pem), signed)


def test_our_v3_accepts_a_notification_that_wechatpayv3_signs(v3: V3Gateway, keys: tuple[Certified, Certified]) -> None:
    payload = {
        "appid": APPID,
        "mchid": MCHID,
        "out_trade_no": number(),
        "transaction_id": "4200000001202611240000000001",
        "trade_type": "JSAPI",
        "trade_state": "SUCCESS",
        "success_time": "2026-11-24T08:30:00+08:00",
        "payer": {"openid": OPENID},
        "amount": {"total": 1800, "payer_total": 1800, "currency": "CNY", "payer_currency": "CNY"},
    }
    nonce = secrets.token_hex(6)
    sealed = AeadCipher(KEY).seal(json.dumps(payload).encode(), nonce=nonce, associated_data="transaction")
    assert aes_decrypt(nonce, sealed, "transaction", KEY) == json.dumps(payload)
    body = json.dumps(
        {
            "id": "1",
            "create_time": "2026-11-24T08:30:00+08:00",
            "resource_type": "encrypt-resource",
            "event_type": "TRANSACTION.SUCCESS",
            "resource": {
                "algorithm": "AEAD_AES_256_GCM",
                "original_type": "transaction",
                "ciphertext": sealed,
                "associated_data": "transaction",
                "nonce": nonce,
            },
        }
    )
    timestamp = str(int(time.time()))
    headers = {
        "Wechatpay-Timestamp": timestamp,
        "Wechatpay-Nonce": nonce,
        "Wechatpay-Serial": keys[1].serial_no,
        "Wechatpay-Signature": rsa_sign(load_private_key(keys[1].key_pem), f"{timestamp}\n{nonce}\n{body}\n"),
    }
    transaction = v3.receive(headers, body.encode()).value.transaction
    assert transaction is not None
    assert (transaction.total, transaction.openid) == (1800, OPENID)
    with pytest.raises(SignatureInvalid):
        v3.receive(headers, body.replace("TRANSACTION.SUCCESS", "TRANSACTION.FAILURE").encode())
