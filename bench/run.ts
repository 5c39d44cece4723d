/**
 * The bench: `bun run bench`.
 *
 * Each row takes turns with its baseline in short blocks, in fresh processes each round, with the order reversed from
 * round to round, tied to one processor and not. Absolute times depend on the machine and on what else it does; ratios
 * within one run are what counts.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { type BenchOptions, readOptions, usage } from "./options.ts";
import { environment, tableFoot, tableHead, tableRow } from "./report.ts";
import { raceResult, type Result, weighResult } from "./result.ts";
import { jsonForm } from "./results-file.ts";
import { raceOnce, type RoundOptions, weighOnce } from "./round.ts";
import type { Row } from "./row.ts";

async function main(): Promise<void> {
  const options = readOptions(Bun.argv.slice(2));
  if (options.help) {
    console.log(usage);
    return;
  }
  const home = openHome();
  const results: Result[] = [];
  console.log(tableHead());
  for (const row of options.rows) {
    const skipped = row.skip?.();
    if (skipped !== undefined) console.log(`${row.id}: skipped, ${skipped}`);
    else for (const cpu of cpusFor(row, options)) results.push(await runRow(row, cpu, home, options));
  }
  const run = { env: environment(options), rows: results };
  for (const line of tableFoot(run)) console.log(line);
  if (options.json !== undefined) await Bun.write(options.json, jsonForm(run));
}

/** A folder that goes with this process; on a signal, too. The processes of a round end when this one does. */
function openHome(): string {
  const home = mkdtempSync(join(tmpdir(), "furrow-bench-"));
  process.on("exit", () => rmSync(home, { recursive: true, force: true }));
  process.on("SIGINT", () => process.exit(130));
  process.on("SIGTERM", () => process.exit(143));
  return home;
}

/** Memory does not depend on the processor, so a row that is weighed runs one way only. */
function cpusFor(row: Row, { cpus }: BenchOptions): readonly (number | undefined)[] {
  return row.kind === "weigh" ? cpus.slice(0, 1) : cpus;
}

async function runRow(
  row: Row,
  cpu: number | undefined,
  home: string,
  options: BenchOptions,
): Promise<Result> {
  const rounds = Array.from(
    { length: Math.min(options.rounds, row.maxRounds ?? options.rounds) },
    (_, n): RoundOptions => ({ home, cpu, pace: options.pace, reversed: n % 2 === 1 }),
  );
  const pinned = cpu !== undefined;
  const result =
    row.kind === "race"
      ? raceResult(row, pinned, await inTurn(rounds, (round) => raceOnce(row, round)))
      : weighResult(row, pinned, await inTurn(rounds, (round) => weighOnce(row, round)));
  console.log(tableRow(result));
  return result;
}

async function inTurn<T>(
  rounds: readonly RoundOptions[],
  once: (round: RoundOptions) => Promise<T>,
): Promise<T[]> {
  const found: T[] = [];
  for (const round of rounds) found.push(await once(round));
  return found;
}

try {
  await main();
} catch (error) {
  console.error(`bench: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 1;
}
