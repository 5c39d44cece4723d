/** `forEachActor`: a linked task for each live actor. */
import { describe, expect, test } from "bun:test";

import { currentRuntime } from "../../src/actor/current.ts";
import { Registrars } from "../../src/discovery/registrars.ts";
import {
  ActorNameError,
  currentActor,
  forEachActor,
  type Nursery,
  openNursery,
  openRootActor,
  type Portal,
  TransportClosedError,
} from "../../src/index.ts";
import { Kind } from "../../src/wire/messages.ts";
import { failure } from "../support/outcome.ts";
import { RawListener, RawPeer, rawHello } from "../support/raw-peer.ts";
import { setTiming } from "../support/timing.ts";
import { until, World } from "../support/world.ts";

const module = new URL("../fixtures/service.ts", import.meta.url);
type Service = typeof import("../fixtures/service.ts");
const flows = new URL("../fixtures/flows.ts", import.meta.url);
type Flows = typeof import("../fixtures/flows.ts");

async function start(nursery: Nursery, name: string): Promise<Portal<Service>> {
  return await nursery.startActor<Service>(name, { module, restart: "on-failure" });
}

function watches(): number {
  return Registrars.of(currentRuntime()).service!.watching.size;
}

/** Resolves when the signal is aborted, with its reason. */
async function aborted(signal: AbortSignal): Promise<Error> {
  if (!signal.aborted)
    await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
  return signal.reason as Error;
}

/** What happened to whom, in order. */
class Log {
  readonly entries: string[] = [];

  add(what: string): void {
    this.entries.push(what);
  }

  async has(...expected: string[]): Promise<void> {
    await until(() => expected.every((one) => this.entries.includes(one)));
  }
}

