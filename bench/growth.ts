/** How the cost of a lookup grows with the table, beside how that of a plain Map does. */
import { largestTable, smallestTable } from "./goals.ts";
import { pick, type Results } from "./results-file.ts";

export interface Growth {
  readonly pinned: boolean;
  /** The median time in the largest table as a multiple of that in the smallest. */
  readonly table: number;
  /** The same of the baseline. */
  readonly map: number;
}

/** For each pinning that both rows were run with. */
export function growthOf(results: Results): Growth[] {
  return [true, false].flatMap((pinned) => {
    const [first, last] = pick(results, [smallestTable, largestTable], pinned);
    if (first === undefined || last === undefined) return [];
    return [{ pinned, table: last.p50Ns / first.p50Ns, map: last.baselineP50Ns / first.baselineP50Ns }];
  });
}
