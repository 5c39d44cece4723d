/** Whose lives a child shares: restarts and failures of siblings. */
import { describe, expect, test } from "bun:test";
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import {
  ActorDiedError,
  findActor,
  type Nursery,
  type NurseryOptions,
  openNursery,
  openRootActor,
  type Portal,
  type RestartOption,
  RuntimeExistsError,
  SpawnError,
  type StartOptions,
} from "../../src/index.ts";
import { isProcessAlive } from "../../src/transport/runtime-dir.ts";
import { Events } from "../support/events.ts";
import { failure } from "../support/outcome.ts";
import { until, World } from "../support/world.ts";

const module = new URL("../fixtures/restarting.ts", import.meta.url);
const stubborn = new URL("../fixtures/stubborn.ts", import.meta.url);
type Restarting = typeof import("../fixtures/restarting.ts");
const quick = { when: "on-failure", backoffMs: [1, 1] } as const;

/** A nursery with children a, b and c, started in this order. */
class Family implements AsyncDisposable {
  readonly nursery: Nursery;
  readonly events: Events;
  readonly #world: World;

  constructor(world: World, nursery: Nursery) {
    this.#world = world;
    this.nursery = nursery;
    this.events = new Events(nursery);
  }

  static async open(
    world: World,
    strategy: NurseryOptions["strategy"],
    restarts: Readonly<Record<string, RestartOption>>,
    options: Partial<StartOptions> = {},
  ): Promise<Family> {
    const nursery = await openNursery({ ...world.options, ...(strategy && { strategy }) });
    const family = new Family(world, nursery);
    for (const [name, restart] of Object.entries(restarts)) await family.start(name, restart, options);
    return family;
  }

  async start(
    name: string,
    restart: RestartOption,
    options: Partial<StartOptions> = {},
  ): Promise<Portal<Restarting>> {
    const env = { STARTS_FILE: this.startsFile(name), ...options.env };
    return await this.nursery.startActor<Restarting>(name, {
      module,
      restart,
      output: "ignore",
      ...options,
      env,
    });
  }

