// One run: how it stands, its settings, and the last lines of its files.

import { count, duration, element, short, whole } from "./format.js";
import { chosen, inside, itemOf, onList } from "./list.js";
import { ask } from "./server.js";
import { change, link, onChange, view } from "./view.js";

const section = () => document.getElementById("view-details");
let asked = 0;

/** What is looked at: what the address names, else the first that is chosen. */
export const subject = () => (view.run === null ? chosen()[0] : itemOf(view.run));

async function draw() {
  if (view.view !== "details") return;
  const item = subject();
  if (!item) {
    section().replaceChildren(element("p", { className: "empty" }, "Choose a run in the list to see its settings and last lines."));
    return;
  }
  asked += 1;
  const mine = asked;
  let detail;
  try {
    detail = await ask("/api/run", { key: item.key });
  } catch (error) {
    detail = { config: [], checkpoints: [], logs: [], error: error.message };
  }
  if (mine !== asked || view.view !== "details") return;
  section().replaceChildren(standing(item, detail), ...logs(detail), ...groupOf(item), ...settings(detail));
}

function standing(item, detail) {
  const cell = (name, value) => element("tr", {}, element("th", { scope: "row" }, name), element("td", {}, value));
  const rows = [
    cell("state", element("span", { className: `state ${item.state}` }, item.state)),
    item.reason && cell("reason", element("span", { className: "failed-text" }, item.reason)),
    cell("environment steps", `${whole(item.env_steps)} of ${whole(item.total_timesteps)}`),
    cell("mean return of the last 100 episodes", short(item.score)),
    item.evaluation !== null && cell("last evaluation", short(item.evaluation)),
    cell("work", duration(item.seconds)),
    cell("steps a second", short(item.steps_per_second)),
    detail.checkpoints.length > 0 && cell("checkpoints after", detail.checkpoints.toReversed().map(whole).join(", ")),
    detail.error && cell("error", element("span", { className: "failed-text" }, detail.error)),
  ];
  return element("article", { className: "card" },
    element("div", { className: "card-head" }, element("h2", {}, item.id),
      element("a", { href: link({ view: "curves", show: [item.id] }) }, "curves")),
    element("p", { className: "quiet small" }, [item.algorithm.toUpperCase(), item.env].filter(Boolean).join(" in ")),
    element("table", { className: "settings" }, element("caption", { className: "hidden" }, "How it stands"), element("tbody", {}, ...rows.filter(Boolean))));
}

function logs(detail) {
  return detail.logs.filter((log) => log.rows.length > 0).map((log) => {
    const head = element("tr", {}, ...log.columns.map((name) => element("th", { scope: "col" }, name.split("/").at(-1))));
    const rows = log.rows.map((row) => element("tr", {}, ...row.map((text) => element("td", {}, brief(text)))));
    return element("article", { className: "card", "data-file": log.file }, element("h3", {}, `Last lines of ${log.file}`),
      element("div", { className: "scroll", tabIndex: 0, role: "region", "aria-label": `Last lines of ${log.file}` },
        element("table", { className: "rows" }, element("thead", {}, head), element("tbody", {}, ...rows))));
  });
}

/** A number as it was written, cut to six digits. */
function brief(text) {
  const number = Number(text);
  return text !== "" && Number.isFinite(number) && text.length > 9 ? String(Number(number.toPrecision(6))) : text;
}

function groupOf(item) {
  const inner = inside(item);
  if (inner.length === 0) return [];
  const rows = inner.map((one) => element("tr", {},
    element("th", { scope: "row" }, element("a", { href: link({ run: one.id }) }, one.name)),
    element("td", {}, one.state), element("td", { className: "number" }, short(one.score)), element("td", { className: "number" }, short(one.evaluation)),
    element("td", { className: "number" }, short(one.steps_per_second))));
  const head = ["", "state", "score", "evaluation", "steps/s"].map((name) => element("th", { scope: "col" }, name));
  return [element("article", { className: "card" }, element("h3", {}, count(inner.length, "part")),
    element("div", { className: "scroll" }, element("table", { className: "rows" }, element("thead", {}, element("tr", {}, ...head)), element("tbody", {}, ...rows))))];
}

function settings(detail) {
  if (detail.config.length === 0) return [];
  const rows = detail.config.map(([key, value]) => element("tr", {}, element("th", { scope: "row" }, key), element("td", {}, value)));
  return [element("article", { className: "card" }, element("h3", {}, "Settings"),
    element("table", { className: "settings" }, element("tbody", {}, ...rows)))];
}

/** Draws the details when they are looked at. */
export function begin() {
  onChange((changed) => {
    if (["view", "run", "show"].some((name) => changed.has(name))) void draw();
  });
  onList((items) => {
    const key = subject()?.key;
    if (items.some((item) => item.key === key)) void draw();
  });
  document.getElementById("tab-details").addEventListener("click", () => change({ run: view.run ?? subject()?.id ?? null }));
}
