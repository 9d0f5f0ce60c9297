// Starting a payment. WeixinJSBridge first: WeChat's browser has it without asking anybody. wx.chooseWXPay where there
// is none, or where it is wanted; it needs wx.config.

import { configured } from "./jssdk.js";
import { sleep } from "./page.js";
import { report } from "./report.js";

const BRIDGE_S = 5;

// Whether this browser can be expected to have a WeixinJSBridge, sooner or later.
export function inWeChat(simulated) {
  return simulated || "WeixinJSBridge" in window || /MicroMessenger/i.test(navigator.userAgent);
}

// Hands `pay` to WeChat. `result` is "ok" (the payer says so; it proves nothing), "cancel" or "fail" with `said`.
export async function start(pay, by) {
  const bridge = by === "wx" ? null : await bridgeReady();
  const told = bridge ? await byBridge(bridge, pay) : await byChoose(await configured(), pay);
  if (told.result === "fail") await reportRefusal(bridge, pay, told);
  return told;
}

async function reportRefusal(bridge, { appId, timeStamp, nonceStr, package: prepay, signType, paySign }, { said }) {
  const params = { appId, timeStamp, nonceStr, package: prepay, signType, paySign };
  const call = bridge ? "WeixinJSBridge" : "wx.chooseWXPay";
  await report({ call, said, params, jsApi: bridge ? null : await knowsPayment() });
}

// Whether this WeChat has the interface at all; null when it does not say.
function knowsPayment() {
  const answer = new Promise((resolve) => {
    window.wx.checkJsApi({
      jsApiList: ["chooseWXPay"],
      complete: (res) => resolve(res.checkResult?.chooseWXPay ?? null),
    });
  });
  return Promise.race([answer, sleep(1).then(() => null)]);
}

function bridgeReady() {
  if (window.WeixinJSBridge) return Promise.resolve(window.WeixinJSBridge);
  const ready = new Promise((resolve) => {
    document.addEventListener("WeixinJSBridgeReady", () => resolve(window.WeixinJSBridge), { once: true });
  });
  return Promise.race([ready, sleep(BRIDGE_S)]);
}

// Exactly the six that were signed; the bridge spells timeStamp.
function byBridge(bridge, { appId, timeStamp, nonceStr, package: prepay, signType, paySign }) {
  const params = { appId, timeStamp, nonceStr, package: prepay, signType, paySign };
  return new Promise((resolve) => {
    bridge.invoke("getBrandWCPayRequest", params, (res) => resolve(outcome(res.err_msg, res.err_desc)));
  });
}

// The same values, but spelt timestamp; appId is the one of wx.config. Without signType WeChat would take SHA1.
function byChoose(wx, { timestamp, nonceStr, package: prepay, signType, paySign }) {
  return new Promise((resolve) => {
    wx.chooseWXPay({
      timestamp,
      nonceStr,
      package: prepay,
      signType,
      paySign,
      success: (res) => resolve(outcome(res.errMsg, res.err_desc)),
      cancel: (res) => resolve(outcome(res?.errMsg ?? "chooseWXPay:cancel")),
      fail: (res) => resolve(outcome(res.errMsg, res.err_desc)),
    });
  });
}

// "get_brand_wcpay_request:ok" or "chooseWXPay:cancel"; what is neither is a failure, with WeChat's words for it.
function outcome(message = "", description = "") {
  const [, result = ""] = message.split(":");
  if (result === "ok" || result === "cancel") return { result, said: "" };
  return { result: "fail", said: [message, description].filter(Boolean).join(" · ") };
}
