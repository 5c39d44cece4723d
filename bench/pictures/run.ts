/** The pictures of a run, whichever command made it. */
import type { Run } from "../report/run-file.ts";
import { drawCurves } from "./curves.ts";
import { drawAll } from "./drawings.ts";
import { drawMixed, mixedPicture } from "./mixed.ts";

/** By file name. A picture is left out if the run has nothing for it. */
export function drawRun({ kind, results }: Run): ReadonlyMap<string, string> {
  switch (kind) {
    case "rows":
      return drawAll(results);
    case "curves":
      return drawCurves(results);
    case "mixed": {
      const drawn = drawMixed(results);
      return new Map(drawn === undefined ? [] : [[mixedPicture, drawn]]);
    }
  }
}
