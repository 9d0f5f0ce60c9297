// The pay sheet: six digits, then the scenario begins. Its end is told to the page that framed it, or shown here.

const call = JSON.parse(document.body.dataset.call);
const words = JSON.parse(document.body.dataset.words);
const sheet = document.querySelector("#sheet");
const alertBox = document.querySelector("#alert");
const dots = document.querySelector("#dots");
let digits = 0;
let busy = false;
let outcome = { err_msg: "fail", err_desc: document.querySelector("#alert-text").textContent };

function finish(result) {
  if (call.origin) {
    parent.postMessage({ wxsim: "sheet", ...result }, call.origin);
  } else if (call.redirect) {
    location.assign(call.redirect);
  } else {
    sheet?.remove();
    complain(result.err_desc || (result.err_msg.endsWith(":ok") ? words.paid : words.cancelled));
    document.querySelector("#confirm").hidden = true;
    const onward = document.querySelector("#onward");
    onward.hidden = false;
    onward.focus();
  }
}

// What lies behind a dialog takes no focus and no keys.
function complain(text) {
  document.querySelector("#alert-text").textContent = text;
  alertBox.hidden = false;
  if (sheet) sheet.inert = true;
  document.querySelector("#confirm").focus();
}

async function pay() {
  busy = true; // from here on keys do nothing
  document.querySelector("#paying").hidden = false;
  const scenario = document.querySelector("#scenario").value;
  const coupons = JSON.parse(document.querySelector("#coupons")?.value ?? "[]");
  try {
    const answer = await fetch(call.to, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ ...call.body, scenario, coupons }),
    });
    outcome = await answer.json();
  } catch {
    outcome = { err_msg: "fail", err_desc: words.no_answer };
  }
  document.querySelector("#paying").hidden = true;
  if (outcome.err_desc) complain(outcome.err_desc);
  else finish(outcome);
}

function press(key) {
  if (busy || !sheet || !alertBox.hidden) return;
  digits = key === "back" ? Math.max(0, digits - 1) : digits + 1;
  dots.querySelectorAll("i").forEach((dot, index) => dot.classList.toggle("on", index < digits));
  dots.setAttribute("aria-label", `${dots.dataset.label} ${digits} / 6`);
  if (digits === 6) pay();
}

function cancel() {
  if (busy) return;
  if (alertBox.hidden) finish({ err_msg: "cancel" });
  else finish(outcome);
}

// The frame has the focus, and Tab does not leave it while the page behind it waits.
function keepFocus(event) {
  const stops = [...document.querySelectorAll("button, select, a[href]")].filter((stop) => stop.offsetParent && !stop.closest("[inert]"));
  const [first, last] = [stops[0], stops[stops.length - 1]];
  if (event.shiftKey ? document.activeElement === first || document.activeElement === sheet : document.activeElement === last) {
    event.preventDefault();
    (event.shiftKey ? last : first).focus();
  }
}

document.querySelectorAll("[data-key]").forEach((button) => {
  button.addEventListener("click", () => press(button.dataset.key));
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") cancel();
  else if (event.key === "Tab") keepFocus(event);
  else if (event.target.closest("select")) return;
  else if (/^[0-9]$/.test(event.key)) press(event.key);
  else if (event.key === "Backspace") press("back");
});
document.querySelector("#cancel")?.addEventListener("click", cancel);
document.querySelector("#confirm").addEventListener("click", () => finish(outcome));

window.focus();
if (sheet) sheet.inert = !alertBox.hidden; // until now a click would have been lost
if (alertBox.hidden) sheet?.focus();
else document.querySelector("#confirm").focus();
