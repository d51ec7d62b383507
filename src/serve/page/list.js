// The list of runs, experiments, sweeps and suites, and which of them are chosen.

import { count, element, short, swatch } from "./format.js";
import { ask } from "./server.js";
import { change, onChange, view } from "./view.js";

/** How many are chosen where nobody has chosen. */
const NEWEST = 6;
/** How many can be chosen. */
const MOST = 64;
/** Rows that are drawn; a filter finds the others. */
const MOST_ROWS = 3000;

const items = new Map(); // by key
const byId = new Map();
const rows = new Map(); // by key: the row, and the text it was made of
const state = { revision: 0, metrics: [], loaded: false, places: new Map() };
const listeners = [];
let order = [];

/** Has a function called when the list has changed, with the changed items. */
export const onList = (listener) => listeners.push(listener);
export const metrics = () => state.metrics;
export const isLoaded = () => state.loaded;
export const itemOf = (id) => byId.get(id);
export const withKey = (key) => items.get(key);
/** What is directly in a group. */
export const inside = (item) => order.filter((other) => other.parent === item.key);

/** The runs in something: itself if it is one. */
export function runsOf(item) {
  return item.kind === "run" ? [item] : inside(item).flatMap(runsOf);
}

/** Asks for what has changed, if anything has. */
export async function refresh({ server, revision } = {}) {
  if (server === state.server && revision === state.revision) return;
  let list = await ask("/api/list", { since: state.revision });
  if (state.server !== undefined && list.server !== state.server) {
    // Another server counts and names anew.
    items.clear();
    list = await ask("/api/list");
  }
  for (const key of list.removed) items.delete(key);
  for (const item of list.items) items.set(item.key, item);
  byId.clear();
  for (const item of items.values()) byId.set(item.id, item);
  Object.assign(state, { server: list.server, revision: list.revision, metrics: list.metrics, loaded: true, hasSeveral: list.directories.length > 1 });
  document.getElementById("directories").textContent = list.directories.join(", ");
  order = sorted();
  // Curves are asked for before the rows are drawn: the server works meanwhile.
  settle();
  for (const listener of listeners) listener(list.items);
  draw();
}

/** What is chosen, in the order of the choice. */
export function chosen() {
  if (view.show !== null) return view.show.map((id) => byId.get(id)).filter(Boolean);
  const newest = [...items.values()].filter((item) => hasCurve(item) && !isInGroup(item));
  newest.sort((a, b) => b.changed - a.changed || a.id.localeCompare(b.id));
  return newest.slice(0, NEWEST);
}

/** Where in the row of colours something is. What is chosen keeps its colour while others come and go. */
export function place(item) {
  return state.places.get(item.id) ?? 0;
}

function settle() {
  const now = chosen();
  const ids = new Set(now.map((item) => item.id));
  for (const id of state.places.keys()) if (!ids.has(id)) state.places.delete(id);
  for (const { id } of now) {
    if (state.places.has(id)) continue;
    const taken = new Set(state.places.values());
    let free = 0;
    while (taken.has(free)) free += 1;
    state.places.set(id, free);
  }
  return ids;
}

/** Whether there is one curve of something: the mean over trials of other settings would say nothing. */
const hasCurve = (item) => item.kind !== "suite" && item.kind !== "sweep";

/** Whether something is part of an experiment or a sweep: shown once that is opened. */
function isInGroup(item) {
  const parent = items.get(item.parent);
  return parent !== undefined && parent.kind !== "suite";
}

function sorted() {
  const by = {
    changed: (a, b) => b.changed - a.changed,
    score: (a, b) => (b.evaluation ?? b.score ?? -Infinity) - (a.evaluation ?? a.score ?? -Infinity),
    name: () => 0,
    speed: (a, b) => (b.steps_per_second ?? -1) - (a.steps_per_second ?? -1),
  }[view.order] ?? (() => 0);
  const collator = new Intl.Collator("en", { numeric: true });
  return [...items.values()].sort((a, b) => by(a, b) || collator.compare(a.id, b.id));
}

