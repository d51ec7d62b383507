// The page: its views, the stream of what has changed, and how the machine is.

import * as charts from "./charts.js";
import * as compare from "./compare.js";
import * as details from "./details.js";
import { bytes } from "./format.js";
import * as list from "./list.js";
import * as replay from "./replay.js";
import { listen } from "./server.js";
import * as sweep from "./sweep.js";
import { link, onChange, view } from "./view.js";

const VIEWS = ["curves", "compare", "sweep", "replay", "details"];

function show() {
  for (const name of VIEWS) {
    document.getElementById(`view-${name}`).hidden = view.view !== name;
    const tab = document.getElementById(`tab-${name}`);
    tab.href = link({ view: name });
    if (view.view === name) tab.setAttribute("aria-current", "page");
    else tab.removeAttribute("aria-current");
  }
}

function told(state) {
  const place = document.getElementById("connection");
  const text = { live: "live", lost: "no answer, trying again" }[state];
  if (place.textContent !== text) place.textContent = text;
  place.className = `connection ${state}`;
}

function loaded({ processors, cores, memory_used: used, memory_total: total, load_average: average }) {
  const text = `${Math.round(100 * processors)} % of ${cores} cores · load ${average.toFixed(1)} · ${bytes(used)} of ${bytes(total)}`;
  document.getElementById("load").textContent = text;
}

async function refresh(pulse) {
  try {
    await list.refresh(pulse);
  } catch {
    told("lost");
  }
}

if (!VIEWS.includes(view.view)) view.view = "curves";
list.begin();
charts.begin();
compare.begin();
sweep.begin();
details.begin();
replay.begin();
onChange(show);
show();
void refresh();
listen({
  pulse: (pulse) => {
    loaded(pulse.load);
    void refresh(pulse);
  },
  state: told,
});
