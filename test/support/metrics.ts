/** A parser of Prometheus' text format, and of OpenMetrics, as strict as a test needs. */

export interface MetricFamily {
  readonly type: string;
  readonly help: string;
  readonly samples: MetricSample[];
}

export interface MetricSample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

const endings: Readonly<Record<string, readonly string[]>> = {
  histogram: ["_bucket", "_sum", "_count"],
  gauge: [""],
};

/** Throws on anything that isn't in the format. */
export function parseMetrics(text: string, isOpenMetrics = false): Map<string, MetricFamily> {
  if (!text.endsWith("\n")) throw new Error("the last line has no end");
  const lines = text.slice(0, -1).split("\n");
  if (isOpenMetrics && lines.pop() !== "# EOF") throw new Error("no # EOF");
  const families = new Map<string, MetricFamily>();
  let help: RegExpExecArray | undefined;
  let current: [name: string, family: MetricFamily] | undefined;
  for (const line of lines) {
    const comment = /^# (HELP|TYPE) ([a-z_]+) (.+)$/.exec(line);
    if (comment?.[1] === "HELP") {
      help = comment;
      continue;
    }
    if (comment !== null) {
      const [, , name = "", type = ""] = comment;
      if (help?.[2] !== name) throw new Error(`${name} has no help`);
      if (families.has(name)) throw new Error(`${name} comes twice`);
      families.set(name, { type, help: help[3]!, samples: [] });
      current = [name, families.get(name)!];
      continue;
    }
    if (current === undefined) throw new Error(`a sample before a family: ${line}`);
    const sample = parseSample(line);
    const [name, family] = current;
    const ends = family.type === "counter" ? [isOpenMetrics ? "_total" : ""] : endings[family.type];
    if (ends?.some((end) => sample.name === name + end) !== true)
      throw new Error(`${sample.name} is no sample of the ${family.type} ${name}`);
    if (family.type === "counter" && !sample.name.endsWith("_total"))
      throw new Error(`the counter ${sample.name} doesn't end with _total`);
    family.samples.push(sample);
  }
  for (const [name, { type, samples }] of families) {
    if (samples.length === 0) throw new Error(`${name} has no samples`);
    if (type === "histogram") checkHistograms(name, samples);
    const keys = samples.map((one) => one.name + JSON.stringify(one.labels));
    if (new Set(keys).size !== keys.length) throw new Error(`${name} has a sample twice`);
  }
  return families;
}

function parseSample(line: string): MetricSample {
  const match = /^([a-z_]+)\{(.*)\} (\S+)$/.exec(line);
  if (match === null) throw new Error(`no sample: ${line}`);
  const [, name = "", inside = "", number = ""] = match;
  const labels: Record<string, string> = {};
  let rest = inside;
  while (rest !== "") {
    const label = /^([a-z_]+)="((?:[^"\\\n]|\\["\\n])*)"(,|$)/.exec(rest);
    if (label === null) throw new Error(`no labels: ${inside}`);
    labels[label[1]!] = label[2]!.replaceAll(/\\(.)/g, (_, character: string) =>
      character === "n" ? "\n" : character,
    );
    rest = rest.slice(label[0].length);
  }
  const value = number === "+Inf" ? Number.POSITIVE_INFINITY : Number(number);
  if (Number.isNaN(value)) throw new Error(`no number: ${line}`);
  return { name, labels, value };
}

/** Buckets grow with their bounds, and the last one has all. */
function checkHistograms(name: string, samples: readonly MetricSample[]): void {
  const series = new Map<string, MetricSample[]>();
  for (const sample of samples) {
    const { le: _, ...labels } = sample.labels;
    const key = JSON.stringify(labels);
    series.set(key, [...(series.get(key) ?? []), sample]);
  }
  for (const [key, all] of series) {
    const buckets = all.filter((one) => one.name === `${name}_bucket`);
    const bounds = buckets.map(({ labels }) => (labels["le"] === "+Inf" ? Infinity : Number(labels["le"])));
    const isSorted = (values: readonly number[]): boolean =>
      values.every((value, at) => at === 0 || value >= values[at - 1]!);
    if (!isSorted(bounds) || bounds.at(-1) !== Infinity)
      throw new Error(`${name}${key}: bounds ${bounds.join()}`);
    if (!isSorted(buckets.map(({ value }) => value))) throw new Error(`${name}${key}: buckets shrink`);
    const count = all.find((one) => one.name === `${name}_count`)?.value;
    if (count !== buckets.at(-1)?.value) throw new Error(`${name}${key}: _count isn't the last bucket`);
    if (!all.some((one) => one.name === `${name}_sum`)) throw new Error(`${name}${key}: no _sum`);
  }
}
