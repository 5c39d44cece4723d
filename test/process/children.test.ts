/** What a nursery tells of its children: the list, the events, the log, and the error of a portal to an earlier process. */
import { describe, expect, test } from "bun:test";
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import {
  type ChildEvent,
  LaggedError,
  openNursery,
  SpawnError,
  TransportClosedError,
} from "../../src/index.ts";
import { ChildEvents } from "../../src/tree/child-events.ts";
import { Events } from "../support/events.ts";
import { drain, failure } from "../support/outcome.ts";
import { until, World } from "../support/world.ts";

const module = new URL("../fixtures/restarting.ts", import.meta.url);
type Restarting = typeof import("../fixtures/restarting.ts");
const quick = { when: "on-failure", backoffMs: [1, 1] } as const;

describe("nursery.children", () => {
  test("lists each child from its spawn to its end, in the order of starting, with its state", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    expect(nursery.children).toEqual([]);
    const before = Date.now();
    const one = await nursery.startActor<Restarting>("one", { module });
    const gate = join(world.dir, "gate");
    const starts = join(world.dir, "starts");
    writeFileSync(gate, "");
    writeFileSync(starts, "0\n");
    const starting = nursery.startActor("two", { module, env: { STARTS_FILE: starts, GATE_FILE: gate } });
    const [first, second, ...more] = nursery.children;
    expect(more).toEqual([]);
    expect(first).toMatchObject({ id: one.id, restarts: 0, state: "ready" });
    expect(second).toMatchObject({ id: { name: "two" }, restarts: 0, state: "starting" });
    for (const { startedAt } of [first!, second!]) {
      expect(startedAt).toBeGreaterThanOrEqual(before);
      expect(startedAt).toBeLessThanOrEqual(Date.now());
    }
    expect(Object.isFrozen(first)).toBeTrue();
    rmSync(gate);
    const two = await starting;
    expect(nursery.children.map(({ id, state }) => [id.uuid, state])).toEqual([
      [one.id.uuid, "ready"],
      [two.id.uuid, "ready"],
    ]);
    const events = new Events(nursery);
    await one.run.exit(0);
    await events.until(["died one"]);
    expect(nursery.children.map(({ id }) => id.name)).toEqual(["two"]);
    const cancelled = nursery.cancel();
    expect(nursery.children.map(({ state }) => state)).toEqual(["stopping"]);
    await cancelled;
    expect(nursery.children).toEqual([]);
  });

  test("has a child that waits for its restart under its last id, and then under the new one", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const events = new Events(nursery);
    const restart = { when: "on-failure", backoffMs: [200, 200] } as const;
    const child = await nursery.startActor<Restarting>("phoenix", { module, restart });
    process.kill(child.id.pid, "SIGKILL");
    await events.until(["died phoenix"]);
    expect(nursery.children).toMatchObject([{ id: child.id, restarts: 0, state: "restarting" }]);
    const [event] = await events.until(["restarted phoenix"]);
    expect(nursery.children).toMatchObject([{ id: event!.id, restarts: 1, state: "ready" }]);
    expect(event!.id.uuid).not.toBe(child.id.uuid);
  });

  test("does not list a child whose start failed", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const broken = new URL("../fixtures/broken.ts", import.meta.url);
    expect(await failure(nursery.startActor("broken", { module: broken }))).toBeInstanceOf(SpawnError);
    expect(nursery.children).toEqual([]);
  });
});

describe("nursery.events", () => {
  test("tells of starts, deaths with their error, restarts and the end of restarts, in order", async () => {
    await using world = new World();
    const nursery = await openNursery(world.options);
    const events = new Events(nursery);
    const before = Date.now();
    const child = await nursery.startActor<Restarting>("child", {
      module,
      output: "ignore",
      restart: { ...quick, maxRestarts: 1 },
    });
    await child.run.crash("first");
    await events.until(["restarted child"]);
    process.kill(nursery.children[0]!.id.pid, "SIGKILL");
    const error = await failure(nursery.join());
    await events.ended;
    expect(events.lines).toEqual([
      "started child",
      "died child",
      "restarted child",
      "died child",
      "gave-up child",
    ]);
    const [started, died, restarted, last, gaveUp] = events.all as [
      ChildEvent,
      ChildEvent,
      ChildEvent,
      ChildEvent,
      ChildEvent,
    ];
    expect([started.id, died.id]).toEqual([child.id, child.id]);
    expect(died.error).toMatchObject({ name: "ActorDiedError", exitCode: 1, cause: { message: "first" } });
    expect([restarted.id, last.id]).toEqual([gaveUp.id, gaveUp.id]);
    expect(last.error).toBe(error);
    expect(gaveUp.error).toBe(error);
    expect("error" in started || "error" in restarted).toBeFalse();
    for (const { at } of events.all) expect(at).toBeGreaterThanOrEqual(before);
    expect(Object.isFrozen(started)).toBeTrue();
    await nursery[Symbol.asyncDispose]();
  });

  test("gives each reader all events from its creation on, whenever it begins to read", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const early = nursery.events();
    await nursery.startActor("one", { module });
    const late = nursery.events();
    await nursery.startActor("two", { module });
    await nursery.cancel();
    const names = async (events: AsyncIterable<ChildEvent>): Promise<string[]> =>
      (await drain(events)).values.map(({ type, id }) => `${type} ${id.name}`);
    expect(await names(early)).toEqual(["started one", "started two"]);
    expect(await names(late)).toEqual(["started two"]);
    expect(await names(nursery.events())).toEqual([]);
  });

  test("ends for a reader in the block itself when the nursery fails, so that the block can end", async () => {
    await using world = new World();
    const left = (async () => {
      await using nursery = await openNursery(world.options);
      const events = nursery.events();
      const child = await nursery.startActor<Restarting>("child", { module, output: "ignore" });
      await nursery.startActor<Restarting>("sibling", { module });
      await child.run.exit(3);
      const seen: string[] = [];
      for await (const { type, id } of events) seen.push(`${type} ${id.name}`);
      // its siblings end with the nursery
      expect(seen).toEqual(["started child", "started sibling", "died child"]);
    })();
    expect(await failure(left)).toMatchObject({ name: "ActorDiedError", exitCode: 3 });
  });

  test("an orderly end is a death without an error; a reader that leaves its loop is forgotten", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const events = nursery.events();
    const child = await nursery.startActor<Restarting>("child", { module });
    expect(await child.cancelActor()).toBeTrue();
    for await (const event of events) {
      if (event.type === "started") continue;
      expect(event).toMatchObject({ type: "died", id: child.id });
      expect("error" in event).toBeFalse();
      break;
    }
    expect(await events.next()).toEqual({ done: true, value: undefined });
  });

  test("a reader that is too slow gets what was kept for it, then a LaggedError; others are not affected", async () => {
    const events = new ChildEvents();
    const id = { name: "child", uuid: "u", pid: 1, host: "h" };
    const slow = events.subscribe();
    const quickReader = events.subscribe();
    for (let n = 0; n < 1_025; n++) {
      events.emit("started", id);
      await quickReader.next();
    }
    events.end();
    const { values, error } = await drain(slow);
    expect(values).toHaveLength(1_024);
    expect(error).toBeInstanceOf(LaggedError);
    expect(error!.message).toBe("a reader of nursery.events() is more than 1024 values behind");
    expect(await drain(quickReader)).toEqual({ values: [] });
  });
});