describe("forEachActor", () => {
  test("runs a task for each actor that is there, and for each that comes up, with a portal to it", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const log = new Log();
    const abort = new AbortController();
    await start(nursery, "w1");
    const each = forEachActor<Service>(
      "w*",
      async (portal, signal) => {
        log.add(`${portal.id.name} ${await portal.run.add(1, 2)}`);
        await aborted(signal);
        log.add(`${portal.id.name} ended`);
        signal.throwIfAborted();
      },
      { signal: abort.signal },
    );
    await log.has("w1 3");
    const [second] = await Promise.all([start(nursery, "w2"), start(nursery, "other")]);
    await log.has("w2 3");
    await second.cancelActor();
    await log.has("w2 ended");
    expect(log.entries).toEqual(["w1 3", "w2 3", "w2 ended"]);
    const reason = new Error("enough");
    abort.abort(reason);
    expect(await failure(each)).toBe(reason);
    expect(log.entries.at(-1)).toBe("w1 ended");
    await until(() => watches() === 0);
  });

  test.each<[string, (portal: Portal<Service>) => Promise<unknown>]>([
    ["is killed", async (portal) => process.kill(portal.id.pid, "SIGKILL")],
    ["ends in order", async (portal) => await portal.cancelActor()],
  ])("goes on with the others when one %s in the middle of a call", async (_, end) => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const log = new Log();
    const abort = new AbortController();
    const portals = await Promise.all([start(nursery, "w1"), start(nursery, "w2")]);
    const each = forEachActor<Service>(
      "w*",
      async (portal, signal) => {
        log.add(`${portal.id.name} begun`);
        signal.addEventListener("abort", () => log.add(`${portal.id.name}: ${signal.reason.message}`));
        await portal.run.hang();
      },
      { signal: abort.signal },
    );
    await log.has("w1 begun", "w2 begun");
    const [first] = portals;
    await end(first);
    // that it's gone, or that it ended its call: whichever comes first
    await until(() => log.entries.some((entry) => entry.startsWith("w1: ")));
    // a restarted one is another actor
    if (end.toString().includes("SIGKILL")) {
      await until(() => log.entries.filter((entry) => entry === "w1 begun").length === 2);
    }
    abort.abort(new Error("enough"));
    expect((await failure(each)).message).toBe("enough");
    expect(log.entries.filter((entry) => entry.startsWith("w2"))).toEqual(["w2 begun", "w2: enough"]);
  });

  test("takes the refusal of an actor that drains for its end, and that of another for an error", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const log = new Log();
    const drained = Promise.withResolvers<void>();
    const seen = Promise.withResolvers<void>();
    const [first] = await Promise.all([start(nursery, "w1"), start(nursery, "w2")]);
    const each = forEachActor<Service>("w*", async (portal) => {
      log.add(portal.id.name);
      const isFirst = portal.id.uuid === first.id.uuid;
      await (isFirst ? drained : seen).promise;
      await first.run.add(1, 2).finally(() => log.add("refused"));
    });
    await log.has("w1", "w2");
    const running = new AbortController();
    const hanging = first.with({ signal: running.signal }).run.hang();
    const ended = first.drainActor();
    await until(async () => (await failure(first.run.add(1, 2)).catch(() => undefined)) !== undefined);
    drained.resolve();
    await log.has("refused");
    // the other goes on
    await start(nursery, "w3");
    await log.has("w3");
    const failed = failure(each);
    seen.resolve();
    const { errors } = (await failed) as AggregateError;
    expect(errors.map(({ name }: Error) => name)).toEqual(["ActorDrainingError", "ActorDrainingError"]);
    running.abort();
    await Promise.allSettled([hanging, ended]);
  });

  test("fails at once when a live actor cancels what its function has opened", async () => {
    await using world = new World();
    // as long as an actor that is being stopped may take to leave the registry
    const limits = { stopGraceMs: 600_000 };
    await using nursery = await openNursery({ ...world.options, limits });
    await nursery.startActor("w", { module: flows });
    const error = await failure(
      forEachActor<Flows>("w", async (portal) => {
        await using dialog = await portal.open.cancelsItself();
        await dialog.result;
      }),
    );
    expect([error.name, error.message]).toEqual([
      "ContextCancelledError",
      expect.stringMatching(/^cancelled by w#\w+: enough$/),
    ]);
  });

  test("cancels the rest with the first error, and rejects with it, as a task group does", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    await Promise.all(["w1", "w2", "w3"].map((name) => start(nursery, name)));
    const log = new Log();
    const all = Promise.withResolvers<void>();
    const error = await failure(
      forEachActor<Service>("w*", async (portal, signal) => {
        log.add(portal.id.name);
        if (log.entries.length === 3) all.resolve();
        await all.promise;
        if (portal.id.name === "w2") throw new Error("w2 failed");
        if (portal.id.name === "w3") {
          await aborted(signal);
          throw new Error("w3 failed to clean up");
        }
        await portal.run.hang();
      }),
    );
    expect(error).toBeInstanceOf(AggregateError);
    expect((error as AggregateError).errors.map(({ message }: Error) => message)).toEqual([
      "w2 failed",
      "w3 failed to clean up",
    ]);
    await until(() => watches() === 0);
    const one = await failure(
      forEachActor<Service>("w1", async (portal) => {
        await portal.run.fail("it broke");
      }),
    );
    expect(one.message).toContain("TypeError: it broke");
  });

  test("runs its function once for each actor, however that changes", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    await using changing = await RawPeer.register(world.unix, { name: "raw", addrs: [world.unix] });
    const log = new Log();
    const abort = new AbortController();
    await using _owned = await start(nursery, "w1");
    const each = forEachActor(
      "*",
      async (portal) => {
        log.add(portal.id.name);
      },
      { signal: abort.signal },
    );
    await log.has("w1", "root", "raw");
    changing.send([Kind.update, 2, { n: 1 }], [Kind.register, 3, []]);
    await changing.take(Kind.result);
    await changing.take(Kind.result);
    await using _other = await start(nursery, "w2");
    await log.has("w2");
    expect(log.entries.toSorted()).toEqual(["raw", "root", "w1", "w2"]);
    abort.abort(new Error("enough"));
    await failure(each);
  });

  test("tries an actor that can't be reached again, at the addresses that it has by then", async () => {
    await using world = new World();
    await world.actor("hub");
    await using _ = await openRootActor(world.options);
    const uuid = crypto.randomUUID();
    const dials: string[] = [];
    const first = Promise.withResolvers<void>();
    const listen = (name: string): RawListener => {
      const listener: RawListener = new RawListener(async (peer) => {
        await peer.take(Kind.hello);
        dials.push(name);
        first.resolve();
        // another actor than the one that is registered there
        if (name === "wrong") peer.cut();
        else peer.send(rawHello({ name: "late", uuid, addrs: [listener.addr] }));
      });
      return listener;
    };
    await using wrong = listen("wrong");
    await using right = listen("right");
    await using late = await RawPeer.register(world.unix, { name: "late", uuid, addrs: [wrong.addr] });
    const log = new Log();
    const abort = new AbortController();
    const each = forEachActor("late", async (portal) => log.add(portal.addr), { signal: abort.signal });
    await first.promise;
    late.send([Kind.register, 2, [right.addr]]);
    await log.has(right.addr);
    abort.abort(new Error("enough"));
    await failure(each);
    expect(new Set(dials.slice(0, -1))).toEqual(new Set(["wrong"]));
    expect(dials.at(-1)).toBe("right");
  });

  test("leaves an actor alone that is draining when it is first seen", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    await using draining = await RawPeer.register(world.unix, { name: "w0", addrs: [world.unix] });
    draining.send([Kind.update, 2, null, "draining"]);
    await draining.take(Kind.result);
    await start(nursery, "w1");
    const log = new Log();
    const abort = new AbortController();
    const each = forEachActor("w*", async (portal) => log.add(portal.id.name), { signal: abort.signal });
    await start(nursery, "w2");
    await log.has("w1", "w2");
    expect(log.entries).toEqual(["w1", "w2"]);
    abort.abort(new Error("enough"));
    await failure(each);
  });

  test("fails when the connection to an actor is lost that stays registered", async () => {
    using _ = setTiming({ pingIntervalMs: 20 });
    await using world = new World();
    await world.actor("hub");
    await using _actor = await openRootActor(world.options);
    const uuid = crypto.randomUUID();
    await using listener = new RawListener(async (peer) => {
      await peer.take(Kind.hello);
      peer.send(rawHello({ name: "cut", uuid, addrs: [listener.addr] }));
      await peer.take(Kind.call);
      peer.cut();
    });
    await using _peer = await RawPeer.register(world.unix, { name: "cut", uuid, addrs: [listener.addr] });
    const error = await failure(
      forEachActor<Service>("cut", async (portal) => {
        await portal.run.hang();
      }),
    );
    expect(error).toBeInstanceOf(TransportClosedError);
  });

  test("rejects with the reason of a signal that is aborted already, and for a malformed pattern", async () => {
    await using world = new World();
    await using _ = await openRootActor(world.options);
    const reason = new Error("never mind");
    const never = async (): Promise<void> => {
      throw new Error("it was called");
    };
    expect(await failure(forEachActor("*", never, { signal: AbortSignal.abort(reason) }))).toBe(reason);
    expect(await failure(forEachActor("a*b", never))).toBeInstanceOf(ActorNameError);
    expect(watches()).toBe(0);
  });

  test("ends with this actor", async () => {
    await using world = new World();
    const actor = await openRootActor({ ...world.options, name: "root" });
    const begun = Promise.withResolvers<void>();
    const each = forEachActor("root", async (_portal, signal) => {
      begun.resolve();
      await aborted(signal);
      signal.throwIfAborted();
    });
    const error = failure(each);
    await begun.promise;
    await actor.cancel();
    expect((await error).message).toContain("the actor was cancelled");
  });

  test("goes on with those that live when their registrar is killed", async () => {
    await using world = new World();
    const hub = await world.actor("hub");
    await using nursery = await openNursery({ ...world.options, name: "next" });
    await start(nursery, "w1");
    const log = new Log();
    const abort = new AbortController();
    const each = forEachActor<Service>(
      "*",
      async (portal, signal) => {
        log.add(`${portal.id.name} begun`);
        await aborted(signal);
        log.add(`${portal.id.name} ended`);
        signal.throwIfAborted();
      },
      { signal: abort.signal },
    );
    await log.has("hub begun", "w1 begun", "next begun");
    await hub.kill();
    await log.has("hub ended");
    expect(currentActor().isRegistrar).toBeTrue();
    await start(nursery, "w2");
    await log.has("w2 begun");
    expect(log.entries.toSorted()).toEqual(
      ["hub begun", "hub ended", "next begun", "w1 begun", "w2 begun"].toSorted(),
    );
    abort.abort(new Error("enough"));
    await failure(each);
  });
});
