// Telling the server in which words WeChat refused, so that the shop learns of it. Nothing of ours depends on the answer.

import { post } from "./api.js";
import { page } from "./page.js";

const MOST_SAID = 300;
const MOST_VALUE = 512;

// Resolves to what the server makes of it; to {} where it could not be told.
export async function report({ call, said, params = {}, url = "", realUrl = "", jsApi = null }) {
  const values = Object.entries(params).map(([name, value]) => [name, String(value).slice(0, MOST_VALUE)]);
  const told = {
    out_trade_no: page.out_trade_no,
    call,
    said: said.slice(0, MOST_SAID),
    params: Object.fromEntries(values),
    url,
    real_url: realUrl,
    js_api: jsApi,
  };
  return post("/client-errors", told).catch(() => ({}));
}