describe("a restart", () => {
  test("is logged at warn, one line each, with name, reason, attempt, and delay; so is the end of restarts", async () => {
    await using world = new World();
    const program = await world.actor("root", {}, { FURROW_LOG: "tree=warn" });
    await program.run(async ({ furrow, args }) => {
      const nursery = await furrow.openNursery();
      const events = nursery.events();
      const restart = {
        when: "on-failure",
        maxRestarts: 2,
        withinMs: 60_000,
        backoffMs: [5, 100],
      } as const;
      await nursery.startActor("worker", { module: args[0] as string, restart, output: "ignore" });
      const joined = nursery.join().catch(() => {});
      for await (const { type } of events) {
        const [child] = nursery.children;
        if (type !== "died" && child !== undefined) process.kill(child.id.pid, "SIGKILL");
      }
      await joined;
    }, module.href);
    await program.run(() => void setTimeout(() => process.exit(0), 10));
    const lines = (await program.stderr).trimEnd().split("\n").map(anonymous);
    const died = "actor worker#<uuid> (pid <pid>) was ended by SIGKILL";
    expect(lines).toEqual([
      `<time> warn root[<pid>] tree: restarting "worker" in 5 ms (1 of 2 restarts within 60000 ms): ${died}`,
      `<time> warn root[<pid>] tree: restarting "worker" in 10 ms (2 of 2 restarts within 60000 ms): ${died}`,
      `<time> warn root[<pid>] tree: not restarting "worker": 2 restarts within 60000 ms are used up: ${died}`,
    ]);
  });
});

function anonymous(line: string): string {
  return line
    .replace(/^\S+Z /, "<time> ")
    .replaceAll(/#[0-9a-f]{8}/g, "#<uuid>")
    .replaceAll(/\[\d+\]/g, "[<pid>]")
    .replaceAll(/pid \d+/g, "pid <pid>");
}

describe("a portal to a child that was restarted", () => {
  test("stays with its process: its error names the next one, and what follows the name", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const events = new Events(nursery);
    const restart = { when: "on-failure", backoffMs: [200, 200] } as const;
    const child = await nursery.startActor<Restarting>("worker", { module, restart });
    const old = `worker#${child.id.uuid.slice(0, 8)}`;
    const follow = 'a portal stays with one process: openService("worker") follows the name';
    await child.run.exit(1);
    await child.closed;
    await events.until(["died worker"]);
    expect((await failure(child.run.pid())).message).toBe(
      `${old} has ended and is being restarted; ${follow}`,
    );
    for (let round = 1; round <= 2; round++) {
      const from = events.all.length;
      if (round > 1) process.kill(nursery.children[0]!.id.pid, "SIGKILL");
      const [event] = await events.until(["restarted worker"], round > 1 ? from : 0);
      const error = await failure(child.run.pid());
      expect(error).toBeInstanceOf(TransportClosedError);
      expect(error.message).toBe(
        `${old} has ended and was restarted as worker#${event!.id.uuid.slice(0, 8)}; ${follow}`,
      );
      expect(error.cause).toBeInstanceOf(TransportClosedError);
    }
    // a new portal to the child's name works
    expect(nursery.children).toHaveLength(1);
  });

  test("that isn't restarted says only that the connection has ended", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const events = new Events(nursery);
    const child = await nursery.startActor<Restarting>("worker", { module, restart: "on-failure" });
    await child.run.exit(0);
    await events.until(["died worker"]);
    await until(() => nursery.children.length === 0);
    const { message } = await failure(child.run.pid());
    expect(message).toStartWith(`connection to worker#${child.id.uuid.slice(0, 8)} was `);
  });
});
