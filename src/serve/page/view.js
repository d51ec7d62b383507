// What the page looks at, kept in its address: a link shows the same again.

const DEFAULTS = {
  view: "curves",
  show: null, // ids of what is chosen; null for the newest
  metric: ["charts/episodic_return"],
  x: "steps",
  smooth: 1,
  band: "ci",
  log_x: false,
  log_y: false,
  from: null,
  to: null,
  run: null, // the id that details and replays are of
  checkpoint: null,
  run2: null, // what it is compared with
  checkpoint2: null,
  seed: 0,
  stochastic: false,
  frame: 0,
  q: "",
  order: "changed",
  open: [],
};

const LISTS = new Set(["show", "metric", "open"]);
const NUMBERS = new Set(["smooth", "from", "to", "seed", "frame"]);
const FLAGS = new Set(["log_x", "log_y", "stochastic"]);

export const view = { ...DEFAULTS, ...parsed() };
const listeners = [];

/** Has a function called with the names of what has changed. */
export function onChange(listener) {
  listeners.push(listener);
}

/** Looks at something else. What is done by hand makes a step that the browser goes back over. */
export function change(patch, { isStep = false } = {}) {
  const changed = Object.keys(patch).filter((name) => JSON.stringify(view[name]) !== JSON.stringify(patch[name]));
  if (changed.length === 0) return;
  Object.assign(view, patch);
  history[isStep ? "pushState" : "replaceState"](null, "", hash(view) || location.pathname);
  tell(changed);
}

/** The address of the same page with something else. */
export const link = (patch) => hash({ ...view, ...patch }) || "#";

function tell(changed) {
  for (const listener of listeners) listener(new Set(changed));
}

function parsed() {
  const found = {};
  const parameters = new URLSearchParams(location.hash.slice(1));
  for (const [name, text] of parameters) {
    if (LISTS.has(name)) found[name] = text === "" ? [] : text.split(",").map(decodeURIComponent);
    else if (NUMBERS.has(name)) found[name] = Number.isFinite(Number(text)) ? Number(text) : DEFAULTS[name] ?? null;
    else if (FLAGS.has(name)) found[name] = text === "1";
    else found[name] = text;
  }
  return found;
}

const escaped = (text) => text.replaceAll("%", "%25").replaceAll(",", "%2C");

function hash(of) {
  const parts = [];
  for (const [name, value] of Object.entries(of)) {
    if (JSON.stringify(value) === JSON.stringify(DEFAULTS[name] ?? null)) continue;
    let text = encodeURIComponent(String(value));
    if (LISTS.has(name)) text = encodeURIComponent((value ?? []).map(escaped).join(","));
    else if (FLAGS.has(name)) text = value ? "1" : "0";
    parts.push(`${name}=${text.replaceAll("%2F", "/").replaceAll("%2C", ",")}`);
  }
  return parts.length > 0 ? `#${parts.join("&")}` : "";
}

/** Takes on what another address says. */
function follow() {
  const next = { ...DEFAULTS, ...parsed() };
  const names = new Set([...Object.keys(view), ...Object.keys(next)]);
  const changed = [...names].filter((name) => JSON.stringify(view[name]) !== JSON.stringify(next[name] ?? null));
  for (const name of names) view[name] = next[name] ?? DEFAULTS[name] ?? null;
  if (changed.length > 0) tell(changed);
}
addEventListener("hashchange", follow);
addEventListener("popstate", follow);
