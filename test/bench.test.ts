import { describe, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { inFull } from "./support/soak.ts";
import { curves } from "../bench/curves/all.ts";
import type { Measure } from "../bench/curves/curve.ts";
import { type Held, slope, trendsOf } from "../bench/mixed/growth.ts";
import { drawCurves } from "../bench/pictures/curves.ts";
import { drawAll } from "../bench/pictures/drawings.ts";
import { drawMixed } from "../bench/pictures/mixed.ts";
import { fillCurves } from "../bench/report/curves-document.ts";
import type { CurveResults } from "../bench/report/curves-file.ts";
import { fillDocument } from "../bench/report/document.ts";
import { kneeOf, sayKnee, type Sized } from "../bench/report/knee.ts";
import { fillMixed } from "../bench/report/mixed-document.ts";
import type { MixedResults } from "../bench/report/mixed-file.ts";
import type { Result } from "../bench/report/result.ts";
import type { Results } from "../bench/report/results-file.ts";

const bench = join(import.meta.dir, "..", "bench");
const quick = ["--quick", "--pin", "none"];
/** The stores of the rows called `beside`, and the programs of their servers. */
const stores = [
  ["redis", "redis-server"],
  ["nats", "nats-server"],
  ["etcd", "etcd"],
] as const;

interface Run {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a command of the bench with its own temporary directory, so that the test sees what it leaves there. */
async function runCommand(
  program: string,
  folder: string,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<Run> {
  const child = Bun.spawn([process.execPath, join(bench, program), ...args], {
    env: { ...process.env, TMPDIR: folder, ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const [exitCode, stdout, stderr] = await Promise.all([
    child.exited,
    child.stdout.text(),
    child.stderr.text(),
  ]);
  return { exitCode, stdout, stderr };
}

function runBench(
  folder: string,
  args: readonly string[],
  env?: Readonly<Record<string, string>>,
): Promise<Run> {
  return runCommand("run.ts", folder, args, env);
}

async function inFolder(work: (folder: string) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "furrow-bench-test-"));
  try {
    await work(folder);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const row = {
  transport: "unix",
  p50Ns: expect.any(Number) as number,
  p99Ns: expect.any(Number) as number,
  opsPerSec: expect.any(Number) as number,
  baseline: expect.any(String) as string,
  ratio: expect.any(Number) as number,
};

describe("bench", () => {
  test("writes the requested rows as JSON and leaves no other files", async () => {
    await inFolder(async (folder) => {
      const json = join(folder, "results.json");
      const run = await runBench(folder, [...quick, "--only", "echo.unix,rpc.unix", "--json", json]);
      expect(run).toMatchObject({ exitCode: 0, stderr: "" });
      expect(run.stdout).toContain("rpc.unix");
      expect(await Bun.file(json).json()).toMatchObject({
        env: { bun: Bun.version, quick: true },
        rows: [
          { ...row, id: "echo.unix", pinned: false },
          { ...row, id: "rpc.unix", pinned: false, quantiles: expect.any(Object) as object },
        ],
      });
      expect(readdirSync(folder)).toEqual(["results.json"]);
    });
  });

  test("runs the rows beside the installed stores and ends their servers", async () => {
    await inFolder(async (folder) => {
      const json = join(folder, "results.json");
      const ids = stores.map(([name]) => `beside.${name}`).join(",");
      const run = await runBench(folder, [...quick, "--only", ids, "--json", json]);
      expect(run).toMatchObject({ exitCode: 0, stderr: "" });
      const { rows } = (await Bun.file(json).json()) as Results;
      const here = stores.filter(([, program]) => Bun.which(program) !== null);
      expect(rows.map(({ id }) => id)).toEqual(here.map(([name]) => `beside.${name}`));
      // a server's files would be in this folder, and a running server would be a leftover process of this test file
      expect(readdirSync(folder)).toEqual(["results.json"]);
    });
  }, 60_000);

  test("skips a row beside a store that is not installed, and says so", async () => {
    await inFolder(async (folder) => {
      const ids = stores.map(([name]) => `beside.${name}`).join(",");
      const { exitCode, stdout } = await runBench(folder, ["--only", ids], { PATH: folder });
      expect(exitCode).toBe(0);
      const [, ...lines] = stdout.trimEnd().split("\n");
      expect(lines).toEqual(
        stores.map(([name, program]) => `beside.${name}: skipped, ${program} is not installed`),
      );
    });
  });

  test("refuses an unknown row and lists the known ones", async () => {
    await inFolder(async (folder) => {
      const { exitCode, stdout, stderr } = await runBench(folder, ["--only", "echo.unix,echo.pigeon"]);
      expect({ exitCode, stdout }).toEqual({ exitCode: 1, stdout: "" });
      expect(stderr).toStartWith("bench: unknown row echo.pigeon; the rows are echo.unix, echo.tcp,");
    });
  });
});

/** A row that took 2 µs beside a baseline that took 1 µs. */
function resultOf(id: string, changes: Partial<Result> = {}): Result {
  return {
    id,
    transport: "unix",
    pinned: true,
    what: `what ${id} does`,
    rounds: 3,
    batch: 1,
    p50Ns: 2_000,
    p99Ns: 4_000,
    opsPerSec: 500_000,
    baseline: "a baseline",
    baselineP50Ns: 1_000,
    baselineOpsPerSec: 1_000_000,
    ratioOf: "time",
    ratio: 2,
    spread: [1.9, 2.1],
    quantiles: {
      shares: [0.01, 0.5, 0.999],
      subjectNs: [1_900, 2_000, 9_000],
      baselineNs: [900, 1_000, 5_000],
    },
    against: {},
    ...changes,
  };
}

const machine = {
  furrow: "1.2.3",
  bun: "1.4.5",
  platform: "linux",
  kernel: "6.1",
  arch: "x64",
  processor: "Some Processor",
  processors: 2,
  stores: { etcd: "3.4" },
  date: "2026-01-02T03:04:05.000Z",
};

function resultsOf(...rows: Result[]): Results {
  const pace = { warmupCalls: 1, warmupMs: [0, 0], blockMs: 20, blocks: 5 } as const;
  return { env: { ...machine, rounds: 3, pace, quick: false }, rows };
}

/** A document with places for these parts. */
function documentWith(...places: readonly string[]): string {
  return places.map((name) => `## ${name}\n<!-- ${name} -->\n<!-- /${name} -->\n`).join("\n");
}

const template = documentWith("machine", "rows", "pinned", "unpinned", "growth");

/** The lines of one part of a filled document. */
function partOf(document: string, name: string): string[] {
  const part = document.split(`<!-- ${name} -->\n`)[1]!.split(`\n<!-- /${name} -->`)[0]!;
  return part.split("\n");
}

describe("bench:docs", () => {
  const results = resultsOf(
    resultOf("register", { against: { other: { ratio: 0.5, spread: [0.4, 0.6] } } }),
    resultOf("register", { pinned: false, ratio: 1 }),
    resultOf("register.64", { ratioOf: "throughput", ratio: 0.7 }),
    resultOf("table.10", { p50Ns: 4, baselineP50Ns: 2 }),
    resultOf("table.1000000", { p50Ns: 5, baselineP50Ns: 6 }),
  );

  test("puts a run's rows into the document, with their goals and whether they reach them", () => {
    const filled = fillDocument(template, results);
    expect(partOf(filled, "pinned").slice(2, 5)).toEqual([
      "| `register` | 2.00 µs | 4.00 µs | 500,000 | 1.00 µs | 2.00 | 1.90 to 2.10 | ratio ≤ 1.3: **no** |",
      "| beside `other` |  |  |  |  | 0.50 | 0.40 to 0.60 |  |",
      "| `register.64` | 2.00 µs | 4.00 µs | 500,000 | 1.00 µs | 0.70 of its calls | 1.90 to 2.10 | ≥ 100,000 per second: yes |",
    ]);
    expect(partOf(filled, "pinned").at(-1)).toEndWith("| ≤ 1.5 × table.10: yes |");
    expect(partOf(filled, "unpinned")).toHaveLength(3);
    expect(partOf(filled, "rows")[3]).toBe("| `register.64` | what register.64 does | 1 | a baseline |");
    expect(partOf(filled, "growth").at(-1)).toBe("| on one processor | × 1.25 | × 3.00 |");
    expect(partOf(filled, "machine")[0]).toEndWith("2 × Some Processor, etcd 3.4; 2026-01-02.");
  });

  test("replaces the parts that an earlier run filled, and nothing else", () => {
    const filled = fillDocument(template, results);
    expect(fillDocument(filled, results)).toBe(filled);
    const empty = fillDocument(filled, resultsOf());
    expect(partOf(empty, "unpinned")).toEqual(["Not run."]);
    expect(empty.replaceAll(/-->\n[^#]*?\n<!-- \//g, "-->\n<!-- /")).toBe(template);
  });

  test("refuses a document without a place for a part", () => {
    expect(() => fillDocument(template.replace("<!-- growth -->", ""), results)).toThrow("<!-- growth -->");
  });
});

/** The texts of a picture. */
function textsOf(svg: string): string[] {
  return Array.from(svg.matchAll(/<text[^>]*>([^<]*)</g), ([, text = ""]) => text);
}

/** Small, without holes, and with colours for light and dark. */
function expectWellFormed(svg: string): void {
  expect(svg.length).toBeLessThan(20_000);
  expect(svg).not.toMatch(/NaN|undefined|Infinity/);
  expect(svg).toContain("prefers-color-scheme:dark");
  const opened = svg.match(/<\w+(?=[\s>])(?:[^>]*[^/])?>/g)!.length;
  expect(svg.match(/<\/\w+>/g)).toHaveLength(opened);
}

describe("bench:pictures", () => {
  const flights = [1, 2, 4, 128].map((count) => resultOf(`rpc.unix.${count}`, { opsPerSec: count * 1_000 }));
  const tables = [10, 1_000_000].map((size) => resultOf(`table.${size}`, { p50Ns: Math.log(size) }));
  const results = resultsOf(resultOf("rpc.unix"), resultOf("find.cold.unix"), ...flights, ...tables);

  test("draws distributions, throughput and the table's growth, with named lines and units at the axes", () => {
    const pictures = drawAll(results);
    expect(Array.from(pictures.keys())).toEqual(["latency.svg", "in-flight.svg", "table.svg"]);
    const texts = (name: string): string[] => textsOf(pictures.get(name)!);
    expect(texts("latency.svg")).toEqual(
      expect.arrayContaining(["rpc.unix, beside a baseline", "time, µs", "99.9%", "furrow", "baseline"]),
    );
    expect(texts("in-flight.svg")).toEqual(
      expect.arrayContaining([
        "calls in flight",
        "128",
        "thousands of calls per second",
        "furrow",
        "raw echo",
      ]),
    );
    expect(texts("table.svg")).toEqual(
      expect.arrayContaining(["names in the table", "1M", "median time of a lookup, ns", "plain Map"]),
    );
  });

  test("always writes the same small, well-formed text for the same run, with colours for light and dark", () => {
    for (const [name, svg] of drawAll(results)) {
      expect(drawAll(results).get(name)).toBe(svg);
      expectWellFormed(svg);
    }
  });

  test("leaves out a picture if the run has no rows for it", () => {
    expect(Array.from(drawAll(resultsOf(resultOf("rpc.unix"))).keys())).toEqual(["latency.svg"]);
  });
});

const lookup: Measure = { id: "lookup", what: "a lookup", unit: "ns", baseline: "raw echo" };
const changes: Measure = { id: "changes", what: "until all have it", unit: "ns", ideal: "same for each" };
const rate: Measure = { id: "rate", what: "calls per second", unit: "perSecond" };
const turn: Measure = { ...lookup, id: "turn", ideal: "below the baseline" };

/** Medians at the sizes 1, 10, 100 and so on. */
function sizedBy(medians: readonly number[], baseline?: number): Sized[] {
  return medians.map((median, at) => ({
    size: 10 ** at,
    value: { median, ...(baseline !== undefined && { baseline }) },
  }));
}

describe("kneeOf", () => {
  test.each([
    ["finds none where a time stays the same", lookup, [50, 55, 60, 90], undefined],
    ["finds where a time has more than doubled", lookup, [50, 55, 120, 900], 100],
    ["overlooks an outlier", lookup, [50, 500, 60, 70], undefined],
    ["finds none where each costs the same", changes, [50, 300, 3_000, 30_000], undefined],
    ["finds where each begins to cost more", changes, [50, 300, 3_000, 90_000], 1_000],
    ["finds where throughput breaks down", rate, [10, 90, 100, 40], 1_000],
    ["finds where a goal is missed", turn, [5, 15, 19, 30], 1_000],
  ] as const)("%s", (_, measure, medians, size) => {
    expect(kneeOf(measure, sizedBy(medians, 20))?.size).toBe(size);
  });
});

describe("sayKnee", () => {
  test("says where the knee is, with figures there and at both ends", () => {
    expect(sayKnee(lookup, sizedBy([50, 60, 150, 900]), "names")).toBe(
      "**A lookup:** a knee at 100 names; 50.0 ns at 1, 150 ns at 100, 900 ns at 1,000.",
    );
    expect(sayKnee(changes, sizedBy([50, 500]), "watchers")).toBe(
      "**Until all have it:** no knee up to 10 watchers; 50.0 ns at 1, 500 ns (50.0 ns each) at 10.",
    );
    expect(sayKnee(turn, sizedBy([5, 30], 20), "actors")).toBe(
      "**A lookup:** beyond the goal from 10 actors; 5.0 ns at 1, 30.0 ns at 10.",
    );
  });

  test("says nothing of a single size", () => {
    expect(sayKnee(lookup, sizedBy([50]), "names")).toBe("");
  });
});

function curveResults(): CurveResults {
  const point = (size: number, median: number): CurveResults["curves"][0]["points"][0] => ({
    size,
    rounds: 1,
    values: { lookup: { median, tail: median * 3, baseline: 20_000 } },
  });
  const names = {
    id: "names",
    title: "Names in the table",
    about: "What is real.",
    counts: "names",
    measures: [lookup],
  };
  const points = [point(1, 50_000), point(1_000, 60_000), point(1_000_000, 400_000)];
  return {
    env: machine,
    curves: [
      { ...names, points },
      { ...names, id: "alone", points: points.slice(0, 1) },
    ],
  };
}

describe("bench:curves", () => {
  // all of them take half a minute of two processors
  const tried = inFull ? curves : curves.filter(({ id }) => ["instances", "streams"].includes(id));

  test(`measures ${inFull ? "every curve" : "two curves (FURROW_SOAK=1 for all)"} at its smallest size and leaves no other files`, async () => {
    await inFolder(async (folder) => {
      const json = join(folder, "curves.json");
      const only = ["--only", tried.map(({ id }) => id).join()];
      const run = await runCommand("curves.ts", folder, [...only, "--quick", "--most", "1", "--json", json]);
      expect(run).toMatchObject({ exitCode: 0, stderr: "" });
      const { env, curves: found } = (await Bun.file(json).json()) as CurveResults;
      expect(env).toMatchObject({ bun: Bun.version });
      expect(found.map(({ id, points }) => [id, points.map(({ size }) => size)])).toEqual(
        tried.map(({ id, sizes }) => [id, [sizes[0]!]]),
      );
      const medians = found.flatMap(({ points }) =>
        points.flatMap(({ values }) => Object.values(values).map(({ median }) => median)),
      );
      expect(medians.filter((median) => !(median > 0))).toEqual([]);
      expect(readdirSync(folder)).toEqual(["curves.json"]);
    });
  }, 60_000);

  test("refuses an unknown curve and lists the known ones", async () => {
    await inFolder(async (folder) => {
      const { exitCode, stderr } = await runCommand("curves.ts", folder, ["--only", "bend"]);
      expect(exitCode).toBe(1);
      expect(stderr).toStartWith("bench:curves: unknown curve bend; the curves are instances, names,");
    });
  });

  test("has sizes that grow, and measures with ids of their own", () => {
    for (const { sizes, measures } of curves) {
      expect(sizes.toSorted((a, b) => a - b)).toEqual(Array.from(sizes));
      expect(new Set(measures.map(({ id }) => id)).size).toBe(measures.length);
    }
  });

  test("draws a picture for each curve with several points, with a ring at the knee", () => {
    const pictures = drawCurves(curveResults());
    expect(Array.from(pictures.keys())).toEqual(["curve-names.svg"]);
    const svg = pictures.get("curve-names.svg")!;
    expect(drawCurves(curveResults()).get("curve-names.svg")).toBe(svg);
    expectWellFormed(svg);
    expect(textsOf(svg)).toEqual(
      expect.arrayContaining(["a lookup", "names", "1M", "µs", "median", "p99", "raw echo"]),
    );
    expect(svg.match(/class="ring"/g)).toHaveLength(1);
  });

  test("puts sentences, tables and what a machine carries into the document", () => {
    const filled = fillCurves(documentWith("curves", "capacity"), curveResults());
    const part = partOf(filled, "curves");
    expect(part).toContain("![Names in the table](pictures/curve-names.svg)");
    expect(part).toContain(
      "- **A lookup:** a knee at 1,000,000 names; 50.00 µs at 1, 400.00 µs at 1,000,000.",
    );
    expect(part).toContain("| raw echo | 20.00 µs | 20.00 µs | 20.00 µs |");
    expect(partOf(filled, "capacity")).toEqual(["Not run."]);
    expect(fillCurves(filled, curveResults())).toBe(filled);
  });

  test("works out what machines carry from what was measured", () => {
    const memory: Measure = { id: "memory", what: "PSS of each", unit: "bytes" };
    const [names] = curveResults().curves;
    const points = [{ size: 1_000, rounds: 1, values: { memory: { median: 768 } } }];
    const filled = fillCurves(documentWith("curves", "capacity"), {
      env: machine,
      curves: [{ ...names!, measures: [memory], points }],
    });
    expect(partOf(filled, "capacity").slice(2)).toEqual([
      "| names in a registrar's memory | 768 B each | 0.75 m / c | 4,194,304 | 33,554,432 | 134,217,728 |",
    ]);
  });
});

/** Samples of one process: one every half minute, for ten minutes. */
function mixedResults(heapAt: (minutes: number) => number): MixedResults {
  const mebibyte = 2 ** 20;
  const held = (heap: number): Held => ({
    rss: 80 * mebibyte,
    pss: 40 * mebibyte,
    private: 30 * mebibyte,
    heap,
    descriptors: 20,
  });
  const samples = Array.from({ length: 21 }, (_, at) => ({
    minutes: at / 2,
    held: { client: held(heapAt(at / 2)) },
  }));
  return { env: machine, done: { calls: 1_000 }, failed: { TransportClosedError: 2 }, samples };
}

const flat = mixedResults((minutes) => (minutes < 2 ? minutes : 2) * 1e6);
const growing = mixedResults((minutes) => minutes * 1e6);

describe("bench:mixed", () => {
  test.skipIf(!inFull)(
    `runs the load, draws it, and leaves no process and no other files${inFull ? "" : " (only with FURROW_SOAK=1: it takes all processors for 13 s)"}`,
    async () => {
      await inFolder(async (folder) => {
        const json = join(folder, "mixed.json");
        const args = ["--minutes", "0.02", "--json", json, "--out", folder];
        const run = await runCommand("mixed.ts", folder, args);
        expect(run).toMatchObject({ exitCode: 0, stderr: "" });
        const { samples, done } = (await Bun.file(json).json()) as MixedResults;
        expect(Object.keys(samples.at(-1)!.held)).toEqual(["registrar", "root", "worker", "client"]);
        expect(Object.keys(done)).toEqual(
          expect.arrayContaining([
            "calls",
            "service calls",
            "streams",
            "dialogs",
            "cold lookups",
            "starts",
            "kills",
          ]),
        );
        expect(readdirSync(folder).toSorted()).toEqual(["mixed-load.svg", "mixed.json"]);
      });
    },
    60_000,
  );

  test("tells growth after the warm-up from what the warm-up takes", () => {
    expect(trendsOf(flat.samples).filter(({ grows }) => grows)).toEqual([]);
    const grown = trendsOf(growing.samples).filter(({ grows }) => grows);
    expect(grown).toMatchObject([{ process: "client", of: "heap", perMinute: 1e6, rise: 8e6 }]);
  });

  test("doesn't judge a load of less than five minutes", () => {
    const short = growing.samples.map(({ minutes, held }) => ({ minutes: minutes / 5, held }));
    expect(trendsOf(short).filter(({ grows }) => grows)).toEqual([]);
  });

  test("draws what each process holds, and says whether it grows", () => {
    const svg = drawMixed(flat)!;
    expect(drawMixed(flat)).toBe(svg);
    expectWellFormed(svg);
    expect(textsOf(svg)).toEqual(
      expect.arrayContaining(["private memory", "open descriptors", "minutes", "client"]),
    );
    const template = documentWith("mixed");
    expect(fillMixed(template, flat)).toContain("\nNothing grows. The slope");
    expect(fillMixed(template, growing)).toContain("\nGrows: heap of the client.");
  });
});

describe("slope", () => {
  test("is that of the line with the least squares", () => {
    expect(
      slope([
        [0, 1],
        [1, 3],
        [2, 5],
      ]),
    ).toBe(2);
    expect(slope([[0, 1]])).toBe(0);
  });
});
