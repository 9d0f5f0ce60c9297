"""wechatpy, unmodified but for its base URLs: v2 payments, tokens, OAuth and JS-SDK tickets at the simulator."""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from wechatpy import WeChatClient
from wechatpy.exceptions import InvalidSignatureException, WeChatClientException, WeChatPayException
from wechatpy.oauth import WeChatOAuth, WeChatOAuthException
from wechatpy.pay import WeChatPay

from tests.simulator.merchant import BEIJING, number
from tests.simulator.sink import Sink
from tests.support.simulator import SimulatorProcess, ask


@pytest.fixture
def pay(simulator: SimulatorProcess) -> WeChatPay:
    known = simulator.credentials
    client = WeChatPay(known["appid"], known["api_v2_key"], known["mchid"], timeout=10)
    client.API_BASE_URL = f"{simulator.url}/"
    return client


def place(pay: WeChatPay, simulator: SimulatorProcess, sink: Sink, **changed: object) -> tuple[str, dict[str, str]]:
    order = {
        "trade_type": "JSAPI",
        "body": "咖啡",
        "total_fee": 1800,
        "notify_url": sink.url,
        "client_ip": "127.0.0.1",
        "user_id": simulator.credentials["users"][0]["openid"],
        "out_trade_no": number(),
    } | changed
    return str(order["out_trade_no"]), pay.order.create(**order)


def test_it_places_pays_queries_and_believes_the_notification(
    pay: WeChatPay, simulator: SimulatorProcess, sink: Sink
) -> None:
    out_trade_no, answer = place(pay, simulator, sink, attach="桌号 7")
    assert pay.check_signature(answer)
    assert pay.order.query(out_trade_no=out_trade_no)["trade_state"] == "NOTPAY"
    params = pay.jsapi.get_jsapi_params(answer["prepay_id"])
    assert simulator.control("POST", "bridge", params) == {"err_msg": "get_brand_wcpay_request:ok"}
    payload = pay.parse_payment_result(sink.wait(1)[0].body)
    assert (payload["out_trade_no"], payload["total_fee"], payload["attach"]) == (out_trade_no, 1800, "桌号 7")
    paid = pay.order.query(transaction_id=payload["transaction_id"])
    assert (paid["trade_state"], paid["out_trade_no"]) == ("SUCCESS", out_trade_no)


def test_it_closes_an_order(pay: WeChatPay, simulator: SimulatorProcess, sink: Sink) -> None:
    out_trade_no, _ = place(pay, simulator, sink)
    simulator.control("POST", "clock", {"advance_s": 300})
    pay.order.close(out_trade_no)
    assert pay.order.query(out_trade_no=out_trade_no)["trade_state"] == "CLOSED"


def test_it_is_refused_where_wechat_refuses(pay: WeChatPay, simulator: SimulatorProcess, sink: Sink) -> None:
    out_trade_no, _ = place(pay, simulator, sink)
    with pytest.raises(WeChatPayException) as other_terms:
        place(pay, simulator, sink, out_trade_no=out_trade_no, total_fee=1)
    assert other_terms.value.errcode == "INVALID_REQUEST"
    with pytest.raises(WeChatPayException) as nobody:
        place(pay, simulator, sink, user_id="onobody")
    assert (nobody.value.errcode, nobody.value.errmsg) == ("PARAM_ERROR", "appid和openid不匹配")
    with pytest.raises(WeChatPayException) as unknown:
        pay.order.query(out_trade_no=number())
    assert unknown.value.errcode == "ORDERNOTEXIST"
    over = datetime.now(BEIJING) - timedelta(hours=1)
    with pytest.raises(WeChatPayException):
        place(pay, simulator, sink, time_expire=over)
    pay.api_key = "0" * 32
    with pytest.raises(WeChatPayException) as wrong_key:
        place(pay, simulator, sink)
    assert wrong_key.value.return_msg == "签名错误"


def test_its_pay_signature_with_another_key_is_refused_in_wechats_words(
    pay: WeChatPay, simulator: SimulatorProcess, sink: Sink
) -> None:
    _, answer = place(pay, simulator, sink)
    pay.api_key = "0" * 32
    heard = simulator.control("POST", "bridge", pay.jsapi.get_jsapi_params(answer["prepay_id"]))
    assert heard == {"err_msg": "get_brand_wcpay_request:fail", "err_desc": "支付验证签名失败"}


def test_it_does_not_believe_a_forged_notification(pay: WeChatPay, simulator: SimulatorProcess, sink: Sink) -> None:
    _, answer = place(pay, simulator, sink)
    params = pay.jsapi.get_jsapi_params(answer["prepay_id"])
    simulator.control("POST", "bridge", {**params, "scenario": "forged"})
    with pytest.raises(InvalidSignatureException):
        pay.parse_payment_result(sink.wait(1)[0].body)


