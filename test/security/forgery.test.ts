/** Messages from peers that aren't entitled to send them, and answers that strangers aren't owed. */
import { describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { writeBrief } from "../../src/discovery/brief.ts";
import { findActor, getRegistry, openRootActor, queryActor } from "../../src/index.ts";
import { hostId } from "../../src/transport/host.ts";
import { Kind } from "../../src/wire/messages.ts";
import { RawPeer } from "../support/raw-peer.ts";
import { until, World } from "../support/world.ts";

/** Resolves when the other side has handled everything sent before. */
async function settled(peer: RawPeer): Promise<void> {
  peer.send([Kind.ping, 7]);
  await peer.take(Kind.pong);
}

describe("a peer that claims the registrar's uuid", () => {
  test("changes nothing in what an actor knows about names", async () => {
    await using world = new World();
    await world.actor("hub");
    const bank = await world.actor("bank");
    await using self = await openRootActor({ registryAddrs: [world.unix], name: "customer" });
    await using before = await findActor("bank", { raiseOnNone: true });
    expect(before.id.pid).toBe(bank.pid);
    await using registry = await getRegistry();
    const { uuid } = registry.id;
    await using liar = await RawPeer.connect(self.addrs[0]!, { name: "hub", uuid, purpose: "further" });
    await liar.take(Kind.hello);
    const forged = writeBrief("forged", process.pid, 1_000, hostId(), ["unix:///tmp/forged.sock"]);
    liar.send([Kind.added, "bank", forged], [Kind.removed, "bank", before.id.uuid, 1_001]);
    await settled(liar);
    expect((await queryActor("bank")).id).toEqual(before.id);
    await using after = await findActor("bank", { raiseOnNone: true });
    expect(after.id).toEqual(before.id);
    const { requests } = self.stats().lookups;
    liar.send([Kind.unwatched, "bank"]);
    await settled(liar);
    await using _again = await findActor("bank", { raiseOnNone: true });
    expect(self.stats().lookups.requests).toBe(requests);
  });
});

describe("a peer that has unregistered", () => {
  test("doesn't answer for its name in the registrar, even if it says that it is ready", async () => {
    await using world = new World();
    await using _registrar = await openRootActor({ registryAddrs: [world.unix] });
    await using peer = await RawPeer.register(world.unix, { name: "bank" });
    peer.send([Kind.unregister, 2], [Kind.ready]);
    await peer.take(Kind.result);
    await settled(peer);
    expect(await findActor("bank")).toBeNull();
  });
});

describe("a stranger over tcp", () => {
  test("gets no answer to a ping", async () => {
    await using world = new World();
    await using _actor = await openRootActor(world.options);
    await using peer = await RawPeer.connect(world.tcp);
    peer.send([Kind.ping, 1], [Kind.ping, 2]);
    await peer.ended;
    expect(peer.received.map(([kind]) => kind)).toEqual([Kind.refuse, Kind.bye]);
  });
});

describe("the registrar's clean-up after a peer", () => {
  test.each<[what: string, lock: string]>([
    ["a lock file of another kind", "# this file pins the versions of packages\n"],
    ["an empty file", ""],
    ["another program's note of its pid", "1\n"],
  ])("leaves %s alone, whatever addresses the peer registered", async (_, lock) => {
    await using world = new World();
    const dir = join(world.dir, "project");
    mkdirSync(dir, { mode: 0o700 });
    const registry = `unix://${dir}/registry@1.sock` as const;
    await using registrar = await openRootActor({ registryAddrs: [registry] });
    const path = join(dir, "bun");
    const files = [`${path}.lock`, `${dir}/.s.PGSQL.5432.lock`];
    for (const file of files) writeFileSync(file, lock);
    const database = `${dir}/.s.PGSQL.5432`;
    const listener = Bun.listen({ unix: database, socket: { data() {} } });
    const addrs = [`unix://${path}`, `unix://${database}`] as const;
    const peer = await RawPeer.register(registry, { name: "x", addrs });
    peer.cut();
    await until(() => registrar.stats().registrar?.actors === 1);
    await registrar.cancel();
    expect([...files, database].filter((file) => !existsSync(file))).toEqual([]);
    listener.stop();
  });
});
