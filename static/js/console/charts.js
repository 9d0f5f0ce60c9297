// The overview's charts: received and refunded by day, and below them the hours of the day under the pointer. The table
// beside them has the same figures. Drawn again when live.js has read the figures again; the day and the hour that the
// reader points at stay.

const HEIGHT = 220;
const HOURS = [...Array(24).keys()];
const yuan = (fen) => `¥${(fen / 100).toLocaleString("zh-CN", { minimumFractionDigits: 2, maximumFractionDigits: 2 })}`;
const EMPTY_TOP = 1000;  // fen; how high the axis of a day without amounts goes
const STEPS = [...Array(10).keys()].flatMap((power) => [1, 2, 5].map((step) => step * 10 ** power));  // fen, never parts of one

/** Amounts beside an axis: whole yuan where its steps are. */
const label = (fen, step) => (step % 100 ? yuan(fen) : `¥${(fen / 100).toLocaleString("zh-CN")}`);

let drawn = [];
let ready = false;  // a new chart first says that nothing is under the pointer
const pointed = {};  // by chart: the day or the hour under the pointer

function draw() {
  const place = document.querySelector("[data-chart]");
  if (!place || !window.uPlot) return;
  ready = false;
  for (const chart of drawn) chart.destroy();
  place.replaceChildren();
  const data = JSON.parse(place.dataset.chart);
  const words = place.dataset;
  const colours = colourTable();
  const hours = hourChart(place, data, words, colours);
  const options = {
    ...frame(place, data.days.length, (index) => data.days[index]?.slice(5) ?? ""),
    series: [
      { label: words.day, value: (_, index) => (index === null ? "–" : data.days[index]) },
      bars(words.received, colours.received),
      bars(words.refunded, colours.refunded),
    ],
    hooks: { setCursor: [(chart) => hours.show(chart.cursor.idx ?? data.days.length - 1), remember("days", data.days)] },
  };
  const days = new uPlot(options, [data.days.map((_, index) => index), data.received, data.refunded], place);
  place.append(hours.element);
  hours.show(data.days.length - 1);
  drawn = [days, hours.chart];
  requestAnimationFrame(() => {
    ready = true;
    pointAgain(days, "days", data.days);
    pointAgain(hours.chart, "hours", HOURS);
  });
}

/** A hook of a chart that keeps which of its `names` is under the pointer. */
function remember(name, names) {
  return (chart) => {
    if (ready && drawn.includes(chart)) pointed[name] = chart.cursor.idx === null ? undefined : names[chart.cursor.idx];
  };
}

/** Put a new chart's cursor where the old one's was. */
function pointAgain(chart, name, names) {
  const index = names.indexOf(pointed[name]);
  if (index >= 0 && drawn.includes(chart)) chart.setCursor({ left: chart.valToPos(index, "x"), top: HEIGHT / 4 });
}

function hourChart(place, data, words, colours) {
  const element = document.createElement("div");
  const heading = document.createElement("p");
  heading.className = "soft";
  element.append(heading);
  const options = {
    ...frame(place, 24, (index) => `${index}:00`),
    height: HEIGHT / 2 + 40,
    series: [{ label: words.hour, value: (_, index) => (index === null ? "–" : `${index}:00`) }, bars(words.received, colours.received), bars(words.refunded, colours.refunded)],
    hooks: { setCursor: [remember("hours", HOURS)] },
  };
  const chart = new uPlot(options, [HOURS, data.hours.at(-1), data.refunded_hours.at(-1)], element);
  let shown = -1;
  return {
    element,
    chart,
    show(day) {
      if (day === shown) return;
      shown = day;
      heading.textContent = words.byHour.replace("{day}", data.days[day]);
      chart.setData([HOURS, data.hours[day], data.refunded_hours[day]]);
    },
  };
}

function frame(place, count, name) {
  const axis = { stroke: colourTable().soft, grid: { stroke: colourTable().line, width: 1 }, ticks: { show: false }, font: "12px sans-serif" };
  return {
    width: Math.max(240, place.clientWidth),
    height: HEIGHT,
    scales: { x: { time: false, range: [-0.6, count - 0.4] }, y: { range: (_, __, most) => [0, (most || EMPTY_TOP) * 1.1] } },
    axes: [
      { ...axis, grid: { show: false }, values: (_, splits) => splits.map((at) => (Number.isInteger(at) ? name(at) : "")) },
      { ...axis, size: 72, incrs: STEPS, values: (_, splits, __, ___, step) => splits.map((fen) => label(fen, step)) },
    ],
    cursor: { y: false, drag: { x: false, y: false } },
    legend: { live: true },
  };
}

function bars(label, colour) {
  return { label, stroke: colour, fill: colour, width: 0, paths: uPlot.paths.bars({ size: [0.7, 48] }), points: { show: false }, value: (_, fen) => (fen === null ? "–" : yuan(fen)) };
}

function colourTable() {
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => style.getPropertyValue(name).trim();
  return { received: colour("--green-ink"), refunded: colour("--red-ink"), soft: colour("--soft"), line: colour("--line") };
}

let waiting = 0;
addEventListener("resize", () => {
  clearTimeout(waiting);
  waiting = setTimeout(draw, 200);
});
document.addEventListener("live:replaced", draw);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
draw();
