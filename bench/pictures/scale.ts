/** Scales: where a value lies on an axis, and which values get a tick. */
export interface Tick {
  readonly value: number;
  readonly text: string;
}

export interface Scale {
  readonly ticks: readonly Tick[];
  /** 0 at the start of the axis, 1 at its end. */
  place(value: number): number;
}

/** Writes 1000 as 1k and a million as 1M, since ticks stand close together. */
function tickAt(value: number): Tick {
  const text = value.toLocaleString("en", { notation: "compact" }).replace("K", "k");
  return { value, text };
}

function between(transform: (value: number) => number, from: number, to: number): Scale["place"] {
  const start = transform(from);
  const length = transform(to) - start;
  return (value) => (transform(value) - start) / length;
}

/** Runs from 0 to a round number of at least `greatest`, in about five steps. */
export function linearScale(greatest: number): Scale {
  const rough = greatest / 5;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= rough) ?? 10 * power;
  const steps = Math.ceil(greatest / step);
  const ticks = Array.from({ length: steps + 1 }, (_, n) => tickAt(n * step));
  return { ticks, place: between((value) => value, 0, steps * step) };
}

/** More ticks than this stand too close together. */
const mostTicks = 12;

/** Equal ratios get equal room. Both ends are 1, 2 or 5 times a power of ten or, if they are far apart, a power of ten. */
export function logScale(least: number, greatest: number): Scale {
  const fine = logScaleBy([1, 2, 5], least, greatest);
  return fine.ticks.length <= mostTicks ? fine : logScaleBy([1], least, greatest);
}

/** With ticks at these multiples of powers of ten. */
function logScaleBy(factors: readonly number[], least: number, greatest: number): Scale {
  const exponents = Array.from({ length: 25 }, (_, n) => n - 6);
  // not a product: 5 * 10 ** -6 isn't 5e-6
  const round = exponents.flatMap((exponent) => factors.map((factor) => Number(`${factor}e${exponent}`)));
  const from = round.findLast((value) => value <= least) ?? least;
  const to = round.find((value) => value >= greatest && value > from) ?? greatest;
  const ticks = round.filter((value) => value >= from && value <= to).map(tickAt);
  return { ticks, place: between(Math.log, from, to) };
}

/** Like `logScale`, with ticks at exactly these values. */
export function stepScale(values: readonly number[]): Scale {
  return { ticks: values.map(tickAt), place: between(Math.log, values[0] ?? 1, values.at(-1) ?? 10) };
}

/** Shares of all samples, stretched towards both ends: the rare samples are what a distribution is meant to show. */
export function shareScale(least: number, greatest: number): Scale {
  const shares = [0.01, 0.1, 0.5, 0.9, 0.99, 0.999].filter((share) => share >= least && share <= greatest);
  const ticks = shares.map((share) => ({ value: share, text: `${Number((share * 100).toFixed(1))}%` }));
  return { ticks, place: between((share) => Math.log(share / (1 - share)), least, greatest) };
}
