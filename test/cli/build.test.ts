/** Executables of `furrow build`. Compiling takes seconds, so that all tests share three of them. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import {
  copyFileSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";

import { type BuildResult, buildProgram } from "../../src/cli/build/build.ts";
import { expectSchema } from "../support/cli-schema.ts";
import { furrow } from "../support/command-line.ts";
import { hasProc, processesWith } from "../support/processes.ts";
import { until } from "../support/world.ts";

const repository = join(import.meta.dir, "../..");
const shipped = join(repository, "test/fixtures/shipped");
let folder: string;
/** An empty folder of its own with each executable, and another one for sockets. */
let built: Record<"pool" | "several" | "small", BuildResult>;

async function build(name: string, file: string, options: object = {}): Promise<BuildResult> {
  return await buildProgram({ file, outfile: join(folder, name, name), ...options });
}

beforeAll(async () => {
  folder = realpathSync(mkdtempSync(join(tmpdir(), "furrow-build-")));
  built = {
    pool: await build("pool", join(repository, "examples/balanced-pool.ts")),
    several: await build("several", join(shipped, "main.ts")),
    small: await build("small", join(shipped, "main.ts"), {
      minify: true,
      bytecode: false,
      actors: [join(shipped, "jobs/n*.ts"), "msgpackr/pack"],
    }),
  };
}, 120_000);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Runs an executable where there's nothing else, and no Bun on the path. */
class Run implements AsyncDisposable {
  readonly cwd: string;
  readonly sockets: string;
  readonly process: Bun.Subprocess<"ignore", "pipe", "pipe">;

  constructor(name: keyof typeof built, ...args: string[]) {
    this.cwd = mkdtempSync(join(folder, "run-"));
    this.sockets = mkdtempSync(join(folder, "sockets-"));
    const moved = join(this.cwd, name);
    linkSync(built[name].outfile, moved);
    this.process = Bun.spawn([moved, ...args], {
      cwd: this.cwd,
      env: { PATH: "", FURROW_RUNTIME_DIR: this.sockets, FURROW_SECRET: "x".repeat(32) },
      stdio: ["ignore", "pipe", "pipe"],
    });
  }

  /** What it printed, once it has ended in order and left nothing. */
  async clean(): Promise<string> {
    const { stdout, stderr, exited } = this.process;
    const [text, errors, exitCode] = await Promise.all([stdout.text(), stderr.text(), exited]);
    expect({ exitCode, errors }).toEqual({ exitCode: 0, errors: "" });
    expect(readdirSync(this.sockets)).toEqual([]);
    if (hasProc) expect(processesWith(this.sockets)).toEqual([]);
    return text;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.process.kill("SIGKILL");
    await this.process.exited;
    rmSync(this.cwd, { recursive: true });
  }
}

async function result(name: keyof typeof built, ...args: string[]): Promise<unknown> {
  await using run = new Run(name, ...args);
  return JSON.parse(await run.clean());
}

/** Where the files of the program are in its executable. */
const inside = `/$bunfs/root/${relative(repository, shipped)}`;

describe("an executable of a program of one file", () => {
  test("is all that its folder contains", () => {
    expect(readdirSync(join(folder, "pool"))).toEqual(["pool"]);
  });

  test("runs a pool of workers that have the same module, in an empty folder and without Bun", async () => {
    await using run = new Run("pool");
    expect(await run.clean()).toBe(
      [
        "with 1 worker: 60 jobs, 60 each",
        "with 4 workers: 60 jobs, 15 each",
        "from 4 workers to 2, in the midst of it: 2000 jobs, none lost",
        "with 2 workers: 60 jobs, 30 each\n",
      ].join("\n"),
    );
  });
});

describe.each(["several", "small"] as const)("an executable of several files (%s)", (name) => {
  test("starts actors whose modules are named by URL, by relative path, or for one call", async () => {
    const where = {
      main: false,
      file: `file://${inside}/where.ts`,
      name: "where.ts",
      folder: inside,
    };
    expect(await result(name, "modules")).toEqual({
      described: {
        name: "by url",
        data: { n: 1 },
        main: false,
        url: `file://${inside}/jobs/worker.ts`,
        args: [],
        variables: {},
      },
      shared: [where, where],
      relative: "relative",
      once: true,
    });
  });

  test("restarts an actor, with its data", async () => {
    expect(await result(name, "restarts")).toEqual({ types: ["started", "died", "restarted"], data: "kept" });
  });

  test("runs another of its files when it is started with that, as Bun would", async () => {
    expect(await result(name, "again")).toBe(
      `the worker as a program: [ "${inside}/jobs/worker.ts", "x" ]\n`,
    );
  });
});

