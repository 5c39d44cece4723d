/** One process, however many ask at once, whoever dies meanwhile. */
import { describe, expect, test } from "bun:test";

import type { TimeoutError } from "../../src/index.ts";
import {
  currentActor,
  findActor,
  openNursery,
  openRootActor,
  type RemoteActorError,
  SpawnError,
} from "../../src/index.ts";
import { isProcessAlive } from "../../src/transport/runtime-dir.ts";
import { ClaimMode, Kind } from "../../src/wire/messages.ts";
import { failure } from "../support/outcome.ts";
import { RawRegistrar } from "../support/raw-peer.ts";
import { ask, closeNursery, openPrograms, singleton, type Singleton, Traces } from "../support/singleton.ts";
import { type Program, until, World } from "../support/world.ts";

const service = new URL("../fixtures/service.ts", import.meta.url);
type Service = typeof import("../fixtures/service.ts");

/** The only one of them; else all of them, for the message. */
function only(answers: readonly string[]): string {
  return Array.from(new Set(answers)).join("\n");
}

const uuidForm = /^[0-9a-f-]{36}$/;

describe("findOrStart", () => {
  test("starts one process for 200 askers in 20 programs", async () => {
    await using world = new World();
    await world.actor("hub");
    const traces = new Traces(world, "one");
    const programs = await openPrograms(world, 20);
    const answers = await Promise.all(programs.map((program) => ask(program, 10, "one", traces.options())));
    expect(answers.flat()).toHaveLength(200);
    expect(only(answers.flat())).toMatch(uuidForm);
    expect(traces.starts).toHaveLength(1);
  }, 60_000);

  test("goes on with another asker when the winner is killed while it starts the process", async () => {
    await using world = new World();
    await world.actor("hub");
    const traces = new Traces(world, "one");
    const programs = await openPrograms(world, 6);
    traces.close();
    const asked = programs.map((program) => ask(program, 10, "one", traces.options()).catch(() => []));
    await until(() => traces.starts.length === 1, 15_000);
    const [first] = traces.starts;
    const winner = programs.find(({ pid }) => pid === first!.parent);
    await winner!.kill();
    await until(() => traces.starts.length === 2, 15_000);
    expect(isProcessAlive(first!.pid)).toBeFalse();
    traces.open();
    const answers = (await Promise.all(asked)).flat();
    expect(answers).toHaveLength(50);
    expect(only(answers)).toMatch(uuidForm);
    expect([traces.starts.length, traces.overlaps]).toEqual([2, []]);
  }, 60_000);

  test("finds an actor that is there, however it was started, and shares one attempt in a process", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const there = await nursery.startActor<Service>("there", { module: service });
    const found = await nursery.findOrStart<Service>("there", { module: singleton });
    expect([found.id, await found.run.add(1, 2)]).toEqual([there.id, 3]);
    const traces = new Traces(world, "one");
    const portals = await Promise.all(
      Array.from({ length: 50 }, () => nursery.findOrStart<Singleton>("one", traces.options())),
    );
    const { pid } = portals[0]!.id;
    expect(new Set(await Promise.all(portals.map(({ run }) => run.pid())))).toEqual(new Set([pid]));
    expect(traces.starts).toEqual([{ pid, parent: process.pid }]);
    await using self = await nursery.findOrStart(currentActor().name, traces.options());
    expect(self.id).toEqual(currentActor().id);
  });

  test("lets the next asker try when a start fails, in this process and in others", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const traces = new Traces(world, "one");
    const [other] = (await openPrograms(world, 1)) as [Program];
    traces.close();
    const failing = traces.options({ SINGLETON_FAILS: "1" });
    const first = failure(nursery.findOrStart("one", failing));
    await until(() => traces.starts.length === 1);
    const second = failure(nursery.findOrStart("one", failing));
    const requests = (): number => currentActor().stats().registrar!.requests;
    const before = requests();
    const third = ask(other, 1, "one", failing);
    // it has looked for the name: the claim comes next
    await until(() => requests() > before);
    const last = ask(other, 5, "one", traces.options());
    traces.open();
    for (const error of [await first, await second]) {
      expect(error).toBeInstanceOf(SpawnError);
      expect(error.message).toContain("this one never starts");
    }
    expect(only(await third)).toContain("SpawnError");
    expect(only(await last)).toMatch(uuidForm);
    expect([traces.starts.length, traces.overlaps]).toEqual([4, []]);
    expect(nursery.signal.aborted).toBeFalse();
  });

  test("gives up when its timeout passes or it is aborted, and lets go of the name", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const traces = new Traces(world, "one");
    const [other] = (await openPrograms(world, 1)) as [Program];
    traces.close();
    const abort = new AbortController();
    const first = failure(nursery.findOrStart("one", { ...traces.options(), signal: abort.signal }));
    await until(() => traces.starts.length === 1);
    const late = await failure(nursery.findOrStart("one", { ...traces.options(), timeout: 100 }));
    expect([late.name, (late as TimeoutError).stage]).toEqual(["TimeoutError", "wait"]);
    expect(only(await ask(other, 3, "one", { ...traces.options(), timeout: 500 }))).toBe(
      'TimeoutError: no actor "one" within 500 ms: its start by another process is not done yet',
    );
    const reason = new Error("not any more");
    abort.abort(reason);
    expect(await first).toBe(reason);
    traces.open();
    const one = await nursery.findOrStart("one", traces.options());
    expect(traces.starts.map(({ pid }) => pid)).toEqual([traces.starts[0]!.pid, one.id.pid]);
    expect(traces.overlaps).toEqual([]);
  });

  test("rejects when its nursery is cancelled while another process starts the actor", async () => {
    await using world = new World();
    await using _actor = await openRootActor(world.options);
    const traces = new Traces(world, "one");
    const [other] = (await openPrograms(world, 1)) as [Program];
    traces.close();
    const winning = ask(other, 1, "one", traces.options());
    await until(() => traces.starts.length === 1);
    const nursery = await openNursery();
    const asked = failure(nursery.findOrStart("one", traces.options()));
    await nursery[Symbol.asyncDispose]();
    expect(await asked).toBeInstanceOf(SpawnError);
    expect((await asked).message).toBe('cannot start actor "one": the nursery is closed');
    traces.open();
    expect(only(await winning)).toMatch(uuidForm);
  });

  test("ends the others' portals with the nursery that won, and starts no second process before that one is gone", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const traces = new Traces(world, "one");
    const [winner] = (await openPrograms(world, 1)) as [Program];
    const [uuid] = await ask(winner, 1, "one", traces.options({ SINGLETON_LINGERS: "700" }));
    const portal = await nursery.findOrStart("one", traces.options());
    expect(portal.id.uuid).toBe(uuid!);
    const closing = closeNursery(winner);
    expect((await portal.closed).reason).toBe("peer-closed");
    const next = await nursery.findOrStart("one", traces.options());
    await closing;
    expect(next.id.uuid).not.toBe(uuid!);
    expect([traces.starts.length, traces.overlaps]).toEqual([2, []]);
  });

  test("reports a silent registrar, while it looks and while it waits in line", async () => {
    await using world = new World();
    const hub = await world.actor("hub");
    await using nursery = await openNursery({ ...world.options, limits: { probeTimeoutMs: 100 } });
    const traces = new Traces(world, "one");
    const [other] = (await openPrograms(world, 1)) as [Program];
    traces.close();
    const winning = ask(other, 1, "one", traces.options());
    await until(() => traces.starts.length === 1);
    // known to be missing, so that only the claim asks the registrar
    expect(await findActor("one")).toBeNull();
    const waiting = failure(nursery.findOrStart("one", traces.options()));
    await hub.freeze();
    const looking = failure(nursery.findOrStart("two", traces.options()));
    for (const error of [await waiting, await looking])
      expect([error.name, (error as TimeoutError).stage]).toEqual(["TimeoutError", "lookup"]);
    expect((await waiting).message).toContain('was silent while "one" was claimed');
    hub.signal("SIGCONT");
    traces.open();
    await winning;
  });
});

