/** Results as a table for people, and what the machine was. */
import { cpus } from "node:os";

import { version } from "../package.json" with { type: "json" };
import type { BenchOptions } from "./options.ts";
import type { Result } from "./result.ts";

/** The head of the JSON form. */
export function environment({ cpus: pins, rounds, pace, quick }: BenchOptions): Record<string, unknown> {
  return {
    furrow: version,
    bun: Bun.version,
    bunRevision: Bun.revision,
    platform: process.platform,
    arch: process.arch,
    processor: cpus()[0]?.model ?? "unknown",
    processors: cpus().length,
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

function tableLine(cells: readonly string[]): string {
  const padded = cells.map((cell, at) => {
    const width = widths[at] ?? 0;
    return leftAligned.has(at) ? cell.padEnd(width) : cell.padStart(width);
  });
  return padded.join("  ").trimEnd();
}

function showNs(ns: number): string {
  if (ns < 1e3) return `${ns.toFixed(ns < 100 ? 1 : 0)} ns`;
  return ns < 1e6 ? `${(ns / 1e3).toFixed(2)} µs` : `${(ns / 1e6).toFixed(2)} ms`;
}

function showBytes(bytes: number): string {
  return bytes < 1e4 ? `${bytes.toFixed(0)} B` : `${(bytes / 1_048_576).toFixed(1)} MiB`;
}

function showCount(count: number): string {
  return Math.round(count).toLocaleString("en");
}

function showRatio(ratio: number): string {
  return ratio < 0.1 ? ratio.toPrecision(2) : ratio.toFixed(2);
}

function showSpread([least, greatest]: readonly [number, number]): string {
  return `${showRatio(least)} to ${showRatio(greatest)}`;
}
