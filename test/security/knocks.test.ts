/** Somebody with the secret who knocks as another actor, and never proves it. */
import { describe, expect, test } from "bun:test";

import { actor, soon, targetOf, uuids } from "../channel/actors.ts";
import { RawPeer } from "../support/raw-peer.ts";
import { until } from "../support/world.ts";

describe("a knock that is never proved", () => {
  test("doesn't keep its receiver from dialling the actor whose uuid it has", async () => {
    const [smaller, larger] = uuids();
    const limits = { handshakeTimeoutMs: 2_000 };
    await using self = await actor("self", { uuid: larger, limits });
    await using bank = await actor("bank", { uuid: smaller, limits });
    const own = self.addrs.find((addr) => addr.startsWith("tcp:"))!;
    await using knocker = new RawPeer();
    const never = Promise.withResolvers<void>();
    const dialled = knocker.dial(own, { uuid: smaller }, undefined, never.promise);
    await until(() => knocker.received.length > 0);
    const addrs = bank.addrs.filter((addr) => addr.startsWith("tcp:"));
    const peer = await self.peers.connect(targetOf(bank, addrs), soon());
    expect(peer.id.name).toBe("bank");
    expect(knocker.isOpen).toBeTrue();
    peer.release();
    knocker.cut();
    never.resolve();
    await dialled.catch(() => {});
  });
});
