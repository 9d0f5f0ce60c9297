// What the server told this page as data, and how amounts are written.

export const page = JSON.parse(document.getElementById("page").textContent);

export const words = page.words;

// 1800 -> "18.00". By digits, because fen / 100 is a float.
export function yuan(fen) {
  const digits = String(fen).padStart(3, "0");
  return `${digits.slice(0, -2)}.${digits.slice(-2)}`;
}

// The address at which this window entered the site, and the one it is at; neither with what follows a #.
const ENTRY = "fenpay.entry";
export const here = location.href.split("#")[0];
export const entry = sessionStorage.getItem(ENTRY) ?? here;
sessionStorage.setItem(ENTRY, entry);

export function say(text) {
  document.getElementById("status").textContent = text;
}

export function sleep(seconds) {
  return new Promise((resolve) => setTimeout(resolve, seconds * 1000));
}
