/** The JSON form of a run: `bun run bench --json FILE` writes it, `bench:docs` and `bench:pictures` read it. */
import type { Environment } from "./environment.ts";
import type { Result } from "./result.ts";

export interface Results {
  readonly env: Environment;
  readonly rows: readonly Result[];
}

/** Formats the results with one line per row, so that two runs can be compared by eye. */
export function jsonForm({ env, rows }: Results): string {
  const lines = rows.map((row) => `    ${JSON.stringify(row)}`);
  return `{\n  "env": ${JSON.stringify(env)},\n  "rows": [\n${lines.join(",\n")}\n  ]\n}\n`;
}

/** Picks the results of the rows with these ids, in that order; skips rows that were not run. */
export function pick({ rows }: Results, ids: readonly string[], pinned: boolean): Result[] {
  return ids.flatMap((id) => rows.find((row) => row.id === id && row.pinned === pinned) ?? []);
}
