// Time travel in the browser: its pictures are those of `agon record`, to the pixel.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { open, run, serve, temporary, until } from "./harness.js";

test("a replay equals the film of the same checkpoint and seed, frame by frame", async (t) => {
  const directory = temporary(t);
  await run(directory, "train", "ppo", "CartPole-v1", "--total-timesteps", "6000", "--checkpoint-every", "2000", "--name", "run", "--json");
  const { address } = await serve(t, directory);
  const page = await open(t, `${address}#view=replay&seed=7`);
  await page.locator("#checkpoint option").nth(2).waitFor({ state: "attached" });
  const steps = await page.$$eval("#checkpoint option", (options) => options.map((option) => option.value).filter((value) => /^\d+$/.test(value)));
  const step = steps.at(-1);
  await page.selectOption("#checkpoint", step);
  await page.getByRole("button", { name: "Play the episode" }).click();
  await page.locator(".pane img[data-frame='0']").waitFor();
  await run(directory, "record", "results/run", "--checkpoint", step, "--seed", "7", "--max-frames", "1001", "--out", "film.webp");
  const film = readFileSync(join(directory, "film.webp")).toString("base64");
  const compared = await page.evaluate(async (film) => {
    const bytes = Uint8Array.from(atob(film), (letter) => letter.charCodeAt(0));
    const decoder = new ImageDecoder({ data: bytes, type: "image/webp" });
    await decoder.tracks.ready;
    const frames = decoder.tracks.selectedTrack.frameCount;
    const id = document.querySelector(".pane").dataset.id;
    const pixels = (picture, width, height) => {
      const canvas = new OffscreenCanvas(width, height);
      const context = canvas.getContext("2d");
      context.drawImage(picture, 0, 0);
      return context.getImageData(0, 0, width, height).data;
    };
    let differing = 0;
    for (let frame = 0; frame < frames; frame += 1) {
      const { image } = await decoder.decode({ frameIndex: frame });
      const shown = await createImageBitmap(await (await fetch(`/api/replays/${id}/${frame}`)).blob());
      const [a, b] = [pixels(image, shown.width, shown.height), pixels(shown, shown.width, shown.height)];
      if (image.displayWidth !== shown.width || a.some((value, i) => value !== b[i])) differing += 1;
      image.close();
    }
    const beyond = (await fetch(`/api/replays/${id}/${frames}`)).status;
    return { frames, differing, beyond };
  }, film);
  assert.ok(compared.frames > 5);
  assert.deepEqual([compared.differing, compared.beyond], [0, 404]);
});

test("two checkpoints are compared on one seed, and moved through with the keyboard", async (t) => {
  const directory = temporary(t);
  await run(directory, "train", "ppo", "CartPole-v1", "--total-timesteps", "10000", "--checkpoint-every", "2000", "--name", "run", "--json");
  const { address } = await serve(t, directory);
  const page = await open(t, `${address}#view=replay`);
  await page.locator("#checkpoint option").nth(2).waitFor({ state: "attached" });
  await page.getByLabel("compare with").check();
  const steps = await page.$$eval("#checkpoint2 option", (options) => options.map((option) => option.value));
  await page.selectOption("#checkpoint2", steps.at(-1));
  await page.getByRole("button", { name: "Play the episode" }).click();
  await page.locator(".pane").nth(1).waitFor();
  assert.match(await page.locator("#replay-note").textContent(), /run: \d+ steps?, return/);
  const slider = page.locator("#frame");
  await slider.focus();
  for (let i = 0; i < 3; i += 1) await page.keyboard.press("ArrowRight");
  await until(page, () => [...document.querySelectorAll(".pane img")].every((image) => image.dataset.frame === "3" && image.complete && image.naturalWidth > 0));
  assert.equal(await page.locator("#frame-text").textContent().then((text) => text.startsWith("step 3 of")), true);
  const meters = await page.locator(".pane").first().locator("meter").count();
  assert.equal(meters, 2, "a probability for each action");
  assert.match(await page.locator(".pane").first().locator(".seen").textContent(), /pole angle \(rad\)/);
  const seeds = await page.$$eval(".pane .note", (notes) => notes.map((note) => /seed (\d+)/.exec(note.textContent)?.[1]).filter(Boolean));
  assert.deepEqual(seeds, ["0", "0"]);
  // As a film it goes on by itself.
  await page.getByRole("button", { name: "Play", exact: true }).click();
  await until(page, () => Number(document.getElementById("frame").value) > 6);
  await page.getByRole("button", { name: "Pause" }).click();
});
