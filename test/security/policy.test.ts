/** What peers may do, depending on how they proved their identity. */
import { describe, expect, test } from "bun:test";

import type { PeerProof } from "../../src/channel/credentials.ts";
import {
  openNursery,
  openRootActor,
  PermissionDeniedError,
  type PolicyRule,
  type TlsFiles,
} from "../../src/index.ts";
import { Policy } from "../../src/rpc/policy.ts";
import { loadTls } from "../../src/transport/tls.ts";
import { Kind } from "../../src/wire/messages.ts";
import { Authority, writeTls } from "../support/certificates.ts";
import { failure } from "../support/outcome.ts";
import { RawPeer } from "../support/raw-peer.ts";
import { World } from "../support/world.ts";

const service = new URL("../fixtures/service.ts", import.meta.url).href;
type Service = typeof import("../fixtures/service.ts");

const sameUser: PeerProof = { auth: "same-user", uid: 1_000 };
const stranger: PeerProof = { auth: "secret", isOwn: () => false };
const own: PeerProof = { auth: "secret", isOwn: () => true };
const web: PeerProof = { auth: "tls", subject: "shop/web" };
const other: PeerProof = { auth: "tls", subject: "shop/other" };

function mayCall(policy: Policy, proof: PeerProof, name: string): boolean {
  return policy.permissionsOf(proof).mayCall?.(name) ?? true;
}

describe("Policy", () => {
  test("by default lets this user do everything, and others call, look up and register free names", () => {
    const policy = new Policy();
    for (const proof of [sameUser, own, stranger, web]) {
      expect(mayCall(policy, proof, "anything")).toBeTrue();
      expect(policy.permissionsOf(proof).mayRegister("free", [])).toBeTrue();
    }
    expect([sameUser, own, stranger, web].map((proof) => policy.permissionsOf(proof).mayStop())).toEqual([
      true,
      true,
      false,
      false,
    ]);
  });

  test("lets actors of one owner share a name, and only this user take another owner's", () => {
    const policy = new Policy();
    const maySee = (proof: PeerProof, holder: PeerProof): boolean =>
      policy.permissionsOf(proof).mayRegister("name", [holder]);
    expect([maySee(stranger, stranger), maySee(web, web), maySee(own, sameUser)]).toEqual([true, true, true]);
    expect([maySee(stranger, sameUser), maySee(web, sameUser), maySee(web, other)]).toEqual([
      false,
      false,
      false,
    ]);
    expect([maySee(sameUser, web), maySee(own, stranger)]).toEqual([true, true]);
  });

  test("applies the first rule that matches; defaults fill in what it leaves out", () => {
    const policy = new Policy([
      { from: "tls:shop/*", call: ["get*", "ping"], register: ["web-*"] },
      { from: "secret", stop: true },
      { from: "*", call: [] },
    ]);
    expect(["getPrice", "ping", "pings", "drop"].map((name) => mayCall(policy, web, name))).toEqual([
      true,
      true,
      false,
      false,
    ]);
    expect(policy.permissionsOf(web).mayStop()).toBeFalse();
    expect(policy.permissionsOf(web).mayRegister("web-1", [sameUser])).toBeTrue();
    expect(policy.permissionsOf(web).mayRegister("bank", [])).toBeFalse();
    expect(policy.permissionsOf(stranger).mayStop()).toBeTrue();
    expect(mayCall(policy, stranger, "drop")).toBeTrue();
    expect(mayCall(policy, sameUser, "drop")).toBeFalse();
    expect(policy.permissionsOf(sameUser).mayStop()).toBeTrue();
  });

  test.each<[rule: unknown, message: string]>([
    [{ from: "friends" }, 'security.policy[0].from must be "same-user"'],
    [{ call: ["a"] }, "security.policy[0].from must be"],
    [{ from: "tls", call: "a" }, "security.policy[0].call must be an array of names"],
    [{ from: "tls", stop: "no" }, "security.policy[0].stop must be true or false"],
    [{ from: "tls", calls: [] }, 'security.policy[0] has the unknown field "calls"'],
    [null, "security.policy[0] must be an object"],
  ])("refuses %j", (rule, message) => {
    expect(() => new Policy([rule as PolicyRule])).toThrow(message);
  });
});

