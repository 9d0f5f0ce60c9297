"""wechatpayv3, unmodified but for its gateway's address: v3 payments at the simulator, with either kind of key."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest
from wechatpayv3 import WeChatPay, WeChatPayType
from wechatpayv3.core import Core

from tests.simulator.merchant import BEIJING, number
from tests.simulator.sink import Sink
from tests.support.simulator import SimulatorProcess

MODES = ["certificate", "public_key"]


def arguments(simulator: SimulatorProcess, mode: str, notify_url: str) -> dict[str, Any]:
    known = simulator.credentials
    keys = ("public_key_pem", "public_key_id") if mode == "public_key" else ("", "")
    return {
        "wechatpay_type": WeChatPayType.JSAPI,
        "mchid": known["mchid"],
        "private_key": known["merchant_private_key_pem"],
        "cert_serial_no": known["merchant_serial_no"],
        "appid": known["appid"],
        "apiv3_key": known["api_v3_key"],
        "notify_url": notify_url,
        "timeout": (5, 10),
        "public_key": known.get(keys[0]),
        "public_key_id": known.get(keys[1]),
    }


@pytest.fixture(params=MODES)
def mode(request: pytest.FixtureRequest, simulator: SimulatorProcess, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The simulator in a mode; the library's fixed address leads to it."""
    here = property(lambda _: simulator.url, lambda _, __: None)
    monkeypatch.setattr(Core, "_gate_way", here, raising=False)
    simulator.control("POST", "keys", {"mode": request.param})
    yield str(request.param)
    simulator.control("POST", "keys", {"mode": "grey"})


@pytest.fixture
def pay(simulator: SimulatorProcess, mode: str, sink: Sink) -> WeChatPay:
    return WeChatPay(**arguments(simulator, mode, sink.url))


def order(simulator: SimulatorProcess) -> dict[str, Any]:
    return {
        "description": "咖啡",
        "out_trade_no": number(),
        "amount": {"total": 1800, "currency": "CNY"},
        "payer": {"openid": simulator.credentials["users"][0]["openid"]},
    }


def page(pay: WeChatPay, appid: str, prepay_id: str) -> dict[str, str]:
    """The parameters that a page passes to getBrandWCPayRequest, signed by the library."""
    params = {"appId": appid, "timeStamp": "1800000000", "nonceStr": "nonce", "package": f"prepay_id={prepay_id}"}
    return params | {"signType": "RSA", "paySign": pay.sign(list(params.values()))}


def test_it_places_pays_queries_and_believes_the_notification(
    pay: WeChatPay, simulator: SimulatorProcess, sink: Sink
) -> None:
    asked = order(simulator)
    status, answer = pay.pay(**asked)
    assert status == 200
    assert json.loads(pay.query(out_trade_no=asked["out_trade_no"])[1])["trade_state"] == "NOTPAY"
    params = page(pay, simulator.credentials["appid"], json.loads(answer)["prepay_id"])
    assert simulator.control("POST", "bridge", params) == {"err_msg": "get_brand_wcpay_request:ok"}
    message = sink.wait(1)[0]
    payload = pay.callback(message.headers, message.body)
    assert payload["event_type"] == "TRANSACTION.SUCCESS"
    assert payload["resource"]["amount"]["total"] == 1800
    status, answer = pay.query(transaction_id=payload["resource"]["transaction_id"])
    assert (status, json.loads(answer)) == (200, payload["resource"])


def paid(pay: WeChatPay, simulator: SimulatorProcess) -> str:
    """Place and pay an order whose notification is lost; return its number."""
    asked = order(simulator)
    prepay_id = json.loads(pay.pay(**asked)[1])["prepay_id"]
    params = page(pay, simulator.credentials["appid"], prepay_id)
    simulator.control("POST", "bridge", {**params, "scenario": "lost_notification"})
    return str(asked["out_trade_no"])


def test_it_refunds_queries_and_believes_the_notification(
    pay: WeChatPay, simulator: SimulatorProcess, sink: Sink
) -> None:
    out_trade_no, out_refund_no = paid(pay, simulator), number()
    amount = {"refund": 500, "total": 1800, "currency": "CNY"}
    status, answer = pay.refund(out_refund_no, amount, out_trade_no=out_trade_no, reason="不想要了")
    assert (status, json.loads(answer)["status"]) == (200, "PROCESSING")
    simulator.control("POST", "clock", {"advance_s": 2})
    message = sink.wait(1)[0]
    payload = pay.callback(message.headers, message.body)
    assert (payload["event_type"], payload["resource"]["out_refund_no"]) == ("REFUND.SUCCESS", out_refund_no)
    assert json.loads(pay.query_refund(out_refund_no)[1])["status"] == "SUCCESS"
    assert json.loads(pay.query(out_trade_no=out_trade_no)[1])["trade_state"] == "REFUND"
    simulator.control("POST", "clock", {"advance_s": 60})
    status, answer = pay.refund(number(), amount | {"refund": 1301}, out_trade_no=out_trade_no)
    assert (status, json.loads(answer)["code"]) == (400, "INVALID_REQUEST")


