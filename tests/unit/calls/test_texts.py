"""Texts made of a recorded call."""

from __future__ import annotations

import shlex
from typing import Any

from tests.support.calls import V3_BODY, a_call
from wechat.calls.texts import as_curl, pretty, show_line_ends, signed_answer, signed_request
from wechat.domain.calls import Direction
from wechat.pay.signing import SignType, v2_sign
from wechat.pay.v2 import xmlcodec

FIELDS = {"mch_id": "1900000109", "appid": "wx1", "body": "拿铁 & 茶"}
SIGNED = FIELDS | {"sign": v2_sign(FIELDS, "2" * 32, SignType.HMAC_SHA256)}


def a_v2_call(**changes: Any) -> Any:
    return a_call(
        api="v2", request_headers={"Content-Type": "text/xml"}, request_body=xmlcodec.build(SIGNED), **changes
    )


def test_a_v3_request_signs_five_lines() -> None:
    url = "https://api.mch.weixin.qq.com/v3/pay/transactions/id/42?mchid=1900000109"
    call = a_call(method="GET", url=url, request_body=b"")
    assert signed_request(call) == "GET\n/v3/pay/transactions/id/42?mchid=1900000109\n1772337906\nN0NCE\n\n"


def test_a_v3_body_is_the_last_line() -> None:
    lines = signed_request(a_call()).split("\n")
    assert lines == ["POST", "/v3/pay/transactions/jsapi", "1772337906", "N0NCE", V3_BODY.decode(), ""]


def test_a_v3_answer_signs_three_lines() -> None:
    call = a_call(answer_body=b'{ "a": 1 }'.replace(b"a", b"code"))
    assert signed_answer(call) == '1772337907\nANSWERED\n{ "code": 1 }\n'


def test_v2_signs_its_fields_in_order_and_the_key_is_not_shown() -> None:
    assert signed_request(a_v2_call()) == "appid=wx1&body=拿铁 & 茶&mch_id=1900000109&key=APIv2密钥"
    assert signed_answer(a_v2_call(answer_body=xmlcodec.build(SIGNED))).endswith("&key=APIv2密钥")


def test_what_is_not_signed_has_no_string() -> None:
    assert signed_answer(a_call(answer_headers={}, answer_body=b'{"code":"SIGN_ERROR"}')) == ""
    assert signed_answer(a_v2_call(answer_body=b"<xml><return_code>FAIL</return_code></xml>")) == ""
    assert signed_request(a_call(api="account", request_headers={})) == ""


def test_of_a_notification_the_message_is_signed_and_our_answer_is_not() -> None:
    sent = a_call(
        direction=Direction.IN,
        url="/notify",
        request_headers={"wechatpay-timestamp": "1", "wechatpay-nonce": "n", "Wechatpay-Signature": "s"},
        request_body=b'{"id":"1"}',
    )
    assert signed_request(sent) == '1\nn\n{"id":"1"}\n'
    assert (signed_answer(sent), as_curl(sent)) == ("", "")


def test_line_ends_are_visible() -> None:
    assert show_line_ends("a\n\nb\n") == "a⏎\n⏎\nb⏎\n"


def test_a_command_of_curl_is_one_shell_line_whatever_is_in_it() -> None:
    call = a_call(request_body=b'{"description":"\'; rm -rf / #"}')
    words = shlex.split(as_curl(call))
    assert words[:4] == ["curl", "-X", "POST", call.url]
    assert words[-2:] == ["--data-binary", call.request.body]
    assert "Content-Type: application/json" in words


def test_a_body_is_shown_a_field_a_line() -> None:
    assert pretty(a_call().answer) == '{\n  "prepay_id": "wx26112221580621e9b071c00d9e093b0000"\n}'
    assert pretty(a_v2_call().request).split("\n")[1:3] == [
        "<mch_id>1900000109</mch_id>",
        "<appid>wx1</appid>",
    ]