describe("over TLS", () => {
  test("peers call only what the policy allows, never stop an actor, and are identified by their certificate", async () => {
    await using world = new World();
    const authority = new Authority();
    const tls = (name: string): { tls: ReturnType<typeof writeTls> } => ({
      tls: writeTls(world.dir, name, authority.issue(`shop/${name}`)),
    });
    const server = await world.actor("server", {
      enableTransports: ["tcp"],
      registryAddrs: [world.tcp],
      enableModules: [service],
      security: { ...tls("server"), policy: [{ from: "tls:shop/web", call: ["add", "peer"] }] },
    });
    await using _actor = await openRootActor({
      name: "web",
      registryAddrs: [world.tcp],
      enableTransports: ["tcp"],
      security: tls("web"),
    });
    const { findActor } = await import("../../src/index.ts");
    await using portal = await findActor<Service>("server", { raiseOnNone: true });
    expect(await portal.run.add(1, 2)).toBe(3);
    expect(await portal.run.peer()).toEqual({ auth: "tls", subject: "shop/web" });
    const denied = await failure(portal.run.echo("x"));
    expect(denied).toBeInstanceOf(PermissionDeniedError);
    expect(denied.message).toContain('"echo"');
    // a peer that may not call a function doesn't learn whether it exists
    expect(
      await failure((portal.run as unknown as Record<string, () => Promise<void>>)["nope"]!()),
    ).toBeInstanceOf(PermissionDeniedError);
    const stop = await failure(portal.cancelActor());
    expect(stop).toBeInstanceOf(PermissionDeniedError);
    expect(await server.run(({ furrow }) => furrow.currentActor().signal.aborted)).toBeFalse();
    // nor register the name of another owner's actor
    const thief = await failure(
      world.actor("server", {
        registryAddrs: [world.tcp],
        enableTransports: ["tcp"],
        security: tls("thief"),
      }),
    );
    expect(thief.message).toContain('the name "server"');
  });

  test("a name stays its owner's after an update of what is registered, and while its actors drain", async () => {
    await using world = new World();
    const authority = new Authority();
    const [server, web, thief] = ["server", "web", "thief"].map((name) =>
      writeTls(world.dir, name, authority.issue(`shop/${name}`)),
    );
    await using _actor = await openRootActor({ registryAddrs: [world.tcp], security: { tls: server! } });
    const register = async (tls: TlsFiles): Promise<RawPeer> => {
      const peer = await RawPeer.connect(world.tcp, { name: "shop", pid: 1 }, loadTls(tls));
      await peer.take(Kind.hello);
      peer.send([Kind.register, 1, []]);
      return peer;
    };
    await using first = await register(web!);
    first.send([Kind.update, 2, { zone: "eu" }]);
    await using second = await register(web!);
    for (const peer of [first, second]) {
      expect((await peer.take(Kind.result)).slice(0, 2)).toEqual([Kind.result, 1]);
      peer.send([Kind.update, 3, null, "draining"]);
      while ((await peer.take(Kind.result))[1] !== 3);
    }
    await using other = await register(thief!);
    const [, , [, fault]] = (await other.take(Kind.error)) as unknown as [
      number,
      number,
      [unknown, unknown[]],
    ];
    expect(fault[0]).toBe("PermissionDeniedError");
  });

  test("parents start, call and stop their children", async () => {
    await using world = new World();
    const security = { tls: writeTls(world.dir, "tree", new Authority().issue("tree")) };
    await using nursery = await openNursery({
      registryAddrs: [world.tcp],
      enableTransports: ["tcp"],
      security,
    });
    await using child = await nursery.startActor<Service>("child", { module: service });
    expect(await child.run.add(2, 3)).toBe(5);
    expect(await child.run.peer()).toEqual({ auth: "tls", subject: "tree" });
    expect(await child.cancelActor()).toBeTrue();
    await nursery.join();
  });
});

describe("currentTask().peer", () => {
  test("shows how the caller proved its identity: by the kernel over unix, by the secret over tcp", async () => {
    await using world = new World();
    const peerOf = async (transport: "unix" | "tcp"): Promise<unknown> => {
      await using nursery = await openNursery({
        registryAddrs: [world[transport]],
        enableTransports: [transport],
      });
      const child = await nursery.startActor<Service>("child", { module: service });
      return await child.run.peer();
    };
    const uid = process.platform === "linux" ? { uid: process.getuid?.() } : {};
    expect(await peerOf("unix")).toEqual({ auth: "same-user", ...uid });
    expect(await peerOf("tcp")).toEqual({ auth: "secret" });
  });
});
