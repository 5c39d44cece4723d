/** An actor that drains finishes what runs, and takes on nothing new. */
import { describe, expect, test } from "bun:test";

import {
  ActorDrainingError,
  ContextCancelledError,
  currentActor,
  findActor,
  getPeerByName,
  getRegistry,
  getRoot,
  type Nursery,
  openNursery,
  openRootActor,
  PermissionDeniedError,
  type Portal,
  RemoteActorError,
  waitForActor,
} from "../../src/index.ts";
import { isProcessAlive } from "../../src/transport/runtime-dir.ts";
import { Kind } from "../../src/wire/messages.ts";
import { arrivals, openGate } from "../fixtures/gates.ts";
import { RawRegistrar } from "../support/raw-peer.ts";
import { drain as readAll, failure } from "../support/outcome.ts";
import { type Program, until, World } from "../support/world.ts";

const gates = new URL("../fixtures/gates.ts", import.meta.url);
const module = new URL("../fixtures/drains.ts", import.meta.url);
type Drains = typeof import("../fixtures/drains.ts");

/** A nursery of the actor "gates", which is this process. */
async function nurseryIn(world: World): Promise<Nursery> {
  return await openNursery({ ...world.options, name: "gates", enableModules: [gates] });
}

async function refused(portal: Portal<Drains>): Promise<void> {
  await until(
    async () => (await portal.run.add(1, 2).catch((error: Error) => error)) instanceof ActorDrainingError,
  );
}

