// The dashboard and an order's page: the clock, the buttons that send something, and what changes by itself.

const REFRESH_MS = 2000;
const complaint = document.querySelector("#complaint");
const slider = document.querySelector("#speed-slider");

const control = (method, path, body) =>
  fetch(path, {
    method,
    headers: { "Content-Type": "application/json" },
    body: body && JSON.stringify(body),
  }).then((answer) => answer.json());

function show(clock) {
  document.querySelector("#now").textContent = clock.now;
  document.querySelector("#speed").textContent = clock.speed;
}

function complain(text) {
  complaint.textContent = text;
  complaint.hidden = !text;
}

// Sections marked data-live are taken from the page as it is now; what somebody is typing in stays as it is.
async function refresh() {
  const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
  if (!answer.ok) return;
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const part of document.querySelectorAll("[data-live]")) {
    const next = fresh.querySelector(`[data-live="${part.dataset.live}"]`);
    if (next && next.innerHTML !== part.innerHTML && !part.contains(document.activeElement)) {
      part.replaceChildren(...next.childNodes);
    }
  }
}

async function send(method, path, body) {
  const answer = await control(method, path, body);
  complain(answer.code ? answer.message : "");
  document.activeElement?.blur?.();
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
  if (advance) send("POST", "/simulator/clock", { advance_s: Number(advance) });
  else send(method, to, body ? JSON.parse(body) : {});
});
document.addEventListener("submit", (event) => {
  const to = event.target.dataset.json;
  if (!to) return;
  event.preventDefault();
  send("POST", to, values(event.target));
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
