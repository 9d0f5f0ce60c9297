// The keyboard: / to the search, j and k through rows, Enter opens one, ? says so. All of it can be switched off, as
// people who speak to their computer need (WCAG 2.1.4).

const OFF = "fenpay.keys.off";
const help = document.querySelector("#help");
const on = document.querySelector("#keys-on");

on.checked = localStorage.getItem(OFF) === null;
on.addEventListener("change", () => (on.checked ? localStorage.removeItem(OFF) : localStorage.setItem(OFF, "1")));

const rows = () => [...document.querySelectorAll("tr[data-href]")];
const current = () => document.querySelector("tr.current");

function step(by) {
  const all = rows();
  if (!all.length) return;
  const at = all.indexOf(current());
  const next = all[at < 0 ? (by > 0 ? 0 : all.length - 1) : Math.min(Math.max(at + by, 0), all.length - 1)];
  current()?.classList.remove("current");
  next.classList.add("current");
  next.querySelector("a")?.focus({ preventScroll: true });
  next.scrollIntoView({ block: "nearest" });
}

const ACTS = {
  "/": () => document.querySelector("#search")?.select(),
  "?": () => help.showModal(),
  j: () => step(1),
  k: () => step(-1),
};

function isTyping(target) {
  return target.isContentEditable || ["INPUT", "TEXTAREA", "SELECT"].includes(target.tagName);
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  if (isTyping(event.target) || document.querySelector("dialog[open]")) return;
  if (event.key === "Enter" && event.target === document.body && current()) location.assign(current().dataset.href);
  if (!on.checked && event.key !== "?") return;
  const act = ACTS[event.key];
  if (!act) return;
  event.preventDefault();
  act();
});

// A click anywhere in a row opens it, unless it was meant for something in it or to select text.
document.addEventListener("click", (event) => {
  const row = event.target.closest("tr[data-href]");
  if (row && !event.target.closest("a, button, input, label, summary") && !String(getSelection())) {
    location.assign(row.dataset.href);
  }
});
