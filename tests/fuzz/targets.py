"""Fuzz targets: the XML codec, the receiver of notifications and the bill parser.

Each takes any bytes and may refuse them with its own errors only; what it accepts must be consistent."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from multidict import CIMultiDict

from tests.support.clock import ManualClock
from tests.support.keys import key, private_pem
from tests.support.platform import Platform, v2_sign
from tests.support.receiving import KNOWN
from tests.support.runtime import RecordedTelemetry
from wechat.domain.errors import Malformed, NotifyError
from wechat.pay.bills.parser import BillBroken, flow_lines, trade_lines
from wechat.pay.certificates import KeyRing, PlatformKey
from wechat.pay.ciphers import AeadCipher
from wechat.pay.gateway import ApiContext, Gateway, Merchant
from wechat.pay.signing import Signer
from wechat.pay.v2 import xmlcodec
from wechat.pay.v2.gateway import V2Gateway
from wechat.pay.v3.gateway import V3Gateway
from wechat.support.transport import Transport

CORPUS = Path(__file__).parent / "corpus"
BILLS = Path(__file__).parents[1] / "fixtures" / "bills"


def read_xml(data: bytes) -> None:
    """Check that fields parsed from ``data`` can be written as XML and are then parsed as the same fields."""
    try:
        fields = xmlcodec.parse(data)
    except Malformed:
        return
    assert xmlcodec.parse(xmlcodec.build(fields)) == fields


def read_notification(data: bytes) -> None:
    """Receive ``data`` as it is and with valid signatures, so that the code after the verification runs too."""
    v2, v3, platform = _gate()
    for headers in ({}, platform.v3_signed(data).headers):
        _receive(v3 if headers else v2, headers, data)
    envelope = platform.v3_signed(json.dumps(platform.v3_envelope(data)).encode())
    _receive(v3, envelope.headers, envelope.body)
    try:
        fields = xmlcodec.parse(data)
    except Malformed:
        return
    fields["sign"] = v2_sign(fields, KNOWN["api_v2_key"])
    _receive(v2, {}, xmlcodec.build(fields))


def read_bill(data: bytes) -> None:
    """Check that every line of the bill is an entry, unless the bill is refused as broken."""
    lines = data.decode("utf-8", "replace").splitlines(keepends=True)
    for read in (trade_lines, flow_lines):
        try:
            for line in read(lines):
                assert line
        except BillBroken as error:
            assert 0 <= error.line <= len(lines) + 1


TARGETS: Mapping[str, Callable[[bytes], None]] = {"xml": read_xml, "notify": read_notification, "bill": read_bill}


def corpus(name: str) -> list[bytes]:
    """The kept inputs of a target; of the bill parser, the bills of other tests as well."""
    files = sorted((CORPUS / name).iterdir()) + (sorted(BILLS.glob("*.csv")) if name == "bill" else [])
    return [file.read_bytes() for file in files]


def _receive(gateway: Gateway, headers: Mapping[str, str], body: bytes) -> None:
    try:
        message = gateway.receive(CIMultiDict(headers), body)
    except NotifyError:
        return
    assert message.value.kind
    assert message.value.mchid in ("", KNOWN["mchid"]) or message.value.transaction


@cache
def _gate() -> tuple[Gateway, Gateway, Platform]:
    state = Path(__file__).parent / ".keys"
    state.mkdir(exist_ok=True)
    (state / "public_key.key.pem").write_text(private_pem("platform"))
    (state / "platform_1.key.pem").write_text(private_pem("certificate"))
    clock = ManualClock(datetime.now(UTC))
    merchant = Merchant(KNOWN["mchid"], KNOWN["appid"])
    wire = ApiContext(Transport(RecordedTelemetry()), (), clock)
    ring = KeyRing(clock, PlatformKey("PUB_KEY_ID_01", key("platform").public_key()))
    v3 = V3Gateway(wire, merchant, Signer("", "", key("ours")), AeadCipher(KNOWN["api_v3_key"]), ring)
    return V2Gateway(wire, merchant, KNOWN["api_v2_key"]), v3, Platform(KNOWN, state)
