/**
 * A mixed load that goes on: `bun run bench:mixed [--minutes N] [--json FILE] [--out FOLDER]`.
 *
 * A registrar, a tree of actors and a client, each in its own process. All at the same time: calls, calls through a service,
 * streams, dialogs, lookups cold and warm, watches, actors that start and end, and workers that are killed and restarted.
 * Every few seconds each long-lived process is measured. At the end prints the slope of each line after the warm-up, draws
 * mixed-load.svg (default folder: docs/pictures), and exits with 1 if memory or descriptors grow: see `mixed/growth.ts`. A load
 * of less than five minutes isn't judged.
 */
import { join } from "node:path";
import { parseArgs } from "node:util";

import { openHome, runCommand } from "./harness/command.ts";
import { memoryIsHidden } from "./harness/memory.ts";
import { processesOf } from "./harness/processes.ts";
import { type Sample, trendsOf, warmUpMinutes } from "./mixed/growth.ts";
import type { LoadState } from "./mixed/load.ts";
import { MixedLoad, type States } from "./mixed/processes.ts";
import { drawMixed, mixedPicture } from "./pictures/mixed.ts";
import { machine } from "./report/environment.ts";
import { mixedJson } from "./report/mixed-file.ts";
import { doneLines, trendLines } from "./report/mixed-table.ts";

const coldNames = 20_000;
/** A collection in each process costs a few milliseconds. */
const sampleEveryMs = 5_000;
/** Samples of a short load. */
const leastSamples = 12;
/** How long processes may take to end after the load. */
const endMs = 10_000;

async function main(): Promise<void> {
  const { values } = parseArgs({
    args: Bun.argv.slice(2),
    options: {
      minutes: { type: "string", default: "10" },
      json: { type: "string" },
      out: { type: "string", default: join(import.meta.dir, "../docs/pictures") },
    },
  });
  const minutes = Number(values.minutes);
  if (!(minutes > 0)) throw new Error(`--minutes must be a positive number, not "${values.minutes}"`);
  const hidden = memoryIsHidden();
  if (hidden !== undefined) throw new Error(`this machine doesn't tell what a process holds: ${hidden}`);
  const folder = openHome("furrow-mixed-");

  const { samples, states } = await runLoad(folder, minutes);
  await allEnded(folder);
  const done = total(states, "done");
  const failed = total(states, "failed");
  const results = { env: machine(), done, failed, samples };
  const trends = trendsOf(samples);
  for (const line of [...doneLines(results), ...trendLines(trends)]) console.log(line);
  const picture = drawMixed(results);
  if (picture !== undefined) await Bun.write(join(values.out, mixedPicture), picture);
  if (values.json !== undefined) await Bun.write(values.json, mixedJson(results));
  const growing = trends.filter(({ grows }) => grows).map(({ process, of }) => `${of} of the ${process}`);
  if (growing.length > 0) throw new Error(`grows under a steady load: ${growing.join(", ")}`);
}

async function runLoad(
  folder: string,
  minutes: number,
): Promise<{ readonly samples: readonly Sample[]; readonly states: States }> {
  const registry = `unix://${folder}/registry@1616.sock` as const;
  await using load = await MixedLoad.start({ folder, registry, coldNames });
  const samples: Sample[] = [];
  const start = performance.now();
  const everyMs = Math.min(sampleEveryMs, (minutes * 60_000) / leastSamples);
  console.log(`${minutes} minutes, of which ${warmUpMinutes(minutes)} to warm up`);
  for (let due = 0; due <= minutes * 60_000; due += everyMs) {
    await Bun.sleep(Math.max(0, start + due - performance.now()));
    samples.push({ minutes: (performance.now() - start) / 60_000, held: await load.held() });
  }
  return { samples, states: await load.states() };
}

/** @throws {Error} if a process of the load is still there */
async function allEnded(folder: string): Promise<void> {
  const patience = performance.now() + endMs;
  for (;;) {
    const left = processesOf(folder);
    if (left.length === 0) return;
    if (performance.now() > patience)
      throw new Error(`${left.length} processes have not ended: ${left.join(", ")}`);
    await Bun.sleep(50);
  }
}

/** Adds up what all processes have counted. */
function total(states: States, of: "done" | "failed"): Record<string, number> {
  const sum: Record<string, number> = {};
  for (const state of Object.values<LoadState>(states))
    for (const [name, count] of Object.entries(state[of])) sum[name] = (sum[name] ?? 0) + count;
  return sum;
}

await runCommand("bench:mixed", main);
