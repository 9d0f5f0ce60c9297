// The clock's slider and buttons, and the calls behind the others. What it says afterwards is the page made anew.

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

const slider = document.querySelector("#speed-slider");
slider.value = Math.log10(Number(document.querySelector("#speed").textContent));
slider.addEventListener("change", async () => {
  const speed = Math.round(10 ** Number(slider.value));
  show(await control("POST", "/simulator/clock", { speed }));
});
document.querySelectorAll("[data-advance]").forEach((button) => {
  button.addEventListener("click", async () => {
    await call("POST", "/simulator/clock", { advance_s: Number(button.dataset.advance) });
  });
});

async function call(method, path, body) {
  const answer = await control(method, path, body);
  if (answer.code) document.querySelector("#complaint").textContent = answer.message;
  else location.reload();
}

document.querySelectorAll("[data-send]").forEach((button) => {
  const { send, to, body } = button.dataset;
  button.addEventListener("click", () => call(send, to, body ? JSON.parse(body) : {}));
});
document.querySelectorAll("form[data-json]").forEach((form) => {
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    call("POST", form.dataset.json, Object.fromEntries(new FormData(form)));
  });
});
setInterval(async () => show(await control("GET", "/simulator/clock")), 2000);
