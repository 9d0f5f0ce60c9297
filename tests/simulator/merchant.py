"""A merchant written by hand: it signs with hashlib and RSA itself, so that nothing here agrees with itself."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import ssl
import tempfile
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from xml.etree import ElementTree

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from tests.support.simulator import Answer, SimulatorProcess, ask

BEIJING = timezone(timedelta(hours=8))


def number() -> str:
    """An order number never used before."""
    return f"T{secrets.token_hex(12)}"


def v2_sign(fields: dict[str, str], key: str, kind: str = "MD5") -> str:
    text = "&".join(f"{name}={fields[name]}" for name in sorted(fields) if fields[name] and name != "sign")
    text += f"&key={key}"
    if kind == "MD5":
        return hashlib.md5(text.encode()).hexdigest().upper()  # noqa: S324 - WeChat's rule
    return hmac.new(key.encode(), text.encode(), hashlib.sha256).hexdigest().upper()


def xml(fields: dict[str, str]) -> bytes:
    root = ElementTree.Element("xml")
    for name, value in fields.items():
        ElementTree.SubElement(root, name).text = value
    return bytes(ElementTree.tostring(root, encoding="utf-8"))


def unxml(body: bytes) -> dict[str, str]:
    return {element.tag: element.text or "" for element in ElementTree.fromstring(body.decode())}  # noqa: S314 - ours


def from_now(seconds: float) -> datetime:
    return datetime.now(UTC).astimezone(BEIJING) + timedelta(seconds=seconds)


class Merchant:
    """A merchant that calls both API versions of one simulator."""

    def __init__(self, simulator: SimulatorProcess, notify_url: str = "http://127.0.0.1:9/notify") -> None:
        self.simulator = simulator
        self.notify_url = notify_url
        self.known = simulator.credentials
        key = serialization.load_pem_private_key(self.known["merchant_private_key_pem"].encode(), None)
        assert isinstance(key, rsa.RSAPrivateKey)
        self.key = key
        self.appid, self.mchid = self.known["appid"], self.known["mchid"]
        self.payer, self.other = self.known["users"]

    # v2 ---------------------------------------------------------------------------------------------------------

    def v2(self, call: str, kind: str = "MD5", **fields: str) -> dict[str, str]:
        """The answer's fields to a well-signed call."""
        return self.v2_raw(call, self.v2_signed(fields, kind))

    def v2_signed(self, fields: dict[str, str], kind: str = "MD5") -> bytes:
        """The body of a well-signed call."""
        head = {"appid": self.appid, "mch_id": self.mchid, "nonce_str": secrets.token_hex(8), "sign_type": kind}
        fields = head | fields
        return xml({**fields, "sign": v2_sign(fields, self.known["api_v2_key"], kind)})

    def v2_raw(self, call: str, body: bytes, method: str = "POST") -> dict[str, str]:
        return unxml(ask(method, f"{self.simulator.url}/pay/{call}", body).body)

    def v2_secure(
        self, path: str, fields: dict[str, str], kind: str = "HMAC-SHA256", certificate: bool = True
    ) -> Answer:
        """A well-signed call over the TLS port, showing the merchant's certificate or none."""
        url = self.known["secure_url"] + path
        return ask("POST", url, self.v2_signed(fields, kind), tls=self.tls(certificate))

    def tls(self, certificate: bool) -> ssl.SSLContext:
        context = ssl.create_default_context(cadata=self.known["secure_ca_pem"])
        if certificate:
            with tempfile.NamedTemporaryFile("w") as file:
                file.write(self.known["merchant_cert_pem"] + self.known["merchant_private_key_pem"])
                file.flush()
                context.load_cert_chain(file.name)
        return context

    def v2_refund(self, **fields: str) -> dict[str, str]:
        """The answer's fields; ``refund_fee`` 100 of the 1800 unless told otherwise."""
        asked = {"out_refund_no": number(), "total_fee": "1800", "refund_fee": "100", "notify_url": self.notify_url}
        return unxml(self.v2_secure("/secapi/pay/refund", asked | fields).body)

    def v2_order(self, **changed: str) -> dict[str, str]:
        """The fields of a JSAPI order; an empty value takes a field away."""
        fields = {
            "body": "咖啡",
            "out_trade_no": number(),
            "total_fee": "1800",
            "spbill_create_ip": "127.0.0.1",
            "notify_url": self.notify_url,
            "trade_type": "JSAPI",
            "openid": self.payer["openid"],
        }
        return {name: value for name, value in (fields | changed).items() if value}

    def v2_place(self, kind: str = "MD5", **changed: str) -> tuple[str, dict[str, str]]:
        """Place an order; its number and the answer."""
        fields = self.v2_order(**changed)
        answer = self.v2("unifiedorder", kind, **fields)
        assert answer.get("result_code") == "SUCCESS", answer
        return fields["out_trade_no"], answer

    def v2_pay(self, prepay_id: str, kind: str = "MD5") -> dict[str, str]:
        """The signed parameters that the page passes to getBrandWCPayRequest."""
        fields = self._pay_head(prepay_id) | {"signType": kind}
        return fields | {"paySign": v2_sign(fields, self.known["api_v2_key"], kind)}

    # v3 ---------------------------------------------------------------------------------------------------------

    def sign(self, *lines: str) -> str:
        message = "".join(f"{line}\n" for line in lines).encode()
        return base64.b64encode(self.key.sign(message, padding.PKCS1v15(), hashes.SHA256())).decode()

    def authorization(self, method: str, url: str, body: str, **changed: str) -> str:
        """Authorization; an item can be changed after it was signed."""
        timestamp, nonce = changed.pop("signed_timestamp", str(int(time.time()))), secrets.token_hex(16)
        items = {
            "mchid": self.mchid,
            "nonce_str": nonce,
            "signature": self.sign(method, url, timestamp, nonce, body),
            "timestamp": timestamp,
            "serial_no": self.known["merchant_serial_no"],
        } | changed
        return "WECHATPAY2-SHA256-RSA2048 " + ",".join(f'{name}="{value}"' for name, value in items.items())

    def v3(
        self, method: str, url: str, data: dict[str, Any] | None = None, *, serial: str | None = None, **changed: str
    ) -> Answer:
        """A well-signed call, unless an item of Authorization is ``changed``."""
        body = "" if data is None else json.dumps(data, ensure_ascii=False)
        headers = {
            "Authorization": self.authorization(method, url, body, **changed),
            "Accept": "application/json",
            "User-Agent": "by-hand",
            "Content-Type": "application/json",
            "Wechatpay-Serial": self.known["public_key_id"] if serial is None else serial,
        }
        return self.v3_raw(method, url, body, headers)

    def v3_raw(self, method: str, url: str, body: str, headers: dict[str, str]) -> Answer:
        return ask(method, self.simulator.url + url, body or None, headers)

    def v3_order(self, **changed: Any) -> dict[str, Any]:
        """The body of a JSAPI order; None takes a field away."""
        body = {
            "appid": self.appid,
            "mchid": self.mchid,
            "description": "咖啡",
            "out_trade_no": number(),
            "notify_url": self.notify_url,
            "amount": {"total": 1800, "currency": "CNY"},
            "payer": {"openid": self.payer["openid"]},
        }
        return {name: value for name, value in (body | changed).items() if value is not None}

    def v3_place(self, **changed: Any) -> tuple[str, str]:
        """Place an order; its number and its prepay_id."""
        body = self.v3_order(**changed)
        answer = self.v3("POST", "/v3/pay/transactions/jsapi", body)
        assert answer.status == 200, answer
        return body["out_trade_no"], answer.json()["prepay_id"]

    def v3_query(self, out_trade_no: str) -> Answer:
        return self.v3("GET", f"/v3/pay/transactions/out-trade-no/{out_trade_no}?mchid={self.mchid}")

    def v3_close(self, out_trade_no: str) -> Answer:
        url = f"/v3/pay/transactions/out-trade-no/{out_trade_no}/close"
        return self.v3("POST", url, {"mchid": self.mchid})

    def v3_refund(self, amount: int = 100, total: int = 1800, **changed: Any) -> Answer:
        """Ask for a refund; None takes a field away."""
        body = {
            "out_refund_no": number(),
            "reason": "不想要了",
            "notify_url": self.notify_url,
            "amount": {"refund": amount, "total": total, "currency": "CNY"},
        }
        body = {name: value for name, value in (body | changed).items() if value is not None}
        return self.v3("POST", "/v3/refund/domestic/refunds", body)

    def v3_refund_query(self, out_refund_no: str) -> Answer:
        return self.v3("GET", f"/v3/refund/domestic/refunds/{out_refund_no}")

    def v3_pay(self, prepay_id: str) -> dict[str, str]:
        """The signed parameters that the page passes to getBrandWCPayRequest."""
        fields = self._pay_head(prepay_id)
        return fields | {"signType": "RSA", "paySign": self.sign(*fields.values())}

    # either -----------------------------------------------------------------------------------------------------

    def bridge(self, params: Mapping[str, object], scenario: str = "success", **more: str) -> dict[str, str]:
        return self.simulator.control("POST", "bridge", {**params, "scenario": scenario, **more})

    def paid(self, api: str, scenario: str = "lost_notification", **terms: Any) -> str:
        """A JSAPI order that is paid; its number. Nobody is told of it unless the scenario says so."""
        out_trade_no, params = self.place(api, **terms)
        assert self.bridge(params, scenario)["err_msg"].endswith(":ok")
        return out_trade_no

    def place(self, api: str, **terms: Any) -> tuple[str, dict[str, str]]:
        """Place a JSAPI order over ``api``; its number and the page's parameters. ``terms`` are in the API's words."""
        if api == "v2":
            out_trade_no, answer = self.v2_place(**terms)
            return out_trade_no, self.v2_pay(answer["prepay_id"])
        out_trade_no, prepay_id = self.v3_place(**terms)
        return out_trade_no, self.v3_pay(prepay_id)

    def _pay_head(self, prepay_id: str) -> dict[str, str]:
        return {
            "appId": self.appid,
            "timeStamp": str(int(time.time())),
            "nonceStr": secrets.token_hex(16),
            "package": f"prepay_id={prepay_id}",
        }
