/**
 * Compares two revisions of the sources under the same bench:
 * `bun run bench:compare REV [--only ID[,ID]] [--pin CPU|none|both] [--rounds N] [--quick]`.
 *
 * Checks out REV in a temporary folder and gives it this checkout's bench. Runs of the two revisions alternate, in the
 * opposite order each round. Each compares its ratios to the same baseline, so a change in the machine's load between two
 * runs cancels out.
 */
import { cpSync, rmSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";

import { openHome, runCommand } from "./harness/command.ts";
import { median } from "./harness/timing.ts";
import type { Result } from "./report/result.ts";
import { showRatio } from "./report/show.ts";
import { selectRows } from "./rows/all.ts";

const usage = "bun run bench:compare REV [--only ID[,ID]] [--pin CPU|none|both] [--rounds N] [--quick]";
const usualRows = "rpc.unix,rpc.unix.64,lookup.registrar.unix,lookup.cached,find.cold.unix,find.warm,spawn";
const root = join(import.meta.dir, "..");

/** A checkout and its results so far, by row and pinning. */
interface Contender {
  readonly folder: string;
  readonly results: Map<string, Result[]>;
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    args: Bun.argv.slice(2),
    allowPositionals: true,
    options: {
      only: { type: "string", default: usualRows },
      // unpinned, where the scheduler places a row's processes can differ between the two revisions
      pin: { type: "string", default: Bun.which("taskset") === null ? "none" : "1" },
      rounds: { type: "string", default: "3" },
      quick: { type: "boolean", default: false },
    },
  });
  const [revision] = positionals;
  if (revision === undefined || positionals.length > 1) throw new Error(`expected one revision: ${usage}`);
  selectRows(values.only.split(","));
  const args = ["--only", values.only, "--pin", values.pin, ...(values.quick ? ["--quick"] : [])];

  const home = openHome("furrow-compare-", () => Bun.spawnSync(["git", "worktree", "prune"], { cwd: root }));
  const then = { folder: join(home, "then"), results: new Map() };
  const now = { folder: root, results: new Map() };
  checkOut(revision, then.folder);
  for (let round = 0; round < Number(values.rounds); round++) {
    for (const one of round % 2 === 0 ? [then, now] : [now, then]) await runBench(one, args, home);
  }
  report(revision, then, now);
}

/** Checks out the sources of a revision, and adds this checkout's bench and packages. */
function checkOut(revision: string, folder: string): void {
  const { exitCode, stderr } = Bun.spawnSync(["git", "worktree", "add", "--detach", folder, revision], {
    cwd: root,
  });
  if (exitCode !== 0) throw new Error(`cannot check out ${revision}: ${stderr.toString().trim()}`);
  rmSync(join(folder, "bench"), { recursive: true, force: true });
  cpSync(join(root, "bench"), join(folder, "bench"), { recursive: true });
  symlinkSync(join(root, "node_modules"), join(folder, "node_modules"));
}

/** Runs two rounds, so that subject and baseline each go first once. */
async function runBench(contender: Contender, args: readonly string[], home: string): Promise<void> {
  const json = join(home, "results.json");
  const program = join(contender.folder, "bench/run.ts");
  const bench = Bun.spawn([process.execPath, program, ...args, "--rounds", "2", "--json", json], {
    env: { ...process.env, BUN_FEATURE_FLAG_NO_ORPHANS: "1" },
    stdio: ["ignore", "ignore", "inherit"],
  });
  if ((await bench.exited) !== 0) throw new Error(`the bench failed in ${contender.folder}`);
  const { rows } = (await Bun.file(json).json()) as { readonly rows: readonly Result[] };
  for (const row of rows) {
    const key = `${row.id}${row.pinned ? " pinned" : ""}`;
    contender.results.set(key, [...(contender.results.get(key) ?? []), row]);
  }
}

function report(revision: string, then: Contender, now: Contender): void {
  console.log(tableLine(["row", `at ${revision}`, "here", "change", "least to greatest"]));
  for (const [key, results] of now.results) {
    const before = (then.results.get(key) ?? []).map(({ ratio }) => ratio);
    const after = results.map(({ ratio }) => ratio);
    if (before.length === 0) {
      console.log(tableLine([key, "skipped", showRatio(median(after)), "", ""]));
      continue;
    }
    const changes = after.map((ratio, round) => ratio / (before[round] ?? Number.NaN));
    const spread = `${showRatio(Math.min(...changes))} to ${showRatio(Math.max(...changes))}`;
    const note = results[0]?.ratioOf === "throughput" ? "  higher is better" : "";
    const cells = [
      key,
      showRatio(median(before)),
      showRatio(median(after)),
      `× ${showRatio(median(changes))}`,
      spread,
    ];
    console.log(tableLine(cells) + note);
  }
}

function tableLine([key = "", ...cells]: readonly string[]): string {
  return [key.padEnd(32), ...cells.map((cell) => cell.padStart(17))].join("  ");
}

await runCommand("bench:compare", main);