def test_it_sends_the_money_of_an_abnormal_refund_elsewhere(
    pay: WeChatPay, simulator: SimulatorProcess, sink: Sink
) -> None:
    out_trade_no, out_refund_no = paid(pay, simulator), number()
    simulator.control("POST", "refunds/scenarios", {"scenario": "abnormal", "out_trade_no": out_trade_no})
    amount = {"refund": 1800, "total": 1800, "currency": "CNY"}
    refund_id = json.loads(pay.refund(out_refund_no, amount, out_trade_no=out_trade_no)[1])["refund_id"]
    simulator.control("POST", "clock", {"advance_s": 2})
    assert pay.callback(sink.wait(1)[0].headers, sink.received[0].body)["event_type"] == "REFUND.ABNORMAL"
    assert pay.abnormal_refund(refund_id, out_refund_no, "MERCHANT_BANK_CARD")[0] == 200
    simulator.control("POST", "clock", {"advance_s": 2})
    sink.wait(2)
    assert json.loads(pay.query_refund(out_refund_no)[1])["status"] == "SUCCESS"


def test_it_downloads_the_bills_that_were_announced(pay: WeChatPay, simulator: SimulatorProcess) -> None:
    day = datetime.now(BEIJING).date().isoformat()
    out_trade_no = paid(pay, simulator)
    simulator.control("POST", "clock", {"advance_s": 40 * 3600})
    for ask, expected in ((pay.trade_bill, out_trade_no), (pay.fundflow_bill, "扣除交易手续费")):
        status, answer = ask(day)
        announced = json.loads(answer)
        assert (status, announced["hash_type"]) == (200, "SHA1")
        status, file = pay.download_bill(announced["download_url"])
        unpacked = gzip.decompress(file)
        assert hashlib.sha1(unpacked).hexdigest() == announced["hash_value"]  # noqa: S324 - WeChat's choice
        assert expected in unpacked.decode()
    assert json.loads(pay.trade_bill("2020-01-01")[1])["code"] == "INVALID_REQUEST"


def test_it_closes_an_order(pay: WeChatPay, simulator: SimulatorProcess) -> None:
    asked = order(simulator)
    pay.pay(**asked)
    assert pay.close(asked["out_trade_no"])[0] == 204
    assert json.loads(pay.query(out_trade_no=asked["out_trade_no"])[1])["trade_state"] == "CLOSED"


def test_it_places_native_and_h5_orders(pay: WeChatPay, simulator: SimulatorProcess) -> None:
    native = {**order(simulator), "payer": None}
    assert "code_url" in json.loads(pay.pay(**native, pay_type=WeChatPayType.NATIVE)[1])
    scene = {"payer_client_ip": "127.0.0.1", "h5_info": {"type": "Wap"}}
    h5 = {**order(simulator), "payer": None, "scene_info": scene}
    assert "h5_url" in json.loads(pay.pay(**h5, pay_type=WeChatPayType.H5)[1])


def test_it_is_refused_where_wechat_refuses(pay: WeChatPay, simulator: SimulatorProcess) -> None:
    asked = order(simulator)
    pay.pay(**asked)
    assert _code(pay.pay(**{**asked, "description": "茶"})) == (400, "INVALID_REQUEST")
    assert _code(pay.pay(**{**asked, "amount": {"total": 0}})) == (400, "PARAM_ERROR")
    assert _code(pay.pay(**{**order(simulator), "payer": {"openid": "onobody"}})) == (400, "PARAM_ERROR")
    assert _code(pay.query(out_trade_no=number())) == (404, "ORDER_NOT_EXIST")
    assert _code(pay.close(number())) == (404, "ORDER_NOT_EXIST")
    pay._core._cert_serial_no = "00"
    assert _code(pay.query(out_trade_no=asked["out_trade_no"])) == (401, "SIGN_ERROR")


def test_it_does_not_believe_forged_messages_and_answers(
    pay: WeChatPay, simulator: SimulatorProcess, sink: Sink
) -> None:
    asked = order(simulator)
    params = page(pay, simulator.credentials["appid"], json.loads(pay.pay(**asked)[1])["prepay_id"])
    simulator.control("POST", "bridge", {**params, "scenario": "forged"})
    message = sink.wait(1)[0]
    assert not pay.callback(message.headers, message.body)
    rule = {"path": "/v3/pay/*", "fault": "wrong_signature", "times": 1}
    simulator.control("POST", "faults", rule)
    with pytest.raises(Exception, match="failed to verify the signature"):
        pay.query(out_trade_no=asked["out_trade_no"])


def _code(answer: tuple[int, str]) -> tuple[int, str]:
    return answer[0], json.loads(answer[1])["code"]