describe("an actor that is started under a claim", () => {
  /** How a registrar answers those who join the claim; null: they may. */
  const lapsed = ["PermissionDeniedError", "lapsed", "", null, null, null];
  const joins = (answers: readonly (unknown[] | null)[]): { hub: RawRegistrar; asked: () => number } => {
    const hub = new RawRegistrar();
    let asked = 0;
    hub.onClaim = (peer, [, id, , , , mode]) => {
      const answer = mode === ClaimMode.join ? (answers[asked++] ?? null) : null;
      peer.send(answer === null ? [Kind.result, id, null] : [Kind.error, id, [[], answer]]);
    };
    return { hub, asked: () => asked };
  };

  test("asks again when it has lapsed: its parent may be back in a moment", async () => {
    const { hub, asked } = joins([lapsed, lapsed]);
    await using _hub = hub;
    await using nursery = await openNursery({ registryAddrs: [hub.addr] });
    await using portal = await nursery.findOrStart<Service>("one", { module: service });
    expect([await portal.run.add(1, 2), asked()]).toEqual([3, 3]);
  });

  test("gives up without loading its module when it stays lapsed", async () => {
    await using world = new World();
    const { hub, asked } = joins(Array.from({ length: 100 }, () => lapsed));
    await using _hub = hub;
    const traces = new Traces(world, "one");
    await using nursery = await openNursery({ registryAddrs: [hub.addr] });
    const error = await failure(nursery.findOrStart("one", traces.options()));
    expect(error).toBeInstanceOf(SpawnError);
    expect(error.message).toContain("lapsed");
    expect([traces.starts, asked()]).toEqual([[], 11]);
  });

  test("is not started when another process has got the name, which is then found", async () => {
    await using world = new World();
    const holder = { name: "one", uuid: "other", pid: 1, host: "" };
    const { hub } = joins([["NameTakenError", "taken", "", null, null, { holder }]]);
    await using _hub = hub;
    const traces = new Traces(world, "one");
    await using nursery = await openNursery({ registryAddrs: [hub.addr] });
    await nursery.findOrStart("one", traces.options());
    // the second attempt of the same nursery
    expect(traces.starts).toHaveLength(1);
    expect(nursery.signal.aborted).toBeFalse();
  });
});

