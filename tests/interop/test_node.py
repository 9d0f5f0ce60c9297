"""The JavaScript SDKs tenpay, wechatpay-node-v3 and wechatpay-axios-plugin, unmodified, under WeChat's own host names."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.interop.node_process import NodeError, NodeSdk
from tests.simulator.merchant import BEIJING, Merchant, number
from tests.simulator.sink import Received, Sink
from tests.support.simulator import SimulatorProcess


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("node")


@pytest.fixture(scope="module")
def simulator(state: Path) -> Iterator[SimulatorProcess]:
    process = SimulatorProcess.start(state, wechat_hosts=True)
    yield process
    assert process.stop() == 0


@pytest.fixture(scope="module")
def inbox() -> Iterator[Sink]:
    sink = Sink()
    yield sink
    sink.close()


@pytest.fixture(scope="module")
def sdks(simulator: SimulatorProcess, inbox: Sink, state: Path) -> Iterator[dict[str, NodeSdk]]:
    names = ("tenpay", "wechatpay-node-v3", "wechatpay-axios-plugin")
    processes = {name: NodeSdk(name, simulator, inbox.url, state) for name in names}
    yield processes
    for process in processes.values():
        process.stop()


@pytest.fixture(scope="module")
def tenpay(sdks: dict[str, NodeSdk]) -> NodeSdk:
    return sdks["tenpay"]


@pytest.fixture(scope="module")
def node_v3(sdks: dict[str, NodeSdk]) -> NodeSdk:
    return sdks["wechatpay-node-v3"]


@pytest.fixture(scope="module")
def axios(sdks: dict[str, NodeSdk]) -> NodeSdk:
    return sdks["wechatpay-axios-plugin"]


@pytest.fixture
def shop(simulator: SimulatorProcess, inbox: Sink) -> Merchant:
    inbox.received.clear()
    return Merchant(simulator, inbox.url)


def news(inbox: Sink) -> Received:
    """The next notification."""
    message = inbox.wait(1)[0]
    inbox.received.clear()
    return message


def advance(shop: Merchant, seconds: float) -> None:
    shop.simulator.control("POST", "clock", {"advance_s": seconds})


def bill_day(shop: Merchant) -> str:
    """Today, whose bill can be had from now on."""
    now = datetime.fromisoformat(shop.simulator.control("GET", "clock")["now"])
    today = datetime.now(BEIJING).date()
    ready = datetime(today.year, today.month, today.day, 10, tzinfo=BEIJING) + timedelta(days=1)
    advance(shop, max(0.0, (ready - now).total_seconds() + 1))
    return today.isoformat()


# -- v2: tenpay --------------------------------------------------------------------------------------------------------


def v2_order(shop: Merchant, **changed: Any) -> dict[str, Any]:
    order = {"out_trade_no": number(), "body": "咖啡", "total_fee": "1800", "openid": shop.payer["openid"]} | changed
    return {name: value for name, value in order.items() if value}


@pytest.mark.parametrize("kind", ["MD5", "HMAC-SHA256"])
def test_tenpay_pays_and_believes_the_answers_and_the_notification(
    tenpay: NodeSdk, shop: Merchant, inbox: Sink, kind: str
) -> None:
    order = v2_order(shop, attach="<桌号 7>", sign_type=kind)
    prepaid = tenpay.call("create", order)
    params = tenpay.call("pay_params", prepaid, kind)
    coupons = [{"kind": "NOCASH", "amount": 300}]
    assert shop.simulator.control("POST", "bridge", {**params, "coupons": coupons})["err_msg"].endswith(":ok")
    told = tenpay.call("payment_news", news(inbox).body.decode()) if kind == "MD5" else None
    queried = tenpay.call("query", {"out_trade_no": order["out_trade_no"], "sign_type": kind})
    for answer in filter(None, (told, queried)):
        assert (answer["out_trade_no"], answer["attach"]) == (order["out_trade_no"], "<桌号 7>")
        assert (answer["total_fee"], answer["cash_fee"], answer["settlement_total_fee"]) == ("1800", "1500", "1500")


def test_tenpay_pays_in_an_app(tenpay: NodeSdk, shop: Merchant) -> None:
    order = v2_order(shop, trade_type="APP", openid="")
    params = tenpay.call("app_params", tenpay.call("create", order))
    assert shop.simulator.control("POST", "app", params) == {"err_msg": "app:ok"}
    assert tenpay.call("query", {"out_trade_no": order["out_trade_no"]})["trade_type"] == "APP"


def test_tenpay_closes_and_is_refused_in_wechats_codes(tenpay: NodeSdk, shop: Merchant) -> None:
    order = v2_order(shop)
    tenpay.call("create", order)
    advance(shop, 300)
    tenpay.call("close", {"out_trade_no": order["out_trade_no"]})
    assert tenpay.call("query", {"out_trade_no": order["out_trade_no"]})["trade_state"] == "CLOSED"
    refusals = {
        ("create", "ORDERCLOSED"): order,
        ("create", "INVALID_REQUEST"): order | {"out_trade_no": shop.place("v2")[0], "total_fee": "1"},
        ("create_with_wrong_key", "签名错误"): v2_order(shop),
        ("query", "ORDERNOTEXIST"): {"out_trade_no": number()},
        ("close", "ORDERPAID"): {"out_trade_no": shop.paid("v2")},
        ("query_refund", "REFUNDNOTEXIST"): {"out_trade_no": shop.paid("v2")},
        ("refund", "ORDERNOTEXIST"): {"out_trade_no": number(), "out_refund_no": "r", "total_fee": 1, "refund_fee": 1},
    }
    for (call, words), asked in refusals.items():
        with pytest.raises(NodeError) as refused:
            tenpay.call(call, asked)
        assert refused.value.message == words, call


def test_tenpay_refunds_over_mutual_tls_and_reads_the_notification(
    tenpay: NodeSdk, shop: Merchant, inbox: Sink
) -> None:
    out_trade_no, out_refund_no = shop.paid("v2"), number()
    asked = {"out_trade_no": out_trade_no, "out_refund_no": out_refund_no, "total_fee": 1800, "refund_fee": 500}
    assert tenpay.call("refund", asked)["refund_fee"] == "500"
    advance(shop, 2)
    told = tenpay.call("refund_news", news(inbox).body.decode())["req_info"]
    assert (told["out_refund_no"], told["refund_status"]) == (out_refund_no, "SUCCESS")
    assert tenpay.call("query_refund", {"out_refund_no": out_refund_no})["refund_status_0"] == "SUCCESS"


def test_tenpay_reads_bills(tenpay: NodeSdk, shop: Merchant) -> None:
    out_trade_no = shop.paid("v2")
    day = bill_day(shop).replace("-", "")
    bill = tenpay.call("bill", {"bill_date": day, "bill_type": "SUCCESS"})
    place = bill["list_title"].index("商户订单号")
    assert out_trade_no in [row[place] for row in bill["list_data"]]
    assert bill["total_data"][0] == str(len(bill["list_data"]))
    flow = tenpay.call("fund_flow", {"bill_date": day, "account_type": "Basic", "sign_type": "HMAC-SHA256"})
    assert len(flow["list_data"]) >= 2
    with pytest.raises(NodeError, match="No Bill Exist"):
        tenpay.call("bill", {"bill_date": (datetime.now(BEIJING) - timedelta(days=9)).strftime("%Y%m%d")})


# -- v3: both ----------------------------------------------------------------------------------------------------------


def envelope(message: Received) -> dict[str, str]:
    """A notification as node-v3 and the plugin want it for a check."""
    names = ("timestamp", "nonce", "signature", "serial")
    return {name: message.headers[f"Wechatpay-{name.title()}"] for name in names} | {"body": message.body.decode()}


def test_node_v3_pays_and_believes_the_notification(node_v3: NodeSdk, shop: Merchant, inbox: Sink) -> None:
    shop.simulator.control("POST", "keys", {"mode": "certificate"})
    order = shop.v3_order(attach="桌号 7")
    del order["appid"], order["mchid"]
    told = node_v3.call("create", order)
    assert told["status"] == 200
    params = told["data"]
    asked = {name: params[name] for name in ("appId", "timeStamp", "nonceStr", "package", "signType", "paySign")}
    assert shop.simulator.control("POST", "bridge", asked)["err_msg"].endswith(":ok")
    message = news(inbox)
    assert node_v3.call("believes", envelope(message)) is True
    assert node_v3.call("believes", envelope(message) | {"nonce": "another"}) is False
    opened = node_v3.call("open", json.loads(message.body)["resource"])
    assert (opened["out_trade_no"], opened["trade_state"]) == (order["out_trade_no"], "SUCCESS")
    queried = node_v3.call("query", {"out_trade_no": order["out_trade_no"]})["data"]
    assert (queried["trade_state"], queried["attach"]) == ("SUCCESS", "桌号 7")
    assert [each["serial_no"] for each in node_v3.call("certificates")] == [shop.known["platform_serial_no"]]
    shop.simulator.control("POST", "keys", {"mode": "grey"})


def test_node_v3_places_every_trade_type(node_v3: NodeSdk, shop: Merchant) -> None:
    order = shop.v3_order(payer=None, appid=None, mchid=None)
    assert node_v3.call("create_native", order)["data"]["code_url"].startswith("weixin://")
    scene = {"payer_client_ip": "127.0.0.1", "h5_info": {"type": "Wap"}}
    h5 = node_v3.call("create_h5", order | {"out_trade_no": number(), "scene_info": scene})["data"]
    assert h5["h5_url"].startswith("https://api.mch.weixin.qq.com/cgi-bin/mmpayweb-bin/checkmweb?")
    app = node_v3.call("create_app", order | {"out_trade_no": number()})["data"]
    assert shop.simulator.control("POST", "app", app) == {"err_msg": "app:ok"}
    wrong = node_v3.call("create_app", order | {"out_trade_no": number()})["data"] | {"noncestr": "another"}
    assert shop.simulator.control("POST", "app", wrong)["err_desc"] == "支付验证签名失败"


def test_node_v3_closes_refunds_and_is_refused(node_v3: NodeSdk, shop: Merchant) -> None:
    unpaid, _ = shop.place("v3")
    assert node_v3.call("close", unpaid)["status"] == 204
    assert node_v3.call("query", {"out_trade_no": unpaid})["data"]["trade_state"] == "CLOSED"
    out_refund_no = number()
    refund = {
        "out_trade_no": shop.paid("v3"),
        "out_refund_no": out_refund_no,
        "amount": {"refund": 500, "total": 1800, "currency": "CNY"},
    }
    assert node_v3.call("refund", refund)["data"]["status"] == "PROCESSING"
    advance(shop, 2)
    assert node_v3.call("query_refund", out_refund_no)["data"]["status"] == "SUCCESS"
    order = shop.v3_order(appid=None, mchid=None)
    refusals = [
        (node_v3.call("query", {"out_trade_no": number()}), 404, "ORDER_NOT_EXIST"),
        (node_v3.call("refund", refund | {"out_trade_no": number(), "out_refund_no": "r"}), 404, "RESOURCE_NOT_EXISTS"),
        (node_v3.call("close", shop.paid("v3")), 400, "ORDER_PAID"),
        (node_v3.call("create", order | {"out_trade_no": "short"}), 400, "PARAM_ERROR"),
        (node_v3.call("create_with_wrong_serial", order), 401, "SIGN_ERROR"),
    ]
    for answer, status, code in refusals:
        assert (answer["status"], json.loads(answer["error"])["code"]) == (status, code)


def test_node_v3_reads_bills_plain(node_v3: NodeSdk, shop: Merchant) -> None:
    out_trade_no, day = shop.paid("v3"), bill_day(shop)
    announced = node_v3.call("announce_bill", {"bill_date": day, "bill_type": "ALL"})
    assert announced["data"]["download_url"].startswith("https://api.mch.weixin.qq.com/v3/billdownload/file?token=")
    bill = node_v3.call("bill", announced["data"])
    assert bill["status"] == 200
    assert out_trade_no in bill["text"]
    flow = node_v3.call("announce_fund_flow", {"bill_date": day, "account_type": "BASIC"})
    assert "资金流水总笔数" in node_v3.call("bill", flow["data"])["text"]
    none = node_v3.call("announce_bill", {"bill_date": "2020-01-01", "bill_type": "ALL"})
    assert json.loads(none["error"])["code"] == "INVALID_REQUEST"


# -- wechatpay-axios-plugin --------------------------------------------------------------------------------------------


def test_axios_plugin_speaks_v3_from_order_to_bill(axios: NodeSdk, shop: Merchant, inbox: Sink) -> None:
    order = shop.v3_order(attach="桌号 7")
    prepay_id = axios.call("create", order)["prepay_id"]
    coupons = [{"kind": "CASH", "amount": 300}]
    asked = {**shop.v3_pay(prepay_id), "coupons": coupons}
    assert shop.simulator.control("POST", "bridge", asked)["err_msg"].endswith(":ok")
    message = news(inbox)
    assert axios.call("believes", envelope(message)) is True
    told = axios.call("open", json.loads(message.body)["resource"])
    queried = axios.call("query", order["out_trade_no"])
    assert told["amount"] == queried["amount"]
    assert (queried["trade_state"], queried["amount"]["payer_total"]) == ("SUCCESS", 1500)
    out_refund_no = number()
    amount = {"refund": 600, "total": 1800, "currency": "CNY"}
    refund = {"out_trade_no": order["out_trade_no"], "out_refund_no": out_refund_no, "amount": amount}
    assert axios.call("refund", refund)["amount"]["payer_refund"] == 500
    advance(shop, 2)
    assert axios.call("query_refund", out_refund_no)["status"] == "SUCCESS"
    assert axios.call("certificates")["data"]
    day = bill_day(shop)
    for zipped in ({}, {"tar_type": "GZIP"}):
        assert order["out_trade_no"] in axios.call("bill", {"bill_date": day, "bill_type": "ALL", **zipped})


def test_axios_plugin_places_every_trade_type_and_closes(axios: NodeSdk, shop: Merchant) -> None:
    order = shop.v3_order(payer=None)
    assert "code_url" in axios.call("create_native", order)
    scene = {"payer_client_ip": "127.0.0.1", "h5_info": {"type": "Wap"}}
    assert "h5_url" in axios.call("create_h5", order | {"out_trade_no": number(), "scene_info": scene})
    assert "prepay_id" in axios.call("create_app", order | {"out_trade_no": number()})
    assert axios.call("close", order["out_trade_no"]) == 204


def test_axios_plugin_is_refused_in_v3s_words(axios: NodeSdk, shop: Merchant) -> None:
    refusals = {
        ("create", 400, "PARAM_ERROR"): shop.v3_order(out_trade_no="short"),
        ("create", 400, "INVALID_REQUEST"): shop.v3_order(appid="wx0000000000000000"),
        ("query", 404, "ORDER_NOT_EXIST"): number(),
        ("close", 400, "ORDER_PAID"): shop.paid("v3"),
        ("query_refund", 404, "RESOURCE_NOT_EXISTS"): number(),
        ("bill", 400, "INVALID_REQUEST"): {"bill_date": "2020-01-01"},
    }
    for (call, status, code), asked in refusals.items():
        with pytest.raises(NodeError) as refused:
            axios.call(call, asked)
        assert (refused.value.status, code in json.dumps(refused.value.data)) == (status, True), call


def test_axios_plugin_speaks_v2_from_order_to_bill(axios: NodeSdk, shop: Merchant, inbox: Sink) -> None:
    order = shop.v2_order(attach="桌号 7")
    prepaid = axios.call("v2_create", order)
    assert shop.bridge(shop.v2_pay(prepaid["prepay_id"]))["err_msg"].endswith(":ok")
    told = axios.call("v2_fields", news(inbox).body.decode())
    assert axios.call("v2_sign", {name: value for name, value in told.items() if name != "sign"}) == told["sign"]
    queried = axios.call("v2_query", {"out_trade_no": order["out_trade_no"]})
    assert (queried["trade_state"], queried["transaction_id"]) == ("SUCCESS", told["transaction_id"])
    out_refund_no = number()
    refund = {"out_refund_no": out_refund_no, "total_fee": "1800", "refund_fee": "500", "notify_url": inbox.url}
    assert axios.call("v2_refund", refund | {"out_trade_no": order["out_trade_no"]})["refund_fee"] == "500"
    advance(shop, 2)
    sealed = axios.call("v2_fields", news(inbox).body.decode())["req_info"]
    assert axios.call("v2_open", sealed)["out_refund_no"] == out_refund_no
    assert axios.call("v2_query_refund", {"out_refund_no": out_refund_no})["refund_status_0"] == "SUCCESS"
    assert order["out_trade_no"] in axios.call("v2_bill", {"bill_date": bill_day(shop).replace("-", "")})


def test_axios_plugin_closes_and_is_refused_in_v2s_words(axios: NodeSdk, shop: Merchant) -> None:
    order = shop.v2_order()
    axios.call("v2_create", order)
    advance(shop, 300)
    axios.call("v2_close", {"out_trade_no": order["out_trade_no"]})
    refusals = {
        ("v2_create", "ORDERCLOSED"): order,
        ("v2_create", "小于最小值 6"): shop.v2_order(out_trade_no="short"),
        ("v2_create", "PARAM_ERROR"): shop.v2_order(openid="onobodysopenid"),
        ("v2_create_with_wrong_key", "签名错误"): shop.v2_order(),
        ("v2_query", "ORDERNOTEXIST"): {"out_trade_no": number()},
        ("v2_close", "ORDERPAID"): {"out_trade_no": shop.paid("v2")},
    }
    for (call, words), asked in refusals.items():
        with pytest.raises(NodeError) as refused:
            axios.call(call, asked)
        told = f"{refused.value.message} {json.dumps(refused.value.data, ensure_ascii=False)}"
        assert words in told, call
