/** The pictures of a run of the curves: one for each curve, with a panel for each thing that it measures. */
import type { Measure, Unit } from "../curves/curve.ts";
import type { CurveResult, CurveResults } from "../report/curves-file.ts";
import { kneeOf, sizedValues } from "../report/knee.ts";
import type { Line, Panel } from "./panel.ts";
import { drawPicture } from "./picture.ts";
import { linearScale, logScale, type Scale, stepScale } from "./scale.ts";

/** Both axes are logarithmic, unless the values are closer together than this. */
const closeTogether = 3;

/** What an axis shows, and how much of the unit is one of it. */
interface AxisUnit {
  readonly name: string;
  readonly size: number;
}

/** The file name of a curve's picture. */
export function curvePicture(id: string): string {
  return `curve-${id}.svg`;
}

/** Draws all curves, by file name. One that has fewer than two points is left out. */
export function drawCurves({ curves }: CurveResults): ReadonlyMap<string, string> {
  const drawn = curves.flatMap((curve): (readonly [string, string])[] => {
    const panels = curve.measures.flatMap((measure) => curvePanel(curve, measure) ?? []);
    const note =
      "a ring marks a knee: from there on, it costs more than twice as much as before, or exceeds its goal";
    return panels.length === 0 ? [] : [[curvePicture(curve.id), drawPicture(curve.title, panels, note)]];
  });
  return new Map(drawn);
}

function curvePanel(curve: CurveResult, measure: Measure): Panel | undefined {
  const sized = sizedValues(curve, measure);
  if (sized.length < 2) return undefined;
  const values = sized.flatMap(({ value }) => [value.median, value.tail ?? [], value.baseline ?? []].flat());
  const unit = axisUnit(measure.unit, Math.max(...values));
  const series = (of: "median" | "tail" | "baseline"): Line["points"] =>
    sized.flatMap(({ size, value }) => {
      const found = value[of];
      return found === undefined ? [] : [[size, found / unit.size] as const];
    });
  const { line = "median", tail = "p99", baseline = "" } = measure;
  const lines: Line[] = [
    { name: line, side: "subject", points: series("median"), marked: true },
    { name: tail, side: "tail", points: series("tail") },
    { name: baseline, side: "baseline", points: series("baseline") },
  ];
  const shown = lines.filter(({ points }) => points.length > 0);
  const knee = kneeOf(measure, sized);
  return {
    title: measure.what,
    x: { title: curve.counts, scale: stepScale(sized.map(({ size }) => size)) },
    y: { title: unit.name, scale: scaleOf(values.map((value) => value / unit.size)) },
    lines: shown.length === 1 ? shown.map((only) => ({ ...only, name: "furrow" })) : shown,
    ...(knee !== undefined && { ring: [knee.size, knee.value.median / unit.size] as const }),
  };
}

function axisUnit(unit: Unit, greatest: number): AxisUnit {
  switch (unit) {
    case "ns":
      if (greatest < 1e4) return { name: "ns", size: 1 };
      return greatest < 1e7 ? { name: "µs", size: 1e3 } : { name: "ms", size: 1e6 };
    case "bytes":
      return greatest < 10_240 ? { name: "bytes", size: 1 } : { name: "KiB", size: 1_024 };
    case "perSecond":
      return { name: "per second", size: 1 };
    case "bytesPerSecond":
      return { name: "MiB per second", size: 1_048_576 };
  }
}

function scaleOf(values: readonly number[]): Scale {
  const [least, greatest] = [Math.min(...values), Math.max(...values)];
  // memory can shrink by chance: a logarithm has no place for that
  return least <= 0 || greatest / least < closeTogether ? linearScale(greatest) : logScale(least, greatest);
}
