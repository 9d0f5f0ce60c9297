"""What is kept of a call: known fields byte for byte, and no secret."""

from __future__ import annotations

import json
import time

import pytest

from tests.support.calls import AUTHORIZATION, V3_BODY, a_call
from wechat.calls.redaction import MASK, mask_url
from wechat.pay.signing import SignType, v2_sign
from wechat.pay.v2 import xmlcodec

SIGN = v2_sign({"appid": "wx1", "mch_id": "1900000109"}, "2" * 32, SignType.HMAC_SHA256)
V2 = xmlcodec.build({"appid": "wx1", "mch_id": "1900000109", "coupon_id_0_1": "7", "sign": SIGN})


def test_known_fields_are_kept_byte_for_byte() -> None:
    call = a_call()
    assert (call.request.body.encode(), call.request.cut) == (V3_BODY, False)
    assert call.answer.body == '{"prepay_id": "wx26112221580621e9b071c00d9e093b0000"}'
    assert (call.duration_ms, call.request_id, call.request.size) == (123, "08F7", len(V3_BODY))


def test_a_field_that_is_not_known_is_masked_however_deep_it_is() -> None:
    body = b'{"amount":{"total":1,"card":"6225880"},"goods_detail":[{"goods_id":"1","owner":"A"}],"id_card":["1101"]}'
    call = a_call(answer_body=body)
    assert json.loads(call.answer.body) == {
        "amount": {"total": 1, "card": MASK},
        "goods_detail": [{"goods_id": "1", "owner": MASK}],
        "id_card": MASK,
    }
    assert call.answer.cut


def test_a_field_of_v2_that_is_not_known_is_masked() -> None:
    body = xmlcodec.build({"appid": "wx1", "refund_recv_accout_0": "招商银行信用卡0403", "sign": SIGN})
    call = a_call(api="v2", answer_body=body)
    assert xmlcodec.parse(call.answer.body.encode()) == {
        "appid": "wx1",
        "refund_recv_accout_0": MASK,
        "sign": f"{SIGN[:6]}…{SIGN[-4:]}",
    }
    assert call.answer.cut


def test_v2_is_kept_as_it_came_but_for_its_signature() -> None:
    call = a_call(api="v2", request_body=V2)
    assert call.request.body == V2.decode().replace(SIGN, f"{SIGN[:6]}…{SIGN[-4:]}")
    assert not call.request.cut


def test_what_wechat_writes_in_cdata_is_kept_as_it_came() -> None:
    text = "<xml>\n<appid><![CDATA[a]b]]]></appid>\n<sign><![CDATA[%s]]></sign>\n<card>1</card>\n</xml>"
    call = a_call(api="v2", answer_body=(text % SIGN).encode())
    masked = text.replace("<card>1</card>\n", f"<card>{MASK}</card>")
    assert call.answer.body == masked % f"{SIGN[:6]}…{SIGN[-4:]}"


def test_a_field_that_hides_in_a_known_one_is_not_kept() -> None:
    body = b"<xml><body><![CDATA[a]]><x>SECRET</x><![CDATA[b]]></body></xml>"
    assert a_call(api="v2", answer_body=body).answer.body == ""


def test_a_signature_that_is_written_with_references_is_masked_as_well() -> None:
    written = "".join(f"&#{ord(letter)};" for letter in SIGN)
    call = a_call(api="v2", answer_body=f"<xml><appid>wx1</appid><sign>{written}</sign></xml>".encode())
    assert written[6:-4] not in call.answer.body
    assert SIGN[6:-4] not in call.answer.body


@pytest.mark.parametrize(
    "answer",
    [
        {"access_token": "SECRET", "expires_in": 7200},
        {"openid": "o1", "refresh_token": "SECRET", "access_token": "SECRET", "unionid": "SECRET"},
        {"ticket": "SECRET", "errcode": 0},
        {"nickname": "SECRET"},
    ],
)
def test_no_token_of_the_account_is_kept(answer: dict[str, object]) -> None:
    url = "https://api.weixin.qq.com/sns/oauth2/access_token?appid=wx1&secret=SECRET&code=SECRET&grant_type=x"
    body = b'{"grant_type":"client_credential","appid":"wx1","secret":"SECRET"}'
    call = a_call(api="account", url=url, request_body=body, answer_body=json.dumps(answer).encode())
    assert "SECRET" not in repr(call)
    assert call.url == (
        f"https://api.weixin.qq.com/sns/oauth2/access_token?appid=wx1&secret={MASK}&code={MASK}&grant_type=x"
    )


