// Exports say how far they are. Without this script the links are plain downloads.

const place = document.querySelector("#export");
const status = place?.querySelector("[role=status]");

async function download(link) {
  const answer = await fetch(link.href);
  if (!answer.ok) throw new Error(String(answer.status));
  const parts = [];
  const isText = answer.headers.get("Content-Type").startsWith("text/");
  let lines = -1; // the headings
  for (const reader = answer.body.getReader(); ; ) {
    const { done, value } = await reader.read();
    if (done) break;
    parts.push(value);
    if (isText) {
      for (const byte of value) if (byte === 10) lines += 1;
      status.textContent = place.dataset.done.replace("{count}", lines.toLocaleString());
    }
  }
  const name = /filename="([^"]+)"/.exec(answer.headers.get("Content-Disposition"))[1];
  const address = URL.createObjectURL(new Blob(parts));
  Object.assign(document.createElement("a"), { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}

place?.addEventListener("click", async (event) => {
  const link = event.target.closest("a[download]");
  if (!link || link.getAttribute("aria-disabled")) return;
  event.preventDefault();
  link.setAttribute("aria-disabled", "true");
  status.textContent = "…";
  try {
    await download(link);
    if (status.textContent === "…") status.textContent = "✓";
  } catch {
    status.textContent = place.dataset.failed;
  }
  link.removeAttribute("aria-disabled");
});
