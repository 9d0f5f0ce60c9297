"""What WeixinJSBridge and wx check before anybody can pay, in WeChat's words."""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from collections.abc import Iterator

import pytest

from tests.simulator.merchant import Merchant, from_now, v2_sign
from tests.support.simulator import ask

PAGE = "http://127.0.0.1:8888/pay/T1"
UNPAYABLE = "调用支付JSAPI缺少参数: total_fee"
APIS = pytest.mark.parametrize("api", ["v2", "v3"])


def refused(words: str) -> dict[str, str]:
    return {"err_msg": "get_brand_wcpay_request:fail", "err_desc": words}


@APIS
def test_a_page_with_the_right_signature_pays(merchant: Merchant, api: str) -> None:
    out_trade_no, params = merchant.place(api)
    assert merchant.bridge(params, url=PAGE, user="jia") == {"err_msg": "get_brand_wcpay_request:ok"}
    truth = merchant.simulator.order(out_trade_no)
    assert (truth["trade_state"], truth["payer"]) == ("SUCCESS", merchant.payer["openid"])


def test_v2_pays_with_hmac_too(merchant: Merchant) -> None:
    _, answer = merchant.v2_place("HMAC-SHA256")
    params = merchant.v2_pay(answer["prepay_id"], "HMAC-SHA256")
    assert merchant.bridge(params)["err_msg"].endswith(":ok")


@pytest.fixture
def console(merchant: Merchant) -> Iterator[Merchant]:
    """A merchant whose domains and directories are set."""
    settings = {"js_domains": ["127.0.0.1:8888"], "pay_directories": ["http://127.0.0.1:8888/pay/"]}
    merchant.simulator.control("POST", "settings", settings)
    yield merchant
    merchant.simulator.control("POST", "settings", dict.fromkeys(settings))


@pytest.mark.parametrize("url", ["http://127.0.0.1:8888/", "http://127.0.0.1:8888/pay", "http://localhost:8888/pay/1"])
def test_a_page_outside_the_directories_is_not_registered(console: Merchant, url: str) -> None:
    _, params = console.place("v3")
    assert console.bridge(params, url=f"{url}?a=1#b") == refused(f"当前页面的URL未注册：{url}")
    assert console.bridge(params, url=PAGE)["err_msg"].endswith(":ok")


@pytest.mark.parametrize("name", ["appId", "timeStamp", "nonceStr", "package", "signType", "paySign"])
def test_each_parameter_is_needed_and_a_text(merchant: Merchant, name: str) -> None:
    _, params = merchant.place("v3")
    left_out = {key: value for key, value in params.items() if key != name}
    assert merchant.bridge(left_out) == refused(f"调用支付JSAPI缺少参数: {name}")
    number = {**params, name: 1}
    assert merchant.bridge(number) == refused(f"调用支付JSAPI缺少参数: {name}")


@pytest.mark.parametrize("package", ["prepay_id=", "prepay_id=undefined", "wxsim1", "prepayId={0}"])
def test_a_package_that_names_no_order_lacks_the_total(merchant: Merchant, package: str) -> None:
    _, prepay_id = merchant.v3_place()
    params = merchant.v3_pay(prepay_id) | {"package": package.format(prepay_id)}
    assert merchant.bridge(params) == refused(UNPAYABLE)


@APIS
def test_an_appid_that_is_not_the_orders_lacks_the_total(merchant: Merchant, api: str) -> None:
    _, params = merchant.place(api)
    assert merchant.bridge({**params, "appId": "wxother"}) == refused(UNPAYABLE)


def test_a_native_orders_prepay_id_cannot_be_paid_on_a_page(merchant: Merchant) -> None:
    _, answer = merchant.v2_place(trade_type="NATIVE", openid="", product_id="1")
    assert merchant.bridge(merchant.v2_pay(answer["prepay_id"])) == refused(UNPAYABLE)


@APIS
def test_a_prepay_id_dies_after_two_hours(merchant: Merchant, api: str) -> None:
    _, params = merchant.place(api)
    merchant.simulator.control("POST", "clock", {"advance_s": 7200})
    assert merchant.bridge(params) == refused(UNPAYABLE)


@APIS
@pytest.mark.parametrize("name", ["timeStamp", "nonceStr"])
def test_a_value_changed_after_signing_is_a_wrong_signature(merchant: Merchant, api: str, name: str) -> None:
    _, params = merchant.place(api)
    assert merchant.bridge({**params, name: "1"}) == refused("支付验证签名失败")


def test_the_sign_type_is_the_one_of_the_order(merchant: Merchant) -> None:
    _, answer = merchant.v2_place("HMAC-SHA256")
    assert merchant.bridge(merchant.v2_pay(answer["prepay_id"], "MD5")) == refused("支付验证签名失败")
    assert merchant.bridge(merchant.v3_pay(answer["prepay_id"])) == refused("支付验证签名失败")
    _, prepay_id = merchant.v3_place()
    assert merchant.bridge(merchant.v2_pay(prepay_id)) == refused("支付验证签名失败")


def test_v2_signs_exactly_five_fields(merchant: Merchant) -> None:
    _, answer = merchant.v2_place()
    params = merchant.v2_pay(answer["prepay_id"])
    fields = {name: value for name, value in params.items() if name not in ("paySign", "signType")}
    four = {**params, "paySign": v2_sign(fields, merchant.known["api_v2_key"])}
    assert merchant.bridge(four) == refused("支付验证签名失败")


