// What other sites in the same browser cannot do.

import assert from "node:assert/strict";
import { createServer } from "node:http";
import { join } from "node:path";
import { test } from "node:test";
import { chromium } from "playwright-core";
import { after, serve, temporary, writeRun } from "./harness.js";

const CHROMIUM = process.env.CHROMIUM ?? "/usr/bin/chromium";

test("a page of another site reads nothing and has nothing done", async (t) => {
  const directory = temporary(t);
  writeRun(join(directory, "results/run"));
  const { address } = await serve(t, directory);
  const { port } = new URL(address);
  const other = createServer((request, response) => {
    response.setHeader("content-type", "text/html");
    response.end("<title>other</title>");
  });
  await new Promise((resolve) => other.listen(0, "127.0.0.1", resolve));
  after(t, () => other.close());
  // A name of somebody else that leads to this machine, as DNS rebinding has it.
  const browser = await chromium.launch({ executablePath: CHROMIUM, args: ["--no-sandbox", "--host-resolver-rules=MAP *.example 127.0.0.1"] });
  after(t, () => browser.close());
  const page = await browser.newPage();
  const rebound = await page.goto(`http://evil.example:${port}/`);
  assert.equal(rebound.status(), 403);
  assert.match(await page.textContent("body"), /does not go by that name/);
  await page.goto(`http://evil.example:${other.address().port}/`);
  const read = await page.evaluate(async (address) => {
    const tried = {};
    const attempt = async (name, work) => {
      try {
        tried[name] = await work();
      } catch {
        tried[name] = "refused";
      }
    };
    await attempt("read", async () => (await fetch(`${address}api/list`)).status);
    await attempt("post", async () => (await fetch(`${address}api/replays`, { method: "POST", headers: { "content-type": "application/json" }, body: "{}" })).status);
    await attempt("simple", async () => (await fetch(`${address}api/replays`, { method: "POST", mode: "no-cors", body: "{}" })).type);
    await attempt("stream", () => new Promise((resolve, reject) => {
      const source = new EventSource(`${address}api/events`);
      source.onmessage = () => resolve("open");
      source.onerror = () => { source.close(); reject(new Error("refused")); };
    }));
    await attempt("script", () => new Promise((resolve, reject) => {
      const script = document.createElement("script");
      script.src = `${address}assets/main.js`;
      script.type = "module";
      script.onload = () => resolve("loaded");
      script.onerror = () => reject(new Error("refused"));
      document.head.append(script);
    }));
    await attempt("frame", () => new Promise((resolve) => {
      const frame = document.createElement("iframe");
      frame.src = address;
      frame.onload = () => setTimeout(() => {
        try { resolve(frame.contentDocument ? "empty" : "refused"); } catch { resolve("refused"); }
      }, 300);
      document.body.append(frame);
    }));
    return tried;
  }, address);
  assert.deepEqual([read.read, read.post, read.stream, read.script], ["refused", "refused", "refused", "refused"]);
  const frames = page.frames().filter((frame) => frame.url().startsWith(address));
  for (const frame of frames) assert.equal(await frame.locator("#list").count(), 0, "the page is in nobody's frame");
  assert.notEqual(read.simple, "basic");
});

test("the page's own rules let nothing else run", async (t) => {
  const directory = temporary(t);
  writeRun(join(directory, "results/run"));
  const { address } = await serve(t, directory);
  const browser = await chromium.launch({ executablePath: CHROMIUM, args: ["--no-sandbox"] });
  after(t, () => browser.close());
  const page = await browser.newPage();
  await page.goto(address);
  const ran = await page.evaluate(async () => {
    const script = document.createElement("script");
    script.textContent = "window.wasRun = true";
    document.head.append(script);
    const image = new Image();
    const asked = new Promise((resolve) => { image.onload = () => resolve("loaded"); image.onerror = () => resolve("refused"); });
    image.src = "http://127.0.0.1:9/x.png";
    const fetched = await fetch("http://127.0.0.1:9/").then(() => "sent", () => "refused");
    return [window.wasRun ?? false, await asked, fetched];
  });
  assert.deepEqual(ran, [false, "refused", "refused"]);
});

test("names of runs are text and nothing else", async (t) => {
  const directory = temporary(t);
  writeRun(join(directory, "results", "<img src=x onerror=alert(1)>"), { env: "<b>bold</b>" });
  const { address } = await serve(t, directory);
  const browser = await chromium.launch({ executablePath: CHROMIUM, args: ["--no-sandbox"] });
  after(t, () => browser.close());
  const page = await browser.newPage();
  await page.goto(address);
  await page.locator("#list tbody tr").waitFor();
  assert.equal(await page.locator("#list img, #list b").count(), 0);
  assert.match(await page.locator("#list .label").textContent(), /<img src=x/);
});
