/** A registrar that has just taken over, and a peer by certificate that gives itself out for an actor on its way back. */
import { describe, expect, test } from "bun:test";

import { findActor, openRootActor } from "../../src/index.ts";
import { loadTls } from "../../src/transport/tls.ts";
import { Kind } from "../../src/wire/messages.ts";
import { Authority, writeTls } from "../support/certificates.ts";
import { RawPeer } from "../support/raw-peer.ts";
import { until, World } from "../support/world.ts";

describe("a peer by certificate that claims the pid of an actor that is still to come back", () => {
  test("doesn't end the time in which the actor's name isn't answered as absent", async () => {
    await using world = new World();
    const authority = new Authority();
    const tls = writeTls(world.dir, "server", authority.issue("shop/server"));
    const web = writeTls(world.dir, "web", authority.issue("shop/web"));
    const hub = await world.actor("hub", { security: { tls } });
    const bank = await world.actor("bank", { security: { tls } });
    await using self = await openRootActor({ ...world.options, security: { tls } });
    await bank.freeze();
    await hub.kill();
    await until(() => self.isRegistrar);
    const identity = { name: "web", pid: bank.pid };
    await using peer = await RawPeer.connect(world.tcp, identity, loadTls(web));
    await peer.take(Kind.hello);
    peer.send([Kind.register, 1, []]);
    await peer.take(Kind.result);
    const found = findActor("bank");
    // a lookup that isn't held back is answered in this turn
    await Bun.sleep(0);
    bank.signal("SIGCONT");
    await using portal = await found;
    expect(portal?.id.pid).toBe(bank.pid);
  });
});
