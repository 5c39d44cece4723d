/** Faulty actor modules, and the errors that their starters get. */
import { describe, expect, test } from "bun:test";
import { cpSync, readFileSync, symlinkSync } from "node:fs";
import { join } from "node:path";

import { ActorDiedError, findActor, openNursery, openRootActor, SpawnError } from "../../src/index.ts";
import { failure } from "../support/outcome.ts";
import { World } from "../support/world.ts";

const furrow = JSON.stringify(join(import.meta.dir, "../../src/index.ts"));

/** Writes a module into the world's folder; returns its path. */
async function written(world: World, name: string, text: string): Promise<string> {
  const path = join(world.dir, name);
  await Bun.write(path, text);
  return path;
}

/** Source that defines `main`, which starts `module` as an actor, with the imports it needs. */
function starter(module: string): string {
  return `${counting}
    import { openActorCluster, openNursery, openRootActor } from ${furrow};
    export const fn = () => 1;
    async function main() {
      await using nursery = await openNursery();
      const portal = await nursery.startActor("inner", { module: ${module} });
      await portal.run.fn();
    }
  `;
}

/** Counts the loads of a module in a file, and ends a process that would be one too many: a mistake here must not fork on. */
const counting = `
  import { appendFileSync, readFileSync } from "node:fs";
  if (process.env.COUNT_FILE) {
    appendFileSync(process.env.COUNT_FILE, ".");
    if (readFileSync(process.env.COUNT_FILE).length > 8) process.exit(9);
  }
`;

const ownModule = starter("import.meta.url");
const callOnce = `${counting}
  import { openNursery } from ${furrow};
  export const fn = () => 1;
  async function main() {
    await using nursery = await openNursery();
    await nursery.run(import.meta.url, "fn");
  }
`;

function loads(file: string): number {
  return readFileSync(file, "utf8").length;
}

/** Another copy of furrow, in the world's folder: what a process has loaded of the first is unknown to it. */
function copyFurrow(world: World): void {
  const root = join(import.meta.dir, "../..");
  cpSync(join(root, "src"), join(world.dir, "copy/src"), { recursive: true });
  symlinkSync(join(root, "node_modules"), join(world.dir, "copy/node_modules"));
}

