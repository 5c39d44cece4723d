/**
 * How the parts of furrow grow: `bun run bench:curves [--only ID[,ID]] [--most N] [--json FILE] [--quick]`.
 *
 * Measures each curve at each of its sizes, with real processes and sockets; every point has fresh processes. Quick points
 * are measured up to three times, slow ones once.
 */
import { parseArgs } from "node:util";

import { selectCurves } from "./curves/all.ts";
import type { Curve } from "./curves/curve.ts";
import { measurePoint } from "./curves/point.ts";
import { openHome, runCommand } from "./harness/command.ts";
import { maxDescriptors, memoryIsHidden } from "./harness/memory.ts";
import { type CurveResult, curvesJson, type Point } from "./report/curves-file.ts";
import { curveLine, kneeLines } from "./report/curve-table.ts";
import { machine } from "./report/environment.ts";

const usage = `bun run bench:curves [--only ID[,ID]] [--most N] [--json FILE] [--quick]

  --only   the curves to measure (default: all)
  --most   leave out sizes beyond N, but for the smallest of each curve
  --json   also write the results to FILE
  --quick  measure each size once and shortly: only shows that everything runs`;

async function main(): Promise<void> {
  const { values } = parseArgs({
    args: Bun.argv.slice(2),
    options: {
      only: { type: "string" },
      most: { type: "string", default: "Infinity" },
      json: { type: "string" },
      quick: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) {
    console.log(usage);
    return;
  }
  const most = Number(values.most);
  if (!(most > 0)) throw new Error(`--most must be a positive number, not "${values.most}"`);
  const selected = selectCurves(values.only?.split(",").map((id) => id.trim()));
  const hidden = memoryIsHidden();
  if (hidden !== undefined) throw new Error(`this machine doesn't tell what a process holds: ${hidden}`);
  const home = openHome("furrow-curves-");
  const found: CurveResult[] = [];
  for (const curve of selected) found.push(await measureCurve(curve, most, home, values.quick));
  if (values.json !== undefined) await Bun.write(values.json, curvesJson({ env: machine(), curves: found }));
}

async function measureCurve(
  curve: Curve,
  most: number,
  home: string,
  isBrief: boolean,
): Promise<CurveResult> {
  const { id, title, about, counts, measures } = curve;
  console.log(`${id}: ${title}`);
  const points: Point[] = [];
  for (const size of curve.sizes.filter((one, at) => at === 0 || one <= most)) {
    const needed = curve.descriptors?.(size) ?? 0;
    if (needed > maxDescriptors()) {
      console.log(`  ${size}: skipped, needs ${needed} open files (ulimit -n)`);
      continue;
    }
    const start = performance.now();
    try {
      const point = await measurePoint(curve, size, home, isBrief);
      points.push(point);
      console.log(curveLine(measures, point, performance.now() - start));
    } catch (error) {
      // the others are worth having all the same
      console.error(
        `bench:curves: ${id} at ${size}: ${error instanceof Error ? error.message : String(error)}`,
      );
      process.exitCode = 1;
    }
  }
  const result = { id, title, about, counts, measures, points };
  for (const line of kneeLines(result)) console.log(line);
  return result;
}

await runCommand("bench:curves", main);