@APIS
def test_another_payer_than_the_orders_is_refused(merchant: Merchant, api: str) -> None:
    _, params = merchant.place(api)
    assert merchant.bridge(params, user="yi") == refused("下单账号与支付账号不一致，请核实后再支付")


@APIS
def test_a_paid_order_cannot_be_paid_again(merchant: Merchant, api: str) -> None:
    _, params = merchant.place(api)
    merchant.bridge(params)
    assert merchant.bridge(params) == refused("该订单已支付")


def test_a_closed_order_and_one_whose_time_is_over_cannot_be_paid(merchant: Merchant) -> None:
    closed, prepay_id = merchant.v3_place()
    merchant.v3_close(closed)
    assert merchant.bridge(merchant.v3_pay(prepay_id)) == refused("订单已关闭")
    _, prepay_id = merchant.v3_place(time_expire=from_now(90).isoformat(timespec="seconds"))
    merchant.simulator.control("POST", "clock", {"advance_s": 91})
    assert merchant.bridge(merchant.v3_pay(prepay_id)) == refused("订单已过期失效，请重新下单再发起支付")


def test_a_native_code_is_scanned_by_anybody(merchant: Merchant) -> None:
    body = merchant.v3_order(payer=None)
    code_url = merchant.v3("POST", "/v3/pay/transactions/native", body).json()["code_url"]
    scanned = merchant.simulator.control("POST", "scan", {"code_url": code_url, "user": "yi"})
    assert scanned == {"err_msg": "scan:ok"}
    assert merchant.simulator.order(body["out_trade_no"])["payer"] == merchant.other["openid"]
    again = merchant.simulator.control("POST", "scan", {"code_url": code_url})
    assert again == {"err_msg": "scan:fail", "err_desc": "该订单已支付"}


def test_an_h5_address_lives_five_minutes(merchant: Merchant) -> None:
    scene = {"payer_client_ip": "127.0.0.1", "h5_info": {"type": "Wap"}}
    answers = [
        merchant.v3("POST", "/v3/pay/transactions/h5", merchant.v3_order(payer=None, scene_info=scene))
        for _ in range(2)
    ]
    first, second = (answer.json()["h5_url"] for answer in answers)
    assert 'id="sheet"' in ask("GET", f"{first}&redirect_url=http%3A%2F%2F127.0.0.1%2F").body.decode()
    assert merchant.simulator.control("POST", "scan", {"h5_url": first})["err_msg"] == "scan:ok"
    merchant.simulator.control("POST", "clock", {"advance_s": 300})
    over = merchant.simulator.control("POST", "scan", {"h5_url": second})
    assert over["err_desc"] == "订单已过期失效，请重新下单再发起支付"


@pytest.fixture
def ticket(merchant: Merchant) -> str:
    app = {"appid": merchant.appid, "secret": merchant.known["appsecret"]}
    body = json.dumps({"grant_type": "client_credential", **app})
    url = merchant.simulator.url
    token = ask("POST", f"{url}/cgi-bin/stable_token", body).json()["access_token"]
    return str(ask("GET", f"{url}/cgi-bin/ticket/getticket?type=jsapi&access_token={token}").json()["ticket"])


def config(merchant: Merchant, ticket: str, url: str = PAGE, shown: str = "", **changed: str) -> str:
    """wx.config of a page, signed by hand for ``url``; the browser shows ``shown``."""
    nonce, timestamp = secrets.token_hex(8), str(int(time.time()))
    text = f"jsapi_ticket={ticket}&noncestr={nonce}&timestamp={timestamp}&url={url}"
    signature = hashlib.sha1(text.encode()).hexdigest()  # noqa: S324 - WeChat's rule
    asked = {"appId": merchant.appid, "timestamp": timestamp, "nonceStr": nonce, "signature": signature}
    asked["url"] = shown or url
    answer = ask("POST", f"{merchant.simulator.url}/simulator/js/config", json.dumps({**asked, **changed}))
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    return str(answer.json()["errMsg"])


def test_config_is_ok_for_a_current_ticket_and_the_url_without_its_fragment(console: Merchant, ticket: str) -> None:
    assert config(console, ticket) == "config:ok"
    assert config(console, ticket, shown=f"{PAGE}#top") == "config:ok"


def test_config_says_what_is_wrong(console: Merchant, ticket: str) -> None:
    assert config(console, "another ticket") == "config:invalid signature"
    assert config(console, ticket, nonceStr="x") == "config:invalid signature"
    assert config(console, ticket, url="http://127.0.0.1:7777/pay/") == "config:invalid url domain"
    assert config(console, ticket, appId="wxother") == "config:invalid appid"


def test_a_ticket_that_was_let_expire_signs_no_more(console: Merchant, ticket: str) -> None:
    console.simulator.control("POST", "tokens/expire")
    assert config(console, ticket) == "config:invalid signature"


def test_the_sheet_may_be_framed_by_the_page_alone_and_shows_wechats_complaint(merchant: Merchant) -> None:
    page = ask(
        "GET", f"{merchant.simulator.url}/simulator/sheet?params=%7B%7D&url=http%3A%2F%2F127.0.0.1%3A8888%2Fpay%2F"
    )
    policy = page.headers["Content-Security-Policy"]
    assert "frame-ancestors http://127.0.0.1:8888;" in policy
    assert "调用支付JSAPI缺少参数: appId" in page.body.decode()


def test_the_stand_in_is_served_where_wechats_script_is(merchant: Merchant) -> None:
    script = ask("GET", f"{merchant.simulator.url}/open/js/jweixin-1.6.0.js")
    assert script.status == 200
    assert script.headers["Content-Type"].startswith("application/javascript")
