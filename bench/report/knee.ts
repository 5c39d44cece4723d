/** Where a curve leaves what a perfect program would do: its knee. Pure. */
import type { Measure, Value } from "../curves/curve.ts";
import type { CurveResult } from "./curves-file.ts";
import { showCount, showValue } from "./show.ts";

/** From the knee on, each costs more than so many times what it costs at the best smaller size. */
const bend = 2;

/** One measure at one size. */
export interface Sized {
  readonly size: number;
  readonly value: Value;
}

/** The sizes at which the measure has a value. */
export function sizedValues({ points }: CurveResult, { id }: Measure): Sized[] {
  return points.flatMap(({ size, values }) => {
    const value = values[id];
    return value === undefined ? [] : [{ size, value }];
  });
}

/** What one unit of the ideal costs: flat, as long as the program behaves. */
function cost({ unit, ideal }: Measure, { size, value }: Sized): number {
  if (unit === "perSecond" || unit === "bytesPerSecond") return 1 / value.median;
  return ideal === "same for each" ? value.median / size : value.median;
}

/** The smallest size from which on the measure leaves its ideal; undefined if it doesn't. */
export function kneeOf(measure: Measure, sized: readonly Sized[]): Sized | undefined {
  let knee: Sized | undefined;
  let best = Number.POSITIVE_INFINITY;
  for (const one of sized) {
    const here = cost(measure, one);
    const bound = measure.ideal === "below the baseline" ? (one.value.baseline ?? best) : bend * best;
    if (here <= bound) knee = undefined;
    else knee ??= one;
    best = Math.min(best, here);
  }
  return knee;
}

/** Says where the knee is, or that there is none, in a sentence. Empty if there is nothing to compare. */
export function sayKnee(measure: Measure, sized: readonly Sized[], counts: string): string {
  const [first, last] = [sized[0], sized.at(-1)];
  if (first === undefined || last === undefined || first === last) return "";
  const knee = kneeOf(measure, sized);
  const at = ({ size, value }: Sized): string =>
    `${showValue(measure.unit, value.median)}${eachOf(measure, size, value)} at ${showCount(size)}`;
  const between = knee === undefined || knee === first || knee === last ? [] : [knee];
  const figures = [first, ...between, last].map(at).join(", ");
  return `**${upperFirst(measure.what)}:** ${verdict(measure, knee, last, counts)}; ${figures}.`;
}

function verdict({ ideal }: Measure, knee: Sized | undefined, last: Sized, counts: string): string {
  const [none, some] =
    ideal === "below the baseline"
      ? ["within the goal up to", "beyond the goal from"]
      : ["no knee up to", "a knee at"];
  return knee === undefined
    ? `${none} ${showCount(last.size)} ${counts}`
    : `${some} ${showCount(knee.size)} ${counts}`;
}

function eachOf({ unit, ideal }: Measure, size: number, { median }: Value): string {
  return ideal === "same for each" && size > 1 ? ` (${showValue(unit, median / size)} each)` : "";
}

function upperFirst(text: string): string {
  return text.slice(0, 1).toUpperCase() + text.slice(1);
}
