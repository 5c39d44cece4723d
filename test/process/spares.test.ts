/** Spare processes: openNursery({ spares }). */
import { describe, expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";

import {
  getRegistry,
  type LogRecord,
  type Nursery,
  type NurseryOptions,
  onLog,
  openNursery,
  openRootActor,
} from "../../src/index.ts";
import { isProcessAlive } from "../../src/transport/runtime-dir.ts";
import { failure } from "../support/outcome.ts";
import { until, World } from "../support/world.ts";

const module = new URL("../fixtures/seen.ts", import.meta.url);
type Seen = typeof import("../fixtures/seen.ts");

/** The spare processes of a process that have no actor yet. */
function sparesOf(parent: number): number[] {
  return readdirSync("/proc")
    .map(Number)
    .filter((pid) => {
      if (!(pid > 0)) return false;
      try {
        const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
        const isChild = Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]) === parent;
        return isChild && readFileSync(`/proc/${pid}/cmdline`, "utf8").includes("(spare)");
      } catch {
        return false; // it has ended
      }
    });
}

/** Waits for this process's nursery to have so many; returns them. */
async function spares(count: number, parent: number = process.pid): Promise<number[]> {
  await until(() => sparesOf(parent).length === count);
  return sparesOf(parent);
}

/** Waits until a spare process has loaded everything: then it sleeps, and doesn't use the processor any more. */
async function idle(pid: number): Promise<void> {
  const used = (): string => readFileSync(`/proc/${pid}/schedstat`, "utf8");
  const sleeps = (): boolean => readFileSync(`/proc/${pid}/stat`, "utf8").includes(") S ");
  for (let before = ""; before !== used() || !sleeps(); await Bun.sleep(200)) before = used();
}

async function open(world: World, options: NurseryOptions = {}): Promise<Nursery> {
  return await openNursery({ ...world.options, spares: 1, ...options });
}

describe("an actor of a nursery with spares", () => {
  test("starts in a spare process, looks like any other, and another spare takes its place", async () => {
    await using world = new World();
    await using actor = await openRootActor(world.options);
    await using plain = await openNursery();
    const twin = await plain.startActor<Seen>("twin", { module });
    const expected = await twin.run.seen();
    await twin.cancelActor();

    await using nursery = await openNursery({ spares: 1 });
    const [spare] = await spares(1);
    expect(nursery.children).toEqual([]);
    await using registry = await getRegistry();
    expect((await registry.run.listActors()).map(({ id }) => id.pid)).toEqual([actor.id.pid]);
    const before = Date.now();
    const portal = await nursery.startActor<Seen>("twin", { module });
    expect(portal.id.pid).toBe(spare!);
    expect(nursery.children.map(({ id }) => id.pid)).toEqual([spare!]);
    expect(await portal.run.seen()).toEqual(expected);
    expect(expected.args).toEndWith("child.ts twin\n");
    expect(await portal.run.processStartedAt()).toBeLessThan(before);
    const registered = (await registry.run.listActors()).find(({ id }) => id.name === "twin");
    expect(registered!.startedAt).toBeGreaterThanOrEqual(before);
    expect(await spares(1)).not.toContain(spare!);
  });

  test("starts in another process if its environment, folder, flags or output differ", async () => {
    await using world = new World();
    await using nursery = await open(world);
    const [spare] = await spares(1);
    const differences = [
      { env: { OTHER: "1" } },
      { cwd: world.dir },
      { execArgv: ["--smol"] },
      { output: "prefix" },
      { output: "ignore" },
    ] as const;
    const others = await Promise.all(
      differences.map((options, at) => nursery.startActor(`other-${at}`, { module, ...options })),
    );
    expect(others.map(({ id }) => id.pid)).not.toContain(spare!);
    expect(sparesOf(process.pid)).toEqual([spare!]);
    const same = { env: { PATH: process.env["PATH"]! }, output: "inherit" } as const;
    const portal = await nursery.startActor("same", { module, ...same });
    expect(portal.id.pid).toBe(spare!);
  });

  test("restarts in a spare process", async () => {
    await using world = new World();
    await using nursery = await open(world, { output: "keep" });
    const options = { module, restart: { when: "on-failure", backoffMs: [0, 0] } } as const;
    const { id } = await nursery.startActor("phoenix", options);
    const [spare] = await spares(1);
    process.kill(id.pid, "SIGKILL");
    await until(() => nursery.children.some(({ restarts, state }) => restarts === 1 && state === "ready"));
    expect(nursery.children[0]!.id.pid).toBe(spare!);
  });

  test("gets its data, and is the only one of its name", async () => {
    await using world = new World();
    await using nursery = await open(world);
    const [spare] = await spares(1);
    const data = { of: ["the start"] };
    const portal = await nursery.startActor<Seen>("one", { module, data, unique: true });
    expect(portal.id.pid).toBe(spare!);
    expect(await portal.run.data()).toEqual(data);
    expect(await failure(nursery.startActor("one", { module }))).toMatchObject({ name: "NameTakenError" });
  });

  test("has the time of its start, however old the spare process is", async () => {
    await using world = new World();
    const hub = await world.actor("hub");
    await using nursery = await open(world);
    const [spare] = await spares(1);
    const timeout = 1_000;
    await Bun.sleep(timeout);
    await hub.freeze();
    const starting = nursery.startActor("late", { module, timeout });
    // it can't register before this process is the registrar
    await until(() => readFileSync(`/proc/${spare}/cmdline`, "utf8").includes("late"));
    await Bun.sleep(50);
    await hub.kill();
    expect((await starting).id.pid).toBe(spare!);
  });

  test("starts even if the spare process dies before or after it gets its orders", async () => {
    await using world = new World();
    await using nursery = await open(world);
    const [first] = await spares(1);
    process.kill(first!, "SIGKILL");
    await nursery.startActor("before", { module });
    const [second] = await spares(1);
    process.kill(second!, "SIGSTOP");
    const starting = nursery.startActor("after", { module });
    await until(() => nursery.children.some(({ id }) => id.pid === second));
    process.kill(second!, "SIGKILL");
    const { id } = await starting;
    expect(id.pid).not.toBe(second!);
    expect(nursery.children.map((child) => child.id.name)).toEqual(["before", "after"]);
  });
});

