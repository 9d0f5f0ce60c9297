// wx.config: WeChat's script, told by our server's signature that this page is ours.

import { post } from "./api.js";
import { entry, here, sleep } from "./page.js";
import { report } from "./report.js";

const LOADED_S = 8;
const ANSWERED_S = 8;

// WeChat's refusal of a page, in WeChat's words. `realUrl` is the address that WeChat judged, where it says so.
export class Refused extends Error {
  constructor(said, realUrl) {
    super(said);
    this.realUrl = realUrl;
  }
}

// No answer from WeChat at all.
export class Silence extends Error {}

// WeChat on iOS may judge a page by the address at which its window entered the site. Our pages are reached by full
// navigation, which makes the two equal; where a phone disagrees, one retry with the entry address helps.
const mayBeJudgedByEntry = /iPhone|iPad|iPod/.test(navigator.userAgent) && entry !== here;

// Resolves to `wx` once this page may use it. Rejects with Refused, Silence or ApiError.
export async function configured() {
  const wx = await within(LOADED_S, loaded());
  const refusal = await config(wx, here);
  if (!refusal) return wx;
  if (!refusal.retry && !mayBeJudgedByEntry) throw refusal.error;
  const again = await config(wx, refusal.retry ? here : entry);
  if (again) throw again.error;
  return wx;
}

// Nothing, or WeChat's refusal, and whether the server has renewed what it signs with.
async function config(wx, url) {
  const signed = await post("/jssdk/config", { url });
  const answer = new Promise((resolve, reject) => {
    wx.config({ debug: false, ...signed }); // first, because the others would answer at once for an earlier config
    wx.error((res) => reject(new Refused(res.errMsg, [res.realAuthUrl ?? ""].flat()[0])));
    wx.ready(resolve);
  });
  try {
    await within(ANSWERED_S, answer);
    return null;
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    const { timestamp, nonceStr, signature } = signed;
    const params = { timestamp, nonceStr, signature };
    const { retry } = await report({ call: "wx.config", said: error.message, params, url, realUrl: error.realUrl });
    return { error, retry };
  }
}

// WeChat's script loads beside ours and may come before it, after it, or not at all.
function loaded() {
  if (window.wx) return Promise.resolve(window.wx);
  return new Promise((resolve, reject) => {
    const script = document.getElementById("jweixin");
    script.addEventListener("load", () => resolve(window.wx));
    script.addEventListener("error", () => reject(new Silence()));
  });
}

function within(seconds, promise) {
  const late = sleep(seconds).then(() => {
    throw new Silence();
  });
  return Promise.race([promise, late]);
}
