// One chart: uPlot with bands, a legend of values, zoom that stays, and keys.

import { color, count, element, short, stroke, swatch } from "./format.js";
import { withKey, place } from "./list.js";
import uPlot from "./vendor/uplot.js";

const HEIGHT = 280;
/** More curves than this are not drawn with bands. */
const MOST_BANDS = 16;

export class MetricChart {
  /**
   * `zoom(from, to)` is called when somebody has chosen a part of x, with nulls for all of it; `remove()` when the chart is not
   * wanted any more.
   */
  constructor(metric, { zoom, remove }) {
    this.metric = metric;
    this.zoom = zoom;
    this.window = null;
    this.plot = null;
    this.shape = "";
    this.curves = [];
    const title = element("h2", {}, metric);
    const close = element("button", { type: "button", "aria-label": `Remove the chart of ${metric}` }, "×");
    close.addEventListener("click", remove);
    this.area = element("div", { className: "plot", tabIndex: 0, role: "group",
      "aria-label": `Chart of ${metric}. Arrow keys move along it, plus and minus zoom, 0 shows all of it.` });
    this.empty = element("p", { className: "empty", hidden: true });
    this.body = element("tbody");
    this.at = element("th", { scope: "col", className: "number" }, "last");
    this.legend = element("div", { className: "legend" }, element("table", {},
      element("caption", { className: "hidden" }, `Values of ${metric}`),
      element("thead", {}, element("tr", {}, element("th", { scope: "col" }, "curve"), this.at,
        element("th", { scope: "col", className: "number" }, "band"),
        element("th", { scope: "col", className: "number" }, "lowest"),
        element("th", { scope: "col", className: "number" }, "highest"))),
      this.body));
    this.note = element("p", { className: "note" });
    this.node = element("article", { className: "card chart", "data-metric": metric },
      element("div", { className: "card-head" }, title, close), this.area, this.empty, this.legend, this.note);
    this.area.addEventListener("keydown", (event) => this.key(event));
    new ResizeObserver(() => this.resize()).observe(this.area);
  }

  /** Places that the chart has room for. */
  get buckets() {
    return Math.max(100, Math.min(1200, Math.round((this.area.clientWidth || 800) / 2)));
  }

  /** Shows what the server gave; `options` are the view's. */
  show(chart, options) {
    this.curves = chart.curves;
    this.options = options;
    this.window = options.from !== null && options.to !== null ? [options.from, options.to] : null;
    const hasData = chart.curves.some((curve) => curve.y.some((y) => y !== null));
    this.area.hidden = this.legend.hidden = !hasData;
    this.empty.hidden = hasData;
    this.say(chart);
    if (!hasData) {
      this.empty.textContent = this.reason(chart);
      return;
    }
    this.draw();
    this.values(null);
  }

  reason(chart) {
    if (chart.curves.some((curve) => curve.left_out.not_positive > 0)) return "Nothing is above zero, which a logarithmic axis needs.";
    if (chart.curves.length > 0) return "There is nothing in this part of x.";
    if (chart.missing.length > 0) return chart.missing[0][1];
    return "Choose runs in the list to see their curves.";
  }

  draw() {
    const { log_x, log_y, x } = this.options;
    const hasBands = this.curves.length <= MOST_BANDS;
    const shape = JSON.stringify([this.curves.map((curve) => [curve.key, place(withKey(curve.key) ?? {}), hasBands && curve.low.length > 0]),
      log_x, log_y, x, matchMedia("(prefers-color-scheme: dark)").matches]);
    const tables = [];
    const series = [{}];
    const bands = [];
    this.lines = [];
    for (const curve of this.curves) {
      const { color: ink, dash } = stroke(place(withKey(curve.key) ?? {}));
      const withBand = hasBands && curve.low.length > 0;
      tables.push(withBand ? [curve.x, curve.y, curve.low, curve.high] : [curve.x, curve.y]);
      this.lines.push(series.length);
      series.push({ stroke: ink, width: 1.8, dash, points: { show: curve.x.length < 60, size: 4 } });
      if (withBand) {
        bands.push({ series: [series.length + 1, series.length], fill: `${ink}2e` });
        series.push({ stroke: "transparent", width: 0, points: { show: false } }, { stroke: "transparent", width: 0, points: { show: false } });
      }
    }
    // What one curve lacks at another one's x is undefined, and drawn over; null stays a gap.
    const data = uPlot.join(tables);
    if (this.plot === null || shape !== this.shape) {
      this.plot?.destroy();
      this.plot = new uPlot(this.optionsOf(series, bands), data, this.area);
      this.shape = shape;
    } else {
      this.plot.setData(data);
    }
    this.area.dataset.points = String(data[0].length);
  }

