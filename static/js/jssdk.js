// wx.config: WeChat's script, told by our server's signature that this page is ours.

import { post } from "./api.js";
import { entry, here, sleep } from "./page.js";

const LOADED_S = 8;
const ANSWERED_S = 8;

// WeChat's refusal of a page, in WeChat's words.
export class Refused extends Error {}

// No answer from WeChat at all.
export class Silence extends Error {}

// WeChat on iOS may judge a page by the address at which its window entered the site. Our pages are reached by full
// navigation, which makes the two equal; where a phone disagrees, one retry with the entry address helps.
const mayBeJudgedByEntry = /iPhone|iPad|iPod/.test(navigator.userAgent) && entry !== here;

// Resolves to `wx` once this page may use it. Rejects with Refused, Silence or ApiError.
export async function configured() {
  const wx = await within(LOADED_S, loaded());
  try {
    await config(wx, here);
  } catch (error) {
    if (!(error instanceof Refused) || !mayBeJudgedByEntry) throw error;
    await config(wx, entry);
  }
  return wx;
}

async function config(wx, url) {
  const signed = await post("/jssdk/config", { url });
  const answer = new Promise((resolve, reject) => {
    wx.config({ debug: false, ...signed }); // first, because the others would answer at once for an earlier config
    wx.error((res) => reject(new Refused(res.errMsg)));
    wx.ready(resolve);
  });
  return within(ANSWERED_S, answer);
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
