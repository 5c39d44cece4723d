/** Results as a table for people, and what the machine was. */
import { cpus, release } from "node:os";

import { version } from "../package.json" with { type: "json" };
import { largestTable, smallestTable } from "./goals.ts";
import { storeVersions } from "./beside.ts";
import { growthOf } from "./growth.ts";
import type { Pace } from "./harness.ts";
import type { BenchOptions } from "./options.ts";
import type { Result } from "./result.ts";
import type { Results } from "./results-file.ts";
import { showBytes, showCount, showNs, showRatio, showSpread } from "./show.ts";

/** The head of the JSON form: what the machine was, and how it was timed. */
export interface Environment {
  readonly furrow: string;
  readonly bun: string;
  readonly bunRevision: string;
  readonly platform: string;
  readonly kernel: string;
  readonly arch: string;
  readonly processor: string;
  readonly processors: number;
  /** The versions of the stores that are on the machine, by their servers' names. */
  readonly stores: Readonly<Record<string, string>>;
  /** The numbers of the processors that rows were tied to. */
  readonly pinnedTo: readonly number[];
  readonly date: string;
  readonly rounds: number;
  readonly pace: Pace;
  readonly quick: boolean;
}

export function environment({ cpus: pins, rounds, pace, quick }: BenchOptions): Environment {
  return {
    furrow: version,
    bun: Bun.version,
    bunRevision: Bun.revision,
    platform: process.platform,
    kernel: /^\d+\.\d+/.exec(release())?.[0] ?? "unknown",
    arch: process.arch,
    processor: cpus()[0]?.model ?? "unknown",
    processors: cpus().length,
    stores: storeVersions(),
    pinnedTo: pins.filter((cpu) => cpu !== undefined),
    date: new Date().toISOString(),
    rounds,
    pace,
    quick,
  };
}

const columns = [
  "row",
  "pinned",
  "p50",
  "p99",
  "per second",
  "ratio",
  "least to greatest",
  "baseline",
] as const;
const widths = [24, 6, 9, 9, 11, 9, 17, 0] as const;
const leftAligned = new Set<number>([0, 1, 7]);

export function tableHead(): string {
  return tableLine(columns);
}

/** A line of the table, and one more for each further comparison. */
export function tableRow(result: Result): string {
  const { id, pinned, p50Ns, p99Ns, opsPerSec, ratioOf, ratio, spread, baseline, bytes, baselineBytes } =
    result;
  const isWeight = bytes !== undefined && baselineBytes !== undefined;
  const cells = isWeight
    ? [id, pinned ? "yes" : "no", showBytes(bytes), "", ""]
    : [id, pinned ? "yes" : "no", showNs(p50Ns), showNs(p99Ns), showCount(opsPerSec)];
  const beside = isWeight ? showBytes(baselineBytes) : showNs(result.baselineP50Ns);
  const note = ratioOf === "throughput" ? "calls per second against " : "";
  const lines = [
    tableLine([...cells, showRatio(ratio), showSpread(spread), `${note}${baseline} (${beside})`]),
  ];
  for (const [other, against] of Object.entries(result.against)) {
    lines.push(
      tableLine(["", "", "", "", "", showRatio(against.ratio), showSpread(against.spread), note + other]),
    );
  }
  return lines.join("\n");
}

/** What no row says by itself: how the table's rows compare with each other. */
export function tableFoot(results: Results): string[] {
  return growthOf(results).map(({ pinned, table, map }) => {
    const where = pinned ? "pinned" : "not pinned";
    return `${largestTable} takes ${showRatio(table)} × ${smallestTable} (${where}); a plain Map ${showRatio(map)} ×`;
  });
}

function tableLine(cells: readonly string[]): string {
  const padded = cells.map((cell, at) => {
    const width = widths[at] ?? 0;
    return leftAligned.has(at) ? cell.padEnd(width) : cell.padStart(width);
  });
  return padded.join("  ").trimEnd();
}
