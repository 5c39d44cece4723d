/** `nursery.run`: an actor for one call. */
import { describe, expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";

import {
  ActorDiedError,
  ContextCancelledError,
  currentActor,
  EncodeError,
  findActor,
  NotExposedError,
  openNursery,
  RemoteActorError,
  SpawnError,
  TransportClosedError,
} from "../../src/index.ts";
import { isProcessAlive } from "../../src/transport/runtime-dir.ts";
import { Events } from "../support/events.ts";
import { failure } from "../support/outcome.ts";
import { until, World } from "../support/world.ts";

const module = new URL("../fixtures/once.ts", import.meta.url);
type Once = typeof import("../fixtures/once.ts");

describe("nursery.run", () => {
  test("starts an actor, makes the call, and ends the actor before it resolves", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const events = new Events(nursery);
    expect(await nursery.run<Once, "add">(module, "add", 2, 3)).toBe(5);
    const { name, pid } = await nursery.run<Once, "identity">(module, "identity");
    expect(name).toBe("identity");
    expect(isProcessAlive(pid)).toBeFalse();
    expect(nursery.children).toEqual([]);
    expect(await findActor("identity")).toBeNull();
    expect(currentActor().stats()).toMatchObject({ peers: 0, registrar: { actors: 1 } });
    expect(events.lines).toEqual(["started add", "died add", "started identity", "died identity"]);
    // without a type it takes and gives anything
    expect(await nursery.run(module, "add", 4, 5)).toBe(9);
  });

  test("runs any number at once, each in a process of its own", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const all = await Promise.all(
      Array.from({ length: 4 }, () => nursery.run<Once, "identity">(module, "identity")),
    );
    expect(new Set(all.map(({ pid }) => pid)).size).toBe(4);
    expect(all.some(({ pid }) => isProcessAlive(pid))).toBeFalse();
  });

  test.each([
    ["throws", "fail", ["no"], RemoteActorError, "TypeError: no"],
    ["does not exist", "missing", [], NotExposedError, '"missing"'],
    ["gets what cannot cross", "add", [() => {}], EncodeError, "arguments of add"],
  ] as const)(
    "rejects as the call does when the function %s; nothing else fails",
    async (_, fn, args, type, text) => {
      await using world = new World();
      await using nursery = await openNursery(world.options);
      const error = await failure(nursery.run(module, fn, ...args));
      expect(error).toBeInstanceOf(type);
      expect(error.message).toContain(text);
      expect(nursery.children).toEqual([]);
      expect(nursery.signal.aborted).toBeFalse();
      await nursery.join();
    },
  );

  test("rejects with the actor's death as the cause when it dies; that is not a failed child", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const events = new Events(nursery);
    const sibling = await nursery.startActor("sibling", { module });
    const error = await failure(nursery.run<Once, "die">(module, "die"));
    expect(error).toBeInstanceOf(TransportClosedError);
    expect(error.cause).toBeInstanceOf(ActorDiedError);
    expect(error.cause).toMatchObject({ signal: "SIGKILL", stderr: "last words\n" });
    expect(error.stack).toContain("one-call.test.ts");
    expect(nursery.signal.aborted).toBeFalse();
    expect(isProcessAlive(sibling.id.pid)).toBeTrue();
    const [died] = await events.until(["died die"]);
    expect(died!.error).toBe(error.cause as Error);
  });

  test("keeps the result of a function whose actor fails while it ends", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    expect(await nursery.run<Once, "crashLater">(module, "crashLater")).toBe("returned");
    expect(nursery.signal.aborted).toBeFalse();
  });

  test("rejects with SpawnError when the actor can't be started, or the nursery is closed", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const broken = new URL("../fixtures/broken.ts", import.meta.url);
    expect(await failure(nursery.run(broken, "add"))).toBeInstanceOf(SpawnError);
    expect(nursery.signal.aborted).toBeFalse();
    await nursery.cancel();
    expect(await failure(nursery.run(module, "add", 1, 2))).toBeInstanceOf(SpawnError);
  });

  test("ends with its nursery, with the reason of the nursery's signal", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const file = join(world.dir, "pid");
    const running = failure(nursery.run<Once, "hang">(module, "hang", file));
    await until(() => existsSync(file));
    await nursery.cancel();
    expect(await running).toBeInstanceOf(ContextCancelledError);
    expect(await running).toBe(nursery.signal.reason);
    expect(isProcessAlive(Number(readFileSync(file, "utf8")))).toBeFalse();
  });

  test("neither shares its siblings' restarts nor their failures, as long as the nursery goes on", async () => {
    await using world = new World();
    await using nursery = await openNursery({ ...world.options, strategy: "one-for-all" });
    const events = new Events(nursery);
    const restart = { when: "on-failure", backoffMs: [1, 1] } as const;
    const sibling = await nursery.startActor("sibling", { module, restart });
    const file = join(world.dir, "pid");
    const running = failure(nursery.run<Once, "hang">(module, "hang", file));
    await until(() => existsSync(file));
    process.kill(sibling.id.pid, "SIGKILL");
    await events.until(["restarted sibling"]);
    expect(isProcessAlive(Number(readFileSync(file, "utf8")))).toBeTrue();
    expect(nursery.children.map(({ id }) => id.name)).toEqual(["sibling", "hang"]);
    await nursery.cancel();
    await running;
  });

  test("takes a function whose name is too long for an actor's", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const name = "f".repeat(300);
    const file = join(world.dir, "long.ts");
    await Bun.write(file, `export const ${name} = () => process.argv.at(-1);`);
    expect(await nursery.run(file, name)).toBe("run");
  });
});
