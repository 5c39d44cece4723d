/** Peers that lie to a registrar, and registrars that are slow: nobody else pays for it. */
import { describe, expect, test } from "bun:test";
import { existsSync, lstatSync, renameSync, writeFileSync } from "node:fs";

import {
  ActorDrainingError,
  currentActor,
  findActor,
  openNursery,
  openRootActor,
  waitForActor,
} from "../../src/index.ts";
import { Kind } from "../../src/wire/messages.ts";
import { rawHello, RawPeer, RawRegistrar } from "../support/raw-peer.ts";
import { freePort, until, World } from "../support/world.ts";
import { failure } from "../support/outcome.ts";

const service = new URL("../fixtures/service.ts", import.meta.url);
type Service = typeof import("../fixtures/service.ts");

describe("a registrar", () => {
  test("refuses a malformed host id, and goes on", async () => {
    await using world = new World();
    await using actor = await openRootActor(world.options);
    await using peer = await RawPeer.connect(world.unix);
    peer.send(rawHello({ name: "evil", host: "no host!" }));
    expect((await peer.take(Kind.refuse))[1]).toBe("malformed");
    expect(actor.stats().registrar?.actors).toBe(1);
  });

  test("keeps a burst of lookups alive that exceeds its interests, and answers each", async () => {
    await using world = new World();
    await using nursery = await openNursery({ ...world.options, limits: { maxCachedNames: 20 } });
    const asker = await nursery.startActor<Service>("asker", { module: service });
    const found = await asker.run.findMany("missing", 300);
    expect(found).toBe(0);
    expect(await asker.run.find("asker")).toBe(asker.id.uuid);
    // what the registrar does not push is not answered from memory
    await using late = await nursery.startActor("missing7", { module: service });
    expect(await asker.run.find("missing7")).toBe(late.id.uuid);
  });

  test("lists all instances when it is asked by its own address", async () => {
    await using world = new World();
    await using _actor = await openRootActor(world.options);
    await world.actor("twin");
    await world.actor("twin");
    await using all = await findActor("twin", { onlyFirst: false, registryAddrs: [world.unix] });
    expect(all).toHaveLength(2);
    const localhost = `tcp://localhost:${new URL(world.tcp.replace("tcp", "http")).port}` as const;
    await using spelled = await findActor("twin", { onlyFirst: false, registryAddrs: [localhost] });
    expect(spelled).toHaveLength(2);
  });

  test("leaves the socket of its successor alone when it ends", async () => {
    await using world = new World();
    const actor = await openRootActor({ registryAddrs: [world.unix], enableTransports: ["unix"] });
    const path = world.unix.slice("unix://".length);
    // somebody cleaned the folder, and another serves there now
    const successor = Bun.listen({ unix: `${path}.new`, socket: { data() {} } });
    renameSync(`${path}.new`, path);
    await actor.cancel();
    expect(lstatSync(path).isSocket()).toBeTrue();
    successor.stop();
  });

  test("ends in full although its socket file cannot be removed", async () => {
    await using world = new World();
    const actor = await openRootActor({ registryAddrs: [world.unix], enableTransports: ["unix"] });
    const path = world.unix.slice("unix://".length);
    renameSync(path, `${path}.old`);
    writeFileSync(path, "in the way");
    await actor.cancel();
    expect(() => currentActor()).toThrow();
    await using again = await openRootActor({
      registryAddrs: ["tcp://127.0.0.1:0"],
      enableTransports: ["tcp"],
    });
    expect(again.isRegistrar).toBeTrue();
    expect(existsSync(`${path}.lock`)).toBeFalse();
  });
});

describe("waitForActor", () => {
  test("is answered by one registrar though another is silent", async () => {
    await using one = new World();
    await using two = new World();
    const silent = await one.actor("silent");
    await two.actor("hub");
    await two.actor("target");
    await using _actor = await openRootActor({ registryAddrs: [one.unix, two.unix], name: "asker" });
    silent.signal("SIGSTOP");
    try {
      await using portal = await waitForActor("target");
      expect(portal.id.name).toBe("target");
    } finally {
      silent.signal("SIGCONT");
    }
  });

  test("rejects when its actor ends", async () => {
    await using world = new World();
    const actor = await openRootActor(world.options);
    const waiting = failure(waitForActor("nobody"));
    await actor.cancel();
    expect((await waiting).name).toBe("ContextCancelledError");
  });
});

describe("openRootActor", () => {
  test("rejects when it is aborted while it registers", async () => {
    await using hub = new RawRegistrar();
    const abort = new AbortController();
    hub.onRegister = (peer, message) => {
      abort.abort(new Error("not any more"));
      peer.send([Kind.result, message[1], 1]);
    };
    const error = await failure(openRootActor({ registryAddrs: [hub.addr], signal: abort.signal }));
    expect(error.message).toBe("not any more");
    expect(() => currentActor()).toThrow();
  });

  test("gives up a silent address in three tries' time, however it delays", async () => {
    const held: Bun.Socket[] = [];
    const port = freePort();
    const listener = Bun.listen({
      hostname: "127.0.0.1",
      port,
      socket: {
        open(socket) {
          held.push(socket);
          setTimeout(() => socket.terminate(), 90); // just before the try would end
        },
        data() {},
      },
    });
    const limits = { probeTimeoutMs: 100 };
    const opening = openRootActor({
      registryAddrs: [`tcp://127.0.0.1:${port}`],
      enableTransports: ["tcp"],
      limits,
    });
    expect((await failure(opening)).name).toBe("RegistryOccupiedError");
    // 3 tries of 90 ms, one that was begun, and no more: without the bound there are seven
    expect(held.length).toBeLessThanOrEqual(5);
    listener.stop(true);
  });
});

describe("an actor that ends", () => {
  test("begins no further call, and says so", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const child = await nursery.startActor<Service>("child", { module: service });
    const hanging = child.run.deaf().catch(() => {});
    await child.run.add(1, 1);
    const stopped = child.cancelActor();
    const late = await failure(child.run.add(1, 1));
    expect(late).toBeInstanceOf(ActorDrainingError);
    expect(await stopped).toBeTrue();
    await hanging;
    await until(() => currentActor().stats().peers === 0);
  });
});