describe("findOrStart, when the registrar dies during a start,", () => {
  for (const successor of ["the winner", "another asker"] as const)
    test(`starts nothing twice if ${successor} takes over`, async () => {
      await using world = new World();
      const hub = await world.actor("hub");
      const traces = new Traces(world, "one");
      const [winner, other] = (await openPrograms(world, 2)) as [Program, Program];
      traces.close();
      const winning = ask(winner, 3, "one", traces.options());
      await until(() => traces.starts.length === 1);
      const requests = (): Promise<number> =>
        hub.run(({ furrow }) => furrow.currentActor().stats().registrar!.requests);
      const before = await requests();
      const waiting = ask(other, 3, "one", traces.options());
      // it has looked for the name; and with the next answer of the registrar, its claim is there
      await until(async () => (await requests()) > before);
      await other.run(async ({ furrow }) => {
        await using registry = await furrow.getRegistry();
        await registry.run.listActors();
      });
      const [next, frozen] = successor === "the winner" ? [winner, other] : [other, winner];
      await frozen.freeze();
      await hub.kill();
      await until(() => next.run(({ furrow }) => furrow.currentActor().isRegistrar));
      frozen.signal("SIGCONT");
      // the hold is back, so it outlasts the time in which it may come back
      const latecomer = (await openPrograms(world, 1))[0]!;
      const late = ask(latecomer, 3, "one", traces.options());
      await until(
        async () =>
          await latecomer.run(async ({ furrow }) => {
            await using registry = await furrow.getRegistry();
            await registry.run.listActors();
            return true;
          }),
      );
      traces.open();
      const answers = (await Promise.all([winning, waiting, late])).flat();
      expect(only(answers)).toMatch(uuidForm);
      expect(traces.starts).toHaveLength(1);
    });

  test("waits for the next one as long as its timeout says, which may be longer than lookups wait", async () => {
    await using world = new World();
    await using elsewhere = new World();
    const hub = await world.actor("hub");
    const parent = await world.actor("parent", { limits: { probeTimeoutMs: 100 } });
    await parent.run(async ({ furrow, keep, args }) => {
      const nursery = await furrow.openNursery();
      keep["nursery"] = nursery;
      await nursery.startActor("child", { module: args[0] as string });
    }, service.href);
    // an actor of another registry, which keeps its connection to the child
    await using _self = await openRootActor(elsewhere.options);
    const options = { raiseOnNone: true, registryAddrs: [world.unix] } as const;
    await using child = await findActor<Service>("child", options);
    // a child can't take over, and its parent is stopped
    await parent.freeze();
    await hub.kill();
    const missed = await failure(child.run.findOrStart("one", service.href, 500));
    expect((missed as RemoteActorError).remoteName).toBe("RegistryUnavailableError");
    const asked = child.run.findOrStart("one", service.href, 20_000);
    expect((await failure(child.run.find("one"))).message).toContain("RegistryUnavailableError");
    parent.signal("SIGCONT");
    expect(await asked).toMatch(uuidForm);
  });

  test("starts no second actor while the first may be on its way back", async () => {
    await using world = new World();
    const hub = await world.actor("hub");
    const traces = new Traces(world, "one");
    const [winner, other] = (await openPrograms(world, 2)) as [Program, Program];
    const [uuid] = await ask(winner, 1, "one", traces.options());
    const [one] = traces.starts;
    await winner.freeze();
    process.kill(one!.pid, "SIGSTOP");
    await hub.kill();
    await until(() => other.run(({ furrow }) => furrow.currentActor().isRegistrar));
    const asked = ask(other, 3, "one", traces.options());
    process.kill(one!.pid, "SIGCONT");
    winner.signal("SIGCONT");
    expect(only(await asked)).toBe(uuid!);
    expect(traces.starts).toHaveLength(1);
  });
});
