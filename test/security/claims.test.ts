/** A uuid claimed by a peer with few rights: that changes nothing for the actor that has the uuid. */
import { describe, expect, test } from "bun:test";
import { chmodSync, mkdirSync } from "node:fs";

import { getRegistry, openNursery, openRootActor } from "../../src/index.ts";
import type { Registration } from "../../src/discovery/registration.ts";
import { encodeFailure } from "../../src/rpc/remote-error.ts";
import { hostId } from "../../src/transport/host.ts";
import { loadTls } from "../../src/transport/tls.ts";
import { Kind } from "../../src/wire/messages.ts";
import { Authority, writeTls } from "../support/certificates.ts";
import { RawPeer, RawRegistrar } from "../support/raw-peer.ts";
import { Program, World } from "../support/world.ts";

/** An unprivileged user of this machine. */
const nobody = 65_534;
const canBeOthers = process.platform === "linux" && process.getuid?.() === 0;
const service = new URL("../fixtures/service.ts", import.meta.url);
const rawPeer = new URL("../support/raw-peer.ts", import.meta.url).pathname;

async function registered(name: string): Promise<Registration[]> {
  await using registry = await getRegistry();
  return await registry.run.findActors(name);
}

describe("a peer by certificate that claims an actor's uuid and pid", () => {
  test.each([false, true])(
    "doesn't hinder this user's own actor, even if it comes first (registered: %p)",
    async (registers) => {
      await using world = new World();
      const authority = new Authority();
      const tls = writeTls(world.dir, "server", authority.issue("shop/server"));
      const web = writeTls(world.dir, "web", authority.issue("shop/web"));
      await using _registrar = await openRootActor({ ...world.options, security: { tls } });
      const uuid = crypto.randomUUID();
      await using thief = await RawPeer.connect(world.tcp, { name: "bank", uuid }, loadTls(web));
      await thief.take(Kind.hello);
      if (registers) {
        thief.send([Kind.register, 1, ["unix:///tmp/thief.sock"]]);
        expect((await thief.take(Kind.result))[1]).toBe(1);
      }
      const addrs = ["unix:///tmp/bank.sock"] as const;
      await using bank = await RawPeer.connect(world.unix, { name: "bank", uuid, addrs });
      expect((await bank.take())[0]).toBe(Kind.hello);
      bank.send([Kind.register, 1, addrs]);
      expect((await bank.take())[0]).toBe(Kind.result);
      expect((await registered("bank")).at(-1)?.addrs).toEqual([...addrs]);
      thief.send([Kind.register, 2, ["unix:///tmp/thief.sock"]]);
      expect((await thief.take()).slice(0, 2)).toEqual([Kind.error, 2]);
      expect((await registered("bank")).at(-1)?.addrs).toEqual([...addrs]);
    },
  );
});

describe.skipIf(!canBeOthers)("another user with the secret", () => {
  test("can't knock as an actor that is yet to connect, and take its place once it has", async () => {
    await using world = new World();
    await using _registrar = await openRootActor(world.options);
    const uuid = crypto.randomUUID();
    const dir = `${world.dir}/other`;
    mkdirSync(dir);
    for (const door of [process.env["FURROW_RUNTIME_DIR"]!, world.dir, dir]) chmodSync(door, 0o777);
    const command = ["setpriv", `--reuid=${nobody}`, `--regid=${nobody}`, "--clear-groups"];
    const env = { ...world.env, FURROW_RUNTIME_DIR: `${dir}/run` };
    const thief = new Program(env, command);
    try {
      await thief.up;
      await thief.run(
        async ({ keep, args: [module, addr, identity] }) => {
          const { RawPeer: Raw } = (await import(module as string)) as { RawPeer: typeof RawPeer };
          const go = Promise.withResolvers<void>();
          const peer = new Raw();
          keep["peer"] = peer;
          keep["go"] = go.resolve;
          keep["dialled"] = peer.dial(addr as `tcp://${string}`, identity as object, undefined, go.promise);
          while (peer.received.length === 0) await Bun.sleep(1);
        },
        rawPeer,
        world.tcp,
        { name: "bank", uuid, pid: process.pid, host: hostId() },
      );
      const addrs = ["unix:///tmp/bank.sock"] as const;
      await using _bank = await RawPeer.register(world.unix, { name: "bank", uuid, addrs });
      const [kind] = await thief.run(async ({ keep }) => {
        const peer = keep["peer"] as RawPeer;
        (keep["go"] as () => void)();
        await keep["dialled"];
        await peer.take(0);
        peer.send([32, 1, ["unix:///tmp/thief.sock"]]);
        return await peer.take();
      });
      expect(kind).toBe(Kind.error);
      expect((await registered("bank")).map(({ addrs: at }) => at)).toEqual([[...addrs]]);
    } finally {
      await thief.kill();
    }
  });
});

describe("a peer by certificate that claims to be a child", () => {
  test.each(["peer", "further"])("tells its parent nothing (%s)", async (purpose) => {
    await using world = new World();
    const authority = new Authority();
    const tls = writeTls(world.dir, "server", authority.issue("shop/server"));
    const web = writeTls(world.dir, "web", authority.issue("shop/web"));
    await using nursery = await openNursery({ ...world.options, security: { tls } });
    await using child = await nursery.startActor("child", { module: service });
    const { uuid, pid } = child.id;
    await using liar = await RawPeer.connect(world.tcp, { name: "child", uuid, pid, purpose }, loadTls(web));
    await liar.take();
    if (liar.isOpen && purpose === "further") {
      const forged = encodeFailure(new Error("forged"), child.id);
      liar.send([Kind.failed, forged], [Kind.stopping], [Kind.ping, 1]);
      await liar.take(Kind.pong);
    }
    expect(await child.cancelActor()).toBeTrue();
    await nursery.join();
  });
});

describe("a peer that isn't the parent", () => {
  test("can't name a child another registrar", async () => {
    await using world = new World();
    await using evil = new RawRegistrar();
    await using nursery = await openNursery(world.options);
    const child = await nursery.startActor("child", { module: service });
    await using liar = await RawPeer.connect(child.addr, { name: "liar" });
    await liar.take(Kind.hello);
    liar.send([Kind.registrars, [["evil", evil.uuid, [evil.addr]]]], [Kind.ping, 1]);
    await liar.take(Kind.pong);
    // what the child is told is ahead of its answer to this
    await child.drainActor();
    await nursery.join();
    expect(evil.peers).toEqual([]);
  });
});
