/** Combines a row's rounds into one result: medians over the rounds, and the ratio with its spread. */
import type { RaceFinding, WeighFinding } from "../harness/round.ts";
import type { RaceRow, Row, WeighRow } from "../harness/row.ts";
import { median, quantileShares, type Sides, type Summary } from "../harness/timing.ts";

/** The ratio of two operations: its median, least and greatest over the rounds. */
export interface Ratio {
  readonly ratio: number;
  readonly spread: readonly [least: number, greatest: number];
}

/** These shares of the samples took at most these times; each time is the median over the rounds. */
export interface Quantiles {
  readonly shares: readonly number[];
  readonly subjectNs: readonly number[];
  readonly baselineNs: readonly number[];
}

/** One row of the JSON form. Times are nanoseconds per call. */
export interface Result extends Ratio {
  readonly id: string;
  readonly transport: Row["transport"];
  /** Whether all its processes shared one processor. */
  readonly pinned: boolean;
  readonly what: string;
  readonly rounds: number;
  /** Calls per sample. With 1, the percentiles are those of single calls. */
  readonly batch: number;
  readonly p50Ns: number;
  readonly p99Ns: number;
  readonly opsPerSec: number;
  readonly baseline: string;
  readonly baselineP50Ns: number;
  readonly baselineOpsPerSec: number;
  /** What `ratio` divides. Time and bytes: lower is better; throughput: higher is. */
  readonly ratioOf: "time" | "throughput" | "bytes";
  /** The distribution of the samples; absent if a round has only one. */
  readonly quantiles?: Quantiles;
  /** Ratios to operations other than the baseline. */
  readonly against: Readonly<Record<string, Ratio>>;
  readonly bytes?: number;
  readonly baselineBytes?: number;
}

export function raceResult(row: RaceRow, pinned: boolean, found: readonly RaceFinding[]): Result {
  const { ratioOf = "time" } = row;
  const sidesOf = (side: string): Summary[] => found.map(({ sides }) => sideOf(sides, side));
  const compare = (side: string): Ratio =>
    ratioOver(
      found.map(({ sides }) => {
        const [subject, other] = [sideOf(sides, "subject"), sideOf(sides, side)];
        return ratioOf === "time" ? subject.p50Ns / other.p50Ns : other.meanNs / subject.meanNs;
      }),
    );
  const others = Object.keys(found[0]?.sides ?? {}).filter(
    (side) => side !== "subject" && side !== "baseline",
  );
  return {
    ...factsOf(row, pinned, found.length),
    batch: found[0]?.batch ?? 1,
    ...timesOf(sidesOf("subject"), sidesOf("baseline")),
    ratioOf,
    ...compare("baseline"),
    quantiles: {
      shares: quantileShares,
      subjectNs: quantilesOver(sidesOf("subject")),
      baselineNs: quantilesOver(sidesOf("baseline")),
    },
    against: Object.fromEntries(others.map((side) => [side, compare(side)])),
  };
}

function quantilesOver(rounds: readonly Summary[]): number[] {
  return quantileShares.map((_, at) =>
    median(rounds.map(({ quantilesNs }) => quantilesNs[at] ?? Number.NaN)),
  );
}

export function weighResult(row: WeighRow, pinned: boolean, found: readonly WeighFinding[]): Result {
  const once = (ns: number): Summary => ({ p50Ns: ns, p99Ns: ns, meanNs: ns, quantilesNs: [] });
  return {
    ...factsOf(row, pinned, found.length),
    batch: 1,
    ...timesOf(
      found.map(({ subject }) => once(subject.ns)),
      found.map(({ baseline }) => once(baseline.ns)),
    ),
    ratioOf: "bytes",
    ...ratioOver(found.map(({ subject, baseline }) => subject.bytes / baseline.bytes)),
    against: {},
    bytes: median(found.map(({ subject }) => subject.bytes)),
    baselineBytes: median(found.map(({ baseline }) => baseline.bytes)),
  };
}

type Facts = Pick<Result, "id" | "transport" | "pinned" | "what" | "rounds" | "baseline">;

function factsOf({ id, transport, what, baseline }: Row, pinned: boolean, rounds: number): Facts {
  return { id, transport, pinned, what, rounds, baseline };
}

type TimeKey = "p50Ns" | "p99Ns" | "opsPerSec" | "baselineP50Ns" | "baselineOpsPerSec";

function timesOf(subject: readonly Summary[], baseline: readonly Summary[]): Pick<Result, TimeKey> {
  const over = (rounds: readonly Summary[], key: "p50Ns" | "p99Ns" | "meanNs"): number =>
    median(rounds.map((round) => round[key]));
  return {
    p50Ns: over(subject, "p50Ns"),
    p99Ns: over(subject, "p99Ns"),
    opsPerSec: 1e9 / over(subject, "meanNs"),
    baselineP50Ns: over(baseline, "p50Ns"),
    baselineOpsPerSec: 1e9 / over(baseline, "meanNs"),
  };
}

function ratioOver(ratios: readonly number[]): Ratio {
  return { ratio: median(ratios), spread: [Math.min(...ratios), Math.max(...ratios)] };
}

function sideOf(sides: Sides, side: string): Summary {
  const summary = sides[side];
  if (summary === undefined) throw new Error(`nothing was timed as ${side}`);
  return summary;
}