describe("an executable", () => {
  test("says which modules it contains when an actor's isn't among them", async () => {
    expect(await result("several", "missing")).toBe(
      `module ${inside}/jobs/never-named.ts is neither a file nor in this executable, which contains ` +
        ["main.ts", "jobs/worker.ts", "scenarios.ts", "where.ts"]
          .map((file) => `test/fixtures/shipped/${file}`)
          .join(", ") +
        ": build it again with furrow build --actors test/fixtures/shipped/jobs/never-named.ts",
    );
  });

  test("contains the modules that --actors names", async () => {
    expect(built.small.actors).toContain("test/fixtures/shipped/jobs/never-named.ts");
    expect(await result("small", "missing")).toBe("");
  });

  test("contains the modules of packages that --actors names", async () => {
    expect(await result("small", "packaged")).toEqual([7]);
    await using run = new Run("several", "packaged");
    expect(await run.process.exited).toBe(1);
    expect(await run.process.stderr.text()).toContain(
      "build it again with furrow build --actors msgpackr/pack",
    );
  });

  test("starts an actor from a file that isn't in it", async () => {
    const path = join(folder, "plugin.ts");
    copyFileSync(join(shipped, "jobs/never-named.ts"), path);
    expect(await result("several", "outside", path)).toBe(42);
  });

  test("shows files and lines of the source in the errors of its actors", async () => {
    const source = await Bun.file(join(shipped, "jobs/worker.ts")).text();
    const line = source.split("\n").findIndex((text) => text.includes("as asked")) + 1;
    expect(await result("several", "failing")).toContain(`jobs/worker.ts:${line}:`);
  });

  test("passes an actor the flags of execArgv, and keeps them out of its environment", async () => {
    const preload = join(folder, "with space.ts");
    writeFileSync(preload, "globalThis.preloaded = 1;");
    expect(await result("several", "flags", preload)).toMatchObject({
      args: ["--smol", "--preload", preload],
      variables: {},
      preloaded: 1,
      useless: 'cannot start actor "x": --inspect has no effect in an executable: use the option inspect',
    });
  });

  test("gives an actor a debugger, and prints its address", async () => {
    await using run = new Run("several", "inspect");
    const [text, errors] = await Promise.all([run.process.stdout.text(), run.process.stderr.text()]);
    const { pid, variables } = JSON.parse(text) as { pid: number; variables: object };
    expect(variables).toEqual({});
    expect(errors).toMatch(
      new RegExp(
        `^furrow: debugger of inspected#\\S+ \\(pid ${pid}\\): ws://127\\.0\\.0\\.1:\\d+/\\S+, in a browser: \\S+\n$`,
      ),
    );
  });

  test.skipIf(!hasProc)("starts actors from its own code after its file has been removed", async () => {
    expect(await result("several", "deleted")).toBe("late");
  });

  test.skipIf(!hasProc)("takes its actors with it when it is killed", async () => {
    await using run = new Run("several", "waits");
    for await (const _ of run.process.stdout) break;
    expect(processesWith(run.sockets).length).toBe(2);
    run.process.kill("SIGKILL");
    await until(() => processesWith(run.sockets).length === 0);
  });
});

test("furrow build prints what it has made, as JSON too, and why it can't", async () => {
  const file = join(folder, "tiny.ts");
  const out = join(folder, "tiny");
  writeFileSync(file, "console.log('tiny');");
  const [text, json, none] = [
    await furrow({}, ["build", file, "-o", out, "--no-bytecode"]),
    await furrow({}, ["build", file, "--json"]),
    await furrow({}, ["build", "none.ts"]),
  ];
  expect(text.stdout).toMatch(/tiny {2}\d+M, actors may have these modules:\n {2}\S*tiny\.ts\n$/);
  expect(expectSchema("build", json.stdout)).toMatchObject({ builds: [{ outfile: out }] });
  expect([none.exitCode, none.stderr]).toEqual([2, "furrow: none.ts does not exist\n"]);
  const { stdout } = Bun.spawnSync([out], { env: {} });
  expect(stdout.toString()).toBe("tiny\n");
});

describe("buildProgram", () => {
  const failure = async (file: string, options: object = {}): Promise<string> => {
    const error = await build("failed", file, options).then(
      () => undefined,
      (thrown: unknown) => thrown,
    );
    expect(error).toBeInstanceOf(Error);
    return `${(error as Error).name}: ${(error as Error).message}`.replaceAll(folder, "<folder>");
  };
  const source = (name: string, text: string): string => {
    const path = join(folder, name);
    writeFileSync(path, text);
    return path;
  };

  test("refuses a program that isn't there, or isn't a script", async () => {
    expect(await failure(join(folder, "none.ts"))).toBe("UsageError: <folder>/none.ts does not exist");
    expect(await failure(folder)).toBe("UsageError: <folder> is not a TypeScript or JavaScript file");
    expect(await failure(source("notes.txt", ""))).toBe(
      "UsageError: <folder>/notes.txt is not a TypeScript or JavaScript file",
    );
  });

  test("refuses a pattern of actors that no module matches", async () => {
    expect(await failure(join(shipped, "main.ts"), { actors: ["nowhere/*.ts"] })).toBe(
      "UsageError: no module matches --actors nowhere/*.ts",
    );
  });

  test("refuses an output that is a folder, or the program itself", async () => {
    const file = source("program.ts", "");
    expect(await failure(file, { outfile: folder })).toBe("UsageError: <folder> exists and is not a file");
    expect(await failure(file, { outfile: file })).toBe(
      "UsageError: <folder>/program.ts is the program itself: name another file",
    );
  });

  test("says where a file can't be bundled, and leaves the executable that was there", async () => {
    const outfile = join(folder, "old/program");
    mkdirSync(join(folder, "old"));
    writeFileSync(outfile, "old");
    const broken = source("broken.ts", 'import { nothing } from "./nothing.ts";\nconsole.log(nothing(');
    const message = await failure(broken, { outfile });
    expect(message).toStartWith("BuildError: cannot build <folder>/broken.ts:\n  <folder>/broken.ts:");
    expect(await Bun.file(outfile).text()).toBe("old");
    expect(readdirSync(join(folder, "old"))).toEqual(["program"]);
  });
});
