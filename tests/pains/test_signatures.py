"""Messages and signatures that are wrong: the reason or the slip is named, and no money moves by them."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from tests.sign_explain.signing import OTHER_KEY, V2_KEY, V3_KEY, mac, md5, v2, xml
from tests.support.keys import key, private_pem
from tests.support.platform import Message, Platform, v2_xml
from tests.support.receiving import KNOWN, World
from wechat.domain.errors import Malformed, Mismatch, NotifyError, SignatureInvalid
from wechat.domain.orders import TradeState
from wechat.notifications.reasons import REASONS, group_of
from wechat.notifications.refusals import ALARM
from wechat.pay.key_files import read_pem
from wechat.pay.signing import PROBE, Signer, lines, v2_verify, v3_pay_message
from wechat.pay.v2 import xmlcodec
from wechat.pay.v2.gateway import acknowledgement
from wechat.sign_explain.model import Keys, Kind
from wechat.sign_explain.signature import explain

# -- notifications ----------------------------------------------------------------------------------------------------


@pytest.fixture
def world(platform: Platform) -> World:
    return World(platform)


def serialise_anew(world: World) -> Message:
    genuine = world.write("v3")
    return Message(json.dumps(json.loads(genuine.body), indent=1).encode(), genuine.headers)


def without(name: str) -> Callable[[World], Message]:
    def write(world: World) -> Message:
        genuine = world.write("v3")
        return Message(genuine.body, {each: value for each, value in genuine.headers.items() if each != name})

    return write


def sealed_with_another_key(world: World) -> Message:
    other = Platform.__new__(Platform)
    other.__dict__ |= world.platform.__dict__ | {"known": KNOWN | {"api_v3_key": "f" * 32}}
    return other.v3(world.wanted)


def without_sign(world: World) -> Message:
    return Message(v2_xml(world.platform.v2_fields(world.wanted)))


REFUSED: dict[str, tuple[Callable[[World], Message], str]] = {
    "the framework wrote the JSON anew": (serialise_anew, "sign_wrong"),
    "the proxy lost a header": (without("Wechatpay-Nonce"), "headers_mixed"),
    "the key of that serial is not here": (
        lambda world: world.platform.v3_signed(world.platform.v3_body(world.wanted), serial="PUB_KEY_ID_99"),
        "unknown_serial",
    ),
    "this machine's clock is six minutes off": (
        lambda world: world.platform.v3_signed(world.platform.v3_body(world.wanted), skew_s=-400),
        "stale",
    ),
    "WeChat Pay probes whether signatures are checked": (
        lambda world: world.platform.v3_signed(world.platform.v3_body(world.wanted), Wechatpay_Signature=f"{PROBE}abc"),
        "probe",
    ),
    "the APIv3 key is another one": (sealed_with_another_key, "aead_tag"),
    "the message is forged": (
        lambda world: world.platform.v3_signed(world.platform.v3_body(world.wanted), key=key("forger")),
        "sign_wrong",
    ),
    "the forger leaves the signature out": (without_sign, "sign_missing"),
    "the APIv2 key is another one": (
        lambda world: world.platform.v2_signed(world.platform.v2_fields(world.wanted), key=OTHER_KEY),
        "sign_wrong",
    ),
    "the XML asks for a file": (
        lambda world: Message(b'<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><xml><a>&a;</a></xml>'),
        "malformed",
    ),
    "the notification is another merchant's": (lambda world: world.write("v2", mch_id="1900000999"), "mchid"),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_a_message_is_refused_by_a_reason_that_says_what_to_do(world: World, name: str) -> None:
    write, wanted = REFUSED[name]
    with pytest.raises(NotifyError) as refused:
        await world.receive(write(world))
    reason = group_of(refused.value.reason)
    assert reason == wanted
    assert REASONS[reason].fix.zh
    assert world.state is TradeState.NOTPAY
    if isinstance(refused.value, SignatureInvalid | Malformed):
        assert [copy.reason for copy in await world.core.refusals.latest(10)] == [wanted]  # for notify list and replay
    assert world.alarms(ALARM) == 0


async def test_another_amount_is_named_and_never_booked(world: World) -> None:
    with pytest.raises(Mismatch) as refused:
        await world.receive(world.write("v2", total_fee="1", cash_fee="1"))
    assert refused.value.reason == "total"
    assert world.state is TradeState.NOTPAY
    assert world.alarms("notify_total") == 1


async def test_a_message_that_is_repeated_delivers_goods_once(world: World) -> None:
    genuine = world.write("v3")
    for _ in range(5):
        await world.receive(genuine)
    assert world.state is TradeState.SUCCESS
    assert world.backend.staged == [(world.order.out_trade_no, "order.paid")]


def test_wechat_is_answered_in_the_one_line_that_it_reads() -> None:
    assert acknowledgement(success=True, message="OK") == (
        b"<xml><return_code><![CDATA[SUCCESS]]></return_code><return_msg><![CDATA[OK]]></return_msg></xml>"
    )


@pytest.mark.parametrize("kind", ["MD5", "HMAC-SHA256"])
@pytest.mark.parametrize("more", [{}, {"sign_type": "HMAC-SHA256"}, {"unknown_field": "1"}])
def test_every_field_of_an_apiv2_message_is_signed_by_whichever_algorithm(
    platform: Platform, kind: str, more: dict[str, str]
) -> None:
    if more.get("sign_type") not in (None, kind):
        more = {"sign_type": kind}
    message = platform.v2({"out_trade_no": "n", "total": 1}, kind, **more)
    assert v2_verify(xmlcodec.parse(message.body), KNOWN["api_v2_key"]) == kind


# -- what is signed here -----------------------------------------------------------------------------------------------

FIELDS = {"appid": "wx1", "body": "咖啡", "mch_id": "1900000109", "nonce_str": "n", "total_fee": "1"}
SIGNED = f"{'&'.join(f'{name}={value}' for name, value in sorted(FIELDS.items()))}&key={V2_KEY}"
PAGE = {
    "appId": "wx8888888888888888",
    "timeStamp": "1772337906",
    "nonceStr": "5K8264ILTKCH16CQ2502",
    "package": "prepay_id=wx2",
}
PAGE_LINES = (PAGE["appId"], PAGE["timeStamp"], PAGE["nonceStr"], PAGE["package"])


def pay_sign(message: bytes) -> str:
    pem = read_pem(private_pem("ours"))
    assert pem
    assert pem.private_key
    return Signer("", "", pem.private_key).sign(message)


def bundle(sign: str, sign_type: str = "RSA", **changed: object) -> str:
    return json.dumps(PAGE | {"signType": sign_type, "paySign": sign} | changed)


def page(**fields: str) -> str:
    return json.dumps({"appId": "wx1", "timestamp": "1772337906", "nonceStr": "n", **fields})


KEYS = Keys(v2=V2_KEY, v3=V3_KEY, private_key=read_pem(private_pem("ours")))
SLIPS: dict[str, tuple[str, Kind, str]] = {
    "the APIv3 key signs an APIv2 request": (xml(FIELDS, v2(FIELDS, V3_KEY)), Kind.V2, "KEY_OF_OTHER_API"),
    "another merchant's key signs": (xml(FIELDS, v2(FIELDS, OTHER_KEY)), Kind.V2, "WRONG_KEY"),
    "Chinese text is signed as GBK": (xml(FIELDS, md5(SIGNED.encode("gbk"))), Kind.V2, "NOT_UTF8"),
    "HMAC-SHA256 is computed and sign_type left out": (xml(FIELDS, mac(SIGNED)), Kind.V2, "SIGN_TYPE_MISSING"),
    "the last line end is missing under paySign": (
        bundle(pay_sign(v3_pay_message(*PAGE_LINES)[:-1])),
        Kind.JSAPI,
        "LAST_LINE_END_MISSING",
    ),
    "signType is signed, too": (bundle(pay_sign(lines(*PAGE_LINES, "RSA"))), Kind.JSAPI, "SIGN_TYPE_SIGNED"),
    "the order's sign is used as paySign": (bundle(md5("order")), Kind.JSAPI, "KEY_OF_OTHER_API"),
    "the timestamp is a number": (
        bundle(pay_sign(v3_pay_message(*PAGE_LINES)), timeStamp=1772337906),
        Kind.JSAPI,
        "NUMBER_FOR_TEXT",
    ),
    "package lacks prepay_id=": (
        bundle(pay_sign(v3_pay_message(*PAGE_LINES)), package="wx2"),
        Kind.JSAPI,
        "PREPAY_ID_PREFIX_MISSING",
    ),
    "appId is written appid": (
        bundle(pay_sign(v3_pay_message(*PAGE_LINES))).replace('"appId"', '"appid"'),
        Kind.JSAPI,
        "WRONG_PARAMETER_CASE",
    ),
}


@pytest.mark.parametrize("name", SLIPS)
def test_the_slip_is_named(name: str) -> None:
    text, kind, code = SLIPS[name]
    found = explain(text.encode(), KEYS, kind)
    assert code in [slip.code for slip in found.slips]
    assert all(slip.text.zh and slip.text.en for slip in found.slips)
