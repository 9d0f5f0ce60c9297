// The shop: one product, a quantity, and on to the cashier.

import { ApiError, authorize, post } from "./api.js";
import { page, say, words, yuan } from "./page.js";

// Set while we are away to be authorised. Its absence is what keeps a page that WeChat sent back from going in circles.
const AWAY = "fenpay.away";

const form = document.getElementById("basket");
const button = document.getElementById("pay");
const quantity = document.getElementById("quantity");
const quantityError = document.getElementById("quantity-error");

function basket() {
  return { sku: form.elements.sku.value, quantity: Number(quantity.value) };
}

function count() {
  const ware = form.querySelector('[name="sku"]:checked');
  const right = quantity.validity.valid;
  const pieces = Number(quantity.value) || 0;
  quantity.setAttribute("aria-invalid", String(!right));
  document.getElementById("sum").textContent = right ? `¥${yuan(Number(ware.dataset.price) * pieces)}` : "–";
  quantityError.textContent = right ? "" : words.quantity_limits.replace("{most}", quantity.max);
  for (const step of form.querySelectorAll("[data-step]")) {
    step.disabled = Number(step.dataset.step) < 0 ? pieces <= 1 : pieces >= Number(quantity.max);
  }
}

function busy(is) {
  button.disabled = is;
  say(is ? words.placing : "");
}

// A full navigation, so that the landing address is the pay page's own: WeChat on iOS checks that one.
async function order({ returned = false } = {}) {
  busy(true);
  try {
    const { out_trade_no: number } = await post("/orders", basket());
    location.assign(`/pay/${number}`);
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    busy(false);
    if (error.status !== 401) say(error.message);
    else if (returned) say(words.no_session);
    else leave();
  }
}

function leave() {
  busy(true);
  sessionStorage.setItem(AWAY, "1");
  authorize(`/shop?${new URLSearchParams(basket())}`);
}

function comeBack() {
  const away = sessionStorage.getItem(AWAY);
  sessionStorage.removeItem(AWAY);
  if (away && new URLSearchParams(location.search).has("sku")) order({ returned: true });
}

if (form) {
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (button.disabled) return;
    if (page.signed_in) order();
    else leave();
  });
  form.addEventListener("input", count);
  for (const step of form.querySelectorAll("[data-step]")) {
    step.addEventListener("click", () => {
      quantity.valueAsNumber = (quantity.valueAsNumber || 0) + Number(step.dataset.step);
      count();
    });
  }
  // A page that the browser kept for "back" still has the button as it was left.
  addEventListener("pageshow", (event) => event.persisted && busy(false));
  busy(false);  // until now a click would have sent the form by itself
  count();
  comeBack();
}
