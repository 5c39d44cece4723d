/** The command line of `bun run bench`. */
import { parseArgs } from "node:util";

import type { Pace } from "./timing.ts";

export const usage = `bun run bench [--only ID[,ID]] [--json FILE] [--pin CPU|none|both] [--rounds N] [--quick]

  --only    the rows to run (default: all)
  --json    also write the results to FILE
  --pin     tie the processes of each row to one processor: CPU, none, or both ways in turn
            (default: both if taskset is installed, otherwise none)
  --rounds  rounds of fresh processes for each row (default: 3)
  --quick   one short round: only shows that everything runs`;

/** Pinned, the compiler shares the processor: code that makes 20,000 calls in 30 ms is compiled for the last time after 300 ms. */
const usualPace: Pace = { warmupCalls: 20_000, warmupMs: [300, 600], blockMs: 20, blocks: 5 };
const quickPace: Pace = { warmupCalls: 1_000, warmupMs: [0, 50], blockMs: 10, blocks: 2 };

export interface BenchOptions {
  /** The ids of the rows to run; undefined for all. */
  readonly only: readonly string[] | undefined;
  readonly json: string | undefined;
  /** The processors to tie each row to, one after the other; undefined leaves the row untied. */
  readonly cpus: readonly (number | undefined)[];
  readonly rounds: number;
  readonly pace: Pace;
  readonly quick: boolean;
  readonly help: boolean;
}

/** @throws {Error} if an option is unknown or malformed */
export function readOptions(args: readonly string[]): BenchOptions {
  const { values } = parseArgs({
    args: Array.from(args),
    options: {
      only: { type: "string" },
      json: { type: "string" },
      pin: { type: "string" },
      rounds: { type: "string" },
      quick: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  const { json, quick, help } = values;
  return {
    only: values.only?.split(",").map((id) => id.trim()),
    json,
    cpus: readPin(values.pin),
    rounds: readRounds(values.rounds ?? (quick ? "1" : "3")),
    pace: quick ? quickPace : usualPace,
    quick,
    help,
  };
}

function readPin(pin: string | undefined): readonly (number | undefined)[] {
  const canPin = Bun.which("taskset") !== null;
  const choice = pin ?? (canPin ? "both" : "none");
  if (choice === "none") return [undefined];
  if (!canPin) throw new Error(`--pin ${choice}: taskset is not installed`);
  if (choice === "both") return [navigator.hardwareConcurrency > 1 ? 1 : 0, undefined];
  if (!/^\d+$/.test(choice))
    throw new Error(`--pin must be a processor number, none or both, not "${choice}"`);
  return [Number(choice)];
}

function readRounds(text: string): number {
  const rounds = Number(text);
  if (!Number.isInteger(rounds) || rounds < 1)
    throw new Error(`--rounds must be an integer of at least 1, not "${text}"`);
  return rounds;
}
