// The clock's slider and buttons, and the faults' broom. Everything else on the page is plain forms.

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
    show(await control("POST", "/simulator/clock", { advance_s: Number(button.dataset.advance) }));
  });
});
document.querySelector("#clear-faults")?.addEventListener("click", async () => {
  await control("DELETE", "/simulator/faults");
  location.reload();
});
setInterval(async () => show(await control("GET", "/simulator/clock")), 2000);
