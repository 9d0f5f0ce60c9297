// A request by htmx that failed is told at the head of the page, in the words of #main's data, until one succeeds.

const main = document.querySelector("#main");

function show(text) {
  hide();
  const flash = document.createElement("p");
  flash.id = "failure";
  flash.className = "flash error";
  flash.setAttribute("role", "alert");
  flash.textContent = text;
  main.prepend(flash);
}

function hide() {
  document.querySelector("#failure")?.remove();
}

/** Why the server refused, from the heading of its error page; another server's error has its status only. */
function explain({ status, responseText }) {
  const page = new DOMParser().parseFromString(responseText, "text/html");
  const why = page.querySelector("#main h1")?.textContent ?? `HTTP ${status}`;
  return main.dataset.loadFailed.replace("{why}", () => why);
}

document.addEventListener("htmx:responseError", (event) => show(explain(event.detail.xhr)));
document.addEventListener("htmx:sendError", () => show(main.dataset.noAnswer));
document.addEventListener("htmx:afterOnLoad", (event) => event.detail.successful && hide());
