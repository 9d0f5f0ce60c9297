// The cashier of one order. It never says by itself that an order is paid: it asks the server, which asks WeChat, and
// loads the page again once there is something new to say.

import { ApiError, post } from "./api.js";
import { inWeChat, start } from "./bridge.js";
import { Refused, Silence } from "./jssdk.js";
import { page, say, sleep, words } from "./page.js";

const PAUSES_S = [0, 1, 1, 2, 3, 5, 5, 8, 10, 12, 13]; // a minute in all
const READ_AGAIN_MS = 3000; // the time left, where the clock is the simulator's
const BUSY = ["paying", "confirming"];
const main = document.querySelector("main");
const order = `/orders/${page.out_trade_no}`;

function show(state) {
  main.dataset.state = state;
  for (const part of document.querySelectorAll("[data-when]")) {
    part.hidden = !part.dataset.when.split(" ").includes(state);
  }
  const button = document.getElementById("pay");
  if (button) button.disabled = state !== "ready"; // as it comes from the server: a click would do nothing yet
}

async function pay() {
  show("paying");
  hideRefusal();
  say(words.starting);
  try {
    const { pay: params } = await post(`${order}/pay`);
    const { result, said } = await start(params, page.by);
    say("");
    if (result === "ok") await confirm();
    else await notPaid(result, said);
  } catch (error) {
    await giveUp(error);
  }
}

async function notPaid(result, said) {
  show("ready");
  if (result === "cancel") say(words.cancelled);
  else explain(said);
  await look(); // "already paid" is a failure too
}

// Paid, closed and expired orders are refused by the server, whose page then says why.
async function giveUp(error) {
  show("ready");
  say("");
  if (error instanceof Refused) explain(error.message);
  else if (error instanceof Silence) say(words.silent);
  else if (!(error instanceof ApiError)) throw error;
  else if ([401, 404, 409, 410].includes(error.status)) location.reload();
  else say([error.message, error.requestId].filter(Boolean).join(" · "));
}

async function confirm() {
  hideRefusal();
  show("confirming");
  for (const pause of PAUSES_S) {
    await sleep(pause);
    if (await changed()) {
      location.reload();
      return;
    }
  }
  show("unsure");
}

// A payment whose callback was lost, because the phone rang or the page was closed, is found when it is seen again.
async function look() {
  if (main.dataset.state !== "confirming" && (await changed())) location.reload();
}

async function changed() {
  try {
    return (await post(`${order}/query`)).trade_state !== page.trade_state;
  } catch (error) {
    return error.status === 401; // the session has ended: loading the page again renews it
  }
}

function explain(said) {
  const known = page.refusals.find((refusal) => said.includes(refusal.said));
  document.getElementById("means").textContent = known?.means ?? words.unfinished;
  document.getElementById("cure").textContent = known?.cure ?? words.try_again;
  document.getElementById("said").textContent = said;
  document.getElementById("merchant").textContent = known?.merchant ?? "";
  document.getElementById("refusal").hidden = false;
}

function hideRefusal() {
  document.getElementById("refusal").hidden = true;
}

function countDown() {
  let end = Date.now() + page.seconds_left * 1000;
  const tick = () => {
    const left = Math.max(0, Math.ceil((end - Date.now()) / 1000));
    const [minutes, seconds] = [Math.floor(left / 60), left % 60];
    document.getElementById("left").textContent = `${minutes}:${String(seconds).padStart(2, "0")}`;
    if (left > 0 || BUSY.includes(main.dataset.state)) setTimeout(tick, 1000);
    else location.reload();
  };
  tick();
  if (page.simulated) setInterval(async () => (end = (await readEnd()) ?? end), READ_AGAIN_MS);
}

// The simulator's clock can run faster than the phone's and can be moved ahead.
async function readEnd() {
  if (document.hidden) return undefined;
  try {
    const answer = await fetch(location.href, { redirect: "manual" });
    if (!answer.ok) return undefined;
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    return Date.now() + JSON.parse(fresh.getElementById("page").textContent).seconds_left * 1000;
  } catch {
    return undefined; // tried again later
  }
}

if (main.dataset.state === "ready") {
  show(inWeChat(page.simulated) ? "ready" : "outside");
  document.getElementById("pay").addEventListener("click", pay);
  document.getElementById("again").addEventListener("click", confirm);
  countDown();
}
addEventListener("pageshow", look);
document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && look());
