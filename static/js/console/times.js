// Times are written in Beijing time; on hover each is said in the reader's own zone.

const format = new Intl.DateTimeFormat(document.documentElement.lang, { dateStyle: "medium", timeStyle: "long" });

export function nameTimes(root) {
  for (const time of root.querySelectorAll("time[datetime]:not([title])")) {
    const moment = new Date(time.dateTime);
    if (!Number.isNaN(moment.valueOf())) time.title = format.format(moment);
  }
}

nameTimes(document);
for (const name of ["htmx:load", "live:replaced"]) document.addEventListener(name, (event) => nameTimes(event.target));
