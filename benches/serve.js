// How fast the page of `agon serve` is with 1,000 runs of 100,000 rows: until it can be used, and when it is used.
//
//   (cd tests/browser && npm ci) && node benches/serve.js target/release/agon [--out results/bench/serve.json]
//
// The runs are written first, to $TMPDIR, where they are removed again. So that they fit on a disk, ten runs each share their
// files, which the server does not know: it reads each of them. Files are in the page cache when they are read, as those of
// runs that were just trained are. A figure is the median of five fresh servers and
// pages; the browser's clock starts with the navigation, the server's with its process.

import { spawn } from "node:child_process";
import { linkSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";

const require = createRequire(new URL("../tests/browser/package.json", import.meta.url));
const { chromium } = require("playwright-core");

const [RUNS, ROWS, REPEATS] = [1000, 100_000, 5];
const program = process.argv[2] ?? "target/release/agon";
const out = process.argv.includes("--out") ? process.argv[process.argv.indexOf("--out") + 1] : null;

/** Writes runs alone, and experiments of ten seeds. */
function write(directory) {
  let timing = "iteration,global_step,seconds,steps_per_second\n";
  for (let row = 1; row <= ROWS; row += 1) timing += `${row},${row * 128},${(row / 50).toFixed(6)},6400.0\n`;
  writeFileSync(join(directory, "timing.csv"), timing);
  for (let number = 0; number < RUNS / 10; number += 1) {
    let metrics = "iteration,global_step,updates,episodes,charts/episodic_return,losses/value_loss\n";
    for (let row = 1; row <= ROWS; row += 1) {
      const wave = 250 + 250 * Math.sin(row / 9000 + number) + ((row * 7919 + number) % 101) / 5;
      metrics += `${row},${row * 128},${row * 4},${row},${wave.toFixed(4)},${(1 / row).toFixed(8)}\n`;
    }
    writeFileSync(join(directory, `metrics_${number}.csv`), metrics);
  }
  for (let number = 0; number < RUNS; number += 1) {
    const isAlone = number < RUNS / 2;
    const path = isAlone ? join(directory, "results", `run_${number}`) : join(directory, "results", `exp_${Math.floor(number / 10)}`, `seed_${number % 10}`);
    mkdirSync(path, { recursive: true });
    writeFileSync(join(path, "config.toml"), `algorithm = "ppo"\nseed = ${number % 10}\ntotal_timesteps = 12800000\n[env]\nid = "CartPole-v1"\n[agent]\ngamma = ${isAlone ? 0.9 + (number % 10) / 100 : 0.99}\n`);
    // Seeds of an experiment are different ones.
    linkSync(join(directory, `metrics_${number % (RUNS / 10)}.csv`), join(path, "metrics.csv"));
    linkSync(join(directory, "timing.csv"), join(path, "timing.csv"));
  }
}

const now = () => performance.now();
const median = (numbers) => numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)];

async function serve(directory) {
  const begun = now();
  const child = spawn(program, ["serve", join(directory, "results"), "--port", "0"]);
  const address = await new Promise((resolve) => child.stdout.on("data", (part) => resolve(/http:\S+/.exec(String(part))[0])));
  return { child, address, listening: now() - begun };
}

async function once(directory) {
  const { child, address, listening } = await serve(directory);
  const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox"] });
  try {
    const page = await browser.newPage({ viewport: { width: 1280, height: 900 } });
    const since = (name, fits, argument) => page.waitForFunction(fits, argument, { polling: "raf", timeout: 120_000 }).then(() => page.evaluate(() => performance.now())).then((at) => [name, at]);
    const figures = { listening };
    await page.goto(address);
    const firsts = await Promise.all([
      since("list", () => document.querySelectorAll("#list tbody tr").length >= 550),
      since("curves", () => Number(document.querySelector(".chart .plot")?.dataset.points) > 0),
    ]);
    Object.assign(figures, Object.fromEntries(firsts));
    const timed = async (name, act, fits, argument) => {
      const begun = await page.evaluate(() => performance.now());
      await act();
      figures[name] = (await since(name, fits, argument))[1] - begun;
    };
    await timed("filter", () => page.fill("#filter", "exp_77"), () => document.querySelectorAll("#list tbody tr").length === 11);
    await timed("ten seeds", () => page.click("#choose-shown"), () => document.querySelector(".chart .legend tbody")?.textContent.includes("mean of 10"));
    await timed("zoom", () => page.click("#zoom-in"), () => location.hash.includes("from=") && Number(document.querySelector(".chart .plot").dataset.from) > 1e6);
    await page.fill("#filter", "run_");
    await timed("64 runs", () => page.click("#choose-shown"), () => document.querySelectorAll(".chart .legend tbody tr").length === 64);
    await timed("64 runs again", () => page.click("#zoom-all"), () => !location.hash.includes("from=") && Number(document.querySelector(".chart .plot").dataset.from) < 1e4);
    return figures;
  } finally {
    await browser.close();
    child.kill("SIGKILL");
  }
}

const directory = mkdtempSync(join(tmpdir(), "agon-serve-"));
try {
  write(directory);
  await once(directory);
  const all = [];
  for (let repeat = 0; repeat < REPEATS; repeat += 1) all.push(await once(directory));
  const medians = Object.fromEntries(Object.keys(all[0]).map((name) => [name, Math.round(median(all.map((one) => one[name])))]));
  const result = { runs: RUNS, rows: ROWS, processor: cpus()[0].model, cores: cpus().length, milliseconds: medians, all };
  console.log(JSON.stringify(result, null, 1));
  if (out) writeFileSync(out, `${JSON.stringify(result, null, 1)}\n`);
} finally {
  rmSync(directory, { recursive: true, force: true });
}
