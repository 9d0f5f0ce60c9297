"""WeixinJSBridge, ``wx`` and the pay sheet: their checks, their pages, and the same calls without a browser."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from simulator.browser.cashier import BridgeRefusal
from simulator.control.scenarios import SCENARIO_NAMES, Scenario
from simulator.state.coupons import offers, read_coupons
from simulator.state.orders import Order
from simulator.state.pki import User
from simulator.web.base import Handler
from simulator.web.pages import ControlError, ControlHandler, PageHandler, json_object, origin_of
from simulator.web.texts import TEXTS
from wechat.account.page_signature import page_url, signature

STAND_IN = Path(__file__).parents[1] / "static" / "jweixin.js"
INVOKED = "get_brand_wcpay_request"


class StandIn(Handler):
    """GET /open/js/jweixin-*.js"""

    def get(self) -> None:
        self.set_header("Content-Type", "application/javascript; charset=utf-8")
        self.finish(STAND_IN.read_bytes())


class JsConfig(ControlHandler):
    """POST /simulator/js/config: the request of wx.config; pages of other origins may send it, so the body is plain
    text.

    ``realAuthUrl`` is the address that was checked; WeChat's answers to wx.config carry it beside errMsg, as users
    quote them from debug mode.
    """

    for_other_pages = True

    def post(self) -> None:
        asked = json_object(self.request.body)
        self.set_header("Access-Control-Allow-Origin", "*")
        self.tell({"errMsg": self._verdict(asked), "realAuthUrl": [page_url(str(asked.get("url", "")))]})

    def _verdict(self, asked: dict[str, Any]) -> str:
        url = page_url(str(asked.get("url", "")))
        if not self.simulator.console.takes_js(url):
            return "config:invalid url domain"
        if asked.get("appId") != self.simulator.identity.appid:
            return "config:invalid appid"
        nonce, timestamp = str(asked.get("nonceStr", "")), str(asked.get("timestamp", ""))
        right = [signature(ticket, nonce, timestamp, url) for ticket in self.simulator.credentials.tickets()]
        return "config:ok" if str(asked.get("signature", "")) in right else "config:invalid signature"


class Playing(ControlHandler):
    """Base class of calls that pay by a scenario."""

    def scenario(self, data: dict[str, Any]) -> Scenario:
        """Return the scenario. Raises ControlError for an unknown one."""
        try:
            return Scenario(data.get("scenario", Scenario.SUCCESS))
        except ValueError:
            raise ControlError(f"scenario is one of: {', '.join(Scenario)}") from None

    def payer(self, data: dict[str, Any], order: Order) -> User:
        """Return the user that the call names, or the order's payer."""
        return self.user(data["user"]) if data.get("user") else self.simulator.cashier.payer_of(order)

    async def play(self, data: dict[str, Any], order: Order, call: str) -> dict[str, str]:
        """Pay by the scenario and return the message that the page receives."""
        try:
            coupons = read_coupons(data.get("coupons", []), order.placed.total)
        except ValueError as error:
            raise ControlError(str(error)) from None
        plan = await self.simulator.cashier.play(order, self.payer(data, order), self.scenario(data), coupons)
        return _build_message(f"{call}:{plan.result}", plan.words)


class Bridge(Playing):
    """POST /simulator/bridge: getBrandWCPayRequest without a browser."""

    async def post(self) -> None:
        data = self.body()
        self.scenario(data)
        try:
            order = self.simulator.cashier.check_page(data, data.get("url"))
            self.tell(await self.play(data, order, INVOKED))
        except BridgeRefusal as refused:
            self.tell(_build_message(f"{INVOKED}:fail", refused.words))


class App(Playing):
    """POST /simulator/app: the merchant's app opens WeChat with its seven parameters, and a user pays."""

    async def post(self) -> None:
        data = self.body()
        self.scenario(data)
        try:
            order = self.simulator.cashier.check_app(data)
            self.tell(await self.play(data, order, "app"))
        except BridgeRefusal as refused:
            self.tell(_build_message("app:fail", refused.words))


class Scan(Playing):
    """POST /simulator/scan: a user scans a Native order's code, or opens an H5 order's address, and pays."""

    async def post(self) -> None:
        data = self.body()
        self.scenario(data)
        try:
            order = self.simulator.cashier.check_scan(str(data.get("code_url") or data.get("h5_url") or ""))
            self.tell(await self.play(data, order, "scan"))
        except BridgeRefusal as refused:
            self.tell(_build_message("scan:fail", refused.words))


class Sheet(PageHandler):
    """GET /simulator/sheet?params=&url=: the pay sheet that the stand-in shows over the page, or WeChat's refusal."""

    def get(self) -> None:
        url = self.get_query_argument("url", "", strip=False)
        params = self._params()
        self.policy(ancestors=origin_of(url))
        cashier = self.simulator.cashier
        try:
            order = cashier.check_page(params, url)
            payer = self.find_user() or cashier.payer_of(order)
            cashier.check_payer(order, payer)
        except BridgeRefusal as refused:
            _show(self, {"origin": origin_of(url)}, words=refused.words)
            return
        call = {"to": "/simulator/bridge", "origin": origin_of(url), "body": {**params, "url": url, "user": payer.id}}
        _show(self, call, order=order, payer=payer)

    def _params(self) -> dict[str, Any]:
        try:
            return json_object(self.get_query_argument("params", "", strip=False).encode())
        except ControlError:
            return {}


class PayPage(PageHandler):
    """GET checkmweb?prepay_id= (an H5 order's h5_url) and /simulator/scan?code_url=: a page to pay on."""

    def get(self) -> None:
        self.policy()
        code_url = self.get_query_argument("code_url", "")
        scanned = {"code_url": code_url} if code_url else {"h5_url": self.request.full_url()}
        cashier = self.simulator.cashier
        try:
            order = cashier.check_scan(next(iter(scanned.values())))
            payer = self.find_user() or cashier.payer_of(order)
            cashier.check_payer(order, payer)
        except BridgeRefusal as refused:
            _show(self, {"redirect": self._redirect()}, words=refused.words)
            return
        call = {"to": "/simulator/scan", "redirect": self._redirect(), "body": {**scanned, "user": payer.id}}
        _show(self, call, order=order, payer=payer)

    def _redirect(self) -> str:
        """The address that an H5 page returns to; empty unless it is http or https."""
        url = parse_qs(self.request.query).get("redirect_url", [""])[0]
        return url if urlsplit(url).scheme in ("http", "https") else ""


class ScanPage(Scan, PayPage):
    """GET shows the page, POST is the call."""


def _show(page: PageHandler, call: dict[str, Any], order: Order | None = None, **shown: Any) -> None:
    shown = {"words": "", "payer": None, "proposed": page.simulator.cashier.proposed} | shown
    coupons = [(name.to(page.lang), json.dumps(sent)) for name, sent in offers(order.placed.total)] if order else []
    says = {name: TEXTS[name].to(page.lang) for name in ("paid", "cancelled", "no_answer")}
    page.show(
        "sheet.html",
        call=json.dumps(call),
        says=json.dumps(says),
        order=order,
        plans=SCENARIO_NAMES,
        coupons=coupons,
        **shown,
    )


def _build_message(message: str, words: str) -> dict[str, str]:
    return {"err_msg": message, "err_desc": words} if words else {"err_msg": message}
