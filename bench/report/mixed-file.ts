/** The JSON form of a mixed load: `bun run bench:mixed --json FILE` writes it, `bench:docs` and `bench:pictures` read it. */
import type { Sample } from "../mixed/growth.ts";
import type { Machine } from "./environment.ts";

export interface MixedResults {
  readonly env: Machine;
  /** What was done in all, and what failed, by the names of the errors. */
  readonly done: Readonly<Record<string, number>>;
  readonly failed: Readonly<Record<string, number>>;
  readonly samples: readonly Sample[];
}

/** Formats the results with one line per sample. */
export function mixedJson({ samples, ...facts }: MixedResults): string {
  const lines = samples.map((sample) => `    ${JSON.stringify(sample)}`);
  return `{\n${JSON.stringify(facts).slice(1, -1)},\n  "samples": [\n${lines.join(",\n")}\n  ]\n}\n`;
}
