// Time travel: the episodes that the policies of checkpoints play with a seed, beside each other.

import { element, settled, whole } from "./format.js";
import { chosen, isLoaded, itemOf, onList, runsOf } from "./list.js";
import { Pane } from "./pane.js";
import { ask, post } from "./server.js";
import { change, onChange, view } from "./view.js";

/** Runs that are offered. */
const MOST_RUNS = 300;

const control = (id) => document.getElementById(id);
const panes = [];
let timer = null;
let asked = 0;

/** Runs with a policy among what is chosen, and those that the address names. */
function offered() {
  const runs = new Map();
  const named = [view.run, view.run2].map((id) => id && itemOf(id)).filter(Boolean);
  for (const item of [...named, ...chosen()]) {
    for (const run of runsOf(item)) if (run.has_policy && runs.size < MOST_RUNS) runs.set(run.id, run);
  }
  return [...runs.values()];
}

/** Makes the choices of a pane say what there is. */
async function offer(side) {
  const runs = offered();
  const runBox = control(`replay-run${side}`);
  const wanted = side === "" ? view.run : view.run2;
  const fits = runs.find((run) => run.id === wanted) ?? runsOf(itemOf(wanted) ?? { key: -1 }).find((run) => run.has_policy);
  const run = fits ?? runs[0];
  const text = JSON.stringify([runs.map(({ id }) => id), run?.id]);
  if (runBox.dataset.text !== text) {
    runBox.dataset.text = text;
    runBox.replaceChildren(...runs.map(({ id }) => element("option", { value: id, selected: id === run?.id }, id)));
  }
  control("replay-form").hidden = runs.length === 0;
  control("replay-empty").hidden = runs.length > 0;
  if (run) await offerCheckpoints(side, run);
}

async function offerCheckpoints(side, run) {
  const box = control(`checkpoint${side}`);
  const text = JSON.stringify([run.key, run.env_steps, view[`checkpoint${side}`]]);
  if (box.dataset.text === text) return;
  box.dataset.text = text;
  const detail = await ask("/api/run", { key: run.key }).catch(() => ({ checkpoints: [], has_best: false }));
  if (box.dataset.text !== text) return;
  const options = [["newest", "newest"]];
  if (detail.has_best) options.push(["best", "best"]);
  for (const step of detail.checkpoints.toReversed()) options.push([String(step), `after ${whole(step)} steps`]);
  const wanted = view[`checkpoint${side}`] ?? "newest";
  box.replaceChildren(...options.map(([value, label]) => element("option", { value, selected: value === wanted }, label)));
}

/** Has the server play what the form says. */
async function play() {
  stop();
  const isPair = control("replay-pair").checked;
  const sides = isPair ? ["", "2"] : [""];
  const numbers = { seed: Number(control("seed").value), max_steps: Number(control("max-steps").value), stochastic: control("stochastic").checked };
  const names = sides.map((side) => [control(`replay-run${side}`).value, control(`checkpoint${side}`).value]);
  change({ run: names[0][0], checkpoint: names[0][1], run2: names[1]?.[0] ?? null, checkpoint2: names[1]?.[1] ?? null,
    seed: numbers.seed, stochastic: numbers.stochastic }, { isStep: true });
  asked += 1;
  const mine = asked;
  say("playing …");
  control("replay-play").disabled = true;
  const made = [];
  try {
    for (const [index, [id, checkpoint]] of names.entries()) {
      const run = itemOf(id);
      const replay = await post("/api/replays", { key: run.key, checkpoint, ...numbers });
      if (mine !== asked) return;
      made.push(new Pane(replay, { id, checkpoint, place: index, seek }));
    }
  } catch (error) {
    say(error.message, true);
    return;
  } finally {
    control("replay-play").disabled = false;
  }
  panes.splice(0, panes.length, ...made);
  control("replay-panes").replaceChildren(...panes.map((pane) => pane.node));
  panes.forEach((pane) => pane.begin());
  const frames = Math.max(...panes.map((pane) => pane.replay.frames));
  control("frame").max = String(frames - 1);
  control("replay-player").hidden = false;
  say(panes.map((pane) => pane.summary()).join(" "));
  seek(Math.min(view.frame ?? 0, frames - 1));
}

function say(text, isError = false) {
  const note = control("replay-note");
  note.textContent = text;
  note.classList.toggle("failed-text", isError);
}

/** Shows a frame of all panes. One whose episode is over stays at its end. */
function seek(frame) {
  const slider = control("frame");
  const last = Number(slider.max);
  const at = Math.max(0, Math.min(last, frame));
  slider.value = String(at);
  slider.setAttribute("aria-valuetext", at === 0 ? "before the first step" : `after step ${at} of ${last}`);
  control("frame-text").textContent = `step ${at} of ${last}`;
  panes.forEach((pane) => pane.show(at));
  noted(at);
}

/** Keeps the frame in the address, once it has been looked at for a moment. */
const noted = settled((frame) => timer === null && change({ frame }), 300);

function stop() {
  clearInterval(timer);
  timer = null;
  control("run-film").textContent = "Play";
  if (panes.length > 0) noted(Number(control("frame").value));
}

function toggle() {
  if (timer !== null) return stop();
  const last = Number(control("frame").max);
  if (Number(control("frame").value) >= last) seek(0);
  control("run-film").textContent = "Pause";
  const step = () => {
    const now = Number(control("frame").value);
    if (now >= last) return stop();
    // A picture that has not come yet is waited for.
    if (panes.every((pane) => pane.isReady(now + 1))) seek(now + 1);
  };
  timer = setInterval(step, 1000 / Number(control("speed").value));
}

function show() {
  if (view.view !== "replay" || !isLoaded()) return;
  control("replay-second").hidden = !control("replay-pair").checked;
  void offer("");
  void offer("2");
}

/** Makes the controls of the view do what they say. */
export function begin() {
  control("seed").value = String(view.seed ?? 0);
  control("stochastic").checked = Boolean(view.stochastic);
  control("replay-pair").checked = view.run2 !== null && view.run2 !== undefined;
  control("replay-form").addEventListener("submit", (event) => {
    event.preventDefault();
    void play();
  });
  control("replay-pair").addEventListener("change", show);
  for (const side of ["", "2"]) {
    control(`replay-run${side}`).addEventListener("change", (event) => change({ [`run${side}`]: event.target.value, [`checkpoint${side}`]: null }));
    control(`checkpoint${side}`).addEventListener("change", (event) => change({ [`checkpoint${side}`]: event.target.value }));
  }
  control("frame").addEventListener("input", (event) => {
    stop();
    seek(Number(event.target.value));
  });
  control("run-film").addEventListener("click", toggle);
  control("frame-back").addEventListener("click", () => { stop(); seek(Number(control("frame").value) - 1); });
  control("frame-on").addEventListener("click", () => { stop(); seek(Number(control("frame").value) + 1); });
  control("speed").addEventListener("change", () => {
    if (timer !== null) {
      stop();
      toggle();
    }
  });
  onChange((changed) => {
    if (changed.has("view") && view.view !== "replay") stop();
    if (["view", "run", "run2", "show", "checkpoint", "checkpoint2"].some((name) => changed.has(name))) show();
  });
  onList(() => show());
}
