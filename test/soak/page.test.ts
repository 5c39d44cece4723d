/** The page of 500 real actors, in a real Chromium: all are shown, changes at once, and it stays smooth. */
import { expect, test } from "bun:test";
import { loadavg } from "node:os";

import type { Member } from "../fixtures/crowd.ts";
import { type BrowserPage, Chromium, findChromium } from "../support/chromium.ts";
import { Command } from "../support/command.ts";
import { hasProc } from "../support/processes.ts";
import { announce, Chance, median, mebibytes, scaled, seed } from "../support/soak.ts";
import { availableMemory, cpuSeconds, memoryOf } from "../support/usage.ts";
import { type Program, World } from "../support/world.ts";

const fixture = new URL("../fixtures/crowd.ts", import.meta.url).href;
const actors = 500;
const callsPerSecond = 500;
const kills = 5;
const watchedMs = Math.max(2_000, scaled(10_000));
/** What an actor may take of its own, with room to spare. */
const bytesPerActor = 16 << 20;

const command = findChromium();
const needed = scaled(actors) * bytesPerActor;
const isRoomy = hasProc && availableMemory() > needed + (2 << 30);
if (command === undefined || !isRoomy)
  console.warn(`skipped: needs a Chromium, and ${mebibytes(needed)} of memory on Linux`);

/** What an expression of the page waits for: when it became true, by the clock of the machine. */
async function shownAt(page: BrowserPage, expression: string): Promise<number> {
  await page.until(`(${expression}) && (window.shownAt = Date.now())`);
  return await page.evaluate<number>("window.shownAt");
}

/** The gaps between frames, and the tasks that kept the page's thread for more than 50 ms. */
function watchFrames(page: BrowserPage): Promise<{ frames: number[]; tasks: number[] }> {
  return page.evaluate(`new Promise((resolve) => {
    const frames = [], tasks = [];
    const observer = new PerformanceObserver((list) => tasks.push(...list.getEntries().map((one) => one.duration)));
    observer.observe({ entryTypes: ["longtask"] });
    const begun = performance.now();
    let last = begun;
    requestAnimationFrame(function next() {
      const now = performance.now();
      frames.push(now - last);
      last = now;
      if (now - begun < ${watchedMs}) return requestAnimationFrame(next);
      observer.disconnect();
      resolve({ frames, tasks });
    });
  })`);
}

const share = (values: readonly number[], at: number): string =>
  (
    values.toSorted((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * at))] ?? 0
  ).toFixed(0);

/** Processor time of a process and of the actors, per second of `work`. */
async function cpuDuring(ui: number, pids: readonly number[], work: () => Promise<unknown>): Promise<string> {
  const all = (): number[] => [cpuSeconds(ui), pids.reduce((sum, pid) => sum + cpuSeconds(pid), 0)];
  const [before, began] = [all(), performance.now()];
  await work();
  const seconds = (performance.now() - began) / 1_000;
  const [server = 0, others = 0] = all().map((after, at) => (100 * (after - before[at]!)) / seconds);
  return `server ${server.toFixed(1)} %, an actor ${(others / pids.length).toFixed(2)} % of a core`;
}

/** Looks at all rows, a window after the other, until each shows a sample of a ready actor. */
async function shownActors(page: BrowserPage): Promise<number> {
  return await page.evaluate(`new Promise((resolve) => {
    const scroller = document.querySelector(".tree .scroller");
    const seen = new Set();
    let top = 0;
    requestAnimationFrame(function look() {
      for (const row of document.querySelectorAll(".row[aria-level]"))
        if (/● ready \\d+ \\d+M/.test(row.innerText.replaceAll(/\\s+/g, " "))) seen.add(row.id);
      if (top > scroller.scrollHeight) return resolve(seen.size);
      scroller.scrollTop = top += 400;
      requestAnimationFrame(() => requestAnimationFrame(look));
    });
  })`);
}

async function start(program: Program, count: number): Promise<Member[]> {
  return await program.run(
    async ({ furrow, keep, args: [file, wanted, calls] }) => {
      const { startCrowd } = (await import(file as string)) as typeof import("../fixtures/crowd.ts");
      const nursery = await furrow.openNursery({ name: "shop" });
      keep["nursery"] = nursery;
      return await startCrowd(nursery, wanted as number, calls as number);
    },
    fixture,
    count,
    callsPerSecond,
  );
}

test.skipIf(command === undefined || !isRoomy)(
  "the page shows hundreds of real actors, and within a second that one was killed",
  async () => {
    const count = scaled(actors);
    announce(`a page of ${count} actors`);
    const chance = new Chance(seed);
    const free = availableMemory();
    await using world = new World();
    const program = await world.program();
    const began = performance.now();
    const members = await start(program, count);
    const each = members.slice(0, 20).map(({ pid }) => memoryOf(pid));
    const [rss, pss, own] = (["rss", "pss", "own"] as const).map((kind) =>
      mebibytes(median(each.map((one) => one[kind]))),
    );
    console.log(
      `soak:   ${count} actors started in ${((performance.now() - began) / 1_000).toFixed(1)} s; each ${rss}, ${pss} with its share ` +
        `of what is shared, ${own} of its own; all take ${mebibytes(free - availableMemory())}; load ${loadavg()[0]!.toFixed(1)}`,
    );
    await using ui = new Command(world, ["ui", "--no-open"]);
    const link = await ui.line();
    const pids = members.map(({ pid }) => pid);
    console.log(
      `soak:   nobody looks: ${await cpuDuring(ui.process.pid, pids, () => Bun.sleep(watchedMs / 2))}`,
    );

    await using chromium = await Chromium.start(command!);
    const opened = Date.now();
    const page = await chromium.open(link);
    const all = `document.getElementById("count").innerText === "${count + 1} actors"`;
    const listed = await shownAt(page, all);
    let shown = 0;
    while (shown < count + 1) shown = await shownActors(page);
    console.log(
      `soak:   all listed ${listed - opened} ms after the page was opened; ${shown} shown with samples after ${Date.now() - opened} ms`,
    );
    await page.evaluate(`document.querySelector(".tree .scroller").scrollTop = 0`);

    let watched: { frames: number[]; tasks: number[] } | undefined;
    const cpu = await cpuDuring(ui.process.pid, pids, async () => (watched = await watchFrames(page)));
    const { frames, tasks } = watched!;
    console.log(
      `soak:   while it's looked at: ${cpu}; frames ms: median ${share(frames, 0.5)}, p99 ${share(frames, 0.99)}, longest ` +
        `${share(frames, 1)}; tasks over 50 ms: ${tasks.length}, longest ${share(tasks, 1)}; load ${loadavg()[0]!.toFixed(1)}`,
    );

    const delays: number[] = [];
    for (let round = 0; round < kills; round++) {
      const { uuid, pid, name } = members.splice(chance.below(members.length), 1)[0]!;
      // so that its row is drawn
      await page.evaluate(
        `(document.getElementById("filter").value = "${name}", document.getElementById("filter").dispatchEvent(new Event("input", { bubbles: true })))`,
      );
      await page.until(`/● ready/.test(document.getElementById("row-${uuid}").innerText)`);
      const seen = shownAt(page, `/✕/.test(document.getElementById("row-${uuid}").innerText)`);
      await page.evaluate("0");
      const at = Date.now();
      process.kill(pid, "SIGKILL");
      delays.push((await seen) - at);
      await page.until(all);
    }
    console.log(`soak:   from a kill to the page, ms: ${delays.join(", ")}`);
    expect(page.complaints).toEqual([]);
    await page.close();
    expect(await ui.ended("SIGINT")).toBe(130);
  },
  600_000,
);
