/** Which socket files go, when, and by whom: only those whose lock proves that their owner is dead. */
import { describe, expect, test } from "bun:test";
import { existsSync, lstatSync, readdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";

import { type Address, openRootActor } from "../../src/index.ts";
import { formatHolder, lockFile } from "../../src/transport/socket-lock.ts";
import { Kind } from "../../src/wire/messages.ts";
import { RawPeer } from "../support/raw-peer.ts";
import { Program, until, World } from "../support/world.ts";

const unixOnly = { enableTransports: ["unix"] };
const branches = new URL("../fixtures/branches.ts", import.meta.url).href;

const unshare = ["unshare", "-p", "-f", "--mount-proc", "--kill-child"];
const canUnshare =
  process.platform === "linux" && Bun.spawnSync([...unshare, "true"], { stderr: "ignore" }).exitCode === 0;
if (!canUnshare) console.warn("pid namespaces: skipped, unshare is not permitted here");

/** A program in a pid namespace of its own, which shares the directory. Disposing it ends both processes. */
async function isolated(world: World): Promise<Program & AsyncDisposable> {
  const program = new Program({ ...world.env, FURROW_REGISTRY_ADDRS: world.unix }, unshare);
  await program.up;
  return Object.assign(program, { [Symbol.asyncDispose]: () => program.kill() });
}

async function open(program: Program, name: string): Promise<string> {
  const addrs = await program.run(
    async ({ furrow, keep, args }) => {
      const actor = await furrow.openRootActor(args[0] as object);
      keep["actor"] = actor;
      return [...actor.addrs];
    },
    { name, ...unixOnly },
  );
  return addrs[0]!.slice("unix://".length);
}

function pathOf(addr: Address | undefined): string {
  return addr!.slice("unix://".length);
}

/** A socket file that nobody serves, without a lock beside it. */
function staleSocket(path: string): void {
  const listener = Bun.listen({ unix: `${path}.moved`, socket: { data() {} } });
  renameSync(`${path}.moved`, path);
  listener.stop(); // removes what is at the path that it was given, and leaves this one
}

test("an actor's socket that was removed is bound again, so that the actor is found again", async () => {
  await using world = new World();
  await world.actor("hub", unixOnly, { FURROW_REGISTRY_ADDRS: world.unix });
  const target = await world.actor("target", unixOnly, { FURROW_REGISTRY_ADDRS: world.unix });
  const seeker = await world.actor("seeker", unixOnly, { FURROW_REGISTRY_ADDRS: world.unix });
  const [addr] = await target.run(({ furrow }) => furrow.currentActor().addrs);
  rmSync(pathOf(addr));
  const find = (): Promise<string | undefined> =>
    seeker.run(async ({ furrow }) => {
      await using portal = await furrow.findActor("target");
      return portal?.id.name;
    });
  await until(async () => (await find()) === "target");
  await target.run(({ furrow }) => furrow.currentActor().cancel());
  expect(existsSync(pathOf(addr))).toBeFalse();
});

describe("a boot's sweep", () => {
  test("removes what killed processes left, and nothing that is not a socket or has no lock", async () => {
    await using world = new World();
    const env = { FURROW_REGISTRY_ADDRS: world.unix };
    const hub = await world.actor("hub", unixOnly, env);
    const dead = await world.actor("dead", unixOnly, env);
    const [left] = await dead.run(({ furrow }) => furrow.currentActor().addrs);
    writeFileSync(join(world.dir, "notes@4194304.sock"), "mine");
    staleSocket(join(world.dir, "foreign@4194304.sock"));
    // both at once, so that no registrar is there to clean up
    await Promise.all([hub.kill(), dead.kill()]);
    expect(existsSync(pathOf(left))).toBeTrue();
    await world.actor("sweeper", unixOnly, env);
    expect(
      readdirSync(world.dir)
        .filter((file) => /@\d{3,}\.sock/.test(file))
        .toSorted(),
    ).toEqual(["foreign@4194304.sock", "notes@4194304.sock"]);
  });

  test.skipIf(!canUnshare)("leaves the live sockets of another pid namespace alone", async () => {
    await using world = new World();
    const hub = await world.actor("hub", unixOnly, { FURROW_REGISTRY_ADDRS: world.unix });
    const [addr] = await hub.run(({ furrow }) => furrow.currentActor().addrs);
    const out = await world.actor("outside", unixOnly, { FURROW_REGISTRY_ADDRS: world.unix });
    const [kept] = await out.run(({ furrow }) => furrow.currentActor().addrs);
    await using inside = await isolated(world);
    const inner = await open(inside, "inside");
    await using second = await isolated(world);
    await open(second, "second");
    await world.actor("after", unixOnly, { FURROW_REGISTRY_ADDRS: world.unix });
    expect([pathOf(addr), pathOf(kept), inner].map((path) => existsSync(path))).toEqual([true, true, true]);
  });
});

describe("a fresh socket file", () => {
  test.skipIf(!canUnshare)("has another name where a process of the same name and id has it", async () => {
    await using world = new World();
    const hub = await world.actor("hub", unixOnly, { FURROW_REGISTRY_ADDRS: world.unix });
    await using one = await isolated(world);
    await using two = await isolated(world);
    const paths = [await open(one, "same"), await open(two, "same")];
    expect(new Set(paths).size).toBe(2);
    expect(paths.map((path) => lstatSync(path).isSocket())).toEqual([true, true]);
    const found = await hub.run(async ({ furrow }) => {
      await using group = await furrow.findActor("same", { onlyFirst: false });
      return group.length;
    });
    expect(found).toBe(2);
  });
});

describe("a registrar", () => {
  test("removes at the end of a root what processes left that died after its boot", async () => {
    await using world = new World();
    const actor = await openRootActor({ registryAddrs: [world.unix] });
    const path = join(dirname(pathOf(world.unix)), "late@999999.sock");
    staleSocket(path);
    const holder = { pid: 999_999, name: "late", uuid: "late", root: "late", addrs: [`unix://${path}`] };
    writeFileSync(lockFile(path), formatHolder(holder));
    await actor.cancel();
    expect([existsSync(path), existsSync(lockFile(path))]).toEqual([false, false]);
  });

  test("removes the socket file of a registered actor that was killed", async () => {
    await using world = new World();
    await world.actor("hub", unixOnly, { FURROW_REGISTRY_ADDRS: world.unix });
    const dead = await world.actor("dead", unixOnly, { FURROW_REGISTRY_ADDRS: world.unix });
    const [left] = await dead.run(({ furrow }) => furrow.currentActor().addrs);
    await dead.kill();
    await until(() => !existsSync(pathOf(left)) && !existsSync(`${pathOf(left)}.lock`));
  });

  test("removes no socket because a peer says that it was its own", async () => {
    await using world = new World();
    await using elsewhere = new World();
    const hub = await world.actor("hub", unixOnly, { FURROW_REGISTRY_ADDRS: world.unix });
    const victim = await world.actor("victim", unixOnly, { FURROW_REGISTRY_ADDRS: world.unix });
    const [live] = await victim.run(({ furrow }) => furrow.currentActor().addrs);
    // named after a process that is dead: a name proves nothing
    const dead = Bun.spawnSync(["true"]).pid;
    const far = join(elsewhere.dir, `third@${dead}.sock`);
    const third = Bun.listen({ unix: far, socket: { data() {} } });
    const named = join(world.dir, `named@${dead}.sock`);
    const here = Bun.listen({ unix: named, socket: { data() {} } });
    try {
      for (const addr of [`unix://${far}`, live!, `unix://${named}`] as Address[]) {
        const liar = await RawPeer.connect(world.unix, { name: "liar", addrs: [addr] });
        liar.send([Kind.register, 1, [addr]]);
        await liar.take(Kind.result);
        liar.cut();
        await liar.ended;
      }
      // all that it heard before has been dealt with when this is answered
      await until(() => hub.run(({ furrow }) => furrow.currentActor().stats().peers === 1));
      await Bun.sleep(0);
      await hub.run(async ({ furrow }) => await furrow.queryActor("victim"));
      expect([far, pathOf(live), named].map((path) => existsSync(path))).toEqual([true, true, true]);
    } finally {
      third.stop();
      here.stop();
    }
  });
});

describe("an orderly end", () => {
  test("leaves no socket file of a subtree that was killed just before", async () => {
    const left: string[] = [];
    for (let round = 0; round < 4; round++) {
      await using world = new World();
      const env = { FURROW_REGISTRY_ADDRS: world.unix };
      // as registrar, and as a guest of another program's
      if (round % 2 === 1) await world.actor("hub", unixOnly, env);
      const top = await world.program(env);
      await top.run(
        async ({ furrow, args }) => {
          const actor = await furrow.openRootActor(args[1] as object);
          const nursery = await furrow.openNursery();
          const branch = await nursery.startActor("branch", { module: args[0] as string, output: "ignore" });
          void (branch.run as unknown as { work(depth: number): Promise<void> }).work(1).catch(() => {});
          await using _leaf = await furrow.waitForActor("branchl");
          process.kill(branch.id.pid, "SIGKILL");
          try {
            await nursery[Symbol.asyncDispose]();
          } catch {}
          await actor.cancel();
        },
        branches,
        unixOnly,
      );
      left.push(
        ...readdirSync(world.dir).filter((file) => !file.startsWith("registry") && basename(file) !== ""),
      );
      if (round % 2 === 0) left.push(...readdirSync(world.dir));
    }
    expect(left).toEqual([]);
  }, 30_000);
});
