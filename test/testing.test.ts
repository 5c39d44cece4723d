/** The testing kit: a tree for each test, faults in it, and what it says about leftovers. */
import { describe, expect, test } from "bun:test";
import { existsSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import {
  ActorDiedError,
  ActorNameError,
  ActorNotFoundError,
  currentActor,
  findActor,
  getPeerByName,
  NoRuntimeError,
  parseAddress,
  queryActor,
  RuntimeExistsError,
  TimeoutError,
  TransportClosedError,
} from "../src/index.ts";
import { testTree } from "../src/testing.ts";
import { isProcessAlive } from "../src/transport/runtime-dir.ts";
import { setTiming } from "./support/timing.ts";
import { Program, until } from "./support/world.ts";
import { failure } from "./support/outcome.ts";

const module = new URL("./fixtures/service.ts", import.meta.url);
type Service = typeof import("./fixtures/service.ts");

async function unixPath(name: string): Promise<string> {
  await using found = await queryActor(name);
  const parsed = parseAddress(found.addr!);
  if (parsed.transport !== "unix") throw new Error(`${found.addr} is no unix address`);
  return parsed.path;
}

/** Whether a dial is taken, at least by the kernel. */
async function dials(path: string): Promise<boolean> {
  try {
    const socket = await Bun.connect({ unix: path, socket: { data() {} } });
    socket.terminate();
    return true;
  } catch {
    return false;
  }
}

describe("testTree", () => {
  test("makes this process the root and registrar of a tree in a directory of its own, and takes both away", async () => {
    const before = process.env["FURROW_RUNTIME_DIR"];
    let dir = "";
    {
      await using tree = await testTree();
      dir = tree.dir;
      expect(currentActor()).toBe(tree.actor);
      expect(tree.actor).toMatchObject({ isRoot: true, isRegistrar: true });
      expect(process.env["FURROW_RUNTIME_DIR"]).toBe(dir);
      const child = await tree.nursery.startActor<Service>("child", { module });
      expect(await child.run.environment("FURROW_RUNTIME_DIR")).toBe(dir);
      expect(readdirSync(dir).some((file) => file.startsWith("child@"))).toBeTrue();
      expect(await tree.leaks()).toEqual([]);
    }
    expect(process.env["FURROW_RUNTIME_DIR"]).toBe(before);
    expect(existsSync(dir)).toBeFalse();
    expect(() => currentActor()).toThrow(NoRuntimeError);
  });

  test("trees one after the other know nothing of each other", async () => {
    const seen: string[] = [];
    for (const round of [1, 2]) {
      await using tree = await testTree({ name: `root-${round}` });
      expect(await findActor("child")).toBeNull();
      expect(await findActor("root-1", { registryAddrs: [...tree.actor.registryAddrs] })).toEqual(
        round === 1 ? expect.anything() : null,
      );
      const child = await tree.nursery.startActor("child", { module });
      expect(tree.actor.stats().registrar).toMatchObject({ actors: 2, names: 2 });
      seen.push(tree.dir, child.id.uuid);
    }
    expect(new Set(seen).size).toBe(4);
  });

  test("puts the environment back as it was, also when there was nothing, or the tree cannot be opened", async () => {
    const before = process.env["FURROW_RUNTIME_DIR"];
    try {
      delete process.env["FURROW_RUNTIME_DIR"];
      await (await testTree())[Symbol.asyncDispose]();
      expect("FURROW_RUNTIME_DIR" in process.env).toBeFalse();
      process.env["FURROW_RUNTIME_DIR"] = before;
      expect(await failure(testTree({ name: "" }))).toBeInstanceOf(ActorNameError);
      expect(process.env["FURROW_RUNTIME_DIR"]).toBe(before);
      await using tree = await testTree();
      expect(await failure(testTree())).toBeInstanceOf(RuntimeExistsError);
      expect(process.env["FURROW_RUNTIME_DIR"]).toBe(tree.dir);
    } finally {
      process.env["FURROW_RUNTIME_DIR"] = before;
    }
  });

  test("its env lets another program join the tree", async () => {
    await using tree = await testTree();
    const program = new Program({ ...tree.env });
    try {
      await program.up;
      await program.run(async ({ furrow }) => {
        await furrow.openRootActor({ name: "other" });
      });
      await using other = await findActor("other", { raiseOnNone: true });
      expect(other.id.pid).toBe(program.pid);
    } finally {
      await program.kill();
    }
    await until(async () => (await findActor("other")) === null);
  });

  test("throws what the tree has failed with, and is gone all the same", async () => {
    const tree = await testTree();
    const child = await tree.nursery.startActor("child", { module });
    await tree.kill("child", "SIGTERM");
    const error = await failure(tree[Symbol.asyncDispose]());
    expect(error).toBeInstanceOf(ActorDiedError);
    expect(error).toMatchObject({ signal: "SIGTERM", actor: { name: "child" } });
    expect(isProcessAlive(child.id.pid)).toBeFalse();
    expect(existsSync(tree.dir)).toBeFalse();
    expect(() => currentActor()).toThrow(NoRuntimeError);
  });
});

describe("faults", () => {
  test("freeze makes an actor silent, thaw lets it go on where it was", async () => {
    await using tree = await testTree();
    const child = await tree.nursery.startActor<Service>("child", { module });
    tree.freeze("child");
    const answer = child.run.add(1, 2);
    expect(await failure(child.with({ timeout: 50 }).run.add(0, 0))).toBeInstanceOf(TimeoutError);
    tree.thaw("child");
    expect(await answer).toBe(3);
  });

  test("an actor that is still frozen does not hold up the end of the tree", async () => {
    let pid = 0;
    {
      await using tree = await testTree();
      const child = await tree.nursery.startActor<Service>("child", { module });
      pid = child.id.pid;
      tree.freeze("child");
    }
    expect(isProcessAlive(pid)).toBeFalse();
  });

  test("kill ends every actor of the name, and resolves when the registry has seen it", async () => {
    await using tree = await testTree();
    const restart = { when: "always", backoffMs: [60_000, 60_000] } as const;
    const twins = await Promise.all(
      [1, 2].map(async () => await tree.nursery.startActor<Service>("twin", { module, restart })),
    );
    const pending = twins.map((twin) => failure(twin.run.hang()));
    await tree.kill("twin");
    expect(await findActor("twin")).toBeNull();
    for (const error of await Promise.all(pending)) expect(error).toBeInstanceOf(TransportClosedError);
    // the nursery's restart policy is not the kit's business: both were to come back
    expect(tree.nursery.signal.aborted).toBeFalse();
    expect(await tree.leaks()).toEqual([]);
  });

  test("kill reaches a frozen actor by any signal", async () => {
    await using tree = await testTree();
    const restart = { when: "always", backoffMs: [60_000, 60_000] } as const;
    const child = await tree.nursery.startActor("child", { module, restart });
    tree.freeze("child");
    await tree.kill("child", "SIGTERM");
    await until(() => !isProcessAlive(child.id.pid));
  });

  test("cut ends the connection without a goodbye; both actors live on, and connect again", async () => {
    await using tree = await testTree();
    const child = await tree.nursery.startActor<Service>("child", { module });
    const pid = await child.run.startChild("grandchild");
    const grandchild = await findActor<Service>("grandchild", { raiseOnNone: true });
    const pending = failure(grandchild.run.hang());
    expect(await grandchild.run.add(1, 1)).toBe(2); // so the call before has arrived
    tree.cut("grandchild");
    expect(await pending).toBeInstanceOf(TransportClosedError);
    expect((await grandchild.closed).reason).not.toBe("peer-closed");
    expect(isProcessAlive(pid)).toBeTrue();
    // it registers anew by itself
    await until(async () => {
      await using again = await findActor<Service>("grandchild");
      return again !== null && (await again.run.abortedCalls()) === 1;
    });
    await using again = await findActor("grandchild", { raiseOnNone: true });
    expect(again.id.pid).toBe(pid);
  });

  test("stall holds back what an actor sends, and loses nothing of it", async () => {
    await using tree = await testTree();
    const child = await tree.nursery.startActor<Service>("child", { module });
    const order: string[] = [];
    const stalled = tree.stall("child", 100).then(() => order.push("stalled"));
    const answers = [1, 2, 3].map(async (n) => order.push(`answer ${await child.run.add(n, 0)}`));
    await Promise.all([stalled, ...answers]);
    expect(order).toEqual(["stalled", "answer 1", "answer 2", "answer 3"]);
  });

  test("fillBacklog has dials refused until it is disposed", async () => {
    await using tree = await testTree();
    const child = await tree.nursery.startActor<Service>("child", { module });
    const path = await unixPath("child");
    expect(await dials(path)).toBeTrue();
    {
      await using _full = await tree.fillBacklog("child");
      expect(await dials(path)).toBeFalse();
    }
    expect(await child.run.add(1, 1)).toBe(2);
    expect(await dials(path)).toBeTrue();
  });

  test("refuse a name that no actor has, and this process's own", async () => {
    await using tree = await testTree();
    for (const verb of ["freeze", "thaw", "cut"] as const) {
      expect(() => tree[verb]("nobody")).toThrow(ActorNotFoundError);
    }
    for (const failing of [tree.kill("nobody"), tree.stall("nobody", 1), tree.fillBacklog("nobody")]) {
      expect(await failure(failing)).toBeInstanceOf(ActorNotFoundError);
    }
    expect(() => tree.freeze("root")).toThrow("can't inject faults into itself");
    expect((await failure(tree.kill("root"))).message).toContain("can't inject faults into itself");
    expect(getPeerByName("nobody")).toBeNull();
  });
});

describe("leaks", () => {
  test("names the process that outlives its actor, and the file without an owner; so does the end of the tree", async () => {
    const tree = await testTree();
    const program = new Program({ ...tree.env });
    try {
      await program.up;
      await program.run(async ({ furrow, keep }) => {
        keep["actor"] = await furrow.openRootActor({ name: "lingers" });
      });
      expect(await tree.leaks()).toEqual([]);
      using _ = setTiming({ settleMs: 100 });
      await program.run(async ({ keep }) => {
        await (keep["actor"] as AsyncDisposable)[Symbol.asyncDispose]();
      });
      const file = "stale@99999999.sock";
      writeFileSync(join(tree.dir, file), "");
      expect(await tree.leaks()).toEqual([`process ${program.pid} ("lingers")`, `file ${file}`]);
      rmSync(join(tree.dir, file));
      const error = await failure(tree[Symbol.asyncDispose]());
      expect(error.message).toBe(`the tree left behind: process ${program.pid} ("lingers")`);
      expect(existsSync(tree.dir)).toBeFalse();
    } finally {
      await program.kill();
    }
  });
});
