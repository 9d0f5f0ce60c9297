"""Build WeChat Pay's gateways from the settings; ``server.py`` alone uses this."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from service.parts.slip_keys import build_sign_errors
from service.settings.model import Settings
from service.settings.pay import PaySettings, V2Settings, V3Settings
from wechat.domain.facts import Api
from wechat.domain.money import Fen
from wechat.domain.orders import Order, TradeType
from wechat.domain.ports import Runtime, Telemetry
from wechat.pay.bills.gateways import BillGateway, V2Bills, V3Bills
from wechat.pay.certificates import CertificateRole, Certificates, KeyRing, PlatformKey, load_public_key, load_signer
from wechat.pay.ciphers import AeadCipher
from wechat.pay.expiry import ExpiryWatch
from wechat.pay.gateway import ApiContext, Gateway, Merchant, RefundGateway
from wechat.pay.key_files import describe_certificate
from wechat.pay.signing import SignType
from wechat.pay.v2.gateway import V2Gateway
from wechat.pay.v2.mutual_tls import client_context
from wechat.pay.v2.refunds import V2Refunds
from wechat.pay.v3.gateway import V3Gateway
from wechat.pay.v3.refunds import V3Refunds
from wechat.support.transport import Transport

NO_ORDER = "FENPAY_HEALTH_NO_SUCH_ORDER"
NONCE_BYTES = 16  # 32 characters, the most that WeChat takes


@dataclass(slots=True)
class Pay:
    """The gateways of the configured API versions, their background tasks, and connections that are to be closed."""

    gateways: dict[Api, Gateway] = field(default_factory=dict)
    refunds: dict[Api, RefundGateway] = field(default_factory=dict)
    bills: dict[Api, BillGateway] = field(default_factory=dict)
    background: list[Certificates | ExpiryWatch] = field(default_factory=list)
    closing: list[Transport] = field(default_factory=list)
    ring: KeyRing | None = None
    ends: dict[CertificateRole, datetime] = field(default_factory=dict)


def build(settings: Settings, transport: Transport, runtime: Runtime) -> Pay:
    """Build the gateways of the configured API versions. Raises ConfigError."""
    pay = settings.pay
    merchant = Merchant(pay.mchid, settings.account.appid, settings.shop.name, settings.http.public_base_url)
    explain = build_sign_errors(settings).name_cause
    wire = ApiContext(transport, pay.base_urls, runtime.clock, lambda: runtime.random.token(NONCE_BYTES), explain)
    built = Pay()
    if pay.v2:
        _add_v2(built, pay.v2, wire, merchant, runtime.telemetry)
    if pay.v3:
        _add_v3(built, pay.v3, wire, merchant, runtime)
    built.background.append(ExpiryWatch(lambda: {**built.ends, **(built.ring.ends if built.ring else {})}, runtime))
    return built


def harmless_query(settings: Settings, gateway: Gateway) -> Callable[[], Awaitable[object]]:
    """Query WeChat Pay for an order that cannot exist: this verifies keys, serials and clock without an effect."""
    now = datetime(2000, 1, 1, tzinfo=UTC)
    order = Order(
        out_trade_no=NO_ORDER,
        api=gateway.api,
        appid=settings.account.appid,
        mchid=settings.pay.mchid,
        trade_type=TradeType.NATIVE,
        description="",
        total=Fen(1),
        created_at=now,
        expires_at=now,
        notify_url=settings.notify_url,
        client_ip="",
    )
    return lambda: gateway.query(order)


def refund_route(pay: PaySettings) -> Mapping[Api, Api]:
    """Return for each order's API version the version that sends its refunds; without versions that cannot send
    refunds."""
    if pay.refund_api == "v3":
        return {Api.V2: Api.V3, Api.V3: Api.V3}
    able = {Api.V2: bool(pay.v2 and pay.v2.can_refund), Api.V3: bool(pay.v3)}
    return {api: api for api in able if able[api]}


def _add_v2(built: Pay, v2: V2Settings, wire: ApiContext, merchant: Merchant, telemetry: Telemetry) -> None:
    key, sign_type = v2.key.get_secret_value(), SignType(v2.sign_type)
    gateway = V2Gateway(wire, merchant, key, sign_type, v2.other_key.get_secret_value() if v2.other_key else "")
    secure = _secure(v2, wire, telemetry)
    built.gateways[Api.V2] = gateway
    built.refunds[Api.V2] = V2Refunds(gateway, secure)
    built.bills[Api.V2] = V2Bills(wire, merchant, key, sign_type, secure=secure)
    if secure and v2.client_cert:
        built.closing.append(secure.transport)
        built.ends[CertificateRole.CLIENT] = describe_certificate(v2.client_cert.get_secret_value()).ends_at


def _secure(v2: V2Settings, wire: ApiContext, telemetry: Telemetry) -> ApiContext | None:
    """Return the API context that shows the client certificate; None without one."""
    if not v2.client_cert or not v2.client_key:
        return None
    ca = v2.ca.get_secret_value() if v2.ca else ""
    tls = client_context(v2.client_cert.get_secret_value(), v2.client_key.get_secret_value(), ca)
    return ApiContext(Transport(telemetry, tls=tls), v2.refund_urls or wire.hosts, wire.clock, wire.nonce)


def _add_v3(built: Pay, v3: V3Settings, wire: ApiContext, merchant: Merchant, runtime: Runtime) -> None:
    key_pem, cert_pem = v3.merchant_key.get_secret_value(), v3.merchant_cert.get_secret_value()
    signer = load_signer(merchant.mchid, key_pem, cert_pem, runtime.telemetry)
    cipher = AeadCipher(*(key.get_secret_value() for key in (v3.key, v3.other_key) if key))
    ring = built.ring = KeyRing(wire.clock, load_platform_key(v3))
    if signer.ends_at:
        built.ends[CertificateRole.MERCHANT] = signer.ends_at
    gateway = V3Gateway(wire, merchant, signer, cipher, ring)
    built.gateways[Api.V3] = gateway
    built.refunds[Api.V3] = V3Refunds(gateway)
    built.bills[Api.V3] = V3Bills(wire, gateway)
    if v3.certificates:
        built.background.append(Certificates(ring, cipher, gateway.certificates, runtime))


def load_platform_key(v3: V3Settings) -> PlatformKey | None:
    if not v3.public_key or not v3.public_key_id:
        return None
    return PlatformKey(v3.public_key_id, load_public_key(v3.public_key.get_secret_value()))
