// wx.config: WeChat's script, told by our server's signature that this page is ours.

import { post } from "./api.js";
import { sleep, words } from "./page.js";

const LOADED_S = 8;
const ANSWERED_S = 8;
const ENTRY = "fenpay.entry";

// WeChat's refusal of a page or of a payment, in WeChat's words.
export class Refused extends Error {}

const here = () => location.href.split("#")[0];

// WeChat on iOS may judge a page by the address at which its window entered the site. Ours are entered by full
// navigation, so the two are equal; where they are not, one retry with the entry address helps.
if (!sessionStorage.getItem(ENTRY)) sessionStorage.setItem(ENTRY, here());

function retryAddress() {
  const entry = sessionStorage.getItem(ENTRY);
  return /iPhone|iPad|iPod/.test(navigator.userAgent) && entry !== here() ? entry : "";
}

// Resolves to `wx` once this page may use it. Rejects with Refused.
export async function configured() {
  const wx = await within(LOADED_S, loaded());
  try {
    await config(wx, here());
  } catch (error) {
    const entry = retryAddress();
    if (!(error instanceof Refused) || !entry) throw error;
    await config(wx, entry);
  }
  return wx;
}

async function config(wx, url) {
  const signed = await post("/jssdk/config", { url });
  const answer = new Promise((resolve, reject) => {
    wx.error((res) => reject(new Refused(res.errMsg)));
    wx.ready(resolve);
    wx.config({ debug: false, ...signed });
  });
  return within(ANSWERED_S, answer);
}

// WeChat's script loads beside ours and may come before it, after it, or not at all.
function loaded() {
  if (window.wx) return Promise.resolve(window.wx);
  return new Promise((resolve, reject) => {
    const script = document.getElementById("jweixin");
    script.addEventListener("load", () => resolve(window.wx));
    script.addEventListener("error", () => reject(new Refused(words.silent)));
  });
}

function within(seconds, promise) {
  const late = sleep(seconds).then(() => {
    throw new Refused(words.silent);
  });
  return Promise.race([promise, late]);
}
