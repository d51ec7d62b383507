// One episode: its picture, and what its policy saw, expected and did at each step.

import { color, count, element, short, stroke, whole } from "./format.js";
import uPlot from "./vendor/uplot.js";

/** Pictures that are asked for ahead. */
const AHEAD = 24;
const HEIGHT = 130;

export class Pane {
  constructor(replay, { id, checkpoint, place, seek }) {
    Object.assign(this, { replay, id, checkpoint, place, seek, at: 0 });
    this.pictures = new Map();
    this.returns = [0];
    for (const reward of replay.rewards) this.returns.push(this.returns.at(-1) + reward);
    this.image = element("img", { className: "film", width: replay.width, height: replay.height, alt: "" });
    if (replay.width < 200) this.image.classList.add("pixels");
    this.facts = element("tbody");
    this.outputs = element("div", { className: "outputs" });
    this.observation = element("tbody");
    this.area = element("div", { className: "plot" });
    const name = element("h3", {}, id);
    const seen = element("details", { className: "seen", open: replay.meanings.length > 0 },
      element("summary", {}, `Observation: ${replay.observation_space}`),
      element("table", { className: "settings" }, element("caption", { className: "hidden" }, "What the policy saw before this step"), this.observation));
    this.node = element("article", { className: "card pane", "data-id": String(replay.id), "aria-label": `Episode of ${id}` },
      element("div", { className: "card-head" }, name),
      element("p", { className: "note" }, `${checkpoint === "newest" || checkpoint === "best" ? `${checkpoint}, ` : ""}after ${whole(replay.env_steps)} steps of training · seed ${replay.seed} · ${replay.stochastic ? "actions drawn" : "best actions"}`),
      element("div", { className: "screen" }, this.image),
      element("table", { className: "settings facts" }, element("caption", { className: "hidden" }, "This step"), this.facts),
      this.outputs, this.area, seen,
      replay.agents > 1 && element("p", { className: "note" }, `Numbers are those of the first of ${count(replay.agents, "agent")}.`));
  }

  /** Draws what needs a size on the page. */
  begin() {
    const { replay } = this;
    const steps = replay.rewards.map((_, index) => index);
    const hasValues = replay.values.some((value) => value !== null);
    const axis = { stroke: color("quiet"), grid: { stroke: color("grid"), width: 1 }, ticks: { show: false }, font: "11px system-ui, 'DejaVu Sans', sans-serif" };
    const text = (plot, splits) => splits.map((value) => short(value));
    const series = [{}, { label: "reward", stroke: color("quiet"), width: 1 }];
    const data = [steps, replay.rewards];
    if (hasValues) {
      series.push({ label: "value", stroke: stroke(this.place).color, width: 1.8, scale: "value" });
      data.push(replay.values);
    }
    const axes = [{ ...axis, values: text, size: 26 }, { ...axis, values: text, size: 46, label: "reward", labelSize: 18, labelFont: axis.font }];
    if (hasValues) axes.push({ ...axis, values: text, size: 46, side: 1, scale: "value", grid: { show: false }, label: "value", labelSize: 18, labelFont: axis.font });
    const hooks = { drawClear: [], draw: [(plot) => this.mark(plot)] };
    this.plot = new uPlot({ width: this.area.clientWidth || 300, height: HEIGHT, series, axes, hooks, legend: { show: false },
      cursor: { drag: { x: false, y: false } }, scales: { x: { time: false } } }, data, this.area);
    this.area.addEventListener("click", () => {
      if (this.plot.cursor.idx !== null && this.plot.cursor.idx !== undefined) this.seek(this.plot.cursor.idx + 1);
    });
    new ResizeObserver(() => {
      if (this.area.clientWidth > 0 && this.area.clientWidth !== this.plot.width) this.plot.setSize({ width: this.area.clientWidth, height: HEIGHT });
    }).observe(this.area);
  }

  /** A line where the film is. */
  mark(plot) {
    const x = Math.round(plot.valToPos(Math.max(0, this.at - 1), "x", true));
    const { ctx, bbox } = plot;
    ctx.save();
    ctx.strokeStyle = color("ink");
    ctx.lineWidth = devicePixelRatio;
    ctx.beginPath();
    ctx.moveTo(x, bbox.top);
    ctx.lineTo(x, bbox.top + bbox.height);
    ctx.stroke();
    ctx.restore();
  }