/** Whether all words of the filter are somewhere in an item. */
function fits(item) {
  const text = [item.id, item.env, item.algorithm, item.state, item.kind,
    ...Object.entries(item.differs).map(([key, value]) => `${key}=${value}`)].join(" ").toLowerCase();
  return view.q.toLowerCase().split(/\s+/).every((word) => text.includes(word));
}

/** The rows in their order, with how deep they are. */
function listed() {
  const children = new Map();
  for (const item of order) {
    const parent = items.has(item.parent) ? item.parent : null;
    if (!children.has(parent)) children.set(parent, []);
    children.get(parent).push(item);
  }
  const found = [];
  const isFiltered = view.q.trim() !== "";
  const add = (item, depth) => {
    const inner = children.get(item.key) ?? [];
    const at = found.length;
    const isOpen = view.open.includes(item.id) || (item.kind === "suite" && !view.open.includes(`-${item.id}`));
    found.push({ item, depth, isOpen, hasInner: inner.length > 0 });
    if (isOpen || isFiltered) for (const one of inner) add(one, depth + 1);
    // With a filter what fits is shown, and the groups that it is in.
    if (isFiltered && found.length === at + 1 && !fits(item)) found.pop();
  };
  for (const item of children.get(null) ?? []) add(item, 0);
  return found;
}

function draw() {
  const ids = settle();
  const all = listed();
  const shown = all.slice(0, MOST_ROWS);
  const body = document.querySelector("#list tbody");
  const wanted = [];
  const keys = new Set();
  for (const entry of shown) {
    const { item } = entry;
    keys.add(item.key);
    const isChosen = ids.has(item.id);
    const text = JSON.stringify([item, entry.depth, entry.isOpen, entry.hasInner, isChosen, place(item)]);
    let row = rows.get(item.key);
    if (row?.text !== text) {
      row = { text, node: rowOf(entry, isChosen, row?.node) };
      rows.set(item.key, row);
    }
    wanted.push(row.node);
  }
  for (const key of rows.keys()) if (!keys.has(key)) rows.delete(key);
  const focused = document.activeElement;
  arrange(body, wanted);
  // What was moved has lost the focus.
  if (body.contains(focused)) focused.focus({ preventScroll: true });
  note(all, ids);
}

/** Has exactly these children, moving only what is elsewhere: what has the focus keeps it. */
function arrange(body, wanted) {
  let at = body.firstChild;
  for (const node of wanted) {
    if (node === at) at = at.nextSibling;
    else body.insertBefore(node, at);
  }
  while (at) {
    const next = at.nextSibling;
    at.remove();
    at = next;
  }
}

function note(all, ids) {
  const number = ids.size === 0 ? "none" : String(ids.size);
  const total = [...items.values()].filter((item) => item.kind === "run").length;
  document.getElementById("chosen").textContent = `${number} chosen · ${count(total, "run")}`;
  document.getElementById("choose-newest").setAttribute("aria-pressed", String(view.show === null));
  const empty = document.getElementById("list-empty");
  document.getElementById("list").hidden = all.length === 0;
  empty.hidden = all.length > 0 && all.length <= MOST_ROWS;
  if (all.length > MOST_ROWS) {
    empty.textContent = `${count(all.length - MOST_ROWS, "more row")}: a filter finds them.`;
  } else if (items.size === 0) {
    const example = element("code", {}, "agon train ppo CartPole-v1");
    empty.replaceChildren("There are no runs here yet. ", example, " begins one, which appears by itself.");
  } else {
    empty.textContent = "Nothing fits the filter.";
  }
}