  startsFile(name: string): string {
    return join(this.#world.dir, `starts-${name}`);
  }

  /** The pids of a child's processes so far. */
  pids(name: string): number[] {
    const file = this.startsFile(name);
    return existsSync(file) ? readFileSync(file, "utf8").trimEnd().split("\n").map(Number) : [];
  }

  pid(name: string): number {
    return this.nursery.children.find(({ id }) => id.name === name)!.id.pid;
  }

  kill(name: string): void {
    process.kill(this.pid(name), "SIGKILL");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.nursery[Symbol.asyncDispose]();
  }
}

const all = { a: quick, b: quick, c: quick };

describe("a child that may be restarted", () => {
  test.each([
    ["one-for-all", ["a", "b", "c"]],
    ["rest-for-one", ["b", "c"]],
    ["one-for-one", ["b"]],
    [undefined, ["b"]],
  ] as const)("under %s restarts %j, in the order of starting", async (strategy, restarted) => {
    await using world = new World();
    await using family = await Family.open(world, strategy, all);
    family.kill("b");
    const wanted = restarted.map((name) => `restarted ${name}`);
    const found = await family.events.until(wanted);
    expect(found.map(({ type, id }) => `${type} ${id.name}`)).toEqual(wanted);
    for (const name of ["a", "b", "c"]) {
      const has = family.pids(name);
      expect(has, name).toHaveLength(restarted.includes(name as never) ? 2 : 1);
      expect(family.pid(name)).toBe(has.at(-1)!);
      for (const pid of has.slice(0, -1)) expect(isProcessAlive(pid)).toBeFalse();
    }
    expect(family.nursery.children.map(({ id, restarts, state }) => [id.name, restarts, state])).toEqual(
      ["a", "b", "c"].map((name) => [name, restarted.includes(name as never) ? 1 : 0, "ready"]),
    );
    expect(family.nursery.signal.aborted).toBeFalse();
  });

  test("has its siblings ended with the stop ladder, and reaped before any is started again", async () => {
    await using world = new World();
    const limits = { stopGraceMs: 50, stopTermMs: 10_000 };
    await using nursery = await openNursery({ ...world.options, limits, strategy: "one-for-all" });
    const family = new Family(world, nursery);
    const file = join(world.dir, "ended-by");
    await family.start("a", quick);
    const deaf = await nursery.startActor<{ endOnTermOnly(file: string): void }>("deaf", {
      module: stubborn,
      restart: quick,
    });
    await deaf.run.endOnTermOnly(file);
    family.kill("a");
    await until(() => family.pids("a").length === 2);
    // the next process of a exists only now that the sibling has ended
    expect(isProcessAlive(deaf.id.pid)).toBeFalse();
    expect(readFileSync(file, "utf8")).toBe("SIGTERM");
    await family.events.until(["restarted a", "restarted deaf"]);
  });

  test("ends siblings that may not be restarted, and their end is not a failure", async () => {
    await using world = new World();
    await using family = await Family.open(world, "one-for-all", { a: "never", b: quick, c: quick });
    const [a] = family.pids("a");
    family.kill("b");
    await family.events.until(["died a", "restarted b", "restarted c"]);
    expect(isProcessAlive(a!)).toBeFalse();
    expect(family.pids("a")).toHaveLength(1);
    expect(family.nursery.children.map(({ id }) => id.name)).toEqual(["b", "c"]);
    expect(family.nursery.signal.aborted).toBeFalse();
    expect(
      family.events.all.find(({ type, id }) => type === "died" && id.name === "a")?.error,
    ).toBeUndefined();
  });

  test("restarts its siblings also when it ends in order and is to be restarted always", async () => {
    await using world = new World();
    await using family = await Family.open(world, "rest-for-one", { a: quick, b: "always", c: quick });
    await exitInOrder("b");
    await family.events.until(["restarted b", "restarted c"]);
    expect(family.pids("a")).toHaveLength(1);
  });

  test("that ends in order and isn't restarted leaves its siblings alone", async () => {
    await using world = new World();
    await using family = await Family.open(world, "one-for-all", all);
    await exitInOrder("b");
    await family.events.until(["died b"]);
    expect(family.nursery.children.map(({ id }) => id.name)).toEqual(["a", "c"]);
    expect(family.pids("a")).toHaveLength(1);
    expect(family.nursery.signal.aborted).toBeFalse();
  });

  test("counts the shared restart against its own limit alone", async () => {
    await using world = new World();
    const once = { ...quick, maxRestarts: 1 };
    await using family = await Family.open(world, "one-for-all", { a: once, b: once });
    family.kill("a");
    await family.events.until(["restarted a", "restarted b"]);
    const from = family.events.all.length;
    family.kill("b");
    await family.events.until(["restarted a", "restarted b"], from);
    family.kill("a");
    const error = await failure(family.nursery.join());
    expect(error).toBeInstanceOf(ActorDiedError);
    expect(error).toMatchObject({ actor: { name: "a" } });
    expect(family.events.lines).toContain("gave-up a");
  });

  test("starts over with all when a sibling fails while they are being restarted", async () => {
    await using world = new World();
    const gate = join(world.dir, "gate");
    await using family = await Family.open(world, "one-for-all", all, { env: { GATE_FILE: gate } });
    writeFileSync(gate, "");
    family.kill("c");
    // a is held up in its second start
    await until(() => family.pids("a").length === 2);
    process.kill(family.pids("a")[1]!, "SIGKILL");
    await until(() => family.pids("a").length === 3);
    expect(family.pids("b")).toHaveLength(1);
    rmSync(gate);
    await family.events.until(["restarted a", "restarted b", "restarted c"]);
    expect([family.pids("b"), family.pids("c")].map(({ length }) => length)).toEqual([2, 2]);
    expect(family.nursery.signal.aborted).toBeFalse();
  });

  test("an earlier sibling's failure takes over a restart that waits, and nothing is started twice", async () => {
    await using world = new World();
    const slow = { when: "on-failure", backoffMs: [300, 300] } as const;
    await using family = await Family.open(world, "rest-for-one", { a: quick, b: quick, c: slow });
    family.kill("c");
    await family.events.until(["died c"]);
    family.kill("a");
    const restarted = await family.events.until(["restarted a", "restarted b", "restarted c"]);
    expect(restarted.map(({ id }) => id.name)).toEqual(["a", "b", "c"]);
    expect(["a", "b", "c"].map((name) => family.pids(name).length)).toEqual([2, 2, 2]);
  });

  test("leaves siblings alone that are still starting", async () => {
    await using world = new World();
    await using family = await Family.open(world, "one-for-all", { a: quick });
    const gate = join(world.dir, "gate");
    writeFileSync(gate, "");
    writeFileSync(family.startsFile("late"), "0\n");
    const starting = family.start("late", quick, { env: { GATE_FILE: gate } });
    await until(() => family.pids("late").length === 2);
    family.kill("a");
    await family.events.until(["restarted a"]);
    rmSync(gate);
    const late = await starting;
    expect(late.id.pid).toBe(family.pids("late")[1]!);
  });
});

/** Has a child's process exit with code 0. */
async function exitInOrder(name: string): Promise<void> {
  await using portal = await findActor<Restarting>(name, { raiseOnNone: true });
  await portal.run.exit(0);
}

describe("a child that may not be restarted", () => {
  test("under one-for-all fails the nursery at once", async () => {
    await using world = new World();
    const family = await Family.open(world, "one-for-all", { a: quick, b: "never", c: quick });
    const pids = ["a", "c"].map((name) => family.pid(name));
    family.kill("b");
    const error = await failure(family.nursery.join());
    expect(error).toMatchObject({ name: "ActorDiedError", actor: { name: "b" } });
    expect(family.nursery.signal.reason).toBe(error);
    expect(pids.some(isProcessAlive)).toBeFalse();
    await family[Symbol.asyncDispose]();
  });

  test("under one-for-one fails alone: its siblings go on, and join tells of it when they have ended", async () => {
    await using world = new World();
    const family = await Family.open(world, "one-for-one", { a: quick, b: "never", c: "never" });
    const joined = failure(family.nursery.join());
    family.kill("b");
    await family.events.until(["died b"]);
    expect(family.nursery.signal.aborted).toBeFalse();
    // new ones may still be started
    await family.start("d", "never");
    for (const name of ["a", "c", "d"]) await exitInOrder(name);
    expect(await joined).toMatchObject({ name: "ActorDiedError", actor: { name: "b" } });
    expect(family.events.lines.filter((line) => line.startsWith("restarted"))).toEqual([]);
    await family[Symbol.asyncDispose]();
  });

  test("under one-for-one is told by the end of the block if nobody has joined", async () => {
    await using world = new World();
    const family = await Family.open(world, "one-for-one", { a: "never", b: "never" });
    family.kill("a");
    family.kill("b");
    await family.events.until(["died a", "died b"]);
    const error = await failure(family[Symbol.asyncDispose]().then(() => {}));
    expect(error).toBeInstanceOf(AggregateError);
    expect(
      (error as AggregateError).errors.map(({ actor }: ActorDiedError) => actor.name).toSorted(),
    ).toEqual(["a", "b"]);
  });

  test("under rest-for-one ends the ones started after it, whether they may be restarted or not", async () => {
    await using world = new World();
    const family = await Family.open(world, "rest-for-one", {
      a: "never",
      b: "never",
      c: "always",
      d: "never",
    });
    const pids = ["c", "d"].map((name) => family.pid(name));
    family.kill("b");
    await family.events.until(["died b", "died c", "died d"]);
    await until(() => family.nursery.children.length === 1);
    expect(pids.some(isProcessAlive)).toBeFalse();
    expect(isProcessAlive(family.pid("a"))).toBeTrue();
    expect(family.nursery.signal.aborted).toBeFalse();
    await exitInOrder("a");
    expect(await failure(family.nursery.join())).toMatchObject({ actor: { name: "b" } });
    expect(family.pids("c")).toHaveLength(1);
    await family[Symbol.asyncDispose]();
  });

  test("under rest-for-one ends a later one that waits for its restart, or is still starting", async () => {
    await using world = new World();
    const slow = { when: "on-failure", backoffMs: [600_000, 600_000] } as const;
    const family = await Family.open(world, "rest-for-one", { a: "never", b: slow });
    const gate = join(world.dir, "gate");
    writeFileSync(gate, "");
    writeFileSync(family.startsFile("late"), "0\n");
    const starting = failure(family.start("late", quick, { env: { GATE_FILE: gate } }));
    await until(() => family.pids("late").length === 2);
    family.kill("b");
    await family.events.until(["died b"]);
    family.kill("a");
    expect(await failure(family.nursery.join())).toMatchObject({ actor: { name: "a" } });
    const refused = await starting;
    expect(refused).toBeInstanceOf(SpawnError);
    expect(refused.message).toContain('"a" has failed');
    expect(family.pids("late").some(isProcessAlive)).toBeFalse();
    expect(family.nursery.children).toEqual([]);
    await family[Symbol.asyncDispose]();
  });

  test("a restart that fails for good fails like its child", async () => {
    await using world = new World();
    const once = { ...quick, maxRestarts: 2 };
    const family = await Family.open(world, "one-for-one", { a: "never" });
    await family.start("b", once, { env: { FAIL_STARTS_AFTER: "1" } });
    family.kill("b");
    const [died, gaveUp] = await family.events.until(["died b", "gave-up b"]);
    expect(family.pids("b")).toHaveLength(3);
    // none of the later processes became ready
    expect(gaveUp!.id).toEqual(died!.id);
    expect(family.nursery.signal.aborted).toBeFalse();
    await exitInOrder("a");
    expect(await failure(family.nursery.join())).toBeInstanceOf(SpawnError);
    await family[Symbol.asyncDispose]();
  });
});

describe("cancelling the nursery during a shared restart", () => {
  test.each(["waits", "starts"])("that %s ends it, and it is not a failure", async (stage) => {
    await using world = new World();
    const gate = join(world.dir, "gate");
    const wait = stage === "waits" ? 600_000 : 1;
    const restart = { when: "on-failure", backoffMs: [wait, wait] } as const;
    await using family = await Family.open(
      world,
      "one-for-all",
      { a: restart, b: restart },
      { env: { GATE_FILE: gate } },
    );
    writeFileSync(gate, "");
    family.kill("b");
    if (stage === "waits") await family.events.until(["died a", "died b"]);
    else await until(() => family.pids("a").length === 2);
    await family.nursery.cancel();
    await family.nursery.join();
    await family.events.ended;
    for (const name of ["a", "b"]) expect(family.pids(name).some(isProcessAlive)).toBeFalse();
    expect(family.events.lines.filter((line) => line.startsWith("restarted"))).toEqual([]);
  });
});

describe("openNursery", () => {
  test("takes a strategy where there is an actor already, but no other option", async () => {
    await using world = new World();
    await using _actor = await openRootActor(world.options);
    {
      await using nursery = await openNursery({ strategy: "one-for-one" });
      const family = new Family(world, nursery);
      await family.start("a", quick);
      await family.start("b", quick);
      family.kill("a");
      await family.events.until(["restarted a"]);
      expect(family.pids("b")).toHaveLength(1);
    }
    expect(await failure(openNursery({ strategy: "one-for-one", name: "other" }))).toBeInstanceOf(
      RuntimeExistsError,
    );
  });

  test("refuses an unknown strategy before it boots anything", async () => {
    const error = await failure(openNursery({ strategy: "all-for-one" as "one-for-all" }));
    expect(error).toBeInstanceOf(RangeError);
    expect(error.message).toContain('"one-for-all", "one-for-one" or "rest-for-one"');
  });
});
