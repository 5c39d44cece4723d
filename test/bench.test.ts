import { describe, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { drawAll } from "../bench/pictures/drawings.ts";
import { fillDocument } from "../bench/report/document.ts";
import type { Result } from "../bench/report/result.ts";
import type { Results } from "../bench/report/results-file.ts";

const bench = join(import.meta.dir, "..", "bench", "run.ts");
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

/** Runs the bench with its own temporary directory, so that the test sees what it leaves there. */
async function runBench(
  folder: string,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<Run> {
  const child = Bun.spawn([process.execPath, bench, ...args], {
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

function resultsOf(...rows: Result[]): Results {
  const pace = { warmupCalls: 1, warmupMs: [0, 0], blockMs: 20, blocks: 5 } as const;
  const machine = {
    platform: "linux",
    arch: "x64",
    processor: "Some Processor",
    processors: 2,
  };
  const versions = {
    furrow: "1.2.3",
    bun: "1.4.5",
    kernel: "6.1",
    stores: { etcd: "3.4" },
  };
  return {
    env: { ...versions, ...machine, date: "2026-01-02T03:04:05.000Z", rounds: 3, pace, quick: false },
    rows,
  };
}

const places = ["machine", "rows", "pinned", "unpinned", "growth"];
const template = places.map((name) => `## ${name}\n<!-- ${name} -->\n<!-- /${name} -->\n`).join("\n");

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

describe("bench:pictures", () => {
  const flights = [1, 2, 4, 128].map((count) => resultOf(`rpc.unix.${count}`, { opsPerSec: count * 1_000 }));
  const tables = [10, 1_000_000].map((size) => resultOf(`table.${size}`, { p50Ns: Math.log(size) }));
  const results = resultsOf(resultOf("rpc.unix"), resultOf("find.cold.unix"), ...flights, ...tables);

  test("draws distributions, throughput and the table's growth, with named lines and units at the axes", () => {
    const pictures = drawAll(results);
    expect(Array.from(pictures.keys())).toEqual(["latency.svg", "in-flight.svg", "table.svg"]);
    const texts = (name: string): string[] =>
      Array.from(pictures.get(name)!.matchAll(/<text[^>]*>([^<]*)</g), ([, text = ""]) => text);
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
      expect(svg.length).toBeLessThan(20_000);
      expect(svg).not.toMatch(/NaN|undefined|Infinity/);
      expect(svg).toContain("prefers-color-scheme:dark");
      const opened = svg.match(/<\w+(?=[\s>])(?:[^>]*[^/])?>/g)!.length;
      expect(svg.match(/<\/\w+>/g)).toHaveLength(opened);
    }
  });

  test("leaves out a picture if the run has no rows for it", () => {
    expect(Array.from(drawAll(resultsOf(resultOf("rpc.unix"))).keys())).toEqual(["latency.svg"]);
  });
});
