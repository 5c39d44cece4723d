/** Puts a run into docs/performance.md, whichever command made it. */
import { fillCurves } from "./curves-document.ts";
import { fillDocument } from "./document.ts";
import { fillMixed } from "./mixed-document.ts";
import type { Run } from "./run-file.ts";

/**
 * Returns the document with the parts that belong to this kind of run generated anew.
 *
 * @throws {Error} if the document has no place for a part
 */
export function fillRun(document: string, { kind, results }: Run): string {
  switch (kind) {
    case "rows":
      return fillDocument(document, results);
    case "curves":
      return fillCurves(document, results);
    case "mixed":
      return fillMixed(document, results);
  }
}