describe("a module without its import.meta.main guard", () => {
  test.each([
    ["awaits at its top level", `${ownModule} await main();`],
    ["starts without waiting", `${ownModule} void main();`],
    ["swallows the error", `${ownModule} main().catch(() => {});`],
    ["boots an actor of its own", `${ownModule} await openRootActor();`],
    ["opens a cluster", `${ownModule} await openActorCluster({ module: import.meta.url });`],
    ["starts another module", `${starter('"./other.ts"')} await main();`],
    ["starts a while later", `${ownModule} await Bun.sleep(20); await main();`],
    ["runs an actor for one call", `${callOnce} await main();`],
    [
      "imports another that does",
      `${counting}; await import("./unguarded-too.ts"); export const fn = () => 1;`,
    ],
    ["uses another copy of furrow", `${ownModule.replace(furrow, `"./copy/src/index.ts"`)} await main();`],
  ])("that %s fails the start at once, and the error names the guard", async (_, text) => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const module = await written(world, "unguarded.ts", text);
    await written(world, "unguarded-too.ts", `${ownModule} await main();`);
    if (text.includes("./copy/")) copyFurrow(world);
    const env = { COUNT_FILE: join(world.dir, "loads") };
    const error = await failure(
      nursery.startActor("outer", { module, env, output: "ignore", timeout: 5_000 }),
    );
    expect(error).toBeInstanceOf(SpawnError);
    expect(error.message).toMatch(/^actor "outer": .* while .*unguarded\.ts is being imported/);
    expect(error.message).toContain("if (import.meta.main)");
    expect(loads(env.COUNT_FILE)).toBeLessThanOrEqual(2); // of the two modules of one process
    expect(await findActor("inner")).toBeNull();
    expect(nursery.signal.aborted).toBeFalse();
  });

  test("that starts itself later, outside any call, fails the nursery, and the error names the guard", async () => {
    await using world = new World();
    await using actor = await openRootActor(world.options);
    const nursery = await openNursery();
    const go = join(world.dir, "go");
    const wait = `import { existsSync } from "node:fs";
      const timer = setInterval(() => {
        if (!existsSync(${JSON.stringify(go)})) return;
        clearInterval(timer);
        void main();
      }, 5);`;
    const module = await written(world, "late.ts", `${ownModule} ${wait}`);
    await nursery.startActor("outer", { module, output: "ignore" });
    await Bun.write(go, "");
    const error = await failure(nursery.join());
    expect(error).toBeInstanceOf(ActorDiedError);
    expect(error.cause).toBeInstanceOf(SpawnError);
    expect((error.cause as Error).message).toContain("if (import.meta.main)");
    // root, outer, and its end
    expect(actor.stats().registrar?.revision).toBe(3);
    await failure(nursery[Symbol.asyncDispose]().then(() => Promise.reject(new Error("told"))));
  });

  test.each([
    ["starts the other, which starts it", starter("new URL('./b.ts', import.meta.url)")],
    [
      "does so through another copy of furrow",
      starter("new URL('./b.ts', import.meta.url)").replace(furrow, `"./copy/src/index.ts"`),
    ],
  ])("of two that later %s is refused when the circle closes", async (_, text) => {
    await using world = new World();
    await using _actor = await openRootActor(world.options);
    const nursery = await openNursery();
    copyFurrow(world);
    // they keep what they have started
    const later = (source: string): string =>
      `${source.replace("portal.run.fn()", "nursery.join()")} setTimeout(main, 20);`;
    await written(world, "b.ts", later(starter("new URL('./a.ts', import.meta.url)")));
    const module = await written(world, "a.ts", later(text));
    const env = { COUNT_FILE: join(world.dir, "loads") };
    await nursery.startActor("outer", { module, env, output: "ignore" });
    const error = await failure(nursery.join());
    expect(error).toBeInstanceOf(ActorDiedError);
    expect(error.message).toContain("if (import.meta.main)");
    expect(loads(env.COUNT_FILE)).toBe(2);
    await failure(nursery[Symbol.asyncDispose]().then(() => Promise.reject(new Error("told"))));
  });

  test.each([
    ["a preload of its flags", furrow],
    ["a preload that uses another copy of furrow", `"./copy/src/index.ts"`],
  ])("that is %s fails the start", async (_, copy) => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    copyFurrow(world);
    const text = `${starter("'./other.ts'").replace(furrow, copy)} await main();`;
    const preload = await written(world, "preload.ts", text);
    const module = await written(world, "other.ts", "export const fn = () => 1;");
    const env = { COUNT_FILE: join(world.dir, "loads") };
    const execArgv = ["--preload", preload];
    const error = await failure(
      nursery.startActor("outer", { module, env, execArgv, output: "ignore", timeout: 5_000 }),
    );
    expect(error).toBeInstanceOf(SpawnError);
    expect(error.message).toContain("if (import.meta.main)");
    expect(loads(env.COUNT_FILE)).toBe(1);
  });

  test("may start itself within a call, or another module later", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const called = await written(world, "called.ts", `${ownModule} export const go = main;`);
    const caller = await nursery.startActor<{ go(): Promise<void> }>("called", { module: called });
    await caller.run.go();
    await written(world, "other.ts", "export const fn = () => 1;");
    const text = `${starter('new URL("./other.ts", import.meta.url)')}
      const done = Promise.withResolvers(); setTimeout(() => main().then(done.resolve, done.reject), 0);
      export const over = () => done.promise;`;
    const later = await nursery.startActor<{ over(): Promise<void> }>("later", {
      module: await written(world, "later.ts", text),
    });
    await later.run.over();
  });

  test("fails when run as a program, and leaves no process", async () => {
    await using world = new World();
    const file = await written(world, "program.ts", `${ownModule} await main();`);
    const program = Bun.spawn([process.execPath, file], {
      env: { ...process.env, ...world.env },
      stdio: ["ignore", "ignore", "pipe"],
    });
    const [code, stderr] = await Promise.all([program.exited, program.stderr.text()]);
    expect(code).toBe(1);
    expect(stderr).toContain("if (import.meta.main)");
  });
});

