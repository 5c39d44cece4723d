/** Which peers get in, and what the others learn: other users, and peers without the secret or with another one. */
import { describe, expect, test } from "bun:test";
import { chmodSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { join } from "node:path";

import {
  type Address,
  findActor,
  openNursery,
  openRootActor,
  RegistryUnavailableError,
  UnauthenticatedError,
} from "../../src/index.ts";
import { Kind } from "../../src/wire/messages.ts";
import { RawPeer, rawHello } from "../support/raw-peer.ts";
import { failure } from "../support/outcome.ts";
import { Program, until, World } from "../support/world.ts";

/** An unprivileged user of this machine. */
const nobody = 65_534;
const canBeOthers = process.platform === "linux" && process.getuid?.() === 0;
if (!canBeOthers)
  console.warn("strangers.test.ts: tests with another user are skipped: they need linux and root");

/** A folder for another user, who can also reach the world's registry: the weakest permissions possible. */
async function programOfAnother(world: World, env: Record<string, string> = {}): Promise<Program> {
  const dir = `${world.dir}/other`;
  mkdirSync(dir, { recursive: true });
  for (const door of [process.env["FURROW_RUNTIME_DIR"]!, world.dir, dir]) chmodSync(door, 0o777);
  const command = ["setpriv", `--reuid=${nobody}`, `--regid=${nobody}`, "--clear-groups"];
  const program = new Program({ ...world.env, FURROW_RUNTIME_DIR: `${dir}/run`, ...env }, command);
  await program.up;
  return program;
}

describe.skipIf(!canBeOthers)("another user of the machine", () => {
  test("can't look up, call or stop an actor over a unix socket, even if its permissions admit everyone", async () => {
    await using world = new World();
    await using nursery = await openNursery({ registryAddrs: [world.unix] });
    await nursery.startActor("victim", { module: new URL("../fixtures/service.ts", import.meta.url) });
    await using other = asDisposable(await programOfAnother(world));
    chmodSync(world.unix.slice("unix://".length), 0o777);
    const errors = await other.run(async ({ furrow, args }) => {
      const failed = async (work: Promise<unknown>): Promise<string> =>
        await work.then(
          () => "let in",
          (error: Error & { code?: string }) => error.code ?? error.message,
        );
      const registryAddrs = args as Address[];
      return [
        await failed(furrow.openRootActor({ registryAddrs })),
        await furrow.openRootActor({ registryAddrs: ["unix:///tmp/nowhere-of-nobody.sock"] }).then(
          async () => [
            await failed(furrow.findActor("victim", { registryAddrs })),
            await failed(furrow.getRegistry(registryAddrs[0])),
          ],
          (error: Error) => [error.message],
        ),
      ];
    }, world.unix);
    expect(errors[0]).toBe("ERR_UNAUTHENTICATED");
    expect(nursery.signal.aborted).toBeFalse();
  });

  test("can't become the registrar that this user's programs join: it isn't trusted at the registry address", async () => {
    await using world = new World();
    const path = join(`${world.dir}/other`, "registry@1.sock");
    await using other = asDisposable(await programOfAnother(world));
    await other.run(async ({ furrow, args }) => {
      await furrow.openRootActor({ registryAddrs: [args[0] as Address] });
    }, `unix://${path}`);
    chmodSync(path, 0o777);
    const error = await failure(openRootActor({ registryAddrs: [`unix://${path}`] }));
    expect(error).toBeInstanceOf(UnauthenticatedError);
    expect(error.message).toContain(`uid ${nobody}`);
  });

  test("can't do so over loopback tcp either, without the secret", async () => {
    await using world = new World();
    await using actor = await openRootActor({ registryAddrs: [world.tcp], enableTransports: ["tcp"] });
    await using other = asDisposable(
      await programOfAnother(world, { FURROW_SECRET: "a guess of the other user" }),
    );
    const code = await other.run(async ({ furrow, args }) => {
      const registryAddrs = args as Address[];
      return await furrow.openRootActor({ registryAddrs, name: "intruder" }).then(
        () => "let in",
        (error: Error & { code?: string }) => error.code,
      );
    }, world.tcp);
    expect(code).toBe("ERR_UNAUTHENTICATED");
    expect(actor.stats().registrar?.actors).toBe(1);
  });

  test("boots a registry of its own without any configuration", async () => {
    await using world = new World();
    const env = { FURROW_RUNTIME_DIR: "", XDG_RUNTIME_DIR: "", FURROW_REGISTRY_ADDRS: "", TMPDIR: world.dir };
    await using mine = asDisposable(new Program({ ...process.env, ...env }));
    await using theirs = asDisposable(await programOfAnother(world, env));
    const boot = async (program: Program): Promise<readonly [boolean, readonly string[]]> =>
      await program.run(async ({ furrow }) => {
        const actor = await furrow.openRootActor();
        return [actor.isRegistrar, actor.addrs] as const;
      });
    const [one, two] = [await boot(mine), await boot(theirs)];
    expect([one[0], two[0]]).toEqual([true, true]);
    expect(one[1]).toEqual([`unix://${world.dir}/furrow-0/registry@1616.sock`]);
    expect(two[1]).toEqual([`unix://${world.dir}/furrow-${nobody}/registry@1616.sock`]);
  });
});

function asDisposable(program: Program): Program & AsyncDisposable {
  return Object.assign(program, { [Symbol.asyncDispose]: () => program.kill() });
}

describe("a stranger over tcp", () => {
  test("learns nothing but the protocol version: no name, no uuid, no address", async () => {
    await using world = new World();
    await using actor = await openRootActor({ ...world.options, name: "secretive" });
    for (const hello of [
      rawHello({ name: "stranger" }),
      rawHello({ name: "stranger", target: actor.uuid }),
      [Kind.hello, 1, "u", "", "", 0, "probe", [], false, null, new Uint8Array(16), new Uint8Array(32)],
    ] as const) {
      await using peer = await RawPeer.connect(world.tcp);
      peer.send(hello);
      await peer.ended;
      expect(peer.received).toEqual([
        [Kind.refuse, "unauthenticated", "", ""],
        [Kind.bye, "unauthenticated"],
      ]);
    }
    await using odd = await RawPeer.connect(world.tcp);
    odd.send(rawHello({ version: 7 }));
    await odd.ended;
    expect(odd.received[0]?.slice(0, 3)).toEqual([
      Kind.refuse,
      "version",
      "the peer speaks protocol version 7, this is version 1",
    ]);
  });

  test("may send frames of at most 4 KiB", async () => {
    await using world = new World();
    await using _actor = await openRootActor(world.options);
    await using peer = await RawPeer.connect(world.tcp);
    // a shorter one is read, and refused
    peer.send(rawHello({ addrs: Array(400).fill("tcp://[::1]:1") as Address[] }));
    await peer.ended;
    expect(peer.received).toEqual([]);
  });

  test("can't replay what it overheard: a proof is bound to its connection", async () => {
    await using world = new World();
    await using actor = await openRootActor(world.options);
    // a complete successful handshake, as an eavesdropper records it
    await using honest = await RawPeer.connect(world.tcp, { name: "honest" });
    await until(() => actor.stats().peers === 1);
    const [knock, proof] = honest.sent;
    honest.cut();
    await until(() => actor.stats().peers === 0);
    await using replayed = await RawPeer.connect(world.tcp);
    replayed.sendBytes(Buffer.concat([knock!, proof!]));
    expect(await replayed.take()).toEqual([Kind.refuse, "unauthenticated", "", ""]);
    await replayed.ended;
    expect(actor.stats().peers).toBe(0);
  });

  test("doesn't lock others out by staying silent, however many connect", async () => {
    await using world = new World();
    await using actor = await openRootActor({
      ...world.options,
      limits: { maxConnections: 8, maxStrangers: 16 },
    });
    const silent = await Promise.all(Array.from({ length: 64 }, () => RawPeer.connect(world.tcp)));
    const guest = await world.actor("guest", { registryAddrs: [world.tcp], enableTransports: ["tcp"] });
    const other = await world.actor("other");
    expect(actor.stats().registrar?.actors).toBe(3);
    await Promise.all([guest.kill(), other.kill(), ...silent.map((peer) => peer[Symbol.asyncDispose]())]);
  });
});

describe("the secret", () => {
  test("is created by the first actor that needs it, private to this user, and shared throughout the runtime directory", async () => {
    await using world = new World();
    const env = { FURROW_SECRET: "" };
    const options = { registryAddrs: [world.tcp], enableTransports: ["tcp"] };
    const programs = await Promise.all(["a", "b", "c", "d"].map((name) => world.actor(name, options, env)));
    const file = join(world.dir, "secret");
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(readFileSync(file, "utf8")).toMatch(/^[0-9a-f]{64}\n$/);
    const names = await programs[0]!.run(async ({ furrow }) => {
      await using registry = await furrow.getRegistry();
      return (await registry.run.listActors()).map(({ id }) => id.name).toSorted();
    });
    expect(names).toEqual(["a", "b", "c", "d"]);
  });

  test("is neither created nor read if only unix is used", async () => {
    await using world = new World();
    await world.actor(
      "a",
      { registryAddrs: [world.unix], enableTransports: ["unix"] },
      { FURROW_SECRET: "" },
    );
    expect(statSync(join(world.dir, "secret"), { throwIfNoEntry: false })).toBeUndefined();
  });

  test("is an UnauthenticatedError if it differs, which says where this side's came from", async () => {
    await using world = new World();
    await world.actor("hub", {}, { FURROW_SECRET: "one secret of this machine" });
    const error = await failure(
      openRootActor({ registryAddrs: [world.tcp], security: { secret: "another secret of it" } }),
    );
    expect(error).toBeInstanceOf(UnauthenticatedError);
    expect(error.message).toContain("the option security.secret");
    await using elsewhere = new World();
    await using _actor = await openRootActor({ registryAddrs: [elsewhere.unix] });
    const lookup = await failure(findActor("hub", { registryAddrs: [world.tcp] }));
    expect(lookup).toBeInstanceOf(RegistryUnavailableError);
    expect(lookup.cause).toBeInstanceOf(UnauthenticatedError);
  });

  test("can come from a file, for both sides, and children inherit it", async () => {
    await using world = new World();
    const file = join(world.dir, "shared-secret");
    writeFileSync(file, "the same for all of them\n", { mode: 0o600 });
    await world.actor(
      "hub",
      {},
      { FURROW_SECRET_FILE: file, FURROW_SECRET: "not this one, though it's there" },
    );
    const options = { registryAddrs: [world.tcp], enableTransports: ["tcp" as const] };
    await using nursery = await openNursery({ ...options, security: { secret: { file } } });
    await using child = await nursery.startActor<typeof import("../fixtures/service.ts")>("child", {
      module: new URL("../fixtures/service.ts", import.meta.url),
    });
    expect(await child.run.find("hub")).toBeString();
  });

  test.each<[what: string, text: string, mode: number, message: string]>([
    ["a file that every user can read", "long enough for a secret", 0o604, "chmod 600"],
    ["a file with too short a secret", "short", 0o600, "has 5 B, fewer than 16"],
    ["a file that isn't there", "", 0, "cannot read the secret"],
  ])("in %s fails the boot, and says what to do", async (_, text, mode, message) => {
    await using world = new World();
    const file = join(world.dir, "bad");
    if (text !== "") writeFileSync(file, text);
    if (text !== "") chmodSync(file, mode);
    const error = await failure(
      openRootActor({ registryAddrs: [world.tcp], security: { secret: { file } } }),
    );
    expect(error).toBeInstanceOf(UnauthenticatedError);
    expect(error.message).toContain(message);
    expect(error.message).toContain(file);
    rmSync(file, { force: true });
  });
});

describe.skipIf(!canBeOthers)(
  "another user who listens at a name that resembles the registry's socket",
  () => {
    test.each<[what: string, name: string]>([
      ["an abstract name", "\\0x "],
      ["a path of his own", "x "],
    ])("doesn't keep it from being served again after a kill: %s", async (_, prefix) => {
      await using world = new World();
      const registryAddrs = [world.unix];
      const path = world.unix.slice("unix://".length);
      const hub = await world.actor("hub", { registryAddrs, enableTransports: ["unix"] });
      const dir = `${world.dir}/other`;
      mkdirSync(`${dir}/x ${world.dir}`, { recursive: true });
      for (const door of [process.env["FURROW_RUNTIME_DIR"]!, world.dir, `${dir}/x ${world.dir}`])
        chmodSync(door, 0o777);
      const script = `process.chdir(${JSON.stringify(dir)}); Bun.listen({ unix: "${prefix}${path}", socket: { data() {} } }); console.log("up");`;
      const user = ["setpriv", `--reuid=${nobody}`, `--regid=${nobody}`, "--clear-groups"];
      const other = Bun.spawn([...user, process.execPath, "-e", script], {
        stdout: "pipe",
        stderr: "inherit",
      });
      try {
        await other.stdout.getReader().read();
        chmodSync(world.dir, 0o700);
        await hub.kill();
        await using actor = await openRootActor({ registryAddrs });
        expect(actor.isRegistrar).toBeTrue();
      } finally {
        other.kill("SIGKILL");
        await other.exited;
      }
    });
  },
);

describe.skipIf(process.platform !== "linux")("refused strangers", () => {
  test("hold at most maxStrangers descriptors if they don't hang up", async () => {
    await using world = new World();
    const { process: hub } = await world.actor("hub", { limits: { maxStrangers: 16 } });
    const descriptors = (): number => readdirSync(`/proc/${hub.pid}/fd`).length;
    const before = descriptors();
    const { port } = new URL(world.tcp);
    const refused: Socket[] = [];
    while (refused.length < 200) {
      const socket = connect({ host: "127.0.0.1", port: Number(port), allowHalfOpen: true });
      refused.push(socket);
      socket.write(new Uint8Array([3, 0, 0, 0, 0x92, Kind.ping, 1]));
      socket.resume();
      await Promise.race([once(socket, "end"), once(socket, "close")]);
    }
    expect(descriptors() - before).toBeLessThanOrEqual(16);
    for (const socket of refused) socket.destroy();
  });
});
