// A sweep: its trials as lines over parallel axes, and what its settings say of the score.

import { color, count, element, short } from "./format.js";
import { chosen, inside, isLoaded, itemOf, onList } from "./list.js";
import { ask } from "./server.js";
import { change, link, onChange, view } from "./view.js";

const SVG = "http://www.w3.org/2000/svg";
const HEIGHT = 300;
const [TOP, BOTTOM, SIDE] = [40, 26, 56];
/** Room of an axis: where there is not as much the picture is scrolled. */
const NARROWEST = 110;

const control = (id) => document.getElementById(id);
let shown = "";
let asked = 0;

/** The sweep that is looked at: what the address names or is in, else the first one there is. */
function subject() {
  const sweeps = control("sweep-run").dataset.ids?.split("\n").map(itemOf).filter(Boolean) ?? [];
  const named = view.run === null ? undefined : itemOf(view.run);
  return [named, ...chosen()].find((item) => item?.kind === "sweep") ?? sweeps[0];
}

function offer(items) {
  const box = control("sweep-run");
  const ids = items.filter((item) => item.kind === "sweep").map((item) => item.id);
  if (ids.length > 0) {
    const known = new Set([...(box.dataset.ids?.split("\n").filter(Boolean) ?? []), ...ids]);
    box.dataset.ids = [...known].sort().join("\n");
    box.replaceChildren(...[...known].sort().map((id) => element("option", { value: id }, id)));
  }
  const now = subject();
  if (now) box.value = now.id;
}

async function draw() {
  if (view.view !== "sweep" || !isLoaded()) return;
  const item = subject();
  control("sweep-form").hidden = !item;
  const area = control("sweep");
  if (!item) {
    area.replaceChildren(element("p", { className: "empty" }, "There is no sweep here. ", element("code", {}, "agon sweep FILE"), " makes one."));
    return;
  }
  control("sweep-run").value = item.id;
  const text = JSON.stringify([item, inside(item).length, matchMedia("(prefers-color-scheme: dark)").matches, area.clientWidth]);
  if (text === shown) return;
  shown = text;
  asked += 1;
  const mine = asked;
  try {
    const sweep = await ask("/api/sweep", { key: item.key });
    if (mine !== asked) return;
    area.replaceChildren(coordinates(sweep), importance(sweep), trials(sweep));
  } catch (error) {
    if (mine === asked) area.replaceChildren(element("p", { className: "empty failed-text" }, error.message));
  }
}

const made = (tag, attributes, ...children) => {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, String(value));
  node.append(...children);
  return node;
};

/** An axis: where each trial's value is, from 0 to 1, and the texts beside it. */
function axisOf(values, isLog) {
  const numbers = values.map(([, number]) => number);
  if (numbers.every((number) => number !== null) && new Set(numbers).size > 1) {
    const onto = isLog && Math.min(...numbers) > 0 ? Math.log10 : (number) => number;
    const [low, high] = [Math.min(...numbers), Math.max(...numbers)];
    const at = (number) => (onto(number) - onto(low)) / (onto(high) - onto(low));
    const distinct = [...new Set(numbers)].sort((a, b) => a - b);
    const ticks = distinct.length <= 6 ? distinct : [low, high];
    return { at: numbers.map(at), ticks: ticks.map((number) => [at(number), short(number)]) };
  }
  const texts = [...new Set(values.map(([text]) => text))].sort();
  const at = (text) => (texts.length === 1 ? 0.5 : texts.indexOf(text) / (texts.length - 1));
  return { at: values.map(([text]) => at(text)), ticks: texts.map((text) => [at(text), text]) };
}