describe("a module that exports a name that can't be called", () => {
  test.each([
    ["is never settled", "export function then() {}"],
    ["is settled with another object", "export function then(resolve) { resolve({ fn() {} }); }"],
    ["is settled with nothing", "export function then(resolve) { resolve(); }"],
    ["of a module that takes its time", "await Bun.sleep(50); export const then = () => {};"],
  ])("`then`, which %s, fails the start, and says so", async (_, text) => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const module = await written(world, "thenable.ts", `${text} export const fn = () => 1;`);
    const error = await failure(nursery.startActor("thenable", { module, timeout: 5_000 }));
    expect(error).toBeInstanceOf(SpawnError);
    expect(error.message).toMatch(/^actor "thenable": .*thenable\.ts exports a function "then"/);
    expect(error.message).toContain("rename the export");
  });

  test("`then` as a value is not a function, and does no harm", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const module = await written(world, "value.ts", "export const then = 5; export const fn = () => 1;");
    const portal = await nursery.startActor<{ fn(): number }>("value", { module });
    expect(await portal.run.fn()).toBe(1);
  });

  test("of the runtime itself, like registrar.listActors, fails the start; the short name is free", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const text = 'const mine = () => "mine"; export { mine as ';
    const module = await written(world, "hides.ts", `${text} "registrar.listActors" };`);
    const error = await failure(nursery.startActor("hides", { module }));
    expect(error).toBeInstanceOf(SpawnError);
    expect(error.message).toContain('hides.ts exports a function "registrar.listActors"');
    const short = await written(world, "short.ts", `${text} listActors };`);
    const portal = await nursery.startActor<{ listActors(): string }>("short", { module: short });
    expect(await portal.run.listActors()).toBe("mine");
  });
});

describe("a module that can't be loaded", () => {
  test.each([
    [
      "with a syntax error",
      "own.ts",
      "export function a() {\n  return 1 +;\n}\n",
      /own\.ts:2:13: Unexpected ;/,
    ],
    ["that imports one", "imports.ts", 'import { a } from "./own.ts";\nexport { a };\n', /own\.ts:2:13: /],
    ["that imports a missing one", "misses.ts", 'import "./gone.ts";\n', /'\.\/gone\.ts' .*misses\.ts/],
  ])("%s fails the start by file, line, column and text", async (_, name, text, place) => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    await written(world, "own.ts", "export function a() {\n  return 1 +;\n}\n");
    const module = await written(world, name, text);
    const error = await failure(nursery.startActor("broken", { module }));
    expect(error).toBeInstanceOf(SpawnError);
    expect(error.message).toMatch(place);
    const cause = error.cause as Error;
    expect(`${cause.message}\n${cause.stack}`).not.toContain(join(import.meta.dir, "../../src"));
    if (name === "misses.ts") return;
    expect(error.message).toContain("return 1 +;");
    expect(cause).toBeInstanceOf(SyntaxError);
    expect(Bun.inspect(cause)).not.toContain("error-values");
    expect(cause.stack).toMatch(/^SyntaxError: Unexpected ;\n {4}at module \(.*own\.ts:2:13\)$/);
  });

  test("names several errors, each with its place", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const module = await written(world, "two.ts", "let a; let a;\nlet b; let b;\nexport {};\n");
    const { message } = await failure(nursery.startActor("broken", { module }));
    expect(message).toMatch(/two\.ts:1:12: "a" has already been declared/);
    expect(message).toMatch(/two\.ts:2:12: "b" has already been declared/);
  });

  test("because it throws fails the start with the module's own frames first, then the starter's", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const text = 'function deep() {\n  throw new RangeError("mine");\n}\ndeep();\n';
    const module = await written(world, "throws.ts", text);
    const error = await failure(nursery.startActor("broken", { module }));
    expect(error.message).toContain("RangeError: mine");
    const [, first, ...rest] = (error.cause as Error).stack!.split("\n");
    expect(first).toContain("throws.ts:2:");
    expect(rest.join("\n")).not.toContain("/src/tree/");
    expect(error.stack).not.toContain("/src/tree/");
    expect(error.stack).toContain("modules.test.ts");
    // the code frame that a program prints shows the module, not furrow
    const printed = Bun.inspect(error);
    expect(printed).toContain('throw new RangeError("mine")');
    expect(printed).not.toContain("new SpawnError");
  });
});
