/**
 * The bench: `bun run bench`.
 *
 * A row and its baseline take turns in short blocks, in fresh processes each round. The order alternates between rounds,
 * and each row runs both tied to one processor and untied. Absolute times depend on the machine and its load; what counts
 * are ratios within one run.
 */
import { openHome, runCommand } from "./harness/command.ts";
import { type BenchOptions, readOptions, usage } from "./harness/options.ts";
import { raceOnce, type RoundOptions, weighOnce } from "./harness/round.ts";
import type { Row } from "./harness/row.ts";
import { environment } from "./report/environment.ts";
import { raceResult, type Result, weighResult } from "./report/result.ts";
import { jsonForm } from "./report/results-file.ts";
import { tableFoot, tableHead, tableRow } from "./report/table.ts";
import { selectRows } from "./rows/all.ts";

async function main(): Promise<void> {
  const options = readOptions(Bun.argv.slice(2));
  if (options.help) {
    console.log(usage);
    return;
  }
  const rows = selectRows(options.only);
  const home = openHome("furrow-bench-");
  const results: Result[] = [];
  console.log(tableHead());
  for (const row of rows) {
    const skipped = row.skip?.();
    if (skipped !== undefined) console.log(`${row.id}: skipped, ${skipped}`);
    else for (const cpu of cpusFor(row, options)) results.push(await runRow(row, cpu, home, options));
  }
  const run = { env: environment(options), rows: results };
  for (const line of tableFoot(run)) console.log(line);
  if (options.json !== undefined) await Bun.write(options.json, jsonForm(run));
}

/** Memory doesn't depend on the processor, so a weighed row runs only one way. */
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

await runCommand("bench", main);
