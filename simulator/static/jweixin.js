// A stand-in for jweixin: `wx` as the JS-SDK defines it, and WeixinJSBridge as WeChat's own browser injects it.
// The checks are the simulator's; this file only asks. It styles by script alone, so a strict style-src suffices.
(() => {
  "use strict";

  const simulator = new URL(document.currentScript.src).origin;
  let sheet = null;

  // --- the pay sheet, one at a time -------------------------------------------------------------------------------

  function openSheet(params, done) {
    if (sheet) return done({ err_msg: "fail", err_desc: "已有一笔支付正在进行" });
    const frame = document.createElement("iframe");
    const query = new URLSearchParams({ params: JSON.stringify(params || {}), url: location.href });
    frame.id = "wxsim-sheet";
    frame.title = document.documentElement.lang.startsWith("en") ? "WeChat Pay (simulated)" : "微信支付（模拟）";
    frame.src = `${simulator}/simulator/sheet?${query}`;
    Object.assign(frame.style, {
      position: "fixed", inset: "0", width: "100%", height: "100%", border: "0",
      background: "rgba(0, 0, 0, .55)", zIndex: "2147483647", colorScheme: "light dark",
    });
    const before = document.activeElement;
    frame.addEventListener("load", () => frame.focus());
    const heard = (event) => {
      if (event.origin !== simulator || event.source !== frame.contentWindow) return;
      if (!event.data || event.data.wxsim !== "sheet") return;
      removeEventListener("message", heard);
      frame.remove();
      before?.focus?.();
      sheet = null;
      done({ err_msg: event.data.err_msg, err_desc: event.data.err_desc });
    };
    addEventListener("message", heard);
    sheet = frame;
    document.body.append(frame);
  }

  const verdict = (message) => String(message).split(":").pop();

  function outcome(call, answer) {
    const told = { err_msg: `${call}:${verdict(answer.err_msg)}` };
    if (answer.err_desc) told.err_desc = answer.err_desc;
    return told;
  }

  // --- WeixinJSBridge ---------------------------------------------------------------------------------------------

  const bridge = {
    invoke(name, params, callback = () => {}) {
      if (name !== "getBrandWCPayRequest") return callback({ err_msg: `system:function_not_exist` });
      return openSheet(params, (answer) => callback(outcome("get_brand_wcpay_request", answer)));
    },
    call() {},
    on() {},
  };

  setTimeout(() => {
    window.WeixinJSBridge = bridge;
    document.dispatchEvent(new Event("WeixinJSBridgeReady"));
  }, 0);

  // --- wx ---------------------------------------------------------------------------------------------------------

  let config = null; // what wx.config was given, once it was found right
  let debug = false;
  const waiting = { ready: [], error: [] };
  let settled = null; // "ready" or "error", with what happened

  function settle(kind, result) {
    settled = { kind, result };
    if (debug) alert(JSON.stringify(result));
    waiting[kind].splice(0).forEach((callback) => callback(result));
  }

  function await_(kind) {
    return (callback) => {
      if (settled && settled.kind === kind) callback(settled.result);
      else waiting[kind].push(callback);
    };
  }

  function tell(options, result) {
    const kind = verdict(result.errMsg);
    const callback = { ok: options.success, cancel: options.cancel }[kind] || (kind === "cancel" ? null : options.fail);
    if (debug && kind !== "ok") alert(JSON.stringify(result));
    if (callback) callback(result);
    if (options.complete) options.complete(result);
  }

  window.wx = {
    config(given) {
      debug = given.debug === true;
      settled = null;
      config = null;
      const asked = {
        appId: given.appId, timestamp: given.timestamp, nonceStr: given.nonceStr,
        signature: given.signature, url: location.href.split("#")[0],
      };
      fetch(`${simulator}/simulator/js/config`, { method: "POST", body: JSON.stringify(asked), credentials: "omit" })
        .then((answer) => answer.json())
        .catch(() => ({ errMsg: "config:fail" }))
        .then((result) => {
          if (result.errMsg === "config:ok") config = given;
          settle(config ? "ready" : "error", result);
        });
    },
    ready: await_("ready"),
    error: await_("error"),
    checkJsApi(options) {
      const known = new Set(config ? config.jsApiList || [] : []);
      const checkResult = Object.fromEntries((options.jsApiList || []).map((name) => [name, known.has(name)]));
      tell(options, { errMsg: "checkJsApi:ok", checkResult });
    },
    chooseWXPay(options) {
      if (!config) return tell(options, { errMsg: "chooseWXPay:fail, the permission value is offline verifying" });
      if (!(config.jsApiList || []).includes("chooseWXPay")) {
        return tell(options, { errMsg: "chooseWXPay:fail, the permission value is permission denied" });
      }
      const { timestamp, nonceStr, package: pack, signType = "SHA1", paySign } = options;
      const params = { appId: config.appId, timeStamp: timestamp && String(timestamp), nonceStr, package: pack, signType, paySign };
      return openSheet(params, (answer) => {
        const told = outcome("chooseWXPay", answer);
        const result = { errMsg: told.err_msg };
        if (told.err_desc) result.err_desc = told.err_desc;
        tell(options, result);
      });
    },
  };
})();
