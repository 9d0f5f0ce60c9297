"""The stand-in for jweixin in a real browser, on a page with the strict policy of a careful merchant."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import shutil
import threading
from collections.abc import AsyncIterator, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from playwright.async_api import Page, async_playwright, expect

from tests.simulator.merchant import Merchant
from tests.support.simulator import SimulatorProcess, ask

SCRIPT = b"""
document.addEventListener("WeixinJSBridgeReady", () => { document.title = "ready"; });
"""


class Site:
    """A merchant's page under /pay/, with nothing on it but the script."""

    def __init__(self, simulator_url: str) -> None:
        policy = (
            f"default-src 'none'; script-src 'self' {simulator_url}; frame-src {simulator_url}; "
            f"connect-src 'self' {simulator_url}; style-src 'self'"
        )
        html = f'<!DOCTYPE html><script src="/page.js"></script><script src="{simulator_url}/open/js/jweixin-1.6.0.js"></script>'

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                script = self.path == "/page.js"
                self.send_response(200)
                self.send_header("Content-Type", "text/javascript" if script else "text/html; charset=utf-8")
                self.send_header("Content-Security-Policy", policy)
                self.end_headers()
                self.wfile.write(SCRIPT if script else html.encode())

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        self.origin = f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def site(simulator: SimulatorProcess) -> Iterator[Site]:
    site = Site(simulator.url)
    yield site
    site.close()


