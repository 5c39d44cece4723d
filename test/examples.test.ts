/** Each example does what its head says, ends by itself, and leaves nothing, whatever ends it. */
import { beforeAll, describe, expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

import { hasProc, processesWith } from "./support/processes.ts";
import { until, World } from "./support/world.ts";

const folder = join(import.meta.dir, "..", "examples");
const examples = readdirSync(folder).filter((name) => name.endsWith(".ts"));
const demo = "service-daemon-discovery.ts";

type Run = Bun.Subprocess<"ignore", "pipe", "pipe">;

function start(world: World, example: string, ...args: string[]): Run {
  return Bun.spawn([process.execPath, join(folder, example), ...args], {
    env: { ...process.env, ...world.env },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
}

async function outcome(run: Run): Promise<{ exitCode: number; stdout: string; stderr: string }> {
  const [exitCode, stdout, stderr] = await Promise.all([run.exited, run.stdout.text(), run.stderr.text()]);
  return { exitCode, stdout: normalise(stdout), stderr };
}

/** Without what differs from run to run: ports, process ids, folders. */
function normalise(text: string): string {
  return text
    .replaceAll(/unix:\/\/\S*\//g, "unix:///<folder>/")
    .replaceAll(/@\d+\.sock/g, "@<pid>.sock")
    .replaceAll(/127\.0\.0\.1:\d+/g, "127.0.0.1:<port>");
}

/** The output that the head comment of an example promises: its first indented block. */
function promised(example: string): string {
  const head = /\/\*\*([\s\S]*?)\*\//.exec(readFileSync(join(folder, example), "utf8"))?.[1] ?? "";
  const block = /\n \* Prints[^\n]*\n \*\n((?: \* {5}[^\n]*\n)+)/.exec(head)?.[1] ?? "";
  return normalise(block.replaceAll(/^ \* {5}/gm, ""));
}

/** The demo, with its daemon up and its client not yet. */
async function startDemoHalfway(world: World): Promise<Run> {
  const run = start(world, demo);
  await until(() => readdirSync(world.dir).some((name) => name.startsWith("market-")));
  return run;
}

/** What each example did alone in its world. */
const alone = new Map<string, Promise<Alone>>();
type Alone = Awaited<ReturnType<typeof outcome>> & { readonly left: readonly string[] };

/** Two at a time: each mostly waits. */
beforeAll(() => {
  const turns: Promise<unknown>[] = [Promise.resolve(), Promise.resolve()];
  for (const [at, example] of examples.entries()) {
    const run = turns[at % 2]!.then(() => runAlone(example));
    alone.set(example, run);
    turns[at % 2] = run;
  }
});

async function runAlone(example: string): Promise<Alone> {
  await using world = new World();
  const result = await outcome(start(world, example));
  return { ...result, left: [...readdirSync(world.dir), ...(hasProc ? processesWith(world.dir) : [])] };
}

describe("examples", () => {
  for (const example of examples) {
    test(`${example} prints what its head says, ends by itself, and leaves nothing`, async () => {
      const expected = { exitCode: 0, stdout: promised(example), stderr: "", left: [] };
      expect(await alone.get(example)).toEqual(expected);
    });

    test(`${example} is 20 to 80 lines long`, () => {
      const lines = readFileSync(join(folder, example), "utf8").trimEnd().split("\n").length;
      expect(lines).toBeGreaterThanOrEqual(20);
      expect(lines).toBeLessThanOrEqual(80);
    });
  }

  test("run side by side in one discovery space, the demo three times", async () => {
    await using world = new World();
    // half of them are a dozen programs, with dozens of processes; on a machine that busy, the store of one may have bound
    // its socket again before the second client comes
    const left = [demo, "multihomed.ts"];
    const all = [...examples.filter((name, at) => at % 2 === 0 && !left.includes(name)), demo, demo, demo];
    const outcomes = await Promise.all(all.map((example) => outcome(start(world, example))));
    expect(outcomes).toEqual(all.map((example) => ({ exitCode: 0, stdout: promised(example), stderr: "" })));
    expect(readdirSync(world.dir)).toEqual([]);
  }, 60_000);

  test("join-from-outside.ts works in two terminals, the visitor first, and Ctrl-C ends the server", async () => {
    await using world = new World();
    const visitor = start(world, "join-from-outside.ts", "visit", "greeter");
    await until(() => readdirSync(world.dir).includes("registry@1.sock"));
    const server = start(world, "join-from-outside.ts", "serve", "greeter");
    expect(await outcome(visitor)).toEqual({
      exitCode: 0,
      stdout: "visitor: hello visitor, this is the greeter\n",
      stderr: "",
    });
    server.kill("SIGINT");
    expect(await server.exited).toBe(130);
    expect(readdirSync(world.dir)).toEqual([]);
  });
});

describe("the demo", () => {
  test("ended by Ctrl-C halfway exits with 130 and leaves nothing", async () => {
    await using world = new World();
    const run = await startDemoHalfway(world);
    run.kill("SIGINT");
    const { exitCode, stderr } = await outcome(run);
    expect(stderr).toMatch(/^furrow: SIGINT: cancelling actor "root" \(pid \d+\)\n$/);
    expect(exitCode).toBe(130);
    expect(readdirSync(world.dir)).toEqual([]);
    if (hasProc) expect(processesWith(world.dir)).toEqual([]);
  });

  test.skipIf(!hasProc)(
    "with its root killed halfway is gone within a second, and the next run is clean",
    async () => {
      await using world = new World();
      const run = await startDemoHalfway(world);
      run.kill("SIGKILL");
      await run.exited;
      await until(() => processesWith(world.dir).length === 0, 1_000);
      expect(await outcome(start(world, demo))).toEqual({ exitCode: 0, stdout: promised(demo), stderr: "" });
      expect(readdirSync(world.dir)).toEqual([]);
    },
  );
});
