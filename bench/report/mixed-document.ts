/** The part of docs/performance.md that a mixed load fills. */
import { type Held, trendsOf, warmUpMinutes } from "../mixed/growth.ts";
import { mixedPicture } from "../pictures/mixed.ts";
import { describeMachine } from "./environment.ts";
import type { MixedResults } from "./mixed-file.ts";
import { fillParts, markdown } from "./parts.ts";
import { showCount, showValue } from "./show.ts";

const columns = [
  ["private", "private memory"],
  ["pss", "PSS"],
  ["heap", "live objects"],
  ["descriptors", "descriptors"],
] as const satisfies readonly (readonly [keyof Held, string])[];

/** @throws {Error} if the document has no place for the part */
export function fillMixed(document: string, results: MixedResults): string {
  return fillParts(document, { mixed: describeLoad(results) });
}

function describeLoad({ env, samples, done, failed }: MixedResults): string {
  const minutes = samples.at(-1)?.minutes ?? 0;
  const trends = trendsOf(samples);
  const growing = trends.filter(({ grows }) => grows);
  const verdict =
    growing.length === 0
      ? "Nothing grows"
      : `Grows: ${growing.map(({ process, of }) => `${of} of the ${process}`).join(", ")}`;
  const list = Object.entries(done).map(([what, count]) => `${showCount(count)} ${what}`);
  const failures = Object.values(failed).reduce((sum, count) => sum + count, 0);
  const lines = Object.keys(samples[0]?.held ?? {}).map((process) => [
    process,
    ...columns.map(([of]) => {
      const trend = trends.find((one) => one.process === process && one.of === of)!;
      return of === "descriptors" ? trend.perMinute.toFixed(2) : showValue("bytes", trend.perMinute);
    }),
  ]);
  return [
    describeMachine(env),
    `![What each process holds under a mixed load, over time](pictures/${mixedPicture})`,
    `${minutes.toFixed(0)} minutes: ${list.join(", ")}; ${showCount(failures)} requests failed because their actor had just been killed.`,
    `${verdict}. The slope of each line from minute ${warmUpMinutes(minutes).toFixed(0)} on, per minute:`,
    markdown(["process", ...columns.map(([, title]) => `${title} >`)], lines),
  ].join("\n\n");
}
