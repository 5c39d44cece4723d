import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { bundle, later } from "../../.ci/bundle.ts";
import * as source from "../../src/index.ts";
import * as otelSource from "../../src/otel.ts";
import * as testingSource from "../../src/testing.ts";

let folder: string;
let lib: string;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "furrow-bundle-"));
  lib = join(folder, "lib");
  // first of all: the bundler remembers what is there
  mkdirSync(join(folder, "node_modules"));
  const scope = "node_modules/@opentelemetry";
  symlinkSync(join(import.meta.dir, "../..", scope), join(folder, scope));
  await bundle(lib);
}, 60_000);
afterAll(() => rmSync(folder, { recursive: true }));

/** Runs a program of the folder; what it printed, and in how many files bytecode was found in place of parsing. */
async function run(
  file: string,
  ...args: string[]
): Promise<{ exitCode: number; stdout: string; stderr: string; hits: number }> {
  const child = Bun.spawn([process.execPath, join(folder, file), ...args], {
    env: { ...process.env, FURROW_RUNTIME_DIR: join(folder, "run"), BUN_JSC_verboseDiskCache: "1" },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const [exitCode, stdout, stderr] = await Promise.all([
    child.exited,
    child.stdout.text(),
    child.stderr.text(),
  ]);
  const lines = `${stdout}\n${stderr}`.split("\n");
  const isOfCache = (line: string): boolean => line.startsWith("[Disk Cache]");
  const rest = (text: string): string =>
    text
      .split("\n")
      .filter((line) => !isOfCache(line))
      .join("\n");
  return {
    exitCode,
    stdout: rest(stdout),
    stderr: rest(stderr),
    hits: lines.filter((line) => isOfCache(line) && line.includes("hit")).length,
  };
}

describe("the bundled package", () => {
  test("has entries that export what their sources do", async () => {
    // in a process of their own: the package holds a file open as long as its process runs
    const exportsOf = async (entry: string): Promise<string[]> => {
      await Bun.write(
        join(folder, "exports.ts"),
        `console.log(JSON.stringify(Object.keys(await import("./lib/${entry}"))));`,
      );
      return (JSON.parse((await run("exports.ts")).stdout) as string[]).toSorted();
    };
    expect(await exportsOf("index.js")).toEqual(Object.keys(source).toSorted());
    expect(await exportsOf("testing.js")).toEqual(Object.keys(testingSource).toSorted());
    expect(Object.keys(otelSource)).toEqual(["instrument"]);
    const text = await Bun.file(join(lib, "otel.js")).text();
    expect(new Bun.Transpiler({ loader: "js" }).scan(text)).toMatchObject({ exports: ["instrument"] });
  });

  /** A program that counts the spans of a call to its own child, and of one to itself. */
  const traced = `import { currentActor, getRoot, openNursery } from "./lib/index.js";
    import { instrument } from "./lib/otel.js";
    import { InMemorySpanExporter, SimpleSpanProcessor, TracerProvider } from "@opentelemetry/sdk-trace";
    const exporter = new InMemorySpanExporter();
    instrument({ tracerProvider: new TracerProvider({ spanProcessors: [new SimpleSpanProcessor({ exporter })] }) });
    const spans = () => exporter.getFinishedSpans().map((span) => span.name + " " + span.parentSpanContext?.spanId.length);
    export const served = () => spans();
    if (import.meta.main) {
      await using nursery = await openNursery({ registryAddrs: ["tcp://127.0.0.1:0"] });
      if (process.env["WITH_CHILD"]) {
        const child = await nursery.startActor("child", { module: import.meta.url });
        await child.run.served();
        console.log(JSON.stringify(await child.run.served()));
      }
      await (await getRoot()).run["missing"]().catch(() => {});
      console.log(JSON.stringify(spans().slice(-2)));
    }`;

  test("traces with the same furrow, in a program and its child, and where it's bundled into a program", async () => {
    await Bun.write(join(folder, "traced.ts"), traced);
    const expected = '["furrow 16","root/missing undefined"]\n';
    process.env["WITH_CHILD"] = "1";
    const whole = await run("traced.ts");
    delete process.env["WITH_CHILD"];
    expect(whole).toMatchObject({ exitCode: 0, stderr: "", stdout: `["child/served 16"]\n${expected}` });
    const [entrypoints, outdir] = [[join(folder, "traced.ts")], join(folder, "dist")];
    expect((await Bun.build({ entrypoints, outdir, target: "bun" })).success).toBeTrue();
    await Bun.write(join(folder, "away/traced.js"), Bun.file(join(folder, "dist/traced.js")));
    expect(await run("away/traced.js")).toMatchObject({ exitCode: 0, stderr: "", stdout: expected });
  });

  test("is what program and child run, from bytecode, with one instance for both entries and the runtime", async () => {
    await Bun.write(
      join(folder, "program.ts"),
      `import { currentActor, findActor, openNursery } from "./lib/index.js";
       import { testTree } from "./lib/testing.js";
       export const whoAmI = () => [currentActor().name, typeof testTree, Bun.main];
       if (import.meta.main) {
         await using nursery = await openNursery({ registryAddrs: ["unix://" + import.meta.dirname + "/registry.sock"] });
         await nursery.startActor("packed", { module: import.meta.url });
         await using found = await findActor("packed", { raiseOnNone: true });
         console.log(JSON.stringify(await found.run.whoAmI()));
       }`,
    );
    const { hits, stdout, ...ended } = await run("program.ts");
    expect(ended).toEqual({ exitCode: 0, stderr: "" });
    expect(JSON.parse(stdout)).toEqual(["packed", "function", join(lib, "child.js")]);
    // all that the two load, testTree included, which needs most of it
    expect(hits).toBe(13);
  });

  /** The files of the package that a process has loaded. */
  const loaded = `export const loaded = () => Object.keys(require.cache).filter((path) => path.endsWith(".cjs"))
    .map((path) => path.replace(/.*\\/|(-[0-9a-f]{12})?\\.cjs$/g, "")).toSorted().join(" ");`;

  test("gives a program, and a child, the files that they use", async () => {
    await Bun.write(
      join(folder, "files.ts"),
      `import { openNursery } from "./lib/index.js";
       import { loaded } from "./alone.ts";
       const here = import.meta.dirname;
       const unix = "unix://" + here + "/registry.sock";
       {
         await using nursery = await openNursery({ registryAddrs: [unix] });
         for (const module of ["alone.ts", "imports.ts"]) {
           const child = await nursery.startActor("child", { module: here + "/" + module });
           console.log(module, await child.run.loaded());
         }
         console.log("program", loaded());
       }
       await using nursery = await openNursery({ registryAddrs: [unix, "tcp://127.0.0.1:0"] });
       const child = await nursery.startActor("child", { module: here + "/alone.ts" });
       console.log("with tcp", await child.run.loaded());`,
    );
    await Bun.write(join(folder, "alone.ts"), loaded);
    await Bun.write(
      join(folder, "imports.ts"),
      `import { currentActor, findActor, openNursery, openService } from "./lib/index.js";
       export const used = [currentActor, findActor, openNursery, openService]; ${loaded}`,
    );
    const { exitCode, stdout, stderr } = await run("files.ts");
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
    expect(stdout.trim().split("\n")).toEqual([
      "alone.ts core",
      "imports.ts core library soon",
      "program core election library registrar soon tree",
      "with tcp core tcp",
    ]);
  });

  test("starts an actor in a spare process", async () => {
    await Bun.write(
      join(folder, "spare.ts"),
      `import { openNursery } from "./lib/index.js";
       export const bornAt = () => performance.timeOrigin;
       if (import.meta.main) {
         const registryAddrs = ["unix://" + import.meta.dirname + "/registry.sock"];
         await using nursery = await openNursery({ registryAddrs, spares: 1 });
         await Bun.sleep(200);
         const before = Date.now();
         const actor = await nursery.startActor("actor", { module: import.meta.url });
         console.log((await actor.run.bornAt()) < before);
       }`,
    );
    expect(await run("spare.ts")).toMatchObject({ exitCode: 0, stderr: "", stdout: "true\n" });
  });

  /** A program that makes its child use what few children need. Given "upgrade", it takes the package away before that. */
  const upgraded = `import { openNursery } from "./lib/index.js";
    import { renameSync } from "node:fs";
    await using nursery = await openNursery({ registryAddrs: ["unix://" + import.meta.dirname + "/registry.sock"] });
    const child = await nursery.startActor("child", { module: import.meta.dirname + "/failing.ts" });
    const isUpgrade = process.argv[2] === "upgrade";
    if (isUpgrade) renameSync(import.meta.dirname + "/lib", import.meta.dirname + "/former");
    const error = await child.run.fail().catch((reason) => reason);
    if (isUpgrade) renameSync(import.meta.dirname + "/former", import.meta.dirname + "/lib");
    console.log(error.remoteName, error.cause instanceof RangeError, error.cause.message);`;

  test.each([
    ["from a file of its own", []],
    ["as it was when the process began, when the package has been replaced since", ["upgrade"]],
  ])("loads what few children need later, %s", async (_, args) => {
    await Bun.write(
      join(folder, "failing.ts"),
      `export const fail = () => { throw new RangeError("as it should"); };`,
    );
    await Bun.write(join(folder, "upgraded.ts"), upgraded);
    const { exitCode, stdout, stderr, hits } = await run("upgraded.ts", ...args);
    expect({ exitCode, stdout, stderr }).toEqual({
      exitCode: 0,
      stdout: "RangeError true as it should\n",
      stderr: "",
    });
    // in the program what a registrar and its nursery need; in the child what it starts with, and if it's there, what comes soon
    expect(hits).toBe(args.length === 0 ? 8 : 7);
  });

  test("can be bundled into a program, which runs, and is told so when it starts an actor", async () => {
    await Bun.write(
      join(folder, "whole.ts"),
      `import { findActor, openNursery } from "./lib/index.js";
       await using nursery = await openNursery({ registryAddrs: ["tcp://127.0.0.1:0"] });
       console.log((await findActor("root")).id.name);
       await nursery.startActor("child", { module: import.meta.url }).catch((error) => console.log(error.message));`,
    );
    const built = await Bun.build({
      entrypoints: [join(folder, "whole.ts")],
      outdir: join(folder, "dist"),
      target: "bun",
    });
    expect(built.success).toBeTrue();
    // away from the package's files, as a bundle is
    await Bun.write(join(folder, "away/whole.js"), Bun.file(join(folder, "dist/whole.js")));
    const { stdout, stderr, exitCode } = await run("away/whole.js");
    expect({ stderr, exitCode }).toEqual({ stderr: "", exitCode: 0 });
    expect(stdout).toStartWith("root\n");
    expect(stdout).toContain('cannot start actor "child" from a bundle: leave furrow out of it');
    expect(stdout).toContain("bun build --external furrow");
  });

  test("can be compiled into an executable, which runs, and says what can be done instead of starting an actor", async () => {
    await Bun.write(
      join(folder, "compiled.ts"),
      `import { findActor, openNursery } from "./lib/index.js";
       await using nursery = await openNursery({ registryAddrs: ["tcp://127.0.0.1:0"] });
       console.log((await findActor("root")).id.name);
       await nursery.startActor("child", { module: import.meta.url }).catch((error) => console.log(error.message));`,
    );
    const outfile = join(folder, "away/compiled");
    const build = [process.execPath, "build", "--compile", "compiled.ts", "--outfile", outfile];
    expect(await Bun.spawn(build, { cwd: folder, stdio: ["ignore", "ignore", "ignore"] }).exited).toBe(0);
    const child = Bun.spawn([outfile], {
      env: { ...process.env, FURROW_RUNTIME_DIR: join(folder, "run") },
      stdio: ["ignore", "pipe", "pipe"],
    });
    const [stdout, exitCode] = await Promise.all([child.stdout.text(), child.exited]);
    expect(exitCode).toBe(0);
    const [found, message] = stdout.split("\n");
    expect(found).toBe("root");
    expect(message).toStartWith('cannot start actor "child" from an executable made by bun build --compile');
    // furrow outside of an executable is not found: the advice for bundles would not help
    expect(message).not.toContain("leave furrow out");
  });

  test("has the command line, which shares its modules with the other files", async () => {
    await Bun.write(
      join(folder, "shop.ts"),
      `import { currentActor, openNursery } from "./lib/index.js";
       export const whoAmI = () => currentActor().name;
       if (import.meta.main) {
         await using nursery = await openNursery({ name: "shop" });
         await nursery.startActor("packed", { module: import.meta.url });
         const command = Bun.spawn([process.execPath, "./lib/cli.js", "call", "packed.whoAmI"], {
           cwd: import.meta.dir, stdio: ["ignore", "pipe", "inherit"],
         });
         console.log(await command.exited, await command.stdout.text());
       }`,
    );
    const { exitCode, stdout, stderr } = await run("shop.ts");
    expect({ exitCode, stdout, stderr }).toMatchObject({ exitCode: 0, stdout: '0 "packed"\n\n' });
  });

  test("is what an executable of furrow build contains, which starts actors", async () => {
    const installed = join(folder, "node_modules/furrow");
    mkdirSync(installed, { recursive: true });
    symlinkSync(lib, join(installed, "lib"));
    const manifest = {
      name: "furrow",
      exports: { ".": "./lib/index.js", "./package.json": "./package.json" },
    };
    await Bun.write(join(installed, "package.json"), JSON.stringify(manifest));
    await Bun.write(
      join(folder, "shipped.ts"),
      `import { currentActor, openNursery } from "furrow";
       export const whoAmI = () => [currentActor().name, import.meta.main];
       if (import.meta.main) {
         await using nursery = await openNursery({ registryAddrs: ["tcp://127.0.0.1:0"] });
         const portal = await nursery.startActor("shipped", { module: import.meta.url });
         console.log(JSON.stringify(await portal.run.whoAmI()));
       }`,
    );
    const outfile = join(folder, "away/shipped");
    const main = join(import.meta.dir, "../../src/cli/main.ts");
    const build = [process.execPath, main, "build", "shipped.ts", "--out", outfile];
    // in another process: Bun remembers which folders there were when this one bundled something
    const text = await Bun.spawn(build, { cwd: folder, stdio: ["ignore", "pipe", "inherit"] }).stdout.text();
    expect(text).toMatch(/^away\/shipped {2}\d+M, actors may have these modules:\n {2}shipped\.ts\n$/);
    const child = Bun.spawn([outfile], {
      env: { ...process.env, FURROW_RUNTIME_DIR: join(folder, "run") },
      stdio: ["ignore", "pipe", "pipe"],
    });
    const ended = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
    expect(ended).toEqual(['["shipped",false]\n', "", 0]);
  });

  test("prints its help and version without loading the other files", async () => {
    await Bun.write(join(folder, "package.json"), JSON.stringify({ version: "7.8.9" }));
    expect(await run("lib/cli.js", "--version")).toMatchObject({ exitCode: 0, stdout: "7.8.9\n", hits: 1 });
    expect(await run("lib/cli.js", "--help")).toMatchObject({ exitCode: 0, hits: 1 });
  });

  const parts = ["core", ...later, "cli", "commands"];

  test("has an entry point that depends on nothing but its own exports: an upgrade may replace it while an older core runs", async () => {
    const text = await Bun.file(join(lib, "index.js")).text();
    expect(text.match(/furrow\.\w+.*/g)).toEqual([`furrow.later("library")("index.ts");`]);
  });

  test("has a registrar that doesn't need what starts actors: an actor becomes one when the registrar has died", async () => {
    expect(await Bun.file(join(lib, await fileOf("registrar"))).text()).not.toContain(`$later("tree")`);
  });

  /** The name of a file: that of most has a hash. */
  async function fileOf(part: string): Promise<string> {
    const [name] = await Array.fromAsync(new Bun.Glob(`${part}{,-*}.cjs`).scan(lib));
    return name!;
  }

  test.each(parts)("does nothing when it is run by hand: %s", async (part) => {
    expect(await run(`lib/${await fileOf(part)}`)).toMatchObject({ exitCode: 0, stdout: "", stderr: "" });
  });

  test.each(parts)("is strict, as the modules in it are: %s", async (part) => {
    expect(await Bun.file(join(lib, await fileOf(part))).text()).toMatch(/^.*\n.*\{"use strict";/);
  });

  test.each(parts)("has no path of the checkout that it was built in: %s", async (part) => {
    expect(await Bun.file(join(lib, await fileOf(part))).text()).not.toContain(
      join(import.meta.dir, "../.."),
    );
  });
});
