// A comparison as `agon compare` makes it: aggregates with intervals, probabilities of improvement, performance profiles.

import { color, count, element, short, stroke, swatch } from "./format.js";
import { chosen, isLoaded, itemOf, onList, place } from "./list.js";
import { ask } from "./server.js";
import { onChange, view } from "./view.js";
import uPlot from "./vendor/uplot.js";

const control = (id) => document.getElementById(id);
const SVG = "http://www.w3.org/2000/svg";
let shown = "";
let asked = 0;
let plot = null;

async function draw(isForced = false) {
  if (view.view !== "compare" || !isLoaded()) return;
  const items = chosen().filter((item) => item.kind === "run" || item.kind === "experiment");
  const options = { measure: control("measure").value, normalize: control("normalize").value };
  const text = JSON.stringify([items.map((item) => [item.key, item.finished]), options, matchMedia("(prefers-color-scheme: dark)").matches]);
  if (text === shown && !isForced) return;
  shown = text;
  const area = control("comparison");
  if (items.length === 0) {
    area.replaceChildren(element("p", { className: "empty" }, "Choose runs or experiments that have finished: they are compared here."));
    return;
  }
  asked += 1;
  const mine = asked;
  area.setAttribute("aria-busy", "true");
  try {
    const found = await ask("/api/compare", { keys: items.map((item) => item.key).join(","), ...options });
    if (mine !== asked) return;
    plot?.destroy();
    plot = null;
    area.replaceChildren(...aggregates(found), ...profiles(found), ...improvements(found), ...leftOut(found));
    drawProfiles(found);
  } catch (error) {
    if (mine !== asked) return;
    area.replaceChildren(element("p", { className: "empty failed-text" }, error.message));
  } finally {
    area.removeAttribute("aria-busy");
  }
}

const placeOf = (label) => place(itemOf(label) ?? {});

function aggregates(found) {
  const kinds = [["iqm", "interquartile mean"], ["mean", "mean"], ["median", "median"]];
  const ends = found.algorithms.flatMap((one) => kinds.flatMap(([kind]) => [one[kind].low, one[kind].high])).filter(Number.isFinite);
  const [low, high] = [Math.min(...ends), Math.max(...ends)];
  const margin = (high - low || 1) * 0.05;
  const scale = (value) => (100 * (value - low + margin)) / (high - low + 2 * margin);
  const head = ["", "runs", ...kinds.map(([, name]) => name)].map((name, index) => element("th", { scope: "col", className: index === 1 ? "number" : "" }, name));
  const rows = found.algorithms.map((one) => element("tr", {},
    element("th", { scope: "row" }, swatch(placeOf(one.label)), " ", one.label),
    element("td", { className: "number" }, String(one.runs)),
    ...kinds.map(([kind]) => element("td", { className: "estimate" }, interval(one[kind], scale, placeOf(one.label)),
      element("span", {}, short(one[kind].value), element("span", { className: "quiet" }, ` ${short(one[kind].low)} … ${short(one[kind].high)}`))))));
  const note = `Score: ${found.measure}${found.is_normalised ? ", normalised" : ""}. Bars are 95 % intervals by the stratified bootstrap over runs; all have the same scale, from ${short(low)} to ${short(high)}.`;
  return [element("article", { className: "card" }, element("h2", {}, "Aggregates"),
    element("div", { className: "scroll", tabIndex: 0, role: "region", "aria-label": "Aggregates" },
      element("table", { className: "compared" }, element("thead", {}, element("tr", {}, ...head)), element("tbody", {}, ...rows))),
    element("p", { className: "note" }, note))];
}

/** A bar from the lower to the upper end of an interval, with a dot at the value. */
function interval(estimate, scale, at) {
  const made = (tag, attributes) => {
    const node = document.createElementNS(SVG, tag);
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, String(value));
    return node;
  };
  const svg = made("svg", { viewBox: "0 0 100 10", preserveAspectRatio: "none", "aria-hidden": "true", class: "interval" });
  const { color: ink } = stroke(at);
  const [low, high] = [scale(estimate.low), scale(estimate.high)];
  svg.append(made("line", { x1: 0, x2: 100, y1: 5, y2: 5, stroke: color("line"), "stroke-width": 1, "vector-effect": "non-scaling-stroke" }),
    made("rect", { x: low, width: Math.max(0.8, high - low), y: 3, height: 4, fill: ink, opacity: 0.45 }),
    made("rect", { x: scale(estimate.value) - 0.5, width: 1, y: 0.5, height: 9, fill: ink }));
  return svg;
}

