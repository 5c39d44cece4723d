/** A mixed load on the terminal. */
import type { Trend } from "../mixed/growth.ts";
import type { MixedResults } from "./mixed-file.ts";
import { showCount, showValue } from "./show.ts";

/** What was done, and what failed. */
export function doneLines({ done, failed }: MixedResults): string[] {
  const list = (counts: Readonly<Record<string, number>>): string =>
    Object.entries(counts)
      .map(([name, count]) => `${showCount(count)} ${name}`)
      .join(", ");
  return [`done: ${list(done)}`, `failed because an actor was killed: ${list(failed) || "none"}`];
}

/** A line for each process and what it holds: how it changes after the warm-up. */
export function trendLines(trends: readonly Trend[]): string[] {
  const head = ["process".padEnd(10), "".padEnd(12), "per minute".padStart(12), "in all".padStart(12)];
  const lines = trends.map(({ process, of, perMinute, rise, grows }) => {
    const show = (value: number): string =>
      of === "descriptors" ? value.toFixed(2) : showValue("bytes", value);
    const cells = [process.padEnd(10), of.padEnd(12), show(perMinute).padStart(12), show(rise).padStart(12)];
    return `${cells.join(" ")}${grows ? "  grows" : ""}`;
  });
  return [head.join(" "), ...lines];
}
