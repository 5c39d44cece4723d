/** `nursery.replaceActor`: a new process takes over, and the old one finishes what runs. */
import { describe, expect, test } from "bun:test";
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import {
  ActorDrainingError,
  currentActor,
  findActor,
  NameTakenError,
  openNursery,
  openRootActor,
  SpawnError,
} from "../../src/index.ts";
import { isProcessAlive } from "../../src/transport/runtime-dir.ts";
import { Events } from "../support/events.ts";
import { failure } from "../support/outcome.ts";
import { until, World } from "../support/world.ts";

const module = new URL("../fixtures/versioned.ts", import.meta.url);
type Versioned = typeof import("../fixtures/versioned.ts");

function gateIn(world: World): string {
  const gate = join(world.dir, "gate");
  writeFileSync(gate, "");
  return gate;
}

async function found(): Promise<unknown> {
  await using portal = await findActor<Versioned>("service", { raiseOnNone: true });
  return await portal.run.version();
}

describe("nursery.replaceActor", () => {
  test("lets the old one finish what runs while the new one serves, and ends it without a word of its death", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const events = new Events(nursery);
    const gate = gateIn(world);
    const old = await nursery.startActor<Versioned>("service", { module, data: 1, restart: "always" });
    const working = old.run.work(gate);
    let resolved = false;
    const replacing = nursery
      .replaceActor<Versioned>("service", { module, data: 2 })
      .finally(() => (resolved = true));
    await until(() => nursery.children.some(({ state }) => state === "draining"));
    // the new one has the old one's place
    expect(nursery.children.map(({ id, state }) => [id.uuid === old.id.uuid, state])).toEqual([
      [false, "ready"],
      [true, "draining"],
    ]);
    // lookups have left it by now, or within a moment
    await until(async () => (await found()) === 2);
    await until(
      async () => (await failure(old.run.version()).catch(() => undefined)) instanceof ActorDrainingError,
    );
    expect(resolved).toBeFalse();
    rmSync(gate);
    expect(await working).toBe(1);
    const fresh = await replacing;
    expect(isProcessAlive(old.id.pid)).toBeFalse();
    expect(await fresh.run.version()).toBe(2);
    expect(nursery.children).toMatchObject([{ id: fresh.id, restarts: 0, state: "ready" }]);
    expect(events.lines).toEqual(["started service", "started service"]);
    expect((await failure(old.run.version())).message).toBe(
      `service#${old.id.uuid.slice(0, 8)} has ended and was replaced by service#${fresh.id.uuid.slice(0, 8)}; ` +
        'a portal stays with one process: openService("service") follows the name',
    );
    expect(nursery.signal.aborted).toBeFalse();
  });

  test("leaves the old one alone when the new one can't be started", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const old = await nursery.startActor<Versioned>("service", { module, data: 1 });
    const broken = new URL("../fixtures/broken.ts", import.meta.url);
    expect(await failure(nursery.replaceActor("service", { module: broken }))).toBeInstanceOf(SpawnError);
    expect(
      await failure(nursery.replaceActor("service", { module, cwd: join(world.dir, "nowhere") })),
    ).toBeInstanceOf(SpawnError);
    expect(await old.run.version()).toBe(1);
    expect(await found()).toBe(1);
    expect(nursery.children).toMatchObject([{ id: old.id, state: "ready" }]);
    // nothing keeps the next one from taking place
    await nursery.replaceActor("service", { module, data: 2 });
    expect(await found()).toBe(2);
  });

  test("just starts one where there is none, and replaces all where there are several", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const first = await nursery.replaceActor<Versioned>("service", { module, data: 1 });
    const second = await nursery.startActor<Versioned>("service", { module, data: 2 });
    const other = await nursery.startActor<Versioned>("other", { module });
    const fresh = await nursery.replaceActor<Versioned>("service", { module, data: 3 });
    expect([first, second].some(({ id }) => isProcessAlive(id.pid))).toBeFalse();
    expect(nursery.children.map(({ id }) => id.uuid)).toEqual([fresh.id.uuid, other.id.uuid]);
    expect(currentActor().stats().registrar).toMatchObject({ actors: 3 });
  });

  test("cancels what still runs after drainTimeout", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const old = await nursery.startActor<Versioned>("service", { module, data: 1 });
    const hanging = failure(old.run.hang());
    await nursery.replaceActor("service", { module, data: 2, drainTimeout: 50 });
    await hanging;
    expect(isProcessAlive(old.id.pid)).toBeFalse();
    expect(await found()).toBe(2);
  });

  test("ends an old one that is stopped, or deaf, with the stop ladder", async () => {
    await using world = new World();
    const limits = { stopGraceMs: 50, stopTermMs: 50 };
    await using nursery = await openNursery({ ...world.options, limits });
    const old = await nursery.startActor<Versioned>("service", { module, data: 1 });
    process.kill(old.id.pid, "SIGSTOP");
    const fresh = await nursery.replaceActor<Versioned>("service", { module, data: 2, drainTimeout: 50 });
    expect(isProcessAlive(old.id.pid)).toBeFalse();
    expect(await fresh.run.version()).toBe(2);
    expect(nursery.signal.aborted).toBeFalse();
  });

  test("gives the new one the restarts that it is given, whatever those of the old one were", async () => {
    await using world = new World();
    const nursery = await openNursery(world.options);
    const events = new Events(nursery);
    await nursery.startActor<Versioned>("service", { module, data: 1 });
    const restart = { when: "on-failure", backoffMs: [1, 1] } as const;
    const second = await nursery.replaceActor<Versioned>("service", { module, data: 2, restart });
    process.kill(second.id.pid, "SIGKILL");
    await events.until(["restarted service"]);
    expect(await found()).toBe(2);
    const third = await nursery.replaceActor<Versioned>("service", { module, data: 3 });
    process.kill(third.id.pid, "SIGKILL");
    const error = await failure(nursery.join());
    expect(error).toMatchObject({ name: "ActorDiedError", actor: { uuid: third.id.uuid } });
    await nursery[Symbol.asyncDispose]();
  });

  test("several at once take place one after the other: the last one is left", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    await nursery.startActor<Versioned>("service", { module, data: 0 });
    const all = await Promise.all(
      [1, 2, 3].map((data) => nursery.replaceActor<Versioned>("service", { module, data })),
    );
    expect(nursery.children.map(({ id }) => id.uuid)).toEqual([all[2]!.id.uuid]);
    expect(await found()).toBe(3);
  });

  test("replaces one that waits for its restart, which is then not started again", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const events = new Events(nursery);
    const restart = { when: "on-failure", backoffMs: [600_000, 600_000] } as const;
    const old = await nursery.startActor<Versioned>("service", { module, data: 1, restart });
    process.kill(old.id.pid, "SIGKILL");
    await events.until(["died service"]);
    const fresh = await nursery.replaceActor<Versioned>("service", { module, data: 2 });
    expect(nursery.children).toMatchObject([{ id: fresh.id, state: "ready" }]);
    expect(events.lines).toEqual(["started service", "died service", "started service"]);
  });

  test("the new one has the old one's place in the order of starting", async () => {
    await using world = new World();
    await using nursery = await openNursery({ ...world.options, strategy: "rest-for-one" });
    const events = new Events(nursery);
    const restart = { when: "on-failure", backoffMs: [1, 1] } as const;
    for (const name of ["a", "service", "c"]) await nursery.startActor(name, { module, restart });
    const fresh = await nursery.replaceActor<Versioned>("service", { module, data: 2, restart });
    expect(nursery.children.map(({ id }) => id.name)).toEqual(["a", "service", "c"]);
    process.kill(fresh.id.pid, "SIGKILL");
    await events.until(["restarted service", "restarted c"]);
    expect(events.lines.filter((line) => line === "restarted a")).toEqual([]);
  });

  test("an old one that dies while it drains is told of, and doesn't end the new one", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const events = new Events(nursery);
    const gate = gateIn(world);
    const old = await nursery.startActor<Versioned>("service", { module, data: 1, output: "ignore" });
    const working = failure(old.run.work(gate));
    const replacing = nursery.replaceActor<Versioned>("service", { module, data: 2 });
    await until(() => nursery.children.some(({ state }) => state === "draining"));
    process.kill(old.id.pid, "SIGKILL");
    const fresh = await replacing;
    await working;
    const [died] = await events.until(["died service"]);
    expect(died).toMatchObject({ id: old.id, error: { name: "ActorDiedError", signal: "SIGKILL" } });
    expect(nursery.signal.aborted).toBeFalse();
    expect(await fresh.run.version()).toBe(2);
  });

  test("keeps a unique name unique: the new one gets it, and nobody else meanwhile", async () => {
    await using world = new World();
    await using _actor = await openRootActor(world.options);
    await using nursery = await openNursery();
    const gate = gateIn(world);
    const options = { module, unique: true };
    const old = await nursery.startActor<Versioned>("service", { ...options, data: 1 });
    const working = old.run.work(gate);
    const replacing = nursery.replaceActor<Versioned>("service", { ...options, data: 2 });
    await until(() => nursery.children.some(({ state }) => state === "draining"));
    const refused = async (): Promise<void> => {
      await using other = await openNursery();
      expect(await failure(other.startActor("service", { module }))).toBeInstanceOf(NameTakenError);
      expect(await failure(other.startActor("service", options))).toBeInstanceOf(NameTakenError);
    };
    await refused();
    rmSync(gate);
    expect(await working).toBe(1);
    const fresh = await replacing;
    await refused();
    expect(await fresh.run.version()).toBe(2);
    await fresh.cancelActor();
    await until(() => nursery.children.length === 0);
    await using other = await openNursery();
    const next = await other.startActor<Versioned>("service", { ...options, data: 3 });
    expect(await next.run.version()).toBe(3);
  });

  test("ends with its nursery, whatever it waits for", async () => {
    await using world = new World();
    const gate = gateIn(world);
    const nursery = await openNursery({ ...world.options, limits: { stopGraceMs: 100, stopTermMs: 100 } });
    const old = await nursery.startActor<Versioned>("service", { module, data: 1 });
    const working = failure(old.run.work(gate));
    const replacing = nursery.replaceActor<Versioned>("service", { module, data: 2 });
    const queued = failure(nursery.replaceActor<Versioned>("service", { module, data: 3 }));
    await until(() => nursery.children.some(({ state }) => state === "draining"));
    const pids = nursery.children.map(({ id }) => id.pid);
    await nursery[Symbol.asyncDispose]();
    expect(pids.some(isProcessAlive)).toBeFalse();
    await working;
    await replacing;
    expect(await queued).toBeInstanceOf(SpawnError);
  });

  test("under load from several programs: not one call fails, or is refused after it has run", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    await nursery.startActor<Versioned>("service", { module, data: 0 });
    const programs = await Promise.all(["one", "two"].map((name) => world.actor(name)));
    const load = programs.map((program) =>
      program.run(async ({ furrow, keep }) => {
        keep["stop"] = false;
        const caller = async (): Promise<[number, number]> => {
          let [done, refused] = [0, 0];
          for (let n = 0; keep["stop"] !== true; n++) {
            for (;;) {
              await using service = await furrow.findActor<Versioned>("service", { raiseOnNone: true });
              try {
                if ((await service.run.handle(n)) !== n) throw new Error("another call's answer");
                done++;
                break;
              } catch (error) {
                // it did not run
                if (!(error instanceof furrow.ActorDrainingError)) throw error;
                refused++;
              }
            }
          }
          return [done, refused];
        };
        return await Promise.all([caller(), caller()]);
      }),
    );
    for (let data = 1; data <= 5; data++) await nursery.replaceActor("service", { module, data });
    for (const program of programs) await program.run(({ keep }) => void (keep["stop"] = true));
    const counts = (await Promise.all(load)).flat();
    for (const [done] of counts) expect(done).toBeGreaterThan(10);
    expect(await found()).toBe(5);
  }, 60_000);
});