@pytest.fixture
async def page(site: Site) -> AsyncIterator[Page]:
    """The merchant's page; whatever the browser complains about fails the test."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    assert chromium, "no Chromium here: on Debian or Ubuntu, apt-get install chromium"
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = await browser.new_page(locale="zh-CN")
        complaints: list[str] = []
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        await page.goto(f"{site.origin}/pay/1")
        await expect(page).to_have_title("ready")
        yield page
        await browser.close()
        harmless = ("favicon", "status of 40", "ERR_FAILED")  # answers that tests provoke
        assert [text for text in complaints if not any(word in text for word in harmless)] == []


async def invoke(page: Page, params: dict[str, Any]) -> None:
    """Begin; ``answer`` waits for the end."""
    await page.evaluate(
        """params => { window.answered = new Promise(heard =>
          WeixinJSBridge.invoke("getBrandWCPayRequest", params, heard)); }""",
        params,
    )


async def answer(page: Page) -> Any:
    return await page.evaluate("window.answered")


async def test_six_digits_on_the_pad_pay(page: Page, merchant: Merchant) -> None:
    out_trade_no, params = merchant.place("v3")
    await invoke(page, params)
    sheet = page.frame_locator("#wxsim-sheet")
    assert await sheet.locator("#amount").inner_text() == "¥18.00"
    for _ in range(6):
        await sheet.locator('[data-key="1"]').click()
    assert await answer(page) == {"err_msg": "get_brand_wcpay_request:ok"}
    assert merchant.simulator.order(out_trade_no)["trade_state"] == "SUCCESS"
    assert await page.locator("#wxsim-sheet").count() == 0


async def test_e12_a_coupon_chosen_in_the_sheet_pays_its_part(page: Page, merchant: Merchant) -> None:
    out_trade_no, params = merchant.place("v3")
    await invoke(page, params)
    sheet = page.frame_locator("#wxsim-sheet")
    await sheet.locator("#coupons").select_option(index=3)
    for _ in range(6):
        await sheet.locator('[data-key="1"]').click()
    assert await answer(page) == {"err_msg": "get_brand_wcpay_request:ok"}
    payload = merchant.v3_query(out_trade_no).json()
    assert payload["amount"]["payer_total"] == 600
    assert [coupon["type"] for coupon in payload["promotion_detail"]] == ["CASH", "NOCASH"]


async def test_cancelling_and_the_keyboard_work(page: Page, merchant: Merchant) -> None:
    _, params = merchant.place("v2")
    await invoke(page, params)
    sheet = page.frame_locator("#wxsim-sheet")
    await sheet.locator("#cancel").click()
    assert await answer(page) == {"err_msg": "get_brand_wcpay_request:cancel"}
    await invoke(page, params)
    await sheet.locator("#scenario").select_option("not_enough")
    await sheet.locator("#amount").click()
    await page.keyboard.type("123456")
    await expect(sheet.locator("#alert-text")).to_have_text("余额不足")
    await sheet.locator("#confirm").click()
    assert await answer(page) == {"err_msg": "get_brand_wcpay_request:fail", "err_desc": "余额不足"}


async def sheet_has_focus(page: Page) -> None:
    for _ in range(50):
        if await page.evaluate("document.activeElement.id") == "wxsim-sheet":
            return
        await asyncio.sleep(0.1)
    raise AssertionError("the pay sheet did not take the focus")


async def test_f7_the_sheet_has_the_focus_and_takes_digits_backspace_and_escape(page: Page, merchant: Merchant) -> None:
    out_trade_no, params = merchant.place("v3")
    await invoke(page, params)
    sheet = page.frame_locator("#wxsim-sheet")
    await sheet_has_focus(page)
    await page.keyboard.type("12")
    await page.keyboard.press("Backspace")
    await expect(sheet.locator("#dots i.on")).to_have_count(1)
    await expect(sheet.locator("#dots")).to_have_attribute("aria-label", "已输入位数 1 / 6")
    for _ in range(30):  # however often: the page behind stays out of reach
        await page.keyboard.press("Tab")
    assert await page.evaluate("document.activeElement.id") == "wxsim-sheet"
    await page.keyboard.press("Escape")
    assert await answer(page) == {"err_msg": "get_brand_wcpay_request:cancel"}
    await invoke(page, params)
    await sheet_has_focus(page)
    await page.keyboard.type("123456")
    assert await answer(page) == {"err_msg": "get_brand_wcpay_request:ok"}
    assert merchant.simulator.order(out_trade_no)["trade_state"] == "SUCCESS"


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_f7_pages_and_sheet_are_legible_in_light_and_dark(page: Page, merchant: Merchant, scheme: str) -> None:
    """Text of at least 4.5 : 1 against what it stands on."""
    await page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    _, params = merchant.place("v3")
    await invoke(page, params)
    sheet = page.frame_locator("#wxsim-sheet")
    await sheet.locator("#amount").wait_for()
    frame = page.frames[-1]
    assert await frame.evaluate(CONTRASTS) == []
    await page.goto(f"{merchant.simulator.url}/simulator/")
    assert await page.evaluate(CONTRASTS) == []


CONTRASTS = """() => {
  const parse = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((c) => c / 255)
    .map((c) => (c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = (node) => {
    for (let at = node; at; at = at.parentElement) {
      const colour = parse(getComputedStyle(at).backgroundColor);
      if (colour.length === 3 || colour[3] > 0.99) return colour;
    }
    return [255, 255, 255];
  };
  const poor = [];
  for (const node of document.querySelectorAll("body *")) {
    const own = [...node.childNodes].some((child) => child.nodeType === 3 && child.textContent.trim());
    if (!own || !node.checkVisibility()) continue;
    const [a, b] = [light(parse(getComputedStyle(node).color)), light(ground(node))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) poor.push(`${node.tagName} ${node.textContent.trim().slice(0, 20)} ${ratio.toFixed(2)}`);
  }
  return poor;
}"""


async def test_a_tampered_signature_is_refused_in_a_dialog(page: Page, merchant: Merchant) -> None:
    _, params = merchant.place("v3")
    await invoke(page, {**params, "nonceStr": "other"})
    sheet = page.frame_locator("#wxsim-sheet")
    assert await sheet.locator("#alert-text").inner_text() == "支付验证签名失败"
    await sheet.locator("#confirm").click()
    assert await answer(page) == {"err_msg": "get_brand_wcpay_request:fail", "err_desc": "支付验证签名失败"}


CHOOSE = """([config, params]) => new Promise(resolve => {
  wx.config(config);
  wx.error(resolve);
  wx.ready(() => wx.chooseWXPay({ ...params, timestamp: params.timeStamp, complete: resolve }));
})"""


async def test_choose_wx_pay_wants_a_right_config_first(page: Page, merchant: Merchant) -> None:
    _, params = merchant.place("v3")
    early = await page.evaluate("params => new Promise(fail => wx.chooseWXPay({ ...params, fail }))", params)
    assert early == {"errMsg": "chooseWXPay:fail, the permission value is offline verifying"}
    config = {"appId": merchant.appid, "timestamp": 1, "nonceStr": "n", "jsApiList": ["chooseWXPay"]}
    wrong = await page.evaluate(CHOOSE, [{**config, "signature": "0" * 40}, params])
    assert wrong == {"errMsg": "config:invalid signature", "realAuthUrl": [page.url]}
    await page.reload()  # or the first ready callback would still be waiting
    text = f"jsapi_ticket={_ticket(merchant)}&noncestr=n&timestamp=1&url={page.url}"
    config["signature"] = hashlib.sha1(text.encode()).hexdigest()  # noqa: S324 - WeChat's rule
    paying = asyncio.ensure_future(page.evaluate(CHOOSE, [config, params]))
    sheet = page.frame_locator("#wxsim-sheet")
    for digit in "123456":
        await sheet.locator(f'[data-key="{digit}"]').click()
    assert await paying == {"errMsg": "chooseWXPay:ok"}


async def test_a_native_code_is_paid_on_the_simulators_own_page(page: Page, merchant: Merchant) -> None:
    body = merchant.v3_order(payer=None)
    code_url = merchant.v3("POST", "/v3/pay/transactions/native", body).json()["code_url"]
    await page.goto(f"{merchant.simulator.url}/simulator/")
    await page.locator("[name=code_url]").fill(code_url)
    await page.locator("form[action='/simulator/scan'] button").click()
    for digit in "123456":
        await page.locator(f'[data-key="{digit}"]').click()
    await page.locator("#alert").wait_for()
    assert await page.locator("#alert-text").inner_text() == "支付成功"
    assert merchant.simulator.order(body["out_trade_no"])["trade_state"] == "SUCCESS"
    await page.get_by_role("link", name="查看这笔订单").click()
    await expect(page.locator("h1")).to_contain_text(body["out_trade_no"])
    await page.goto(f"{merchant.simulator.url}/simulator/scan?code_url={quote(code_url, safe='')}")
    await page.locator("#confirm").click()  # it is paid already
    await page.get_by_role("link", name="返回模拟器首页").click()
    await expect(page.locator("h1")).to_have_text("微信模拟器")


async def test_the_front_page_moves_the_clock(page: Page, merchant: Merchant) -> None:
    before = merchant.simulator.control("GET", "clock")["ahead_s"]
    await page.goto(f"{merchant.simulator.url}/simulator/")
    async with page.expect_response("**/simulator/clock"):
        await page.locator('[data-advance="60"]').click()
    assert merchant.simulator.control("GET", "clock")["ahead_s"] >= before + 60


async def test_the_front_page_refunds_moves_money_plants_a_difference_and_goes_to_the_hour_of_bills(
    page: Page, tmp_path: Path
) -> None:
    simulator = SimulatorProcess.start(tmp_path / "state", calendar="simulated")
    merchant = Merchant(simulator)
    out_trade_no = merchant.paid("v3")
    await page.goto(f"{simulator.url}/simulator/")
    await expect(page.locator("#balance")).to_have_text("¥17.89")
    await page.get_by_role("button", name="充值 ¥100").click()
    await expect(page.locator("#balance")).to_have_text("¥117.89")
    await page.locator("[name=scenario]").select_option("abnormal")
    await page.locator("form[data-json='/simulator/refunds/scenarios'] button").click()
    await page.wait_for_load_state()
    await page.get_by_role("button", name="商户平台退款").click()
    row = page.locator("tr", has_text="simconsole")
    await expect(row).to_contain_text("¥18.00")
    await page.locator('[data-advance="60"]').click()
    await expect(row).to_contain_text("ABNORMAL")
    await row.get_by_role("button", name="处理异常退款").click()
    await expect(row).to_contain_text("PROCESSING")
    await page.locator("[name=kind]").select_option("unknown_number")
    await page.get_by_role("button", name="注入").click()
    await expect(page.locator("[data-live=injected] li")).to_contain_text("没有的订单号")
    await page.locator("[name=kind]").select_option("missing_here")
    await page.locator("form[data-json='/simulator/bills/faults'] button").click()
    await expect(page.locator("#complaint")).to_contain_text("没有可以注入这种差异的记录")
    await page.locator("#to-bill").click()
    await expect(page.locator("#now")).to_contain_text(" 10:05")
    await expect(page.locator("[data-live=injected] li")).to_contain_text("没有的订单号")  # of the day that is over
    await page.get_by_text("已注入的差异").click()
    await page.get_by_role("button", name="恢复账单").click()
    await expect(page.locator("[data-live=injected] li")).to_have_count(0)
    assert simulator.order(out_trade_no)["refunded"] == 1800
    await page.goto("about:blank")
    simulator.stop()


@pytest.mark.parametrize(("locale", "title"), [("zh-CN", "微信模拟器"), ("en-GB", "WeChat simulator")])
async def test_each_page_speaks_the_readers_language_and_no_other(
    page: Page, merchant: Merchant, locale: str, title: str
) -> None:
    out_trade_no = merchant.paid("v3")
    browser = page.context.browser
    assert browser
    page = await browser.new_page(locale=locale)
    for path in ("", f"stories/{out_trade_no}", "nothing-here"):
        await page.goto(f"{merchant.simulator.url}/simulator/{path}")
        text = await page.inner_text("body")
        assert ("返回" in text or "时钟" in text) == (locale == "zh-CN"), text
        assert ("Back to" in text or "Clock" in text) == (locale == "en-GB"), text
    await page.get_by_role("link").first.click()
    await expect(page.locator("h1")).to_have_text(title)
    await page.locator("header a[lang]").click()
    await expect(page.locator("h1")).not_to_have_text(title)
    await page.close()


async def test_an_order_leads_to_its_story(page: Page, merchant: Merchant) -> None:
    out_trade_no = merchant.paid("v3")
    await page.goto(f"{merchant.simulator.url}/simulator/")
    await page.get_by_role("link", name=out_trade_no).click()
    await expect(page.locator(".card-head .badge")).to_have_text("支付成功（SUCCESS）")
    await expect(page.locator(".story li").nth(0)).to_contain_text("下单")
    await expect(page.locator(".story li").nth(1)).to_contain_text("付款")
    await page.get_by_role("button", name="商户平台退款").click()
    await expect(page.locator(".story")).to_contain_text("simconsole")


async def test_a_fault_is_made_and_cleared_by_hand(page: Page, merchant: Merchant) -> None:
    await page.goto(f"{merchant.simulator.url}/simulator/")
    await page.locator("[name=path]").select_option("/pay/orderquery")
    await page.locator("[name=fault]").select_option("system_error")
    await page.locator("[name=times]").fill("3")
    await page.get_by_role("button", name="添加故障").click()
    await expect(page.locator("[data-live=faults]")).to_contain_text("/pay/orderquery 系统错误 SYSTEM_ERROR × 3")
    [fault] = merchant.simulator.control("GET", "faults")["faults"]
    assert (fault["path"], fault["fault"], fault["times"]) == ("/pay/orderquery", "system_error", 3)
    await page.get_by_role("button", name="全部清除").click()
    await expect(page.locator("[data-live=faults]")).to_contain_text("没有故障")
    assert merchant.simulator.control("GET", "faults")["faults"] == []


async def test_usual_faults_are_one_button_each(page: Page, merchant: Merchant) -> None:
    await page.goto(f"{merchant.simulator.url}/simulator/")
    buttons = page.locator("[data-to='/simulator/faults'][data-body]")
    for index in range(await buttons.count()):
        await buttons.nth(index).click()
        await expect(page.locator("[data-live=faults] li")).to_have_count(index + 1)
    await expect(page.locator("#complaint")).to_be_hidden()
    await expect(page.locator("#done")).to_have_text("已完成：账单生成中")
    merchant.simulator.control("DELETE", "faults")


async def test_the_usual_faults_of_both_apis_strike(page: Page, merchant: Merchant) -> None:
    paid = {api: merchant.paid(api) for api in ("v3", "v2")}
    await page.goto(f"{merchant.simulator.url}/simulator/")
    for name in ("查单三次 HTTP 500", "退款余额不足"):
        for preset in await page.get_by_role("button", name=name).all():
            await preset.click()
    await expect(page.locator("[data-live=faults] li")).to_have_count(4)
    assert [merchant.v3_query(paid["v3"]).status for _ in range(4)] == [500, 500, 500, 200]
    query = f"{merchant.simulator.url}/pay/orderquery", merchant.v2_signed({"out_trade_no": paid["v2"]})
    assert [ask("POST", *query).status for _ in range(4)] == [500, 500, 500, 200]
    refused = merchant.v2_refund(out_trade_no=paid["v2"])
    assert (refused["err_code"], refused["err_code_des"]) == ("NOTENOUGH", "基本账户余额不足，请充值后重新发起")
    await expect(page.locator("[data-live=faults] li")).to_have_count(1)
    await expect(page.locator("[data-live=faults] li")).to_contain_text("NOT_ENOUGH")  # v3's, untouched by v2's call
    merchant.simulator.control("DELETE", "faults")


async def test_the_keyboard_stays_where_it_was_when_the_page_renews_itself(page: Page, merchant: Merchant) -> None:
    number = merchant.paid("v3")
    await page.goto(f"{merchant.simulator.url}/simulator/")
    await page.get_by_role("button", name="充值 ¥100").focus()
    await page.keyboard.press("Enter")
    await expect(page.locator("#done")).to_have_text("已完成：充值 ¥100")
    await expect(page.get_by_role("button", name="充值 ¥100")).to_be_focused()
    await page.locator("tr", has_text=number).get_by_role("button").focus()
    await page.keyboard.press("Enter")  # the button goes with what it was for
    await expect(page.locator("[data-live=orders]")).to_be_focused()


async def test_a_simulator_that_has_stopped_is_told(page: Page, tmp_path: Path) -> None:
    simulator = SimulatorProcess.start(tmp_path / "state")
    await page.goto(f"{simulator.url}/simulator/")
    await page.route("**/simulator/**", lambda route: route.abort())
    await page.get_by_role("button", name="充值 ¥100").click()
    await expect(page.locator("#complaint")).to_have_text("模拟器没有应答")
    await page.goto("about:blank")
    simulator.stop()


async def test_unknown_addresses_lead_people_back_and_tell_programs_nothing(page: Page, merchant: Merchant) -> None:
    url = merchant.simulator.url
    for path in ("/nothing", "/simulator/nothing", "/v3/nothing"):
        await page.goto(url + path)
        await page.get_by_role("link", name="返回模拟器首页").click()
        await expect(page).to_have_url(f"{url}/simulator/")
    await page.goto(url)
    await expect(page).to_have_url(f"{url}/simulator/")
    for path in ("/", "/nothing", "/v3/nothing"):
        answer = ask("GET", url + path)
        assert (answer.status, answer.body) == (404, b"")


async def test_the_sheet_proposes_the_scenario_that_was_chosen(page: Page, merchant: Merchant) -> None:
    code_url = merchant.v3("POST", "/v3/pay/transactions/native", merchant.v3_order(payer=None)).json()["code_url"]
    await page.goto(f"{merchant.simulator.url}/simulator/")
    form = page.locator("form[data-json='/simulator/scenarios']")
    await form.locator("select").select_option("lost_notification")
    async with page.expect_response("**/simulator/scenarios"):
        await form.locator("button").click()
    await page.goto(f"{merchant.simulator.url}/simulator/scan?code_url={quote(code_url, safe='')}")
    await expect(page.locator("#scenario")).to_have_value("lost_notification")
    merchant.simulator.control("POST", "scenarios", {"proposed": "success"})


async def test_a_closed_order_is_paid_after_all(page: Page, merchant: Merchant) -> None:
    body = merchant.v3_order(payer=None)
    number = body["out_trade_no"]
    merchant.v3("POST", "/v3/pay/transactions/native", body)
    merchant.v3("POST", f"/v3/pay/transactions/out-trade-no/{number}/close", {"mchid": body["mchid"]})
    await page.goto(f"{merchant.simulator.url}/simulator/")
    await page.locator("tr", has_text=number).get_by_role("button", name="关闭后付款").click()
    await expect(page.locator("tr", has_text=number)).to_contain_text("SUCCESS")


async def test_a_practice_hides_differences_and_scores_the_answer(page: Page, merchant: Merchant) -> None:
    merchant.paid("v3")
    merchant.paid("v3")
    await page.goto(f"{merchant.simulator.url}/simulator/practice")
    day = await page.locator("[type=date]").input_value()
    await page.get_by_role("button", name="注入差异").click()
    await expect(page.locator("#hidden strong")).to_have_text("2")
    hidden = merchant.simulator.control("GET", f"bills/faults?date={day}")["faults"]
    numbers = [each["out_refund_no"] or each["out_trade_no"] for each in hidden]
    shown = await page.inner_text("body")
    assert not any(number in shown for number in numbers)
    await page.locator("#answer").fill(numbers[0])
    await page.get_by_role("button", name="评分").click()
    await expect(page.locator("#score .amount")).to_have_text("50 / 100")
    await page.locator("#answer").fill(" ".join(numbers))
    await page.get_by_role("button", name="评分").click()
    await expect(page.locator("#score .amount")).to_have_text("100 / 100")
    merchant.simulator.control("DELETE", f"bills/faults?date={day}")


async def test_the_front_page_shows_new_orders_by_itself(page: Page, merchant: Merchant) -> None:
    await page.goto(f"{merchant.simulator.url}/simulator/")
    out_trade_no = merchant.paid("v3")
    await expect(page.get_by_role("link", name=out_trade_no)).to_be_visible()


async def test_many_attempts_to_notify_nobody_stay_inside_their_card(page: Page, tmp_path: Path) -> None:
    simulator = SimulatorProcess.start(tmp_path / "state", calendar="simulated")
    simulator.control("POST", "settings", {"refund_notify_url": "http://127.0.0.1:9/notify"})
    number = Merchant(simulator, "http://127.0.0.1:9/notify").paid("v3")
    simulator.control("POST", "console/refunds", {"out_trade_no": number, "reason": "重复的付款"})
    for _ in range(8):
        simulator.control("POST", "clock", {"advance_s": 1800})
    await page.set_viewport_size({"width": 1000, "height": 900})
    await page.goto(f"{simulator.url}/simulator/")
    await expect(page.locator(".told").last).to_have_text(re.compile(r"ClientConnectorError × \d"))
    widths = await page.evaluate(
        "[...document.querySelectorAll('section')].map(card => card.scrollWidth - card.clientWidth)"
    )
    assert max(widths) <= 0
    await page.goto("about:blank")
    simulator.stop()


HOSTILE = "<img src=x onerror=window.ran=1>"
WATCH = """
window.broken = [];
addEventListener("securitypolicyviolation", (event) => window.broken.push(event.violatedDirective));
"""


async def test_hostile_names_and_texts_are_texts_on_every_page(page: Page, tmp_path: Path) -> None:
    """A nickname, what an order says, an answer, an address."""
    SimulatorProcess.start(tmp_path / "state").stop()
    identity = tmp_path / "state/identity.json"
    identity.write_text(identity.read_text("utf-8").replace("用户甲", HOSTILE), "utf-8")
    simulator = SimulatorProcess.start(tmp_path / "state")
    merchant = Merchant(simulator)
    paid = merchant.paid("v3", description=HOSTILE, attach=HOSTILE)
    code_url = merchant.v3(
        "POST", "/v3/pay/transactions/native", merchant.v3_order(payer=None, description=HOSTILE)
    ).json()["code_url"]
    await page.add_init_script(WATCH)
    consent = f"appid={merchant.appid}&redirect_uri={quote('http://127.0.0.1:1/', safe='')}"
    for path in (
        "simulator/",
        f"simulator/stories/{paid}",
        f"simulator/scan?code_url={quote(code_url, safe='')}",
        f"connect/oauth2/authorize?{consent}&response_type=code&scope=snsapi_userinfo&state=1",
    ):
        await page.goto(f"{simulator.url}/{path}")
        await expect(page.locator("body")).to_contain_text(HOSTILE)
        assert await page.evaluate("window.ran") is None, path
        assert await page.evaluate("window.broken") == [], path
        assert await page.locator("img[src=x]").count() == 0, path
    await page.goto(f"{simulator.url}/simulator/practice?date={quote(HOSTILE)}")
    await page.locator("#answer").fill(f"</textarea>{HOSTILE}")
    await page.get_by_role("button", name="评分").click()
    await expect(page.locator("#answer")).to_have_value(f"</textarea>{HOSTILE}")
    assert await page.evaluate("window.ran") is None
    await page.goto("about:blank")
    simulator.stop()


async def test_a_page_of_another_site_posts_nothing(page: Page, merchant: Merchant) -> None:
    """Neither a form, nor a call without a body, which needs no question beforehand."""
    url = merchant.simulator.url
    paid = merchant.paid("v3")
    statuses = [
        ask("POST", url + path, b"", {"Sec-Fetch-Site": site}).status
        for path in ("/simulator/user", "/simulator/tokens/expire", f"/simulator/orders/{paid}/payments")
        for site in ("cross-site", "same-site")
    ]
    assert statuses == [403] * 6
    await page.evaluate(
        f"fetch('{url}/simulator/orders/{paid}/payments', {{method: 'POST', mode: 'no-cors'}}).catch(() => 0)"
    )
    assert merchant.simulator.order(paid)["surplus"] == []


def _ticket(merchant: Merchant) -> str:
    url, known = merchant.simulator.url, merchant.known
    app = {"grant_type": "client_credential", "appid": known["appid"], "secret": known["appsecret"]}
    token = ask("POST", f"{url}/cgi-bin/stable_token", json.dumps(app)).json()["access_token"]
    return str(ask("GET", f"{url}/cgi-bin/ticket/getticket?type=jsapi&access_token={token}").json()["ticket"])
