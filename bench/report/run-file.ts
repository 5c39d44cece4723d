/** Reads what any command of the bench has written with `--json`. */
import type { CurveResults } from "./curves-file.ts";
import type { MixedResults } from "./mixed-file.ts";
import type { Results } from "./results-file.ts";

export type Run =
  | { readonly kind: "rows"; readonly results: Results }
  | { readonly kind: "curves"; readonly results: CurveResults }
  | { readonly kind: "mixed"; readonly results: MixedResults };

/** @throws {Error} if the file is missing, or doesn't hold results of the bench */
export async function readRun(path: string): Promise<Run> {
  const file = Bun.file(path);
  if (!(await file.exists()))
    throw new Error(`${path} doesn't exist; bun run bench --json ${path} writes it`);
  const form: unknown = await file.json();
  if (typeof form === "object" && form !== null && "env" in form) {
    if ("rows" in form) return { kind: "rows", results: form as Results };
    if ("curves" in form) return { kind: "curves", results: form as CurveResults };
    if ("samples" in form) return { kind: "mixed", results: form as MixedResults };
  }
  throw new Error(`${path} doesn't hold results of the bench`);
}