@pytest.fixture
def secure(simulator: SimulatorProcess, tmp_path: Path) -> WeChatPay:
    """The library with the merchant's certificate, at the port that asks for it."""
    known = simulator.credentials
    files = {name: tmp_path / name for name in ("merchant_cert_pem", "merchant_private_key_pem", "secure_ca_pem")}
    for name, file in files.items():
        file.write_text(known[name])
    cert, key, ca = (str(file) for file in files.values())
    client = WeChatPay(known["appid"], known["api_v2_key"], known["mchid"], mch_cert=cert, mch_key=key, timeout=10)
    client.API_BASE_URL = f"{known['secure_url']}/"
    client._http.verify, client._http.trust_env = ca, False
    return client


def test_it_refunds_over_mutual_tls_queries_and_reads_the_notification(
    pay: WeChatPay, secure: WeChatPay, simulator: SimulatorProcess, sink: Sink
) -> None:
    out_trade_no, answer = place(pay, simulator, sink)
    params = pay.jsapi.get_jsapi_params(answer["prepay_id"])
    simulator.control("POST", "bridge", {**params, "scenario": "lost_notification"})
    refund = {"total_fee": 1800, "refund_fee": 500, "out_refund_no": number(), "out_trade_no": out_trade_no}
    taken = secure.refund.apply(**refund, refund_desc="不想要了", notify_url=sink.url)
    assert secure.check_signature(taken)
    assert (taken["refund_fee"], taken["out_trade_no"]) == ("500", out_trade_no)
    simulator.control("POST", "clock", {"advance_s": 2})
    payload = pay.parse_refund_notify_result(sink.wait(1)[0].body)
    assert (payload["out_refund_no"], payload["refund_status"]) == (refund["out_refund_no"], "SUCCESS")
    assert pay.refund.query(out_refund_no=refund["out_refund_no"])["refund_status_0"] == "SUCCESS"
    assert pay.order.query(out_trade_no=out_trade_no)["trade_state"] == "REFUND"
    with pytest.raises(WeChatPayException) as over:
        secure.refund.apply(**refund | {"out_refund_no": number(), "refund_fee": 1301})
    assert over.value.errmsg == "refund_fee大于可退金额"
    with pytest.raises(WeChatPayException) as anonymous:
        pay.refund.apply(**refund)
    assert anonymous.value.response.status_code == 400


def test_it_downloads_the_bills_of_a_day(
    pay: WeChatPay, secure: WeChatPay, simulator: SimulatorProcess, sink: Sink
) -> None:
    day = datetime.now(BEIJING).date()
    out_trade_no, answer = place(pay, simulator, sink)
    params = pay.jsapi.get_jsapi_params(answer["prepay_id"])
    simulator.control("POST", "bridge", {**params, "scenario": "lost_notification"})
    simulator.control("POST", "clock", {"advance_s": 40 * 3600})
    assert out_trade_no in pay.tools.download_bill(day)
    assert "扣除交易手续费" in secure.tools.download_fundflow(day)
    with pytest.raises(WeChatPayException) as none:
        pay.tools.download_bill(datetime(2026, 1, 1, tzinfo=BEIJING).date())
    assert none.value.return_msg == "invalid parameter"


class LocalClient(WeChatClient):  # type: ignore[misc]  # it is untyped
    """Its token address is written into a method, so the host is changed there."""

    def fetch_access_token(self) -> object:
        query = {"grant_type": "client_credential", "appid": self.appid, "secret": self.secret}
        return self._fetch_access_token(url=f"{self.API_BASE_URL}token", params=query)


def test_it_fetches_token_and_ticket_and_its_js_signature_is_right(simulator: SimulatorProcess) -> None:
    known = simulator.credentials
    LocalClient.API_BASE_URL = f"{simulator.url}/cgi-bin/"
    client = LocalClient(known["appid"], known["appsecret"])
    url, timestamp = "http://127.0.0.1:8888/pay/1?a=b", str(int(time.time()))
    signature = client.jsapi.get_jsapi_signature("nonce", client.jsapi.get_jsapi_ticket(), timestamp, url)
    asked = {"appId": client.appid, "timestamp": timestamp, "nonceStr": "nonce", "signature": signature, "url": url}
    assert simulator.control("POST", "js/config", asked)["errMsg"] == "config:ok"
    with pytest.raises(WeChatClientException) as wrong:
        LocalClient(known["appid"], "0" * 32).fetch_access_token()
    assert wrong.value.errcode == 40125


def test_it_learns_who_the_user_is(simulator: SimulatorProcess) -> None:
    known = simulator.credentials
    oauth = WeChatOAuth(known["appid"], known["appsecret"], "http://127.0.0.1:8888/back", state="s1")
    oauth.API_BASE_URL, oauth.OAUTH_BASE_URL = f"{simulator.url}/", f"{simulator.url}/connect/"
    address = oauth.authorize_url.partition("#")[0]
    back = ask("GET", address, headers={"Cookie": "wxsim_user=jia"}).headers["Location"]
    code = parse_qs(urlsplit(back).query)["code"][0]
    assert oauth.fetch_access_token(code)["openid"] == known["users"][0]["openid"]
    assert oauth.check_access_token()
    with pytest.raises(WeChatOAuthException) as used:
        oauth.fetch_access_token(code)
    assert used.value.errcode == 40163
