/** An actor that is looked up and then claims to be another: it gains nothing beyond its own name and uuid. */
import { describe, expect, test } from "bun:test";

import { writeBrief } from "../../src/discovery/brief.ts";
import { type Address, findActor, openRootActor } from "../../src/index.ts";
import { qualifyAddress } from "../../src/transport/address.ts";
import { hostId } from "../../src/transport/host.ts";
import { Kind } from "../../src/wire/messages.ts";
import { failure } from "../support/outcome.ts";
import { rawHello, RawListener, RawPeer } from "../support/raw-peer.ts";
import { World } from "../support/world.ts";

const nobody = "/ip4/127.0.0.1/tcp/9" as Address;

/** Answers every hello as an actor with this name and uuid. */
function impostor(name: string, uuid: string): RawListener {
  return new RawListener(async (peer) => {
    await peer.take(Kind.hello);
    peer.send(rawHello({ name, uuid }));
  });
}

describe("an actor that is registered under a name of its own", () => {
  test("doesn't answer for another name because its hello says so", async () => {
    await using world = new World();
    await world.actor("hub");
    const bank = await world.actor("bank");
    const uuid = crypto.randomUUID();
    await using liar = impostor("bank", uuid);
    await using _entry = await RawPeer.register(world.unix, { name: "evil", uuid, addrs: [liar.addr] });
    await using _self = await openRootActor({ registryAddrs: [world.unix], name: "customer" });
    await using _found = await findActor("evil");
    await using found = await findActor("bank", { raiseOnNone: true });
    expect(found.id.pid).toBe(bank.pid);
  });

  test("is a failed dial when its hello gives another name than the registered one", async () => {
    await using world = new World();
    await world.actor("hub");
    const uuid = crypto.randomUUID();
    await using liar = impostor("bank", uuid);
    await using _entry = await RawPeer.register(world.unix, { name: "evil", uuid, addrs: [liar.addr] });
    await using _self = await openRootActor({ registryAddrs: [world.unix], name: "customer" });
    const error = await failure(findActor("evil", { raiseOnNone: true }));
    expect(error.message).toContain("not the actor that was looked up");
  });
});

describe("a registrar that gives an actor's uuid for one of its own", () => {
  test.each(["evil", "bank"])(
    "doesn't get that actor's callers, though it was asked for %p before",
    async (name) => {
      await using world = new World();
      await world.actor("hub");
      const bank = await world.actor("bank");
      const uuid = await bank.run(({ furrow }) => furrow.currentActor().uuid);
      await using liar = impostor(name, uuid);
      await using registrar = new RawListener(async (peer) => {
        const [, , , , , , purpose] = await peer.take(Kind.hello);
        peer.send(rawHello({ name: "other-hub", addrs: [registrar.addr], isRegistrar: true }));
        if (purpose === "probe") return;
        for (;;) {
          const [, id] = await peer.take(Kind.lookup);
          // not a process of this host: only the address can prove it
          peer.send([
            Kind.result,
            id,
            writeBrief(uuid, 1, 1, "elsewhere", [qualifyAddress(liar.addr, hostId()), nobody]),
          ]);
        }
      });
      await using _self = await openRootActor({ registryAddrs: [world.unix], name: "customer" });
      await using foreign = await findActor(name, { registryAddrs: [registrar.addr], raiseOnNone: true });
      expect(foreign.id.host).toBe(hostId());
      await using found = await findActor("bank", { raiseOnNone: true });
      expect(found.id.pid).toBe(bank.pid);
      await using again = await findActor("bank", { raiseOnNone: true });
      expect(again.id.pid).toBe(bank.pid);
    },
  );
});