function profiles(found) {
  if (found.algorithms.every((one) => one.runs < 2)) return [];
  return [element("article", { className: "card" }, element("h2", {}, "Performance profiles"),
    element("div", { id: "profiles", className: "plot", role: "img", "aria-label": "Shares of runs above each score" }),
    element("p", { className: "note" }, "The share of runs whose score is above a number: the higher a line, the better. Bands are 95 % intervals."))];
}

function drawProfiles(found) {
  const area = control("profiles");
  if (!area) return;
  const series = [{}];
  const bands = [];
  const data = [found.algorithms[0].profile[0]];
  for (const one of found.algorithms) {
    const { color: ink, dash } = stroke(placeOf(one.label));
    bands.push({ series: [series.length + 2, series.length + 1], fill: `${ink}2e` });
    const hidden = { stroke: "transparent", width: 0, points: { show: false } };
    series.push({ stroke: ink, width: 1.8, dash, points: { show: false } }, hidden, hidden);
    data.push(one.profile[1], one.profile[2], one.profile[3]);
  }
  const axis = { stroke: color("quiet"), grid: { stroke: color("grid"), width: 1 }, ticks: { stroke: color("grid"), width: 1 }, font: "12px system-ui, 'DejaVu Sans', sans-serif",
    values: (chart, splits) => splits.map((value) => short(value)) };
  plot = new uPlot({ width: area.clientWidth || 600, height: 240, series, bands, legend: { show: false },
    cursor: { drag: { x: false, y: false } }, scales: { x: { time: false }, y: { range: [0, 1.02] } }, axes: [{ ...axis, space: 70 }, axis] }, data, area);
  new ResizeObserver(() => {
    if (area.clientWidth > 0 && plot !== null && area.clientWidth !== plot.width) plot.setSize({ width: area.clientWidth, height: 240 });
  }).observe(area);
}

function improvements(found) {
  if (found.improvements.length === 0) return [];
  const sure = ({ low, high }) => low > 0.5 || high < 0.5;
  const rows = found.improvements.map(([label, over, probability]) => element("tr", {},
    element("th", { scope: "row" }, label), element("td", {}, over),
    element("td", { className: "number" }, sure(probability) ? element("strong", {}, probability.value.toFixed(2)) : probability.value.toFixed(2)),
    element("td", { className: "number quiet" }, `${probability.low.toFixed(2)} … ${probability.high.toFixed(2)}`)));
  const head = ["a run of", "is better than one of", "probability", "95 % interval"].map((name, index) =>
    element("th", { scope: "col", className: index > 1 ? "number" : "" }, name));
  return [element("article", { className: "card" }, element("h2", {}, "Probability of improvement"),
    element("div", { className: "scroll", tabIndex: 0, role: "region", "aria-label": "Probability of improvement" },
      element("table", { className: "settings" }, element("thead", {}, element("tr", {}, ...head)), element("tbody", {}, ...rows))),
    element("p", { className: "note" }, "Bold where the interval leaves out one half."))];
}

function leftOut(found) {
  if (found.left_out.length === 0) return [];
  const lines = found.left_out.slice(0, 50).map(([name, reason]) => element("li", {}, `${name}: ${reason}`));
  return [element("details", { className: "card", open: found.algorithms.length === 0 },
    element("summary", {}, `${count(found.left_out.length, "run is", "runs are")} left out`), element("ul", { className: "small" }, ...lines))];
}

/** Makes the controls of the view do what they say. */
export function begin() {
  for (const id of ["measure", "normalize"]) control(id).addEventListener("change", () => void draw());
  control("compare-form").addEventListener("submit", (event) => event.preventDefault());
  onChange((changed) => (changed.has("view") || changed.has("show")) && void draw());
  onList(() => void draw());
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => void draw());
}