function coordinates(sweep) {
  const all = sweep.trials.filter((trial) => trial.score !== null);
  const title = element("h2", {}, "Trials over their settings");
  if (all.length === 0) return element("article", { className: "card" }, title, element("p", { className: "empty" }, "No trial has a score yet."));
  const axes = sweep.parameters.map((parameter, index) => ({ name: parameter.key, ...axisOf(all.map((trial) => trial.values[index]), parameter.is_log) }));
  axes.push({ name: "score", ...axisOf(all.map((trial) => [String(trial.score), trial.score]), false) });
  const width = Math.max(control("sweep").clientWidth - 30, SIDE * 2 + NARROWEST * (axes.length - 1));
  const x = (index) => SIDE + (index * (width - 2 * SIDE)) / Math.max(1, axes.length - 1);
  const y = (share) => TOP + (1 - share) * (HEIGHT - TOP - BOTTOM);
  const svg = made("svg", { width, height: HEIGHT, viewBox: `0 0 ${width} ${HEIGHT}`, role: "img", "aria-label": `${count(all.length, "trial")} over ${count(axes.length - 1, "setting")} and the score; the table below has the same`, class: "parallel" });
  const score = axes.at(-1).at;
  // The best ones are drawn last, over the others.
  for (let index = all.length - 1; index >= 0; index -= 1) {
    const points = axes.map((axis, at) => `${x(at).toFixed(1)},${y(axis.at[index]).toFixed(1)}`).join(" ");
    const line = made("polyline", { points, fill: "none", "stroke-width": 1.6, stroke: shade(score[index]), class: "trial", "data-key": all[index].key });
    line.append(made("title", {}, `${all[index].name}: ${short(all[index].score)}`));
    svg.append(line);
  }
  for (const [at, axis] of axes.entries()) {
    svg.append(made("line", { x1: x(at), x2: x(at), y1: y(0), y2: y(1), stroke: color("quiet") }));
    const name = made("text", { x: x(at), y: TOP - 18, "text-anchor": at === 0 ? "start" : at === axes.length - 1 ? "end" : "middle", class: "axis-name" }, axis.name.split(".").at(-1));
    if (at === 0) name.setAttribute("x", 8);
    if (at === axes.length - 1) name.setAttribute("x", width - 8);
    name.append(made("title", {}, axis.name));
    svg.append(name);
    for (const [share, text] of axis.ticks) {
      const isLast = at === axes.length - 1;
      svg.append(made("text", { x: x(at) + (isLast ? 6 : -6), y: y(share) + 4, "text-anchor": isLast ? "start" : "end", class: "tick" }, text.length > 14 ? `${text.slice(0, 13)}…` : text));
    }
  }
  return element("article", { className: "card" }, title,
    element("div", { className: "scroll", tabIndex: 0, role: "region", "aria-label": "Trials over their settings" }, svg),
    element("p", { className: "note" }, `Score: ${sweep.metric}. A line is a trial; the stronger its colour, the better.`));
}

/** From pale to strong as scores go from low to high. */
function shade(share) {
  return `color-mix(in oklab, ${color("accent")} ${Math.round(15 + 85 * share ** 1.5)}%, ${color("line")})`;
}

function importance(sweep) {
  const ordered = sweep.parameters.toSorted((a, b) => (b.share ?? -1) - (a.share ?? -1));
  const trend = (parameter) => {
    if (parameter.trend === null || Math.abs(parameter.trend) < 0.3) return "–";
    return `${parameter.trend > 0 ? "higher is better" : "lower is better"} (${parameter.trend.toFixed(2).replace("-", "−")})`;
  };
  const rows = ordered.map((parameter) => element("tr", {}, element("th", { scope: "row" }, parameter.key),
    element("td", {}, parameter.share === null ? "" : element("meter", { min: 0, max: 1, value: parameter.share, "aria-hidden": "true" })),
    element("td", { className: "number" }, parameter.share === null ? "too few trials" : `${Math.round(100 * parameter.share)} %`),
    element("td", {}, trend(parameter))));
  const head = ["setting", "", "explains", "trend"].map((name, index) => element("th", { scope: "col", className: index === 2 ? "number" : "" }, name));
  return element("article", { className: "card" }, element("h2", {}, "Importance of settings"),
    element("div", { className: "scroll" }, element("table", { className: "settings importance" }, element("thead", {}, element("tr", {}, ...head)), element("tbody", {}, ...rows))),
    element("p", { className: "note" }, `The share of the scores' variance that a setting explains by itself, beyond chance, over the ${count(sweep.compared, "trial")} that were trained longest. What settings do together is not in it.`));
}

function trials(sweep) {
  const head = ["trial", ...sweep.parameters.map(({ key }) => key.split(".").at(-1)), "steps", "score"].map((name) => element("th", { scope: "col" }, name));
  const rows = sweep.trials.map((trial) => {
    const row = element("tr", { "data-key": String(trial.key) }, element("th", { scope: "row" }, element("a", { href: link({ view: "curves", show: [trial.id] }) }, trial.name)),
      ...trial.values.map(([text]) => element("td", {}, text)), element("td", {}, short(trial.env_steps)),
      element("td", {}, trial.score === null ? trial.state : short(trial.score)));
    const mark = (isOn) => document.querySelectorAll(".trial.marked, .trial[data-key]").forEach((line) => line.classList.toggle("marked", isOn && line.dataset.key === String(trial.key)));
    for (const [event, isOn] of [["mouseenter", true], ["mouseleave", false], ["focusin", true], ["focusout", false]]) row.addEventListener(event, () => mark(isOn));
    return row;
  });
  return element("article", { className: "card" }, element("h2", {}, "Trials, the best first"),
    element("div", { className: "scroll tall", tabIndex: 0, role: "region", "aria-label": "Trials" },
      element("table", { className: "rows" }, element("thead", {}, element("tr", {}, ...head)), element("tbody", {}, ...rows))));
}

/** Makes the controls of the view do what they say. */
export function begin() {
  control("sweep-run").addEventListener("change", (event) => change({ run: event.target.value }, { isStep: true }));
  control("sweep-form").addEventListener("submit", (event) => event.preventDefault());
  onChange((changed) => (changed.has("view") || changed.has("run") || changed.has("show")) && void draw());
  onList((items) => {
    offer(items);
    void draw();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => void draw());
  addEventListener("resize", () => void draw());
}
