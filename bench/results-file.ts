/** The JSON form of a run: `bun run bench --json FILE` writes it, the pictures and the document are made of it. */
import type { Environment } from "./report.ts";
import type { Result } from "./result.ts";

export interface Results {
  readonly env: Environment;
  readonly rows: readonly Result[];
}

/** One line for each row, so that two runs can be compared by eye. */
export function jsonForm({ env, rows }: Results): string {
  const lines = rows.map((row) => `    ${JSON.stringify(row)}`);
  return `{\n  "env": ${JSON.stringify(env)},\n  "rows": [\n${lines.join(",\n")}\n  ]\n}\n`;
}

/** @throws {Error} when the file is missing, or no such form */
export async function readResults(path: string): Promise<Results> {
  const file = Bun.file(path);
  if (!(await file.exists())) throw new Error(`there is no file ${path}: bun run bench --json ${path}`);
  const form = (await file.json()) as Partial<Results> | null;
  if (!Array.isArray(form?.rows) || typeof form.env !== "object") {
    throw new Error(`${path} holds no results of the bench`);
  }
  return form as Results;
}

/** The results of the rows with these ids, in that order, pinned or not; those that were not run are left out. */
export function pick({ rows }: Results, ids: readonly string[], pinned: boolean): Result[] {
  return ids.flatMap((id) => rows.find((row) => row.id === id && row.pinned === pinned) ?? []);
}
