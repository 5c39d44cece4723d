/** The pictures of a run: what each one shows, and from which rows. */
import type { Result } from "../report/result.ts";
import { pick, type Results } from "../report/results-file.ts";
import type { Line, Panel } from "./panel.ts";
import { drawPicture } from "./picture.ts";
import { linearScale, logScale, type Scale, shareScale, stepScale } from "./scale.ts";

/** Rows whose samples are single calls: only these show how single calls are distributed. */
const latencyRows = ["rpc.unix", "rpc.tcp", "lookup.registrar.unix", "find.cold.unix"];
const flights = [1, 2, 4, 8, 16, 32, 64, 128];
const tableSizes = [10, 1_000, 100_000, 1_000_000];

/** Draws all pictures, by file name. A picture is left out if the results have no rows for it. */
export function drawAll(results: Results): ReadonlyMap<string, string> {
  const drawings = {
    "latency.svg": drawLatency(results),
    "in-flight.svg": drawInFlight(results),
    "table.svg": drawTable(results),
  };
  return new Map(
    Object.entries(drawings).filter((entry): entry is [string, string] => entry[1] !== undefined),
  );
}

/** Whether a run has pinned rows; if so, the pictures show those. */
function isPinned({ rows }: Results): boolean {
  return rows.some(({ pinned }) => pinned);
}

function pinningNote(pinned: boolean): string {
  return pinned ? "all processes on one processor" : "processes on any processor";
}

function drawLatency(results: Results): string | undefined {
  const pinned = isPinned(results);
  const rows = pick(results, latencyRows, pinned).filter(({ quantiles }) => quantiles !== undefined);
  if (rows.length === 0) return undefined;
  const note = `${pinningNote(pinned)}; each point is the median over the rounds`;
  return drawPicture("How long calls take, beside their baselines", rows.map(latencyPanel), note);
}

function latencyPanel({ id, baseline, quantiles }: Result): Panel {
  const { shares, subjectNs, baselineNs } = quantiles ?? { shares: [], subjectNs: [], baselineNs: [] };
  const inMicroseconds = (times: readonly number[]): (readonly [number, number])[] =>
    times.map((ns, at) => [shares[at] ?? Number.NaN, ns / 1e3]);
  const lines: Line[] = [
    { name: "furrow", side: "subject", points: inMicroseconds(subjectNs) },
    { name: "baseline", side: "baseline", points: inMicroseconds(baselineNs) },
  ];
  const times = lines.flatMap(({ points }) => points.map(([, time]) => time));
  return {
    title: `${id}, beside ${baseline}`,
    x: {
      title: "share of the calls that took no longer",
      scale: shareScale(shares[0] ?? 0.01, shares.at(-1) ?? 0.999),
    },
    y: { title: "time, µs", scale: logScale(Math.min(...times), Math.max(...times)) },
    lines,
  };
}

function drawInFlight(results: Results): string | undefined {
  const ids = flights.map((count) => `rpc.unix.${count}`);
  const panels = [true, false].flatMap((pinned) => {
    const rows = pick(results, ids, pinned);
    return rows.length < 2 ? [] : [inFlightPanel(rows, pinned)];
  });
  if (panels.length === 0) return undefined;
  return drawPicture(
    "Throughput against calls in flight",
    panels,
    "calls of 32 bytes each way, over one unix socket",
  );
}

function inFlightPanel(rows: readonly Result[], pinned: boolean): Panel {
  const series = (of: (row: Result) => number): (readonly [number, number])[] =>
    rows.map((row) => [Number(row.id.split(".").at(-1)), of(row) / 1e3]);
  const lines: Line[] = [
    { name: "furrow", side: "subject", points: series(({ opsPerSec }) => opsPerSec), marked: true },
    { name: "raw echo", side: "baseline", points: series((row) => row.baselineOpsPerSec), marked: true },
  ];
  return {
    title: pinningNote(pinned),
    x: { title: "calls in flight", scale: stepScale(flights) },
    y: { title: "thousands of calls per second", scale: scaleFor(lines) },
    lines,
  };
}

function drawTable(results: Results): string | undefined {
  const pinned = isPinned(results);
  const rows = pick(
    results,
    tableSizes.map((size) => `table.${size}`),
    pinned,
  );
  if (rows.length < 2) return undefined;
  const series = (of: (row: Result) => number): (readonly [number, number])[] =>
    rows.map((row) => [Number(row.id.split(".").at(-1)), of(row)]);
  const lines: Line[] = [
    { name: "table", side: "subject", points: series(({ p50Ns }) => p50Ns), marked: true },
    { name: "plain Map", side: "baseline", points: series((row) => row.baselineP50Ns), marked: true },
  ];
  const panel: Panel = {
    title: "a lookup in the registrar's table",
    x: { title: "names in the table", scale: stepScale(tableSizes) },
    y: { title: "median time of a lookup, ns", scale: scaleFor(lines) },
    lines,
  };
  return drawPicture("The cost of a lookup against the size of the table", [panel], pinningNote(pinned));
}

function scaleFor(lines: readonly Line[]): Scale {
  return linearScale(Math.max(...lines.flatMap(({ points }) => points.map(([, y]) => y))));
}