function rowOf({ item, depth, isOpen, hasInner }, isChosen, before) {
  const box = element("input", {
    type: "checkbox", checked: isChosen, "aria-label": `Show ${item.id}`, "data-key": String(item.key),
  });
  box.addEventListener("change", () => choose(item, box.checked));
  const expand = hasInner && element("button", {
    type: "button", className: "expand", "aria-expanded": String(isOpen), "aria-label": `What is in ${item.name}`,
  }, isOpen ? "▾" : "▸");
  if (expand) expand.addEventListener("click", () => toggle(item, isOpen));
  const label = depth > 0 || !state.hasSeveral ? item.id.split("/").slice(depth > 0 ? -1 : 1).join("/") : item.id;
  const name = element("div", { className: "name" }, expand, isChosen && swatch(place(item)),
    labelOf(item, label));
  const chips = Object.entries(item.differs).map(([key, value]) =>
    element("span", { className: "chip", title: key }, `${key.split(".").at(-1)}=${value}`));
  const cells = [
    element("td", {}, hasCurve(item) ? box : null),
    element("td", {}, name, element("div", { className: "meta" }, ...meta(item)),
      chips.length > 0 && element("div", { className: "chips" }, ...chips)),
    element("td", { className: "number", title: "mean return of the last evaluation, or of the last 100 episodes" },
      short(item.evaluation ?? item.score)),
    element("td", { className: "number" }, short(item.steps_per_second)),
  ];
  const row = before ?? element("tr");
  const focused = row.contains(document.activeElement) ? selector(document.activeElement) : null;
  row.className = `depth${Math.min(depth, 3)}${isChosen ? " chosen" : ""}`;
  row.dataset.id = item.id;
  row.replaceChildren(...cells);
  if (focused) row.querySelector(focused)?.focus();
  return row;
}

function labelOf(item, label) {
  const patch = { view: "details", run: item.id };
  const made = element("a", { className: "label", href: `#view=details&run=${encodeURIComponent(item.id)}`, title: item.id }, label || item.id);
  made.addEventListener("click", (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    // The rest of the view stays.
    event.preventDefault();
    change(patch, { isStep: true });
  });
  return made;
}

const selector = (node) => (node.classList.length > 0 ? `${node.tagName}.${node.classList[0]}` : node.tagName);

function meta(item) {
  const kinds = { experiment: `${count(item.runs, "seed")}`, sweep: "sweep", suite: "suite", record: "recorded" };
  const share = item.total_timesteps > 0 ? item.env_steps / item.total_timesteps : 0;
  const parts = [
    [item.algorithm.toUpperCase(), item.env].filter(Boolean).join(" "),
    kinds[item.kind],
    item.kind !== "record" && item.state !== "finished" && item.runs > 0 && `${Math.min(100, Math.floor(100 * share))} %`,
    item.kind !== "run" && item.runs > 1 && item.finished < item.runs && `${item.finished} of ${item.runs} finished`,
    item.reason,
  ].filter(Boolean);
  const word = item.kind === "record" ? [] : [element("span", { className: `state ${item.state}` }, item.state), " · "];
  return [...word, parts.join(" · ")];
}

function choose(item, isChosen) {
  const ids = chosen().map((one) => one.id).filter((id) => id !== item.id);
  if (isChosen) ids.push(item.id);
  change({ show: ids.slice(-MOST) }, { isStep: true });
}

function toggle(item, isOpen) {
  // A suite is open unless it was closed.
  const name = item.kind === "suite" ? `-${item.id}` : item.id;
  const isIn = item.kind === "suite" ? isOpen : !isOpen;
  const others = view.open.filter((id) => id !== name);
  change({ open: isIn ? [...others, name] : others });
}

/** Makes the controls of the list do what they say. */
export function begin() {
  const filter = document.getElementById("filter");
  const orderBox = document.getElementById("order");
  filter.addEventListener("input", () => change({ q: filter.value }));
  orderBox.addEventListener("change", () => change({ order: orderBox.value }));
  document.getElementById("choose-newest").addEventListener("click", () => change({ show: null }, { isStep: true }));
  document.getElementById("choose-shown").addEventListener("click", () => {
    // Of a group and what is in it, the group.
    const ids = listed().filter(({ item, depth }) => hasCurve(item) && (depth === 0 || !isInGroup(item) || items.get(item.parent).kind === "sweep")).map(({ item }) => item.id);
    change({ show: ids.slice(0, MOST) }, { isStep: true });
  });
  const put = () => {
    if (document.activeElement !== filter) filter.value = view.q;
    orderBox.value = view.order;
  };
  put();
  onChange((changed) => {
    put();
    if (!state.loaded) return;
    if (changed.has("order")) order = sorted();
    if (["show", "q", "order", "open"].some((name) => changed.has(name))) draw();
  });
}
