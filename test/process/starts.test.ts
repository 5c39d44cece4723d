/** Many starts at once. */
import { describe, expect, test } from "bun:test";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";

import { openNursery, SpawnError } from "../../src/index.ts";
import { failure } from "../support/outcome.ts";
import { until, World } from "../support/world.ts";

const service = new URL("../fixtures/service.ts", import.meta.url);
const waits = new URL("../fixtures/waits-at-start.ts", import.meta.url);
const places = 2 * availableParallelism() + 4;

/** The running child processes of this one. */
function children(): number {
  return readdirSync("/proc").filter((name) => {
    if (!/^\d+$/.test(name)) return false;
    try {
      const stat = readFileSync(`/proc/${name}/stat`, "utf8");
      const [state, parent] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
      return Number(parent) === process.pid && state !== "Z";
    } catch {
      return false;
    }
  }).length;
}

describe("starts at once", () => {
  test("all succeed within their own timeout, though they take longer than a handshake may", async () => {
    await using world = new World();
    const limits = { handshakeTimeoutMs: 500, dialTimeoutMs: 500 };
    await using nursery = await openNursery({ ...world.options, limits });
    const starts = Array.from({ length: 20 }, (_, at) =>
      nursery.startActor(`actor-${at}`, { module: service, timeout: 60_000 }),
    );
    // this process answers nothing for longer than that
    const blockedUntil = performance.now() + 900;
    while (performance.now() < blockedUntil);
    const settled = await Promise.allSettled(starts);
    expect(settled.filter(({ status }) => status === "rejected")).toEqual([]);
  }, 60_000);

  test("are admitted as the machine can handle them; a waiting one is aborted by its signal before it has a process", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const file = join(world.dir, "go");
    const controller = new AbortController();
    const start = (name: string, options = {}): Promise<unknown> =>
      nursery.startActor(name, { module: waits, env: { WAIT_FOR: file }, ...options });
    const starts = Array.from({ length: places + 4 }, (_, at) => start(`actor-${at}`));
    const aborted = failure(start("aborted", { signal: controller.signal }));
    const late = failure(start("late", { timeout: 50 }));
    await until(() => children() >= places);
    expect(children()).toBe(places);
    const reason = new Error("not wanted");
    controller.abort(reason);
    expect(await aborted).toBe(reason);
    const error = await late;
    expect(error).toBeInstanceOf(SpawnError);
    expect(error.message).toBe(
      `actor "late" did not start: still queued after 50 ms: ${places} other actors are starting`,
    );
    expect(error.cause).toMatchObject({ name: "TimeoutError", stage: "wait" });
    writeFileSync(file, "");
    await Promise.all(starts);
    expect(children()).toBe(places + 4);
  }, 30_000);

  test("that wait end with their nursery", async () => {
    await using world = new World();
    const nursery = await openNursery(world.options);
    const env = { WAIT_FOR: join(world.dir, "go") };
    const starts = Array.from({ length: places + 3 }, (_, at) =>
      failure(nursery.startActor(`actor-${at}`, { module: waits, env })),
    );
    await until(() => children() >= places);
    await nursery[Symbol.asyncDispose]();
    const errors = await Promise.all(starts);
    expect(errors.every((error) => error instanceof SpawnError)).toBe(true);
    expect(errors.slice(places).map(({ message }) => message)).toEqual(
      Array.from(
        { length: 3 },
        (_, at) => `cannot start actor "actor-${places + at}": the nursery is closed`,
      ),
    );
    expect(children()).toBe(0);
  }, 30_000);

  test("that hang delay the others only briefly", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const file = join(world.dir, "go");
    const hanging = Array.from({ length: places }, (_, at) =>
      nursery.startActor(`hanging-${at}`, { module: waits, env: { WAIT_FOR: file } }),
    );
    const other = await nursery.startActor<typeof import("../fixtures/service.ts")>("other", {
      module: service,
    });
    expect(await other.run.add(1, 2)).toBe(3);
    writeFileSync(file, "");
    await Promise.all(hanging);
  }, 30_000);
});
