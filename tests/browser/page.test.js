// The page as somebody meets it: runs appear, curves grow, zoom stays, links lead back.

import assert from "node:assert/strict";
import { appendFileSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { addRows, legend, open, overflow, serve, start, temporary, until, writeRun } from "./harness.js";

const chart = '[data-metric="charts/episodic_return"]';
const places = (page) => page.$eval(`${chart} .plot`, (plot) => Number(plot.dataset.points));
const range = (page) => page.$eval(`${chart} .plot`, (plot) => [Number(plot.dataset.from), Number(plot.dataset.to)]);
const at = (page, points) => until(page, ([chart, points]) => Number(document.querySelector(`${chart} .plot`)?.dataset.points) === points, [chart, points]);

test("a run appears while it trains, and its curve grows without a reload", async (t) => {
  const directory = temporary(t);
  mkdirSync(join(directory, "results"));
  const { address, child } = await start(t, directory, "train", "ppo", "CartPole-v1", "--total-timesteps", "3000000", "--name", "live", "--serve=0");
  const page = await open(t, address, { errors: false });
  await page.evaluate(() => (window.isSame = true));
  const row = page.locator('#list tr[data-id="results/live"]');
  await row.waitFor();
  await row.locator(".state.running").waitFor();
  await until(page, (chart) => Number(document.querySelector(`${chart} .plot`)?.dataset.points) > 1, chart);
  const [first, steps] = [await places(page), await page.$eval(`${chart} .plot`, (plot) => Number(plot.dataset.to))];
  await until(page, ([chart, steps]) => Number(document.querySelector(`${chart} .plot`).dataset.to) > steps, [chart, steps]);
  assert.ok((await places(page)) >= first);
  assert.ok(await page.evaluate(() => window.isSame), "nothing was loaded anew");
  // Its server goes with the run; the page keeps what it has and says that nobody answers.
  child.kill("SIGKILL");
  await page.locator(".connection.lost").waitFor();
  await page.locator(`${chart} .plot canvas`).waitFor();
});

test("a stream that was lost is opened again, and shows what has happened since", async (t) => {
  const directory = temporary(t);
  writeRun(join(directory, "results/run"), { rows: 10 });
  const first = await start(t, directory, "serve", "results", "--port", "0");
  const page = await open(t, first.address, { errors: false });
  await at(page, 10);
  first.child.kill("SIGKILL");
  await page.locator(".connection.lost").waitFor();
  addRows(join(directory, "results/run"), 11, 15);
  await start(t, directory, "serve", "results", "--port", new URL(first.address).port);
  await page.locator(".connection.live").waitFor();
  await at(page, 15);
});

test("rows that come while the chart is zoomed leave the zoom as it is", async (t) => {
  const directory = temporary(t);
  const run = join(directory, "results/run");
  writeRun(run, { rows: 100 });
  const { address } = await serve(t, directory);
  const page = await open(t, address);
  await at(page, 100);
  // Drawn over with the pointer.
  const box = await page.locator(`${chart} .u-over`).boundingBox();
  await page.mouse.move(box.x + box.width * 0.25, box.y + 50);
  await page.mouse.down();
  await page.mouse.move(box.x + box.width * 0.5, box.y + 60, { steps: 5 });
  await page.mouse.up();
  await until(page, () => location.hash.includes("from="));
  await until(page, ([chart]) => Number(document.querySelector(`${chart} .plot`).dataset.points) < 60, [chart]);
  const zoomed = await range(page);
  assert.ok(zoomed[0] > 2000 && zoomed[0] < 3500 && zoomed[1] > 4500 && zoomed[1] < 5800, String(zoomed));
  const points = await places(page);
  addRows(run, 101, 200);
  await until(page, () => document.querySelector('#list tr[data-id="results/run"] .number').textContent === "200");
  await page.waitForTimeout(2500);
  assert.deepEqual(await range(page), zoomed);
  assert.equal(await places(page), points);
  // The same link shows the same part; without it all is there.
  const again = await open(t, page.url());
  await at(again, points);
  assert.deepEqual(await range(again), zoomed);
  await page.getByRole("button", { name: "Whole range" }).click();
  await at(page, 200);
});

test("runs are compared: chosen by hand, one colour each, kept in the address", async (t) => {
  const directory = temporary(t);
  for (const [name, gamma, scale] of [["low", 0.9, 1], ["high", 0.99, 3], ["other", 0.99, 2]]) {
    writeRun(join(directory, "results", name), { gamma, value: (row) => row * scale, env: name === "other" ? "Acrobot-v1" : "CartPole-v1" });
  }
  for (const seed of [1, 2, 3]) writeRun(join(directory, "results/exp", `seed_${seed}`), { seed, value: (row) => row * seed });
  const { address } = await serve(t, directory);
  const page = await open(t, address);
  await page.locator(`${chart} .legend tbody tr`).nth(3).waitFor();
  const box = (id) => page.locator(`#list tr[data-id="results/${id}"] input`);
  await box("other").uncheck();
  await until(page, (chart) => document.querySelectorAll(`${chart} .legend tbody tr`).length === 3, chart);
  const values = await legend(page);
  assert.deepEqual([values["results/low"], values["results/high"], values["results/exp · mean of 3"]], ["50", "150", "100"]);
  assert.match(await page.locator(`${chart} .note`).textContent(), /^All of 250 rows, averaged over runs\./);
  const colors = await page.$$eval(`${chart} .legend .swatch`, (all) => all.map((one) => one.style.background));
  assert.equal(new Set(colors).size, 3);
  assert.match(await page.locator('#list tr[data-id="results/low"] .chip').textContent(), /gamma=0\.9/);
  await page.selectOption("#add-metric", "losses/value_loss");
  await page.locator('[data-metric="losses/value_loss"] canvas').waitFor();
  await page.selectOption("#x", "seconds");
  await until(page, (chart) => Number(document.querySelector(`${chart} .plot`).dataset.to) === 25, chart);
  const again = await open(t, page.url());
  await again.locator('[data-metric="losses/value_loss"] canvas').waitFor();
  assert.equal(await again.locator(`${chart} .legend tbody tr`).count(), 3);
  await page.goBack();
  await until(page, (chart) => Number(document.querySelector(`${chart} .plot`).dataset.to) === 5000, chart);
});

test("what a chart does not show is said, and one bad number empties nothing", async (t) => {
  const directory = temporary(t);
  const run = join(directory, "results/run");
  writeRun(run, { rows: 20, value: (row) => (row === 1 ? "NaN" : row === 7 ? "inf" : row === 9 ? "0" : row) });
  appendFileSync(join(run, "metrics.csv"), "no row\n");
  const { address } = await serve(t, directory);
  const page = await open(t, address);
  await at(page, 20);
  const note = page.locator(`${chart} .note`);
  assert.match(await note.textContent(), /2 values are not finite: gaps\. 1 line could not be read\./);
  // Something is drawn: there are coloured pixels.
  const drawn = () => page.$eval(`${chart} canvas`, (canvas) => {
    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    let blue = 0;
    for (let i = 0; i < data.length; i += 4) if (data[i + 2] > data[i] + 80) blue += 1;
    return blue;
  });
  assert.ok((await drawn()) > 200);
  await page.getByLabel("log y").check();
  await until(page, (chart) => document.querySelector(`${chart} .note`).textContent.includes("not above zero"), chart);
  assert.match(await note.textContent(), /1 value is not above zero/);
  assert.ok((await drawn()) > 200);
});

test("a hundred thousand rows are shown by their extremes, and more of them when zoomed", async (t) => {
  const directory = temporary(t);
  writeRun(join(directory, "results/run"), { rows: 100_000, value: (row) => (row === 31_415 ? 9999 : row % 10) });
  const { address } = await serve(t, directory);
  const page = await open(t, address);
  const highest = page.locator(`${chart} .legend tbody td`).nth(3);
  await until(page, (chart) => document.querySelectorAll(`${chart} .legend tbody td`)[3]?.textContent === "9999", chart);
  assert.match(await page.locator(`${chart} .note`).textContent(), /The extremes of 100,000 rows at [\d,]+ places/);
  for (let i = 0; i < 11; i += 1) await page.locator("#zoom-in").click();
  await until(page, (chart) => document.querySelector(`${chart} .note`).textContent.startsWith("All of"), chart);
  assert.notEqual(await highest.textContent(), "9999");
});

test("everything can be done with the keyboard", async (t) => {
  const directory = temporary(t);
  writeRun(join(directory, "results/one"), { rows: 50 });
  writeRun(join(directory, "results/two"), { rows: 50, value: (row) => 2 * row });
  const { address } = await serve(t, directory);
  const page = await open(t, address);
  await page.locator(`${chart} .legend tbody tr`).nth(1).waitFor();
  const tabTo = async (fits) => {
    for (let i = 0; i < 60; i += 1) {
      await page.keyboard.press("Tab");
      if (await page.evaluate(fits)) {
        const outline = await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle);
        assert.notEqual(outline, "none", "what has the focus shows it");
        return;
      }
    }
    assert.fail(`no way to ${fits} with the Tab key`);
  };
  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement.textContent), "Skip to the content");
  await tabTo(() => document.activeElement.ariaLabel === "Show results/two" || document.activeElement.getAttribute("aria-label") === "Show results/two");
  await page.keyboard.press("Space");
  await until(page, (chart) => document.querySelectorAll(`${chart} .legend tbody tr`).length === 1, chart);
  assert.equal(await page.evaluate(() => document.activeElement.getAttribute("aria-label")), "Show results/two", "the focus stays");
  await tabTo(() => document.activeElement.classList.contains("plot"));
  await page.keyboard.press("Home");
  await until(page, (chart) => document.querySelector(`${chart} .legend thead`).textContent.includes("at 100"), chart);
  await page.keyboard.press("ArrowRight");
  await until(page, (chart) => document.querySelector(`${chart} .legend thead`).textContent.includes("at 200"), chart);
  assert.equal((await legend(page))["results/one"], "2");
  await page.keyboard.press("+");
  await until(page, () => location.hash.includes("from="));
  await page.keyboard.press("0");
  await until(page, () => !location.hash.includes("from="));
});