  optionsOf(series, bands) {
    const { log_x, log_y } = this.options;
    const axis = { stroke: color("quiet"), grid: { stroke: color("grid"), width: 1 }, ticks: { stroke: color("grid"), width: 1 },
      font: "12px system-ui, 'DejaVu Sans', sans-serif" };
    const text = (plot, splits) => splits.map((value) => (value === null ? "" : short(value)));
    return {
      width: this.area.clientWidth || 600, height: HEIGHT, series, bands,
      legend: { show: false },
      cursor: { sync: { key: "x", setSeries: false }, drag: { x: true, y: false, setScale: false }, points: { size: 7 } },
      scales: {
        x: { time: false, distr: log_x ? 3 : 1, range: (plot, low, high) => this.window ?? whole(low, high) },
        y: { distr: log_y ? 3 : 1 },
      },
      axes: [{ ...axis, values: text, space: 70 }, { ...axis, values: text, size: 64 }],
      hooks: {
        setScale: [(plot, name) => name === "x" && this.noteRange(plot)],
        setSelect: [(plot) => this.select(plot)],
        setCursor: [(plot) => this.values(plot.cursor.idx ?? null)],
      },
    };
  }

  /** Takes a part of x that was drawn over with the pointer. */
  select(plot) {
    const { left, width } = plot.select;
    if (width < 4) return;
    const [from, to] = [plot.posToVal(left, "x"), plot.posToVal(left + width, "x")];
    plot.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
    this.zoom(from, to);
  }

  noteRange(plot) {
    const { min, max } = plot.scales.x;
    this.area.dataset.from = String(min);
    this.area.dataset.to = String(max);
  }

  /** What of x is seen. */
  get range() {
    const { min, max } = this.plot?.scales.x ?? {};
    return min === undefined || min === null ? null : [min, max];
  }

  resize() {
    const width = this.area.clientWidth;
    if (this.plot !== null && width > 0 && width !== this.plot.width) this.plot.setSize({ width, height: HEIGHT });
  }

  key(event) {
    const { plot } = this;
    if (plot === null || event.ctrlKey || event.altKey || event.metaKey) return;
    const steps = { ArrowLeft: -1, ArrowRight: 1, PageUp: -20, PageDown: 20, Home: -Infinity, End: Infinity };
    if (event.key in steps) this.walk(steps[event.key]);
    else if (event.key === "+" || event.key === "=") document.getElementById("zoom-in").click();
    else if (event.key === "-") document.getElementById("zoom-out").click();
    else if (event.key === "0" || event.key === "Escape") this.zoom(null, null);
    else return;
    event.preventDefault();
  }

  /** Moves the cursor over places that are seen. */
  walk(steps) {
    const { plot } = this;
    const [xs] = plot.data;
    const [min, max] = this.range;
    const first = xs.findIndex((x) => x >= min);
    const last = xs.findLastIndex((x) => x <= max);
    const now = plot.cursor.idx ?? (steps > 0 ? first - 1 : last + 1);
    const next = Math.max(first, Math.min(last, now + steps));
    plot.setCursor({ left: plot.valToPos(xs[next], "x"), top: plot.bbox.height / devicePixelRatio / 2 });
  }

