/** What rows should reach. A row without a line here has no goal. */
import type { Result } from "./result.ts";
import { pick, type Results } from "./results-file.ts";
import { showBytes, showNs } from "./show.ts";

type Bound = { readonly atMost: number } | { readonly atLeast: number };

type Goal = Bound & {
  readonly id: string;
  /**
   * What is bounded: the ratio to the baseline, how much that is above another row's, the ratio to another operation of the
   * contest, calls per second, the median time in nanoseconds, that as a multiple of another row's, or bytes.
   */
  readonly of:
    | "ratio"
    | "opsPerSec"
    | "p50Ns"
    | "bytes"
    | { readonly above: string }
    | { readonly against: string }
    | { readonly timesRow: string };
  /** Applies the goal only if the baseline starts with this: a row may have another where a server isn't installed. */
  readonly baseline?: string;
};

/** The smallest and the largest table: the cost of a lookup should not grow from one to the other. */
export const smallestTable = "table.10";
export const largestTable = "table.1000000";

const goals: readonly Goal[] = [
  { id: "rpc.unix", of: "ratio", atMost: 1.15 },
  { id: "rpc.tcp", of: "ratio", atMost: 1.15 },
  { id: "rpc.unix.64", of: "ratio", atLeast: 1.5 },
  { id: "service.call", of: "ratio", atMost: 1.1 },
  { id: "stream.small", of: "opsPerSec", atLeast: 1_000_000 },
  { id: "stream.64k", of: "ratio", atLeast: 0.8 },
  { id: "lane.1m", of: "ratio", atLeast: 3 },
  { id: "lookup.registrar.unix", of: { above: "rpc.unix" }, atMost: 0.2 },
  { id: "lookup.registrar.tcp", of: { above: "rpc.tcp" }, atMost: 0.2 },
  { id: "lookup.registrar.unix.64", of: "ratio", atLeast: 0.7, baseline: "Redis" },
  { id: "lookup.cached", of: "p50Ns", atMost: 500 },
  { id: "lookup.peer", of: "p50Ns", atMost: 100 },
  { id: "find.cold.unix", of: "ratio", atMost: 2.2 },
  { id: "find.warm", of: "p50Ns", atMost: 2_000 },
  { id: "register", of: "ratio", atMost: 1.3 },
  { id: "register.64", of: "opsPerSec", atLeast: 100_000 },
  { id: largestTable, of: { timesRow: smallestTable }, atMost: 1.5 },
  { id: "memory.1000000", of: "ratio", atMost: 1.1 },
  { id: "codec.encode", of: "ratio", atMost: 1.1 },
  { id: "codec.decode", of: "ratio", atMost: 1.1 },
  { id: "spawn.packed", of: "ratio", atMost: 2.4 },
  { id: "spawn.spare", of: "ratio", atMost: 1 },
  { id: "idle.packed", of: "bytes", atMost: 5 * 1_048_576 },
];

/**
 * Returns a row's goal in words and whether these results reach it, or undefined if there is no goal or no result to judge.
 * Judges pinned rows only: there, a ratio compares the work done.
 */
export function judge(
  result: Result,
  results: Results,
): { readonly words: string; readonly reached: boolean } | undefined {
  const goal = goals.find(({ id }) => id === result.id);
  if (goal === undefined || !result.pinned || !result.baseline.startsWith(goal.baseline ?? ""))
    return undefined;
  const value = valueOf(goal, result, results);
  if (value === undefined) return undefined;
  const reached = "atMost" in goal ? value <= goal.atMost : value >= goal.atLeast;
  return { words: inWords(goal), reached };
}

function valueOf({ of }: Goal, result: Result, results: Results): number | undefined {
  if (of === "ratio") return result.ratio;
  if (of === "opsPerSec" || of === "p50Ns" || of === "bytes") return result[of];
  if ("against" in of) return result.against[of.against]?.ratio;
  const [other] = pick(results, ["above" in of ? of.above : of.timesRow], result.pinned);
  if (other === undefined) return undefined;
  return "above" in of ? result.ratio - other.ratio : result.p50Ns / other.p50Ns;
}

function inWords({ of, ...bound }: Goal): string {
  const [sign, value] = "atMost" in bound ? ["≤", bound.atMost] : ["≥", bound.atLeast];
  if (of === "p50Ns") return `${sign} ${showNs(value)}`;
  if (of === "bytes") return `${sign} ${showBytes(value)}`;
  const words = `${sign} ${value.toLocaleString("en")}`;
  if (of === "ratio") return `ratio ${words}`;
  if (of === "opsPerSec") return `${words} per second`;
  if ("above" in of) return `ratio ${sign} that of ${of.above} + ${value}`;
  return `${words} × ${"against" in of ? of.against : of.timesRow}`;
}
