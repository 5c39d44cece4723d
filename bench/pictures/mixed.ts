/** The picture of a mixed load: what each process holds, over time. */
import type { Held } from "../mixed/growth.ts";
import type { MixedResults } from "../report/mixed-file.ts";
import type { Panel } from "./panel.ts";
import { drawPicture } from "./picture.ts";
import { linearScale } from "./scale.ts";

export const mixedPicture = "mixed-load.svg";

const mebibyte = 2 ** 20;

const panels = [
  { of: "private", title: "private memory", unit: "MiB", size: mebibyte },
  { of: "pss", title: "PSS", unit: "MiB", size: mebibyte },
  { of: "heap", title: "live objects, after a collection", unit: "MiB", size: mebibyte },
  { of: "descriptors", title: "open descriptors", unit: "descriptors", size: 1 },
] as const satisfies readonly { readonly of: keyof Held; readonly [facts: string]: unknown }[];

/** Draws the load. Undefined if there are fewer than two samples. */
export function drawMixed({ samples }: MixedResults): string | undefined {
  if (samples.length < 2) return undefined;
  const names = Object.keys(samples[0]?.held ?? {});
  const drawn = panels.map(({ of, title, unit, size }): Panel => {
    const lines = names.map((name) => ({
      name,
      side: "subject" as const,
      points: samples.flatMap(({ minutes, held }) => {
        const value = held[name]?.[of];
        return value === undefined ? [] : [[minutes, value / size] as const];
      }),
    }));
    const greatest = Math.max(...lines.flatMap(({ points }) => points.map(([, y]) => y)));
    return {
      title,
      x: { title: "minutes", scale: linearScale(samples.at(-1)!.minutes) },
      y: { title: unit, scale: linearScale(greatest) },
      lines,
    };
  });
  const note = "calls, streams, dialogs, lookups, watches, starts and kills, all at the same time";
  return drawPicture("What each process holds under a mixed load", drawn, note);
}