  /** Writes the values at a place into the legend, or the last ones. */
  values(index) {
    const xs = this.plot?.data[0];
    const x = index !== null && xs ? xs[index] : null;
    this.at.textContent = x === null || x === undefined ? "last" : `at ${short(x)}`;
    const made = this.curves.map((curve) => {
      const item = withKey(curve.key);
      const at = x === null || x === undefined ? lastOf(curve) : nearest(curve.x, x);
      const has = at >= 0 && curve.y[at] !== null;
      const runs = curve.runs_at[at] ?? curve.runs;
      const isSeen = (index) => this.window === null || (curve.x[index] >= this.window[0] && curve.x[index] <= this.window[1]);
      const finite = curve.y.filter((y, index) => y !== null && isSeen(index));
      return element("tr", { "data-key": String(curve.key) },
        element("th", { scope: "row" }, swatch(place(item ?? {})), item?.id ?? String(curve.key),
          curve.runs > 1 && element("span", { className: "quiet" }, ` · mean of ${runs < curve.runs ? `${runs} of ` : ""}${curve.runs}`)),
        element("td", { className: "number value" }, has ? short(curve.y[at]) : "–"),
        element("td", { className: "number" }, has && curve.low.length > 0 ? `${short(curve.low[at])} … ${short(curve.high[at])}` : ""),
        element("td", { className: "number" }, short(finite.reduce((a, b) => Math.min(a, b), Infinity))),
        element("td", { className: "number" }, short(finite.reduce((a, b) => Math.max(a, b), -Infinity))));
    });
    this.body.replaceChildren(...made);
  }

  /** Says how much of the data is shown, and what is not. */
  say(chart) {
    const sum = (number) => chart.curves.reduce((sum, curve) => sum + number(curve), 0);
    const [rows, places] = [sum((curve) => curve.rows), sum((curve) => curve.x.length)];
    const parts = [];
    if (chart.curves.some((curve) => curve.is_sample)) parts.push(`A first look at ${count(rows, "row")}; the others are being read.`);
    else if (chart.curves.some((curve) => curve.is_thinned)) parts.push(`The extremes of ${count(rows, "row")} at ${count(places, "place")}.`);
    else if (rows > 0) parts.push(`All of ${count(rows, "row")}${chart.curves.some((curve) => curve.runs > 1) ? ", averaged over runs" : ""}.`);
    const left = (name) => sum((curve) => curve.left_out[name]);
    const strong = (text) => element("strong", {}, text);
    if (left("not_finite") > 0) parts.push(strong(`${count(left("not_finite"), "value is", "values are")} not finite: gaps.`));
    if (left("not_positive") > 0) parts.push(strong(`${count(left("not_positive"), "value is", "values are")} not above zero, which a logarithmic axis has no place for.`));
    if (left("repeated") > 0) parts.push(`${count(left("repeated"), "row")} came before others of the same x.`);
    if (left("broken") > 0) parts.push(strong(`${count(left("broken"), "line")} could not be read.`));
    if (chart.missing.length > 0 && chart.curves.length > 0) {
      parts.push(`${count(chart.missing.length, "chosen one has", "chosen ones have")} nothing to draw.`);
    }
    this.note.replaceChildren(...parts.flatMap((part) => [part, " "]));
  }
}

/** All of x; something around it where that is one place. */
function whole(low, high) {
  return low === high ? [low - 1, high + 1] : [low, high];
}

const lastOf = (curve) => curve.y.findLastIndex((y) => y !== null);

/** The index of the place that is nearest to x; −1 before the curve begins and behind its end. */
function nearest(xs, x) {
  if (xs.length === 0 || x < xs[0] || x > xs.at(-1)) return -1;
  let [low, high] = [0, xs.length - 1];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (xs[middle] < x) low = middle + 1;
    else high = middle;
  }
  return low > 0 && x - xs[low - 1] < xs[low] - x ? low - 1 : low;
}