  picture(frame) {
    const number = Math.min(frame, this.replay.frames - 1);
    if (!this.pictures.has(number)) {
      const image = new Image();
      image.src = `/api/replays/${this.replay.id}/${number}`;
      this.pictures.set(number, image);
    }
    return this.pictures.get(number);
  }

  /** Whether a picture has come. */
  isReady(frame) {
    return this.picture(frame).complete;
  }

  /** Shows the picture after a number of steps, and the decision that is taken there. */
  show(frame) {
    const { replay } = this;
    this.at = Math.min(frame, replay.frames - 1);
    this.image.src = this.picture(this.at).src;
    this.image.alt = `${this.id}, picture ${this.at + 1} of ${replay.frames}`;
    this.image.dataset.frame = String(this.at);
    for (let next = this.at + 1; next <= Math.min(this.at + AHEAD, replay.frames - 1); next += 1) this.picture(next);
    for (const number of this.pictures.keys()) if (Math.abs(number - this.at) > 4 * AHEAD) this.pictures.delete(number);
    // After the last step there is no decision: what is told stays that of the last one.
    const step = Math.min(this.at, replay.rewards.length - 1);
    const cell = (name, value) => element("tr", {}, element("th", { scope: "row" }, name), element("td", { className: "number" }, value));
    this.facts.replaceChildren(...[
      cell("reward so far", short(this.returns[this.at])),
      cell("action", replay.actions[step]?.map((number) => (replay.options.length > 0 ? String(number) : short(number))).join(", ") ?? "–"),
      cell("reward of it", short(replay.rewards[step])),
      cell("value", replay.values[step] === null || replay.values[step] === undefined ? "this algorithm has none" : short(replay.values[step])),
      this.at === replay.frames - 1 && cell("end", replay.end),
    ].filter(Boolean));
    this.tellOutputs(step);
    this.tellObservation(step);
    this.plot?.redraw(false);
  }

  tellOutputs(step) {
    const { outputs_are: kind, outputs, actions, options } = this.replay;
    const numbers = outputs[step] ?? [];
    if (kind === "none" || numbers.length === 0 || numbers.length > 64) {
      this.outputs.replaceChildren();
      return;
    }
    if (kind === "mean_and_deviation") {
      const half = numbers.length / 2;
      const rows = Array.from({ length: half }, (_, i) => element("tr", {}, element("th", { scope: "row" }, `action ${i}`),
        element("td", { className: "number" }, `${short(numbers[i])} ± ${short(numbers[half + i])}`)));
      this.outputs.replaceChildren(element("table", { className: "settings" }, element("caption", {}, "Mean and deviation"), element("tbody", {}, ...rows)));
      return;
    }
    const isShare = kind === "probabilities";
    const [low, high] = isShare ? [0, 1] : [Math.min(...numbers, 0), Math.max(...numbers)];
    const chosen = new Set();
    let from = 0;
    for (const [index, size] of options.entries()) {
      chosen.add(from + actions[step][index]);
      from += size;
    }
    const label = (index) => {
      let [choice, option] = [0, index];
      while (option >= options[choice]) option -= options[choice++];
      return options.length > 1 ? `${choice}: ${option}` : `action ${option}`;
    };
    const rows = numbers.map((number, index) => element("tr", { className: chosen.has(index) ? "taken" : "" },
      element("th", { scope: "row" }, label(index), chosen.has(index) && element("span", { className: "hidden" }, " (taken)")),
      element("td", {}, element("meter", { min: low, max: high > low ? high : low + 1, value: number, "aria-hidden": "true" })),
      element("td", { className: "number" }, isShare ? number.toFixed(3) : short(number))));
    this.outputs.replaceChildren(element("table", { className: "settings" },
      element("caption", {}, isShare ? "Probability of each action" : "Value of each action"), element("tbody", {}, ...rows)));
  }

  tellObservation(step) {
    const { meanings, observations } = this.replay;
    const numbers = observations[step] ?? [];
    const rows = numbers.map((number, index) => element("tr", {},
      element("th", { scope: "row" }, meanings[index] ?? String(index)), element("td", { className: "number" }, short(number))));
    this.observation.replaceChildren(...rows);
  }

  /** How it went, in a sentence. */
  summary() {
    const { replay } = this;
    const ends = { terminated: "the episode ended", truncated: "the time limit ended it" };
    return `${this.id}: ${count(replay.rewards.length, "step")}, return ${short(this.returns.at(-1))}, ${ends[replay.end] ?? replay.end}.`;
  }
}
