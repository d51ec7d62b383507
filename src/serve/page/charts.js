// The charts of what is chosen: a card a metric, drawn anew when a run has grown.

import { MetricChart } from "./chart.js";
import { element } from "./format.js";
import { chosen, inside, isLoaded, metrics, onList } from "./list.js";
import { ask } from "./server.js";
import { change, onChange, view } from "./view.js";

/** Between two looks at runs that grow. */
const EVERY = 900;

const cards = new Map(); // by metric
let isAsked = false;
let last = -Infinity;
let asking = null;

/** Draws everything soon; once, however often it is asked for. */
export function redraw(isUrgent = true) {
  if (isUrgent && asking) asking.abort();
  if (isAsked && !isUrgent) return;
  isAsked = true;
  const wait = isUrgent ? 0 : Math.max(0, last + EVERY - performance.now());
  setTimeout(() => {
    if (!isAsked) return;
    isAsked = false;
    last = performance.now();
    void draw();
  }, wait);
}

async function draw() {
  if (view.view !== "curves" || !isLoaded()) return;
  arrange();
  const keys = chosen().map((item) => item.key).join(",");
  asking = new AbortController();
  const { signal } = asking;
  const { x, smooth, band, log_x, log_y, from, to } = view;
  const options = { x, smooth, band, log_x, log_y, from, to };
  for (const [metric, card] of cards) {
    try {
      const asked = { keys, metric, buckets: card.buckets, ...options };
      // Of long files that were not read yet some rows come first.
      for (const first_look of [true, false]) {
        const chart = await ask("/api/chart", { ...asked, first_look }, signal);
        if (signal.aborted) return;
        card.show(chart, options);
        if (!chart.curves.some((curve) => curve.is_sample)) break;
      }
    } catch (error) {
      if (signal.aborted) return;
      card.note.replaceChildren(element("strong", {}, error.message));
    }
  }
}

/** Has a card for each metric, in their order. */
function arrange() {
  const area = document.getElementById("charts");
  for (const [metric, card] of cards) {
    if (!view.metric.includes(metric)) {
      card.plot?.destroy();
      card.node.remove();
      cards.delete(metric);
    }
  }
  for (const metric of view.metric) {
    if (!cards.has(metric)) {
      const zoom = (from, to) => change({ from, to }, { isStep: true });
      const remove = () => change({ metric: view.metric.filter((other) => other !== metric) }, { isStep: true });
      cards.set(metric, new MetricChart(metric, { zoom, remove }));
    }
  }
  const wanted = view.metric.map((metric) => cards.get(metric).node);
  if (wanted.some((node, index) => area.children[index] !== node)) area.replaceChildren(...wanted);
  let hint = document.getElementById("no-charts");
  if (wanted.length === 0 && !hint) {
    hint = element("p", { id: "no-charts", className: "empty" }, "Choose a metric to see its chart.");
    area.replaceChildren(hint);
  }
}

/** What of x the charts show. */
function range() {
  if (view.from !== null && view.to !== null) return [view.from, view.to];
  const ranges = [...cards.values()].map((card) => card.range).filter(Boolean);
  if (ranges.length === 0) return null;
  return [Math.min(...ranges.map(([low]) => low)), Math.max(...ranges.map(([, high]) => high))];
}

/** Shows a part of what is shown, or more: ends as shares of it. */
function zoom(low, high) {
  const now = range();
  if (now === null) return;
  const onto = view.log_x ? Math.log10 : (x) => x;
  const back = view.log_x ? (x) => 10 ** x : (x) => x;
  const [from, to] = now.map(onto);
  const at = (share) => back(from + share * (to - from));
  if (at(low) < at(high)) change({ from: at(low), to: at(high) }, { isStep: true });
}

/** Fills the choice of metrics with those there are. */
function offer() {
  const box = document.getElementById("add-metric");
  const options = metrics();
  const text = JSON.stringify([options, view.metric]);
  if (box.dataset.text === text) return;
  box.dataset.text = text;
  const group = (name, names) => element("optgroup", { label: name }, ...names.map((metric) =>
    element("option", { value: metric }, metric)));
  const groups = new Map();
  for (const metric of options.filter((name) => !view.metric.includes(name))) {
    const name = metric.includes("/") ? metric.split("/")[0] : "timing";
    groups.set(name, [...(groups.get(name) ?? []), metric]);
  }
  box.replaceChildren(element("option", { value: "" }, "add a chart …"), ...[...groups].map(([name, names]) => group(name, names)));
}

/** Makes the controls of the charts do what they say. */
export function begin() {
  const control = (id) => document.getElementById(id);
  control("add-metric").addEventListener("change", (event) => {
    if (event.target.value) change({ metric: [...view.metric, event.target.value] }, { isStep: true });
  });
  document.querySelector(".tools").addEventListener("submit", (event) => event.preventDefault());
  for (const id of ["x", "band"]) {
    control(id).addEventListener("change", (event) => {
      const patch = { [id]: event.target.value };
      // A part of one axis is none of another.
      change(id === "x" ? { ...patch, from: null, to: null } : patch, { isStep: true });
    });
  }
  for (const id of ["log_x", "log_y"]) control(id).addEventListener("change", (event) => change({ [id]: event.target.checked }, { isStep: true }));
  control("smooth").addEventListener("change", (event) => {
    const number = Math.max(1, Math.min(10000, Math.round(Number(event.target.value) || 1)));
    change({ smooth: number }, { isStep: true });
  });
  control("zoom-in").addEventListener("click", () => zoom(0.25, 0.75));
  control("zoom-out").addEventListener("click", () => zoom(-0.5, 1.5));
  control("zoom-left").addEventListener("click", () => zoom(-0.25, 0.75));
  control("zoom-right").addEventListener("click", () => zoom(0.25, 1.25));
  control("zoom-all").addEventListener("click", () => change({ from: null, to: null }, { isStep: true }));
  const put = () => {
    for (const id of ["x", "band", "smooth"]) control(id).value = view[id];
    for (const id of ["log_x", "log_y"]) control(id).checked = view[id];
    control("zoom-all").disabled = view.from === null;
    offer();
  };
  put();
  onChange((changed) => {
    put();
    if (["view", "show", "metric", "x", "smooth", "band", "log_x", "log_y", "from", "to"].some((name) => changed.has(name))) redraw();
  });
  onList((items) => {
    offer();
    const shown = new Set(chosen().flatMap((item) => [item.key, ...inside(item).map((inner) => inner.key)]));
    if (items.some((item) => shown.has(item.key)) || view.show === null) redraw(false);
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => redraw());
}