def test_signatures_are_kept_in_part_and_headers_that_are_not_known_by_name_only() -> None:
    call = a_call(answer_headers={"Set-Cookie": "SECRET", "wechatpay-signature": "A" * 300, "Date": "today"})
    assert call.answer.headers == {"Set-Cookie": MASK, "wechatpay-signature": "AAAAAA…AAAA", "Date": "today"}
    kept = call.request.headers["Authorization"]
    assert kept == AUTHORIZATION.replace(AUTHORIZATION.split('"')[5], "uOVRnA…7J==")


@pytest.mark.parametrize(
    "value",
    [
        "Basic dXNlcjpTRUNSRVQ=",
        "Bearer SECRET",
        'Digest username="a",response="SECRET"',
        'Digest signature="1",x=SECRET',
    ],
)
def test_an_authorization_that_is_not_wechats_is_masked_as_a_whole(value: str) -> None:
    assert a_call(request_headers={"Authorization": value}).request.headers == {"Authorization": MASK}


def test_a_signature_at_which_a_long_header_is_cut_is_masked() -> None:
    long = f'WECHATPAY2-SHA256-RSA2048 mchid="{"1" * 900}",signature="{"S" * 684}"'
    assert "SSSSSSS" not in a_call(request_headers={"Authorization": long}).request.headers["Authorization"]


def test_a_header_that_is_not_utf_8_can_be_stored() -> None:
    header = b"nginx\xff".decode(errors="surrogateescape")
    call = a_call(answer_headers={"Server": header, header: "1"})
    assert call.answer.headers == {"Server": "nginx?", "nginx?": MASK}


def test_of_a_body_that_is_nested_too_deep_only_the_size_is_kept() -> None:
    body = b"[" * 1000 + b"]" * 1000
    call = a_call(answer_body=body)
    assert (call.answer.body, call.answer.size, call.answer.cut) == ("", len(body), True)


@pytest.mark.parametrize("body", [b"<html>SECRET</html>", b"\xff\xfe", b'{"total":', b"<xml><a><b/></a></xml>"])
@pytest.mark.parametrize("api", ["v2", "v3", "account"])
def test_of_what_cannot_be_read_only_the_size_is_kept(api: str, body: bytes) -> None:
    call = a_call(api=api, answer_body=body)
    assert (call.answer.body, call.answer.size, call.answer.cut) == ("", len(body), True)


def test_a_long_body_is_cut_and_a_very_long_one_is_not_read() -> None:
    call = a_call(most_body=20)
    assert (call.request.body, call.request.cut) == (V3_BODY.decode()[:20], True)
    call = a_call(answer_body=b'{"message":"' + b"x" * 70_000 + b'"}')
    assert (call.answer.body, call.answer.cut) == ("", True)


@pytest.mark.parametrize(
    "filling", [b" ", b"<a>", b"<a> ", b"<a", b"<a><![CDATA[", b"<a><![CDATA[]]>", b"]]>", b"<a>1</a> "]
)
def test_a_body_of_nothing_but_beginnings_takes_no_time(filling: bytes) -> None:
    body = b"<xml>" + filling * (60_000 // len(filling)) + b"</xml>"
    started = time.thread_time()
    a_call(api="v2", request_body=body)
    assert time.thread_time() - started < 0.5


def test_of_a_query_only_known_values_are_kept() -> None:
    assert (
        mask_url("https://h/a?mchid=1&token=T&x&bill_date=2")
        == f"https://h/a?mchid=1&token={MASK}&x={MASK}&bill_date=2"
    )
    assert mask_url("https://h/a") == "https://h/a"