describe("drainActor", () => {
  test("lets what runs finish, refuses the rest, and resolves when the actor has ended", async () => {
    await using world = new World();
    await using nursery = await nurseryIn(world);
    const child = await nursery.startActor<Drains>("child", { module });
    const [one, two] = [child.run.work("finish 1"), child.run.work("finish 2")];
    await Promise.all([arrivals("finish 1"), arrivals("finish 2")]);
    const drained = child.drainActor();
    await refused(child);
    for (const refusal of [
      await failure(child.run.add(1, 2)),
      await failure(child.stream.ticks(true).next()),
      await failure(child.open.talk()),
    ]) {
      expect(refusal).toBeInstanceOf(ActorDrainingError);
      expect(refusal).toMatchObject({ code: "ERR_ACTOR_DRAINING", actor: child.id });
      expect(refusal.message).toMatch(/^child#\w+ is draining and takes on nothing new: this did not run$/);
    }
    openGate("finish 1");
    expect(await one).toBe("done at finish 1");
    await refused(child);
    openGate("finish 2");
    expect(await two).toBe("done at finish 2");
    expect(await drained).toBeTrue();
    expect(await findActor("child")).toBeNull();
    await nursery.join();
    expect(isProcessAlive(child.id.pid)).toBeFalse();
  });

  test("tells streams and dialogs, which may come to their own end", async () => {
    await using world = new World();
    await using nursery = await nurseryIn(world);
    const child = await nursery.startActor<Drains>("child", { module });
    const stream = child.stream.ticks(true);
    expect(await stream.next()).toEqual({ done: false, value: "first" });
    await using dialog = await child.open.talk();
    const drained = child.drainActor();
    expect(await stream.next()).toEqual({ done: false, value: "drains" });
    expect(await stream.next()).toEqual({ done: true, value: "the end" });
    expect((await readAll(dialog)).values).toEqual(["last orders"]);
    expect(await dialog.result).toBe("closed");
    expect(await drained).toBeTrue();
  });

  test("cancels what still runs after the timeout, and resolves as well", async () => {
    await using world = new World();
    await using nursery = await nurseryIn(world);
    const child = await nursery.startActor<Drains>("child", { module });
    const running = failure(child.run.work("too long"));
    const stream = child.stream.ticks(false);
    await stream.next();
    await arrivals("too long");
    const drained = child.drainActor({ timeout: 50 });
    const error = await running;
    expect(error).toBeInstanceOf(ContextCancelledError);
    expect(error).toMatchObject({ canceller: currentActor().id, reason: "drainActor" });
    const { values, error: ending } = await readAll(stream);
    expect(values).toEqual([]);
    expect(ending).toBeInstanceOf(ContextCancelledError);
    expect(await drained).toBeTrue();
    await nursery.join();
  });

  test("joins a drain that is under way, and all who asked get their answer", async () => {
    await using world = new World();
    await using nursery = await nurseryIn(world);
    const child = await nursery.startActor<Drains>("child", { module });
    const running = child.run.work("joined");
    await arrivals("joined");
    const drains = [child.drainActor(), child.drainActor({ timeout: 0 })];
    await refused(child);
    openGate("joined");
    expect(await running).toBe("done at joined");
    expect(await Promise.all(drains)).toEqual([true, true]);
  });

  test("is cut short by cancelActor", async () => {
    await using world = new World();
    await using nursery = await nurseryIn(world);
    const child = await nursery.startActor<Drains>("child", { module });
    const running = failure(child.run.work("cut"));
    await arrivals("cut");
    const drained = child.drainActor();
    await refused(child);
    expect(await child.cancelActor()).toBeTrue();
    expect(await running).toMatchObject({ reason: "cancelActor" });
    expect(await drained).toBeTrue();
    await nursery.join();
  });

  test("is cut short by the end of the actor's nursery", async () => {
    await using world = new World();
    await using nursery = await nurseryIn(world);
    const child = await nursery.startActor<Drains>("child", { module });
    const running = child.run.work("cut by the nursery").catch(() => "cut");
    await arrivals("cut by the nursery");
    const drained = child.drainActor();
    await refused(child);
    await nursery.cancel();
    expect(await running).toBe("cut");
    expect(await drained).toBeTrue();
  });

  test("needs the permission to stop the actor", async () => {
    await using world = new World();
    await using actor = await openRootActor({ ...world.options, enableModules: [module] });
    await using self = await getRoot<Drains>();
    expect(self.id).toEqual(actor.id);
    const policy = [{ from: "same-user", stop: false }];
    await world.actor("guarded", { enableModules: [module.href], security: { policy } });
    await using guarded = await findActor<Drains>("guarded", { raiseOnNone: true });
    expect(await failure(guarded.drainActor())).toBeInstanceOf(PermissionDeniedError);
    expect(await guarded.run.add(1, 2)).toBe(3);
  });

  test("is false when the actor is gone, or dies meanwhile", async () => {
    await using world = new World();
    await using nursery = await openNursery({ ...world.options, name: "gates", enableModules: [gates] });
    const child = await nursery.startActor<Drains>("child", {
      module,
      restart: { when: "on-failure", maxRestarts: 1 },
    });
    void child.run.work("dies").catch(() => {});
    await arrivals("dies");
    const drained = child.drainActor();
    await refused(child);
    process.kill(child.id.pid, "SIGKILL");
    expect(await drained).toBeFalse();
    expect(await child.drainActor()).toBeFalse();
  });

  test("takes a timeout of any size, also for a tree, and nothing that isn't one", async () => {
    await using world = new World();
    await using nursery = await nurseryIn(world);
    const child = await nursery.startActor<Drains>("child", { module });
    for (const timeout of [-1, Number.NaN])
      expect(await failure(child.drainActor({ timeout }))).toBeInstanceOf(RangeError);
    await child.run.startBelow("below");
    await using below = await findActor<Drains>("below", { raiseOnNone: true });
    const running = below.run.work("without a bound");
    await arrivals("without a bound");
    const drained = child.drainActor({ timeout: Number.POSITIVE_INFINITY });
    await refused(below);
    openGate("without a bound");
    expect(await running).toBe("done at without a bound");
    expect(await drained).toBeTrue();
  });
});

describe("an actor that drains", () => {
  test("is out of every lookup before it refuses anything: its parent's, a connected peer's, anybody's", async () => {
    await using world = new World();
    // not the registrar, whose own table would tell
    const hub = await world.actor("hub");
    await using nursery = await nurseryIn(world);
    const child = await nursery.startActor<Drains>("child", { module });
    const [peer, stranger] = await Promise.all([world.actor("peer"), world.actor("stranger")]);
    await peer.run(async ({ furrow, keep }) => {
      const found = await furrow.findActor<Drains>("child", { raiseOnNone: true });
      keep["calls"] = found.run.work("found by no one");
    });
    await arrivals("found by no one");
    const drained = child.drainActor();
    await refused(child);
    const find = async (program: Program): Promise<unknown> =>
      program.run(async ({ furrow }) => {
        const [found, first, peers] = [
          await furrow.findActor("child"),
          await furrow.queryActor("child"),
          furrow.getPeerByName("child"),
        ];
        return [found, first.id, peers];
      });
    for (const program of [peer, stranger, hub]) expect(await find(program)).toEqual([null, null, null]);
    expect(await findActor("child")).toBeNull();
    expect(getPeerByName("child")).toBeNull();
    const next = waitForActor("child");
    openGate("found by no one");
    expect(await peer.run(({ keep }) => keep["calls"] as Promise<string>)).toBe("done at found by no one");
    expect(await drained).toBeTrue();
    const successor = await nursery.startActor("child", { module });
    expect((await next).id).toEqual(successor.id);
  });

  test("still serves calls until its registrars have acknowledged that", async () => {
    await using hub = new RawRegistrar();
    await using nursery = await openNursery({
      registryAddrs: [hub.addr],
      name: "gates",
      enableModules: [gates],
    });
    const child = await nursery.startActor<Drains>("child", { module });
    const registration = hub.peers.find(({ received }) => received[0]?.[3] === "child")!;
    const drained = child.drainActor();
    const [, id, , state] = await registration.take(Kind.update);
    expect(state).toBe("draining");
    expect(await child.run.add(1, 2)).toBe(3);
    registration.send([Kind.result, id, 2]);
    expect(await drained).toBeTrue();
    await registration.ended;
    const kinds = registration.received.map(([kind]) => kind).slice(-4);
    expect(kinds).toEqual([Kind.ready, Kind.update, Kind.unregister, Kind.bye]);
  });

  test("isn't held up by a silent registrar", async () => {
    await using hub = new RawRegistrar();
    const limits = { stopGraceMs: 50 };
    await using nursery = await openNursery({
      registryAddrs: [hub.addr],
      name: "gates",
      enableModules: [gates],
      limits,
    });
    const child = await nursery.startActor<Drains>("child", { module });
    // it acknowledges no update
    const running = child.run.work("silent registrar");
    await arrivals("silent registrar");
    const drained = child.drainActor();
    await refused(child);
    openGate("silent registrar");
    expect(await running).toBe("done at silent registrar");
    expect(await drained).toBeTrue();
  });

  test("registers as one that drains with a registrar that takes over meanwhile", async () => {
    await using world = new World();
    const hub = await world.actor("hub");
    await using nursery = await nurseryIn(world);
    const child = await nursery.startActor<Drains>("child", { module });
    const running = child.run.work("takeover");
    await arrivals("takeover");
    const drained = child.drainActor();
    await refused(child);
    await hub.kill();
    const actor = currentActor();
    await until(() => actor.stats().registrar?.actors === 2);
    expect(await findActor("child")).toBeNull();
    openGate("takeover");
    expect(await running).toBe("done at takeover");
    expect(await drained).toBeTrue();
  });

  test("doesn't wait for the call that drains it, and serves the calls that it makes to itself", async () => {
    await using world = new World();
    await using nursery = await nurseryIn(world);
    const child = await nursery.startActor<Drains>("child", { module });
    const running = child.run.askSelf("itself");
    await arrivals("itself");
    const draining = child.run.drainSelf().catch(() => "ended with the actor");
    await refused(child);
    openGate("itself");
    expect(await running).toBe(7);
    expect(await draining).toBe("ended with the actor");
    await nursery.join();
  });

  test("is refused by name: an error of its that a function passes on says that the function ran", async () => {
    await using world = new World();
    await using nursery = await nurseryIn(world);
    const [child, other] = await Promise.all([
      nursery.startActor<Drains>("child", { module }),
      nursery.startActor<Drains>("other", { module }),
    ]);
    // connected before it leaves all lookups
    const running = failure(other.run.workThenAsk("relayed", "child"));
    const own = failure(child.run.workThenThrowReason("thrown"));
    await Promise.all([arrivals("relayed"), arrivals("thrown")]);
    const drained = child.drainActor();
    await refused(child);
    openGate("relayed");
    const relayed = await running;
    expect(relayed).toBeInstanceOf(RemoteActorError);
    expect(relayed).toMatchObject({
      actor: child.id,
      relayPath: [child.id, other.id],
      remoteName: "ActorDrainingError",
    });
    expect(relayed.cause).toBeInstanceOf(ActorDrainingError);
    openGate("thrown");
    const thrown = await own;
    expect(thrown).toBeInstanceOf(RemoteActorError);
    expect(thrown).toMatchObject({ actor: child.id, relayPath: [child.id] });
    expect(thrown.cause).toBeInstanceOf(ActorDrainingError);
    expect(await drained).toBeTrue();
  });

  test("refuses in the same way once its end has begun", async () => {
    await using world = new World();
    await using nursery = await nurseryIn(world);
    const child = await nursery.startActor<Drains>("child", { module });
    await child.run.cleanUpInto("/dev/null", ["slowly"], "the end");
    const cancelled = child.cancelActor();
    await arrivals("the end slowly");
    const refusal = await failure(child.run.add(1, 2));
    expect(refusal).toBeInstanceOf(ActorDrainingError);
    expect(refusal.message).toMatch(/^child#\w+ is ending and takes on nothing new: this did not run$/);
    openGate("the end slowly");
    expect(await cancelled).toBeTrue();
  });

  test("and is the registrar, keeps the table until its end: lookups, waits and registrations", async () => {
    await using world = new World();
    const hub = await world.actor("hub", { enableModules: [module.href] });
    await using actor = await openRootActor({ ...world.options, name: "gates", enableModules: [gates] });
    await using portal = await findActor<Drains>("hub", { raiseOnNone: true });
    await using registry = await getRegistry();
    const running = portal.run.work("in the registrar");
    await arrivals("in the registrar");
    const waiting = registry.run.waitForActor("newcomer");
    const drained = portal.drainActor();
    await refused(portal);
    await world.actor("newcomer");
    expect((await waiting).id.name).toBe("newcomer");
    expect((await registry.run.listActors()).map(({ id }) => id.name)).toContain("newcomer");
    const endless = registry.run.waitForActor("nobody").catch((error: Error) => error);
    openGate("in the registrar");
    expect(await running).toBe("done at in the registrar");
    // the wait that nobody ends doesn't keep it up
    expect(await drained).toBeTrue();
    expect(await endless).toBeInstanceOf(Error);
    expect(actor.signal.aborted).toBeFalse();
    await hub.kill();
  });

  test("lets its children finish what they run, and serve each other meanwhile", async () => {
    await using world = new World();
    await using actor = await openRootActor({ ...world.options, name: "gates", enableModules: [gates] });
    const shop = await world.actor("shop", { enableModules: [module.href] });
    const pids = await shop.run(async ({ furrow, keep, args }) => {
      const nursery = await furrow.openNursery();
      keep["nursery"] = nursery;
      const start = (name: string) => nursery.startActor(name, { module: args[0] as string });
      const started = await Promise.all(["front", "back"].map(start));
      return started.map(({ id }) => id.pid);
    }, module.href);
    await using root = await findActor<Drains>("shop", { raiseOnNone: true });
    await using front = await findActor<Drains>("front", { raiseOnNone: true });
    await using back = await findActor<Drains>("back", { raiseOnNone: true });
    const ofRoot = root.run.work("root first");
    const ofChild = front.run.workThenAsk("then children", "back");
    await Promise.all([arrivals("root first"), arrivals("then children")]);
    const drained = root.drainActor();
    await refused(root);
    // the root still works, and may need them
    expect(await back.run.add(1, 2)).toBe(3);
    openGate("root first");
    expect(await ofRoot).toBe("done at root first");
    await Promise.all([refused(front), refused(back)]);
    openGate("then children");
    expect(await ofChild).toBe(3);
    expect(await drained).toBeTrue();
    await until(() => !pids.some(isProcessAlive));
    expect(actor.signal.aborted).toBeFalse();
  });
});

describe("actor.drain", () => {
  test("ends the actor of this process once nothing runs, and rejects nothing that runs", async () => {
    await using world = new World();
    const asker = await world.actor("asker", { enableModules: [gates.href] });
    const actor = await openRootActor({ ...world.options, name: "root", enableModules: [module] });
    const answer = asker.run(async ({ furrow, keep }) => {
      const portal = await furrow.findActor<Drains>("root", { raiseOnNone: true });
      keep["portal"] = portal;
      return await portal.run.ask("asker2").catch((error: Error) => error.name);
    });
    await until(() => actor.stats().callsInFlight === 1);
    const drained = actor.drain();
    await until(async () =>
      asker.run(async ({ keep }) => {
        const portal = keep["portal"] as Portal<Drains>;
        const error = await portal.run.add(1, 2).catch((thrown: Error) => thrown.name);
        return error === "ActorDrainingError";
      }),
    );
    expect(actor.signal.aborted).toBeFalse();
    await world.actor("asker2", { enableModules: [module.href] });
    expect(await answer).toBe(3);
    await drained;
    expect(actor.signal.aborted).toBeTrue();
    expect(() => currentActor()).toThrow("no actor");
    await actor.drain();
  });
});

describe("SIGTERM", () => {
  async function shopIn(world: World, handleSignals: boolean | "drain") {
    const shop = await world.actor("shop", { enableModules: [module.href], handleSignals });
    await shop.run(async ({ furrow, keep, args }) => {
      keep["nursery"] = await furrow.openNursery();
      await (keep["nursery"] as Nursery).startActor("stock", { module: args[0] as string });
    }, module.href);
    return shop;
  }

  test("drains the tree of a root with handleSignals: drain, then ends it with 143", async () => {
    await using world = new World();
    await using _ = await openRootActor({ ...world.options, name: "gates", enableModules: [gates] });
    const shop = await shopIn(world, "drain");
    await using stock = await findActor<Drains>("stock", { raiseOnNone: true });
    await using root = await findActor<Drains>("shop", { raiseOnNone: true });
    const running = [stock.run.work("at SIGTERM"), root.run.work("at SIGTERM")];
    await arrivals("at SIGTERM", 2);
    shop.signal("SIGTERM");
    await refused(root);
    openGate("at SIGTERM");
    expect(await Promise.all(running)).toEqual(["done at at SIGTERM", "done at at SIGTERM"]);
    expect(await shop.process.exited).toBe(143);
    expect(await shop.stderr).toMatch(/^furrow: SIGTERM: draining actor "shop" \(pid \d+\)\n$/);
  });

  test("is followed by another signal, which cancels what still runs", async () => {
    await using world = new World();
    await using _ = await openRootActor({ ...world.options, name: "gates", enableModules: [gates] });
    const shop = await shopIn(world, "drain");
    await using root = await findActor<Drains>("shop", { raiseOnNone: true });
    const running = failure(root.run.work("never opened"));
    await arrivals("never opened");
    shop.signal("SIGTERM");
    await refused(root);
    shop.signal("SIGINT");
    expect(await running).toMatchObject({ reason: "SIGINT" });
    expect(await shop.process.exited).toBe(130);
  });

  test("to the whole group, as systemd sends it, isn't a failure of the children that it ends", async () => {
    await using world = new World();
    await using _ = await openRootActor({ ...world.options, name: "gates", enableModules: [gates] });
    const shop = await shopIn(world, "drain");
    await using root = await findActor<Drains>("shop", { raiseOnNone: true });
    const running = root.run.work("group");
    await arrivals("group");
    const stock = await shop.run(async ({ furrow, keep }) => {
      const told = (error: unknown): string => String(error);
      keep["joined"] = (keep["nursery"] as Nursery).join().then(() => "joined", told);
      await using found = await furrow.findActor("stock", { raiseOnNone: true });
      return found.id.pid;
    });
    for (const pid of [stock, shop.pid]) process.kill(pid, "SIGTERM");
    expect(await shop.run(({ keep }) => keep["joined"] as Promise<string>)).toBe("joined");
    openGate("group");
    expect(await running).toBe("done at group");
    expect(await shop.process.exited).toBe(143);
  });

  test("cancels at once without it, and so does SIGINT with it", async () => {
    for (const [handleSignals, signal] of [
      [true, "SIGTERM"],
      ["drain", "SIGINT"],
    ] as const) {
      await using world = new World();
      await using _ = await openRootActor({ ...world.options, name: "gates", enableModules: [gates] });
      const shop = await shopIn(world, handleSignals);
      await using stock = await findActor<Drains>("stock", { raiseOnNone: true });
      const running = failure(stock.run.work(`not for ${signal}`));
      await arrivals(`not for ${signal}`);
      shop.signal(signal);
      expect(await running).toBeInstanceOf(ContextCancelledError);
      await shop.process.exited;
    }
  });
});
