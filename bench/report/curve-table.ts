/** The curves on the terminal. */
import type { Measure } from "../curves/curve.ts";
import type { CurveResult, Point } from "./curves-file.ts";
import { sayKnee, sizedValues } from "./knee.ts";
import { showValue } from "./show.ts";

/** What was measured at one size, and how long that took. */
export function curveLine(measures: readonly Measure[], { size, rounds, values }: Point, ms: number): string {
  const cells = measures.flatMap(({ id, unit, tail = "p99", baseline }) => {
    const value = values[id];
    if (value === undefined) return [];
    const others = [
      ...(value.tail === undefined ? [] : [`${tail} ${showValue(unit, value.tail)}`]),
      ...(value.baseline === undefined ? [] : [`${baseline} ${showValue(unit, value.baseline)}`]),
    ];
    const aside = others.length === 0 ? "" : ` (${others.join(", ")})`;
    return [`${id} ${showValue(unit, value.median)}${aside}`];
  });
  const how = `${rounds} × in ${(ms / 1_000).toFixed(1)} s`;
  return `  ${size.toLocaleString("en").padStart(10)}  ${cells.join("; ")}  [${how}]`;
}

/** Where the knees of a curve are. */
export function kneeLines(curve: CurveResult): string[] {
  return curve.measures.flatMap((measure) => {
    const said = sayKnee(measure, sizedValues(curve, measure), curve.counts);
    return said === "" ? [] : [`  ${said.replaceAll("**", "")}`];
  });
}
