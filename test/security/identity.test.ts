/** A name belongs to the actor registered under it, and a uuid to its process: claiming either isn't enough. */
import { describe, expect, test } from "bun:test";

import { currentRuntime } from "../../src/actor/current.ts";
import { findActor, getRegistry, openRootActor, queryActor, waitForActor } from "../../src/index.ts";
import { Kind } from "../../src/wire/messages.ts";
import { failure } from "../support/outcome.ts";
import { RawPeer } from "../support/raw-peer.ts";
import { until, World } from "../support/world.ts";

describe("a connected peer", () => {
  test("that merely claims to be the bank never answers for that name", async () => {
    await using world = new World();
    await world.actor("hub");
    await using self = await openRootActor({ registryAddrs: [world.unix], name: "customer" });
    await using impostor = await RawPeer.connect(self.addrs[0]!, { name: "bank" });
    await impostor.take(Kind.hello);
    expect(await findActor("bank")).toBeNull();
    expect((await queryActor("bank")).id).toBeNull();
    const abort = new AbortController();
    const waiting = failure(waitForActor("bank", { signal: abort.signal }));
    abort.abort(new Error("nobody came"));
    expect((await waiting).message).toBe("nobody came");
    const bank = await world.actor("bank");
    const uuid = await bank.run(({ furrow }) => furrow.currentActor().uuid);
    await using found = await findActor("bank", { raiseOnNone: true });
    expect(found.id.uuid).toBe(uuid);
    expect(found.id.pid).toBe(bank.pid);
  });

  test("that is registered in another registry never answers for a name in this one", async () => {
    await using world = new World();
    await using elsewhere = new World();
    await world.actor("hub");
    await elsewhere.actor("other-hub");
    await using self = await openRootActor({ registryAddrs: [world.unix], name: "customer" });
    const impostor = await elsewhere.actor("bank");
    await impostor.run(async ({ furrow, keep, args }) => {
      const registryAddrs = args as `unix://${string}`[];
      keep["portal"] = await furrow.findActor("customer", { registryAddrs, raiseOnNone: true });
    }, world.unix);
    await until(() => currentRuntime().peers.byName("bank") !== undefined);
    expect(await findActor("bank")).toBeNull();
    // lookups in the other registry find it, and this one answers as before
    await using other = await findActor("bank", { registryAddrs: [elsewhere.unix], raiseOnNone: true });
    expect(other.id.pid).toBe(impostor.pid);
    expect(await findActor("bank")).toBeNull();
    expect(self.isRegistrar).toBeFalse();
  });

  test("that claims the bank's uuid isn't taken for it, whichever connects first", async () => {
    await using world = new World();
    await world.actor("hub");
    const bank = await world.actor("bank");
    const uuid = await bank.run(({ furrow }) => furrow.currentActor().uuid);
    await using self = await openRootActor({ registryAddrs: [world.unix], name: "customer" });
    await using impostor = await RawPeer.connect(self.addrs[0]!, { name: "bank", uuid });
    await impostor.take(Kind.hello);
    expect(currentRuntime().peers.get(uuid)?.id.pid).toBe(process.pid);
    await using found = await findActor("bank", { raiseOnNone: true });
    expect({ uuid: found.id.uuid, pid: found.id.pid }).toEqual({ uuid, pid: bank.pid });
    // nor can it keep the bank from calling here
    const back = await bank.run(async ({ furrow }) => {
      await using portal = await furrow.findActor("customer", { raiseOnNone: true });
      return portal.id.pid;
    });
    expect(back).toBe(process.pid);
  });

  test("that claims another process's pid is refused", async () => {
    await using world = new World();
    await using _self = await openRootActor({ registryAddrs: [world.unix] });
    await using liar = await RawPeer.connect(world.unix, { name: "liar", pid: process.ppid });
    expect((await liar.take()).slice(0, 2)).toEqual([Kind.refuse, "unauthenticated"]);
  });

  test("can't register a uuid that another connection has registered", async () => {
    await using world = new World();
    await using registrar = await openRootActor({ registryAddrs: [world.unix] });
    const bank = await world.actor("bank", { registryAddrs: [world.unix], enableTransports: ["unix"] });
    const uuid = await bank.run(({ furrow }) => furrow.currentActor().uuid);
    await using registry = await getRegistry();
    const before = await registry.run.findActors("bank");
    await using thief = await RawPeer.connect(world.unix, { name: "bank", uuid, purpose: "further" });
    await thief.take(Kind.hello);
    thief.send([Kind.register, 1, ["unix:///tmp/thief.sock"]]);
    const [kind, , [, error]] = (await thief.take()) as unknown as [number, number, [unknown, unknown[]]];
    expect([kind, error[0]]).toEqual([Kind.error, "PermissionDeniedError"]);
    expect(await registry.run.findActors("bank")).toEqual(before);
    expect(registrar.stats().registrar?.actors).toBe(2);
  });
});
