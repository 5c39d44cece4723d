/** The results as a table on the terminal. */
import { largestTable, smallestTable } from "./goals.ts";
import { growthOf } from "./growth.ts";
import type { Result } from "./result.ts";
import type { Results } from "./results-file.ts";
import { showBytes, showCount, showNs, showRatio, showSpread } from "./show.ts";

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

/** A result's line, and one more for each other thing that it is compared with. */
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

/** How the largest table compares with the smallest, which no single row shows. */
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
