/** Starts: many at once, and one that is overtaken by the end. */
import { describe, expect, test } from "bun:test";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";

import { type Address, type Nursery, openNursery, type Portal, SpawnError } from "../../src/index.ts";
import { Kind } from "../../src/wire/messages.ts";
import { Events } from "../support/events.ts";
import { failure } from "../support/outcome.ts";
import { RawPeer, RawRegistrar } from "../support/raw-peer.ts";
import { until, World } from "../support/world.ts";

const service = new URL("../fixtures/service.ts", import.meta.url);
const waits = new URL("../fixtures/waits-at-start.ts", import.meta.url);
const places = 2 * availableParallelism() + 4;

/** The running child processes of this one. */
function children(): number {
  return readdirSync("/proc").filter((name) => {
    if (!/^\d+$/.test(name)) return false;
    try {
      const stat = readFileSync(`/proc/${name}/stat`, "utf8");
      const [state, parent] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
      return Number(parent) === process.pid && state !== "Z";
    } catch {
      return false;
    }
  }).length;
}

describe("starts at once", () => {
  test("all succeed within their own timeout, though they take longer than a handshake may", async () => {
    await using world = new World();
    const limits = { handshakeTimeoutMs: 500, dialTimeoutMs: 500 };
    await using nursery = await openNursery({ ...world.options, limits });
    const starts = Array.from({ length: 20 }, (_, at) =>
      nursery.startActor(`actor-${at}`, { module: service, timeout: 60_000 }),
    );
    // this process answers nothing for longer than that
    const blockedUntil = performance.now() + 900;
    while (performance.now() < blockedUntil);
    const settled = await Promise.allSettled(starts);
    expect(settled.filter(({ status }) => status === "rejected")).toEqual([]);
  }, 60_000);

  test("are admitted as the machine can handle them; a waiting one is aborted by its signal before it has a process", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const file = join(world.dir, "go");
    const controller = new AbortController();
    const start = (name: string, options = {}): Promise<unknown> =>
      nursery.startActor(name, { module: waits, env: { WAIT_FOR: file }, ...options });
    const starts = Array.from({ length: places + 4 }, (_, at) => start(`actor-${at}`));
    const aborted = failure(start("aborted", { signal: controller.signal }));
    const late = failure(start("late", { timeout: 50 }));
    await until(() => children() >= places);
    expect(children()).toBe(places);
    const reason = new Error("not wanted");
    controller.abort(reason);
    expect(await aborted).toBe(reason);
    const error = await late;
    expect(error).toBeInstanceOf(SpawnError);
    expect(error.message).toBe(
      `actor "late" did not start: still queued after 50 ms: ${places} other actors are starting`,
    );
    expect(error.cause).toMatchObject({ name: "TimeoutError", stage: "wait" });
    writeFileSync(file, "");
    await Promise.all(starts);
    expect(children()).toBe(places + 4);
  }, 30_000);

  test("that wait end with their nursery", async () => {
    await using world = new World();
    const nursery = await openNursery(world.options);
    const env = { WAIT_FOR: join(world.dir, "go") };
    const starts = Array.from({ length: places + 3 }, (_, at) =>
      failure(nursery.startActor(`actor-${at}`, { module: waits, env })),
    );
    await until(() => children() >= places);
    await nursery[Symbol.asyncDispose]();
    const errors = await Promise.all(starts);
    expect(errors.every((error) => error instanceof SpawnError)).toBe(true);
    expect(errors.slice(places).map(({ message }) => message)).toEqual(
      Array.from(
        { length: 3 },
        (_, at) => `cannot start actor "actor-${places + at}": the nursery is closed`,
      ),
    );
    expect(children()).toBe(0);
  }, 30_000);

  test("that hang delay the others only briefly", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const file = join(world.dir, "go");
    const hanging = Array.from({ length: places }, (_, at) =>
      nursery.startActor(`hanging-${at}`, { module: waits, env: { WAIT_FOR: file } }),
    );
    const other = await nursery.startActor<typeof import("../fixtures/service.ts")>("other", {
      module: service,
    });
    expect(await other.run.add(1, 2)).toBe(3);
    writeFileSync(file, "");
    await Promise.all(hanging);
  }, 30_000);
});

describe("an actor that is stopped by one who has found it, before it has heard that it is registered", () => {
  /** Starts an actor and stops it then. `acknowledge` has its registrar answer. */
  async function stopEarly(
    nursery: Nursery,
    hub: RawRegistrar,
  ): Promise<{ started: Promise<Portal>; acknowledge: () => void }> {
    const registered = Promise.withResolvers<{ peer: RawPeer; id: unknown; addr: Address }>();
    hub.onRegister = (peer, [, id, addrs]) =>
      registered.resolve({ peer, id, addr: (addrs as Address[])[0]! });
    const started = nursery.startActor("brief", { module: service });
    started.catch(() => {});
    const { peer, id, addr } = await registered.promise;
    await using finder = await RawPeer.connect(addr, { name: "finder" });
    // the refusal of the call shows that the end has begun
    finder.send([Kind.stop, 1], [Kind.call, 2, "add", [1, 2]]);
    expect((await finder.take(Kind.error)).slice(0, 2)).toEqual([Kind.error, 2]);
    return { started, acknowledge: () => peer.send([Kind.result, id, 1]) };
  }

  test("has started, and then ends: startActor returns the portal to it", async () => {
    await using hub = new RawRegistrar();
    await using nursery = await openNursery({ registryAddrs: [hub.addr], limits: { stopGraceMs: 30_000 } });
    const events = new Events(nursery);
    const { started, acknowledge } = await stopEarly(nursery, hub);
    acknowledge();
    const portal = await started;
    await portal.closed;
    await events.until(["started brief", "died brief"]);
    expect(nursery.children).toEqual([]);
  });

  test("doesn't wait for ever for a registrar that is silent: its start fails, and names the registrar", async () => {
    await using hub = new RawRegistrar();
    await using nursery = await openNursery({ registryAddrs: [hub.addr], limits: { stopGraceMs: 100 } });
    const { started } = await stopEarly(nursery, hub);
    const error = await failure(started);
    expect(error).toBeInstanceOf(SpawnError);
    expect(error.message).toStartWith(
      `actor "brief" did not start: RegistryUnavailableError: no registrar answers at ${hub.addr}`,
    );
  });
});
