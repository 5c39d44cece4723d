/** The parts of docs/performance.md that a run of the curves fills. */
import type { Measure } from "../curves/curve.ts";
import { curvePicture } from "../pictures/curves.ts";
import { capacityTable } from "./capacity.ts";
import type { CurveResult, CurveResults } from "./curves-file.ts";
import { describeMachine } from "./environment.ts";
import { sayKnee, sizedValues } from "./knee.ts";
import { fillParts, markdown } from "./parts.ts";
import { showValue } from "./show.ts";

/** @throws {Error} if the document has no place for a part */
export function fillCurves(document: string, results: CurveResults): string {
  const sections = results.curves.filter(({ points }) => points.length > 1).map(section);
  return fillParts(document, {
    curves: [describeMachine(results.env), ...sections].join("\n\n"),
    capacity: capacityTable(results),
  });
}

function section(curve: CurveResult): string {
  const { id, title, about } = curve;
  const said = curve.measures.flatMap((measure) => {
    const sentence = sayKnee(measure, sizedValues(curve, measure), curve.counts);
    return sentence === "" ? [] : [`- ${sentence}`];
  });
  return [
    `### ${title}`,
    `${about}`,
    `![${title}](pictures/${curvePicture(id)})`,
    said.join("\n"),
    pointsTable(curve),
  ].join("\n\n");
}

function pointsTable({ counts, measures, points }: CurveResult): string {
  const columns = points.map(({ size }) => `${size.toLocaleString("en")} >`);
  const lines = measures.flatMap((measure) => measureLines(measure, points));
  return markdown([counts, ...columns], lines);
}

/** A line for the median, and one each for the tail and the baseline if it has them. */
function measureLines(measure: Measure, points: CurveResult["points"]): string[][] {
  const { id, what, unit, tail = "p99", baseline } = measure;
  const names = [
    ["median", what],
    ["tail", tail],
    ["baseline", baseline ?? ""],
  ] as const;
  return names.flatMap(([of, name]) => {
    const found = points.map(({ values }) => values[id]?.[of]);
    if (found.every((value) => value === undefined)) return [];
    return [[name, ...found.map((value) => (value === undefined ? "" : showValue(unit, value)))]];
  });
}
