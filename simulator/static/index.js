// The dashboard and an order's page: the clock, the buttons that send something, and what changes by itself.

const REFRESH_MS = 2000;
const SHOWN_MS = 4000;
const toast = document.querySelector(".toast");
const complaint = document.querySelector("#complaint");
const done = document.querySelector("#done");
const slider = document.querySelector("#speed-slider");
let hiding = 0;

// The answer; one like a refusal where the simulator does not answer.
async function control(method, path, body) {
  const headers = { "Content-Type": "application/json" };
  try {
    const answer = await fetch(path, { method, headers, body: body && JSON.stringify(body) });
    return await answer.json();
  } catch {
    return { code: "SILENT", message: toast.dataset.silent };
  }
}

function show(clock) {
  if (!clock.now) return;
  document.querySelector("#now").textContent = clock.now.slice(0, 19).replace("T", " ");
  document.querySelector("#speed").textContent = clock.speed;
}

// A refusal stays until the next act, a success goes by itself.
function tell({ refusal = "", success = "" }) {
  complaint.textContent = refusal;
  complaint.hidden = !refusal;
  done.textContent = success;
  done.hidden = !success;
  clearTimeout(hiding);
  hiding = setTimeout(() => (done.hidden = true), SHOWN_MS);
}

// Sections marked data-live are taken from the page as it is now; what somebody is typing in stays as it is.
async function refresh() {
  const answer = await fetch(location.href, { headers: { Accept: "text/html" } }).catch(() => null);
  if (!answer?.ok) return;
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const part of document.querySelectorAll("[data-live]")) {
    const next = fresh.querySelector(`[data-live="${part.dataset.live}"]`);
    if (next && next.innerHTML !== part.innerHTML) replace(part, next);
  }
}

// The focus stays on what it was on; where that is gone, on the part that it was in.
function replace(part, next) {
  const focused = part.contains(document.activeElement) ? document.activeElement.outerHTML : "";
  part.replaceChildren(...next.childNodes);
  if (!focused) return;
  const same = [...part.querySelectorAll("a, button, [tabindex]")].find((each) => each.outerHTML === focused);
  if (!same) part.tabIndex = -1;
  (same ?? part).focus({ preventScroll: true });
}

async function send(button, method, path, body) {
  if (button.getAttribute("aria-busy")) return;
  button.setAttribute("aria-busy", "true");
  const answer = await control(method, path, body);
  button.removeAttribute("aria-busy");
  if (answer.code) tell({ refusal: answer.message });
  else tell({ success: toast.dataset.done + button.textContent.trim() });
  if (slider) show(await control("GET", "/simulator/clock"));
  await refresh();
}

function values(form) {
  const entries = [...new FormData(form)].map(([name, value]) => {
    return [name, form.elements[name].type === "number" ? Number(value) : value];
  });
  return Object.fromEntries(entries);
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-send], [data-advance]");
  if (!button) return;
  const { send: method, to, body, advance } = button.dataset;
  if (advance) send(button, "POST", "/simulator/clock", { advance_s: Number(advance) });
  else send(button, method, to, body ? JSON.parse(body) : {});
});
document.addEventListener("submit", (event) => {
  const to = event.target.dataset.json;
  if (!to) return;
  event.preventDefault();
  send(event.submitter ?? event.target.querySelector("button"), "POST", to, values(event.target));
});
if (slider) {
  slider.value = Math.log10(Number(document.querySelector("#speed").textContent));
  slider.addEventListener("change", async () => {
    show(await control("POST", "/simulator/clock", { speed: Math.round(10 ** Number(slider.value)) }));
  });
}
setInterval(async () => {
  if (document.hidden) return;
  if (slider) show(await control("GET", "/simulator/clock"));
  await refresh();
}, REFRESH_MS);
