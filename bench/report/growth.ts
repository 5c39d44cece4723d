/** How the cost of a lookup grows with the size of the table, beside a plain Map. */
import { largestTable, smallestTable } from "./goals.ts";
import { pick, type Results } from "./results-file.ts";

export interface Growth {
  readonly pinned: boolean;
  /** The median time in the largest table, as a multiple of the smallest. */
  readonly table: number;
  /** The same for the plain Map. */
  readonly map: number;
}

/** One entry each for pinned and unpinned, if both rows were run that way. */
export function growthOf(results: Results): Growth[] {
  return [true, false].flatMap((pinned) => {
    const [first, last] = pick(results, [smallestTable, largestTable], pinned);
    if (first === undefined || last === undefined) return [];
    return [{ pinned, table: last.p50Ns / first.p50Ns, map: last.baselineP50Ns / first.baselineP50Ns }];
  });
}
