/** `furrow/otel` and `furrow/metrics` in an executable of `furrow build`. */
import { expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, realpathSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { buildProgram } from "../../src/cli/build/build.ts";
import { parseMetrics } from "../support/metrics.ts";

type Spans = ReturnType<typeof import("../fixtures/shipped/traced.ts").spans>;

test("an executable traces a call through three of its processes as one tree, and has the metrics of its own", async () => {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), "furrow-traced-")));
  try {
    const outfile = join(folder, "traced");
    await buildProgram({ file: join(import.meta.dir, "../fixtures/shipped/traced.ts"), outfile });
    const sockets = join(folder, "sockets");
    mkdirSync(sockets);
    const run = Bun.spawn([outfile], {
      cwd: sockets,
      env: { PATH: "", FURROW_RUNTIME_DIR: sockets, FURROW_SECRET: "x".repeat(32) },
      stdio: ["ignore", "pipe", "pipe"],
    });
    const [text, errors, exitCode] = await Promise.all([run.stdout.text(), run.stderr.text(), run.exited]);
    expect({ exitCode, errors }).toEqual({ exitCode: 0, errors: "" });
    const { metrics, spans } = JSON.parse(text) as { metrics: string; spans: [Spans, Spans, Spans] };
    const [[first], [third, second], [fourth]] = spans;
    // a span ends before the one that it is below
    const down = [first!, second!, third!, fourth!];
    expect(down.map(({ name }) => name)).toEqual(["one/relay", "one/relay", "two/relay", "two/relay"]);
    expect(new Set(down.map(({ trace }) => trace)).size).toBe(1);
    expect(down.map(({ parent }) => parent)).toEqual([undefined, ...down.slice(0, -1).map(({ id }) => id)]);
    const up = parseMetrics(metrics).get("furrow_actor_up")?.samples ?? [];
    expect(up.map(({ labels, value }) => [labels["actor"], value])).toEqual([
      ["root", 1],
      ["one", 1],
      ["two", 1],
    ]);
  } finally {
    rmSync(folder, { recursive: true });
  }
}, 60_000);