describe("the spares of a nursery", () => {
  test("serve a burst as far as they go, and are as many as before afterwards", async () => {
    await using world = new World();
    await using nursery = await open(world, { spares: 3 });
    const before = await spares(3);
    const portals = await Promise.all(
      Array.from({ length: 5 }, (_, at) => nursery.startActor(`actor-${at}`, { module })),
    );
    const pids = portals.map(({ id }) => id.pid);
    expect(pids.filter((pid) => before.includes(pid))).toHaveLength(3);
    expect(new Set(pids).size).toBe(5);
    for (const pid of await spares(3)) expect(pids).not.toContain(pid);
  });

  test("end with it", async () => {
    await using world = new World();
    await using _ = await openRootActor(world.options);
    const nursery = await openNursery({ spares: 2 });
    const before = await spares(2);
    await nursery[Symbol.asyncDispose]();
    expect(before.filter(isProcessAlive)).toEqual([]);
    expect(sparesOf(process.pid)).toEqual([]);
  });

  test("end with a process that is killed", async () => {
    await using world = new World();
    const program = await world.actor("root");
    await program.run(async ({ furrow, keep }) => {
      keep["nursery"] = await furrow.openNursery({ spares: 2 });
    });
    const before = await spares(2, program.pid);
    await program.kill();
    await until(() => !before.some(isProcessAlive));
  });

  test("leave nothing of what they rehearse, and log nothing of it", async () => {
    await using world = new World();
    const program = await world.actor("root", {}, { FURROW_LOG: "debug" });
    const before = readdirSync(world.dir);
    await program.run(async ({ furrow, keep }) => {
      keep["nursery"] = await furrow.openNursery({ spares: 1 });
    });
    const [spare] = await spares(1, program.pid);
    await idle(spare!);
    expect(readdirSync(world.dir)).toEqual(before);
    // what a spare prints is passed on once it is an actor
    const pid = await program.run(async ({ keep, args: [file] }) => {
      const { id } = await (keep["nursery"] as Nursery).startActor("actor", { module: file as string });
      return id.pid;
    }, module.href);
    expect(pid).toBe(spare!);
    program.signal("SIGTERM");
    expect(await program.process.exited).toBe(143);
    expect(await program.stderr).toContain("spawned actor#");
    expect(await program.stderr).not.toContain("(spare)");
  });

  test("that are killed while they rehearse leave nothing, either", async () => {
    await using world = new World();
    const preload = Bun.fileURLToPath(new URL("../fixtures/stops-in-rehearsal.ts", import.meta.url));
    const program = await world.actor("root", {}, { BUN_OPTIONS: `--preload=${preload}` });
    const before = readdirSync(world.dir);
    await program.run(async ({ furrow, keep }) => {
      keep["nursery"] = await furrow.openNursery({ spares: 1 });
    });
    for (let kills = 0; kills < 2; kills++) {
      const [spare] = await spares(1, program.pid);
      await until(() => readdirSync(world.dir).length === before.length + 3);
      const made = readdirSync(world.dir).filter((name) => !before.includes(name));
      expect(made.filter((name) => name.includes(`@${spare}.sock`))).toHaveLength(2);
      expect(made.filter((name) => name.endsWith(".members"))).toHaveLength(1);
      process.kill(spare!, "SIGKILL");
      await until(() => !made.some((name) => readdirSync(world.dir).includes(name)));
    }
  });

  test("are replaced when they die, but not without end", async () => {
    await using world = new World();
    const warnings: LogRecord[] = [];
    const undo = onLog((record) => void (record.level === "warn" && warnings.push(record)));
    try {
      await using nursery = await open(world);
      for (let deaths = 0; deaths < 3; deaths++) {
        const [spare] = await spares(1);
        process.kill(spare!, "SIGKILL");
        await until(() => !isProcessAlive(spare!));
      }
      await until(() => warnings.length > 0);
      expect(warnings.map(({ msg }) => msg)).toEqual([
        "spare processes don't last: the last of 3 ended (SIGKILL)",
      ]);
      // actors start without them
      await nursery.startActor("actor", { module });
    } finally {
      undo();
    }
  });

  for (const count of [-1, 65, 1.5, Number.NaN, "1", null])
    test(`can't be ${JSON.stringify(count)}`, async () => {
      const error = await failure(openNursery({ spares: count as number }));
      expect(error).toBeInstanceOf(RangeError);
      expect(error.message).toBe(`spares must be an integer from 0 to 64, got ${String(count)}`);
    });

  test("is replaced when the environment of the program has changed", async () => {
    await using world = new World();
    await using nursery = await open(world);
    const [before] = await spares(1);
    process.env["FURROW_TEST_SPARES"] = "changed";
    try {
      const first = await nursery.startActor<Seen>("first", { module });
      expect(first.id.pid).not.toBe(before!);
      await until(() => !isProcessAlive(before!));
      const [after] = await spares(1);
      expect((await nursery.startActor("second", { module })).id.pid).toBe(after!);
    } finally {
      delete process.env["FURROW_TEST_SPARES"];
    }
  });
});
