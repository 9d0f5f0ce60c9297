// The pay sheet: six digits, then the scenario begins. Its end is told to the page that framed it, or shown here.

const call = JSON.parse(document.body.dataset.call);
const alertBox = document.querySelector("#alert");
const dots = document.querySelectorAll("#dots i");
let digits = 0;
let busy = false;
let outcome = { err_msg: "fail", err_desc: document.querySelector("#alert-text").textContent };

function finish(result) {
  if (call.origin) {
    parent.postMessage({ wxsim: "sheet", ...result }, call.origin);
  } else if (call.redirect) {
    location.assign(call.redirect);
  } else {
    document.querySelector("#sheet")?.remove();
    complain(result.err_desc || (result.err_msg.endsWith(":ok") ? "支付成功 Paid" : "已取消 Cancelled"));
    document.querySelector("#confirm").hidden = true;
  }
}

function complain(words) {
  document.querySelector("#alert-text").textContent = words;
  alertBox.hidden = false;
  document.querySelector("#confirm").focus();
}

async function pay() {
  busy = true;
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
    outcome = { err_msg: "fail", err_desc: "模拟器没有回答 The simulator does not answer" };
  }
  if (outcome.err_desc) complain(outcome.err_desc);
  else finish(outcome);
}

function press(key) {
  if (busy || !alertBox.hidden) return;
  digits = key === "back" ? Math.max(0, digits - 1) : digits + 1;
  dots.forEach((dot, index) => dot.classList.toggle("on", index < digits));
  if (digits === 6) pay();
}

document.querySelectorAll("[data-key]").forEach((button) => {
  button.addEventListener("click", () => press(button.dataset.key));
});
document.addEventListener("keydown", (event) => {
  if (event.target.closest("select, button")) return;
  if (/^[0-9]$/.test(event.key)) press(event.key);
  if (event.key === "Backspace") press("back");
  if (event.key === "Escape" && !busy) finish({ err_msg: "cancel" });
});
document.querySelector("#cancel")?.addEventListener("click", () => busy || finish({ err_msg: "cancel" }));
document.querySelector("#confirm").addEventListener("click", () => finish(outcome));