test("everything that can be used has a name", async (t) => {
  const directory = temporary(t);
  writeRun(join(directory, "results/exp/seed_1"), { rows: 20 });
  const { address } = await serve(t, directory);
  const page = await open(t, address);
  await page.locator(`${chart} .legend tbody tr`).waitFor();
  const nameless = await page.$$eval("button, input, select, a, [tabindex='0']", (all) =>
    all.filter((one) => !(one.textContent.trim() || one.getAttribute("aria-label") || one.labels?.[0]?.textContent.trim())).map((one) => one.outerHTML));
  assert.deepEqual(nameless, []);
  assert.equal(await page.locator("h1").count(), 1);
  assert.equal(await page.getByRole("status").first().textContent(), "live");
});

for (const scheme of ["light", "dark"]) {
  for (const width of [1280, 390]) {
    test(`the page fits ${width} pixels in ${scheme} colours that can be read`, async (t) => {
      const directory = temporary(t);
      for (const seed of [1, 2]) writeRun(join(directory, "results/an_experiment_with_a_long_name_that_has_to_be_broken", `seed_${seed}`), { seed });
      writeRun(join(directory, "results/other"), { gamma: 0.9 });
      const { address } = await serve(t, directory);
      const page = await open(t, address, { width, height: 844, scheme });
      await page.locator(`${chart} .legend tbody tr`).nth(1).waitFor();
      for (const name of ["Curves", "Compare", "Sweep", "Replay", "Details"]) {
        await page.getByRole("link", { name, exact: true }).click();
        await page.waitForTimeout(300);
        assert.equal(await overflow(page), 0, name);
      }
      // Contrast of text and of curves with what is behind them (WCAG 2.2: 4.5 and 3).
      const ratios = await page.evaluate(() => {
        const root = getComputedStyle(document.documentElement);
        const light = (name) => {
          const hex = root.getPropertyValue(`--${name}`).trim().slice(1);
          const parts = [0, 2, 4].map((i) => parseInt(hex.slice(i, i + 2), 16) / 255).map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
          return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2];
        };
        const ratio = (a, b) => (Math.max(light(a), light(b)) + 0.05) / (Math.min(light(a), light(b)) + 0.05);
        const text = ["ink", "quiet", "accent", "good", "bad", "live"].map((name) => [name, Math.min(ratio(name, "panel"), ratio(name, "sunken")), 4.5]);
        return [...text, ...Array.from({ length: 8 }, (_, i) => [`c${i}`, ratio(`c${i}`, "panel"), 3])];
      });
      for (const [name, ratio, least] of ratios) assert.ok(ratio >= least, `${name}: ${ratio.toFixed(2)} is below ${least}`);
    });
  }
}

test("an empty directory says how to begin", async (t) => {
  const directory = temporary(t);
  mkdirSync(join(directory, "results"));
  const { address } = await serve(t, directory);
  const page = await open(t, address);
  await page.getByText("There are no runs here yet.").waitFor();
});
