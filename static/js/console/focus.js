// The keyboard focus when a part of a page is read again.

const CAN_HAVE_IT = "a, button, summary, [tabindex]";

/** Remember what has the focus in `part`. The answer gives the focus to the same element of the part that has taken its
    place; where there is none, to that part. */
export function holdFocus(part) {
  const focused = document.activeElement;
  if (!part.contains(focused)) return () => {};
  const name = nameOf(focused);
  const position = namesakes(part, name).indexOf(focused);
  return (fresh) => {
    const found = namesakes(fresh, name);
    const same = focused.isConnected ? focused : found[position] ?? found.at(-1);
    if (!same) fresh.tabIndex = -1;
    (same ?? fresh).focus({ preventScroll: true });
  };
}

const namesakes = (part, name) => [...part.querySelectorAll(CAN_HAVE_IT)].filter((each) => nameOf(each) === name);

/** What an element keeps when it is read again. Several of a part may have the same: a button in each of its forms. */
function nameOf(element) {
  if (element.id) return `#${element.id}`;
  if (element.matches("summary") && element.parentElement.id) return `#${element.parentElement.id} summary`;
  if (element.matches(".copy")) return `copy ${element.previousElementSibling.textContent}`;
  if (!element.matches("a, button")) return element.cloneNode(false).outerHTML;
  return `${element.form?.getAttribute("action") ?? ""} ${element.outerHTML}`;
}
