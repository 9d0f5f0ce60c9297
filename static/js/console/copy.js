// A button that copies, behind each element with data-copy. Its words are data-copy-label and data-copied-label of
// #main. Browsers let a page copy only over https and on this machine; elsewhere there is no button, and the text can be
// selected as it can be without this script.

const words = document.querySelector("#main").dataset;

function addButtons(root) {
  if (!navigator.clipboard) return;
  for (const source of root.querySelectorAll("[data-copy]")) {
    if (!source.nextElementSibling?.matches(".copy")) source.after(makeButton(source));
  }
}

function makeButton(source) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "button quiet small copy";
  button.textContent = words.copyLabel;
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(source.textContent);
      button.textContent = words.copiedLabel;
    } catch {
      getSelection().selectAllChildren(source);  // the reader copies it by hand
    }
  });
  return button;
}

addButtons(document);
document.addEventListener("live:replaced", (event) => addButtons(event.target));
document.addEventListener("htmx:load", (event) => addButtons(event.target));
