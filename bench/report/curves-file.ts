/** The JSON form of a run of the curves: `bun run bench:curves --json FILE` writes it, `bench:docs` and `bench:pictures` read it. */
import type { Measure, Values } from "../curves/curve.ts";
import type { Machine } from "./environment.ts";

/** What was measured at one size. */
export interface Point {
  readonly size: number;
  readonly rounds: number;
  readonly values: Values;
}

export interface CurveResult {
  readonly id: string;
  readonly title: string;
  readonly about: string;
  readonly counts: string;
  readonly measures: readonly Measure[];
  /** From the smallest size to the largest. */
  readonly points: readonly Point[];
}

export interface CurveResults {
  readonly env: Machine;
  readonly curves: readonly CurveResult[];
}

/** Formats the results with one line per point, so that two runs can be compared by eye. */
export function curvesJson({ env, curves }: CurveResults): string {
  const forms = curves.map(({ points, ...facts }) => {
    const lines = points.map((point) => `      ${JSON.stringify(point)}`);
    return `    {\n${JSON.stringify(facts).slice(1, -1)},\n    "points": [\n${lines.join(",\n")}\n    ]}`;
  });
  return `{\n  "env": ${JSON.stringify(env)},\n  "curves": [\n${forms.join(",\n")}\n  ]\n}\n`;
}
