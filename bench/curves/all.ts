/** All curves, in the order in which they run and stand in the document. */
import { boots } from "./boots.ts";
import { calls } from "./calls.ts";
import { connections } from "./connections.ts";
import type { Curve } from "./curve.ts";
import { frames } from "./frames.ts";
import { fullCache } from "./full-cache.ts";
import { instances } from "./instances.ts";
import { killed } from "./kills.ts";
import { interested, watchers } from "./listeners.ts";
import { names } from "./names.ts";
import { streams } from "./streams.ts";
import { turns } from "./turns.ts";

export const curves: readonly Curve[] = [
  instances,
  names,
  fullCache,
  watchers,
  interested,
  connections,
  boots,
  killed,
  frames,
  calls,
  streams,
  turns,
];

/**
 * Returns the curves with these ids, in the order of `curves`; all of them for undefined.
 *
 * @throws {Error} if an id is unknown; the message lists the known ones
 */
export function selectCurves(ids: readonly string[] | undefined): readonly Curve[] {
  if (ids === undefined) return curves;
  const known = curves.map(({ id }) => id);
  const unknown = ids.filter((id) => !known.includes(id));
  if (ids.length === 0 || unknown.length > 0)
    throw new Error(`unknown curve ${unknown.join(", ") || '""'}; the curves are ${known.join(", ")}`);
  return curves.filter(({ id }) => ids.includes(id));
}
