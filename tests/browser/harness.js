// What the browser tests share: the program, its page in Chromium, and runs that are written by hand.

import { spawn } from "node:child_process";
import { appendFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium } from "playwright-core";

/** The program that is tested. */
export const AGON = process.env.AGON ?? join(import.meta.dirname, "../../target/debug/agon");
const CHROMIUM = process.env.CHROMIUM ?? "/usr/bin/chromium";
/** How long anything may take before a test fails: far more than it does. */
export const PATIENCE = 30_000;

const undone = new WeakMap();

/** Has something undone after a test, what was done last first: a page is closed before its server ends. */
export function after(test, work) {
  if (!undone.has(test)) {
    undone.set(test, []);
    test.after(async () => {
      const errors = [];
      for (const work of undone.get(test).reverse()) {
        try {
          await work();
        } catch (error) {
          errors.push(error);
        }
      }
      if (errors.length > 0) throw errors[0];
    });
  }
  undone.get(test).push(work);
}

/** A directory that is gone after the test. */
export function temporary(test) {
  const directory = mkdtempSync(join(tmpdir(), "agon-browser-"));
  after(test, () => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

/** Runs the program to its end and gives what it printed. */
export function run(cwd, ...args) {
  return new Promise((resolve, reject) => {
    const child = spawn(AGON, args, { cwd });
    let text = "";
    for (const stream of [child.stdout, child.stderr]) stream.on("data", (part) => (text += part));
    child.on("close", (code) => (code === 0 ? resolve(text) : reject(new Error(`agon ${args.join(" ")}: ${text}`))));
  });
}

/** Starts the program and waits for the address of its page. */
export async function start(test, cwd, ...args) {
  const child = spawn(AGON, args, { cwd });
  after(test, () => child.kill("SIGKILL"));
  const address = await new Promise((resolve, reject) => {
    let text = "";
    const look = (part) => {
      text += part;
      const found = /page: (http:\S+)/.exec(text);
      if (found) resolve(found[1]);
    };
    child.stdout.on("data", look);
    child.stderr.on("data", look);
    child.on("close", () => reject(new Error(`agon ${args.join(" ")} ended: ${text}`)));
  });
  return { address, child };
}

export const serve = (test, cwd, ...args) => start(test, cwd, "serve", "results", "--port", "0", ...args);

/**
 * A page in a browser of its own. At the end of the test it must have asked nothing of any other machine, have overflowed
 * nowhere, and have had no error.
 */
export async function open(test, address, { width = 1280, height = 900, scheme = "light", errors = true } = {}) {
  const browser = await chromium.launch({ executablePath: CHROMIUM, args: ["--no-sandbox"] });
  const context = await browser.newContext({ viewport: { width, height }, colorScheme: scheme });
  context.setDefaultTimeout(PATIENCE);
  const page = await context.newPage();
  const [elsewhere, wrong] = [[], []];
  const { origin } = new URL(address);
  page.on("request", (request) => {
    if (new URL(request.url()).origin !== origin) elsewhere.push(request.url());
  });
  page.on("pageerror", (error) => wrong.push(error.message));
  page.on("console", (message) => message.type() === "error" && !/status of 4\d\d/.test(message.text()) && wrong.push(message.text()));
  after(test, async () => {
    const over = await overflow(page).catch(() => 0);
    await browser.close();
    if (elsewhere.length > 0) throw new Error(`the page asked other machines: ${elsewhere}`);
    if (errors && wrong.length > 0) throw new Error(`errors of the page: ${wrong.join("; ")}`);
    if (over > 0) throw new Error(`the page is ${over} pixels wider than the window`);
  });
  await page.goto(address);
  return page;
}

/** Pixels that the page is wider than its window. */
export const overflow = (page) => page.evaluate(() => document.documentElement.scrollWidth - innerWidth);

const HEADER = "iteration,global_step,updates,episodes,charts/episodic_return,losses/value_loss\n";

/** Writes a run of so many rows; `value` gives the return of a row. */
export function writeRun(directory, { seed = 1, rows = 50, gamma = 0.99, env = "CartPole-v1", value = (row) => row } = {}) {
  mkdirSync(directory, { recursive: true });
  writeFileSync(join(directory, "config.toml"), `algorithm = "ppo"\nseed = ${seed}\ntotal_timesteps = 100000\n[env]\nid = "${env}"\n[agent]\ngamma = ${gamma}\n`);
  writeFileSync(join(directory, "metrics.csv"), HEADER);
  writeFileSync(join(directory, "timing.csv"), "iteration,global_step,seconds,steps_per_second\n");
  addRows(directory, 1, rows, value);
}

/** Adds rows to a run, as training does. */
export function addRows(directory, from, to, value = (row) => row) {
  let [metrics, timing] = ["", ""];
  for (let row = from; row <= to; row += 1) {
    metrics += `${row},${row * 100},${row * 4},${row},${value(row)},${1 / row}\n`;
    timing += `${row},${row * 100},${row / 2},200\n`;
  }
  appendFileSync(join(directory, "metrics.csv"), metrics);
  appendFileSync(join(directory, "timing.csv"), timing);
}

/** Waits until a function of the page gives something true. */
export const until = (page, work, argument) => page.waitForFunction(work, argument, { timeout: PATIENCE });

/** The last values in the legend of a chart, by their curves' names. */
export async function legend(page, metric = "charts/episodic_return") {
  return page.$$eval(`[data-metric="${metric}"] .legend tbody tr`, (rows) =>
    Object.fromEntries(rows.map((row) => [row.querySelector("th").textContent, row.querySelector(".value").textContent])));
}
