/** What a machine carries, worked out from the curves. */
import type { CurveResults } from "./curves-file.ts";
import { sizedValues } from "./knee.ts";
import { markdown } from "./parts.ts";
import { showCount, showValue } from "./show.ts";

interface Size {
  readonly cores: number;
  readonly gigabytes: number;
}

const machines: readonly Size[] = [
  { cores: 2, gigabytes: 4 },
  { cores: 8, gigabytes: 32 },
  { cores: 32, gigabytes: 128 },
];
/** How much of the memory may be full: the rest is for the kernel, its sockets, and peaks. */
const full = 0.75;
const gigabyte = 2 ** 30;

/** Something that a machine has room or time for. */
interface Good {
  readonly what: string;
  /** The curve and the measure that it is worked out from. */
  readonly from: readonly [curve: string, measure: string];
  /** How many a machine carries: n cores and m GB; c is the measured value, k the number of cores that it was measured on. */
  readonly formula: string;
  readonly count: (value: number, machine: Size, measuredOn: number) => number;
  /** Which point counts: that of the largest size, or the best one. */
  readonly at: "largest" | "best";
  /** The value is of all together, and shared among so many. */
  readonly each?: boolean;
}

function inMemory(bytes: number, { gigabytes }: Size): number {
  return (full * gigabytes * gigabyte) / bytes;
}

const goods: readonly Good[] = [
  {
    what: "idle actors",
    from: ["boots", "pss"],
    formula: "0.75 m / c",
    count: inMemory,
    at: "largest",
  },
  {
    what: "actors started per second",
    from: ["boots", "start"],
    formula: "n / (c × k)",
    count: (ns, { cores }, measuredOn) => (cores * 1e9) / (ns * measuredOn),
    at: "largest",
    each: true,
  },
  {
    what: "names in a registrar's memory",
    from: ["names", "memory"],
    formula: "0.75 m / c",
    count: inMemory,
    at: "largest",
  },
  {
    what: "connections in memory, one end of each",
    from: ["connections", "private"],
    formula: "0.75 m / c",
    count: inMemory,
    at: "largest",
  },
  {
    what: "calls per second, between pairs of actors",
    from: ["calls", "rate"],
    formula: "c × n / 2",
    count: (rate, { cores }) => (rate * cores) / 2,
    at: "best",
  },
  {
    what: "messages of streams per second, between pairs of actors",
    from: ["streams", "rate"],
    formula: "c × n / 2",
    count: (rate, { cores }) => (rate * cores) / 2,
    at: "best",
  },
  {
    what: "pushes of one registrar per second, all watchers together",
    from: ["watchers", "change"],
    formula: "1 / c, on any machine",
    count: (ns) => 1e9 / ns,
    at: "largest",
    each: true,
  },
];

/** A line for each good that was measured. */
export function capacityTable(results: CurveResults): string {
  const head = machines.map(({ cores, gigabytes }) => `${cores} cores, ${gigabytes} GB >`);
  const lines = goods.flatMap((good) => lineOf(good, results));
  if (lines.length === 0) return "Not run.";
  return markdown(["what", "measured (c) >", "with n cores and m GB", ...head], lines);
}

function lineOf({ what, from: [curveId, measureId], formula, count, at, each }: Good, results: CurveResults) {
  const curve = results.curves.find(({ id }) => id === curveId);
  const measure = curve?.measures.find(({ id }) => id === measureId);
  if (curve === undefined || measure === undefined) return [];
  const values = sizedValues(curve, measure).map(({ size, value: { median } }) =>
    each ? median / size : median,
  );
  const value = at === "best" ? Math.max(...values) : values.at(-1);
  if (value === undefined || !(value > 0) || value === Number.POSITIVE_INFINITY) return [];
  const shown = `${showValue(measure.unit, value)}${measure.unit === "ns" || measure.unit === "bytes" ? " each" : ""}`;
  return [
    [
      what,
      shown,
      formula,
      ...machines.map((machine) => showCount(count(value, machine, results.env.processors))),
    ],
  ];
}
