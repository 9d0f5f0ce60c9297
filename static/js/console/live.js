// Pages that follow what happens, without being reloaded. Everything is read again from the server, by the page's own
// addresses; without this script a page shows what it was when it was opened.
//
//   data-live="orders alarms order"   on an element that is read again when one of these happens
//   data-live-number="NUMBER"         with "order": which one
//   data-live-url="/console/…"        where the element is read from; the answer takes its place
//   data-live-every="MS"              how often it is read at most
//   data-live-keep                    with an id, inside: stays as it is, for what the reader has opened
//   data-live-rows="/console/…/"      on a <tbody>: its rows have data-number, and data-place, by which they stand, the
//                                     greatest first; a row is read from this address and its number, with the page's
//                                     own filters. 204: it does not belong here
//   data-live-state                   on an element whose data-state says "on" or "off"

import { holdFocus } from "./focus.js";

const AGAIN_MS = 1500;  // an element is read again no more often than this
const LATER_MS = 30_000;  // until a stream that the server refused is tried again

const elements = (selector) => [...document.querySelectorAll(selector)];

function start() {
  const address = streamAddress();
  if (address) connect(address);
}

function streamAddress() {
  const wanted = new URLSearchParams();
  const topics = new Set(elements("[data-live]").flatMap((element) => element.dataset.live.split(" ")));
  if (document.querySelector("[data-live-rows]")) topics.add("orders");
  const numbers = elements("[data-live-number]").map((element) => element.dataset.liveNumber);
  for (const topic of ["orders", "alarms"]) if (topics.has(topic)) wanted.append("topic", topic);
  if (numbers.length) wanted.append("order", numbers[0]);
  return [...wanted].length ? `/console/live?${wanted}` : "";
}

/** `interrupted`: there was a stream before this one, so the page may have missed something. */
function connect(address, interrupted = false) {
  const stream = new EventSource(address);
  stream.addEventListener("open", () => {
    showState("on");
    if (interrupted) readAllAgain();
    interrupted = false;
  });
  stream.addEventListener("error", () => {
    showState("off");
    interrupted = true;
    if (stream.readyState === EventSource.CLOSED) setTimeout(() => connect(address, true), LATER_MS);
  });
  stream.addEventListener("order", (event) => onOrder(JSON.parse(event.data)));
  stream.addEventListener("alarms", () => elements('[data-live~="alarms"]').forEach(readAgain));
  stream.addEventListener("missed", readAllAgain);
  addEventListener("pagehide", () => stream.close(), { once: true });
}

function showState(state) {
  for (const element of elements("[data-live-state]")) element.dataset.state = state;
}

function onOrder({ number }) {
  elements('[data-live~="orders"]').forEach(readAgain);
  elements('[data-live~="order"]').filter((element) => element.dataset.liveNumber === number).forEach(readAgain);
  for (const rows of elements("[data-live-rows]")) readRow(rows, number);
}

function readAllAgain() {
  elements("[data-live]").forEach(readAgain);
  elements("[data-live-rows]").forEach(readRowsAgain);
}

const waiting = new Map();

function readAgain(element) {
  const address = element.dataset.liveUrl;
  if (!address || waiting.has(address)) return;
  waiting.set(address, setTimeout(async () => {
    waiting.delete(address);
    const current = elements("[data-live-url]").find((each) => each.dataset.liveUrl === address);
    if (current && !isInUse(current)) await replace(current, address);
    else if (current) readAgain(current);
  }, Number(element.dataset.liveEvery) || AGAIN_MS));
}

/** Whether the reader types in it, or has selected text of it: it is left alone until later. */
function isInUse(element) {
  const selection = getSelection();
  const selects = selection && !selection.isCollapsed && element.contains(selection.anchorNode);
  return selects || (element.contains(document.activeElement) && document.activeElement.matches("input, textarea, select"));
}

async function replace(element, address) {
  const part = await fetchPart(address);
  if (!part?.firstElementChild) return;
  const giveFocusBack = holdFocus(element);
  const fresh = part.firstElementChild;
  for (const details of element.querySelectorAll("details[id]")) {
    const same = fresh.querySelector(`#${CSS.escape(details.id)}`);
    if (same) same.open = details.open;
  }
  for (const kept of element.querySelectorAll("[data-live-keep][id]")) {
    fresh.querySelector(`#${CSS.escape(kept.id)}`)?.replaceWith(kept);
  }
  element.replaceWith(fresh);
  settle(fresh);
  giveFocusBack(fresh);
}

/** The list's first page takes the place of its rows; those further down are read one by one. Where so many have come
    that the page reaches none of the old rows, the list starts anew. */
async function readRowsAgain(rows) {
  const page = await fetchPart(`${location.pathname}${location.search}`);
  const first = [...(page?.querySelectorAll("[data-live-rows] [data-number]") ?? [])];
  if (!first.length) return;
  const old = new Map([...rows.querySelectorAll("[data-number]")].map((row) => [row.dataset.number, row]));
  if (first.some((row) => old.has(row.dataset.number))) {
    let above = null;
    for (const row of first) {
      const was = old.get(row.dataset.number);
      if (was) takePlace(row, was);
      else row.classList.add("fresh");
      if (!was && above) above.after(row);
      else if (!was) rows.prepend(row);
      old.delete(row.dataset.number);
      above = row;
    }
    for (const number of old.keys()) readRow(rows, number);
  } else {
    rows.replaceChildren(...first);
    const foot = document.getElementById("list-foot");
    foot?.replaceWith(page.querySelector("#list-foot"));
    settle(document.getElementById("list-foot"));
  }
  settle(rows);
}

async function readRow(rows, number) {
  const part = await fetchPart(`${rows.dataset.liveRows}${encodeURIComponent(number)}${location.search}`);
  const old = [...rows.querySelectorAll("[data-number]")].find((row) => row.dataset.number === number);
  const row = part?.querySelector("[data-number]");
  if (!row) {
    if (part) old?.remove();
    return;
  }
  row.classList.add("fresh");
  if (old) takePlace(row, old);
  else if (!addRow(rows, row)) return;
  settle(row);
}

/** Add a row where it belongs; false where that is on a page that is not shown yet. */
function addRow(rows, row) {
  const after = [...rows.querySelectorAll("[data-place]")].find((each) => each.dataset.place < row.dataset.place);
  if (!after && document.getElementById("more")) return false;
  if (after) after.before(row);
  else rows.append(row);
  return true;
}

/** Whoever walks through the rows by keyboard stays where they are. */
function takePlace(row, old) {
  const focused = old.contains(document.activeElement);
  row.classList.toggle("current", old.classList.contains("current"));
  old.replaceWith(row);
  if (focused) row.querySelector("a")?.focus({ preventScroll: true });
}

/** What the server shows at `address`, as elements; null where it could not be read, nothing in it for 204. */
async function fetchPart(address) {
  try {
    const answer = await fetch(address, { headers: { "HX-Request": "true" }, redirect: "error" });
    if (answer.status === 204 || answer.status === 404) return document.createDocumentFragment();
    if (!answer.ok) return null;
    const template = document.createElement("template");
    template.innerHTML = await answer.text();
    return template.content;
  } catch {
    return null;  // the stream tells when the service is there again
  }
}

function settle(element) {
  window.htmx?.process(element);
  element.dispatchEvent(new CustomEvent("live:replaced", { bubbles: true }));
}

addEventListener("pageshow", (event) => event.persisted && location.reload());
start();
