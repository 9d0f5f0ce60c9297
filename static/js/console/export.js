// Exports say how far they are. Without this script the links are plain downloads.

const place = document.querySelector("#export");
const status = place?.querySelector("[role=status]");
const LINE = 10;
const QUOTE = 34;

class Refused extends Error {}

const say = (text, count) => (status.textContent = text.replace("{count}", count.toLocaleString()));

async function download(link) {
  const answer = await fetch(link.href, { headers: { "X-Export-Progress": "1" } });
  if (!answer.ok) throw new Error(String(answer.status));
  const isText = answer.headers.get("Content-Type").startsWith("text/");
  const { parts, rows } = await (isText ? readText : readSheet)(answer.body.getReader());
  const name = /filename="([^"]+)"/.exec(answer.headers.get("Content-Disposition"))[1];
  const address = URL.createObjectURL(new Blob(parts));
  Object.assign(document.createElement("a"), { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
  say(place.dataset.done, rows);
}

/** Each line but the headings is an order; line breaks between quotes belong to a cell. */
async function readText(reader) {
  const parts = [];
  let rows = -1;
  let isQuoted = false;
  for (let read; !(read = await reader.read()).done; ) {
    parts.push(read.value);
    for (const byte of read.value) {
      if (byte === QUOTE) isQuoted = !isQuoted;
      else if (byte === LINE && !isQuoted) rows += 1;
    }
    say(place.dataset.exporting, Math.max(rows, 0));
  }
  return { parts, rows };
}

/** Lines with the orders so far, an empty line, the file. */
async function readSheet(reader) {
  const parts = [];
  let line = [];
  let rows = 0;
  let isFile = false;
  for (let read; !(read = await reader.read()).done; ) {
    let at = 0;
    for (; !isFile && at < read.value.length; at += 1) {
      if (read.value[at] !== LINE) line.push(read.value[at]);
      else if (!line.length) isFile = true;
      else {
        const text = new TextDecoder().decode(Uint8Array.from(line));
        if (text.startsWith("!")) throw new Refused(text.slice(1));
        rows = Number(text);
        line = [];
      }
    }
    parts.push(read.value.subarray(at));
    if (!isFile) say(place.dataset.exporting, rows);
  }
  if (!isFile) throw new Error("the answer broke off");
  return { parts, rows };
}

place?.addEventListener("click", async (event) => {
  const link = event.target.closest("a[download]");
  if (!link || link.getAttribute("aria-disabled")) return;
  event.preventDefault();
  link.setAttribute("aria-disabled", "true");
  say(place.dataset.exporting, 0);
  try {
    await download(link);
  } catch (error) {
    status.textContent = error instanceof Refused ? error.message : place.dataset.failed;
  }
  link.removeAttribute("aria-disabled");
});
