/** `callTimeoutMs`: the timeout of calls that set none themselves. */
import { describe, expect, test } from "bun:test";

import { findActor, getRegistry, getRoot, openNursery, TimeoutError } from "../../src/index.ts";
import { failure } from "../support/outcome.ts";
import { until, World } from "../support/world.ts";

const module = new URL("../fixtures/service.ts", import.meta.url);
type Service = typeof import("../fixtures/service.ts");
const drains = new URL("../fixtures/drains.ts", import.meta.url);
type Drains = typeof import("../fixtures/drains.ts");

const isTimeout = { name: "TimeoutError", code: "ERR_TIMEOUT", stage: "call" };

describe("callTimeoutMs", () => {
  test("of startActor bounds the calls of its portal, and aborts their tasks", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const child = await nursery.startActor<Service>("child", { module, callTimeoutMs: 30 });
    const error = await failure(child.run.hang());
    expect(error).toBeInstanceOf(TimeoutError);
    expect(error).toMatchObject(isTimeout);
    expect(error.message).toMatch(/^call of hang on child#\w+ took longer than 30 ms$/);
    // calls that are to come through have more time, whatever else the machine does
    const patient = child.with({ timeout: 60_000 });
    await until(async () => (await patient.run.abortedCalls()) === 1);
    expect(await patient.run.add(1, 2)).toBe(3);
    // derived portals keep it
    const { signal } = new AbortController();
    expect(await failure(child.with({ signal }).run.hang())).toMatchObject(isTimeout);
    // other portals to the actor don't have it
    await using found = await findActor<Service>("child", { raiseOnNone: true });
    const controller = new AbortController();
    const endless = failure(found.with({ signal: controller.signal }).run.hang());
    expect(await failure(child.run.hang())).toMatchObject(isTimeout);
    controller.abort("by the test");
    expect<unknown>(await endless).toBe("by the test");
  });

  test("is overridden by portal.with: by a timeout, or by Infinity for none", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const child = await nursery.startActor<Service>("child", { module, callTimeoutMs: 60_000 });
    const message = (await failure(child.with({ timeout: 20 }).run.hang())).message;
    expect(message).toContain("took longer than 20 ms");
    const short = await nursery.startActor<Service>("short", { module, callTimeoutMs: 20 });
    const controller = new AbortController();
    const { signal } = controller;
    const endless = failure(short.with({ timeout: Number.POSITIVE_INFINITY, signal }).run.hang());
    expect(await failure(short.run.hang())).toMatchObject(isTimeout);
    controller.abort("by the test");
    expect<unknown>(await endless).toBe("by the test");
  });

  test("of the root holds for all calls that actors of its tree make, however they got the portal", async () => {
    await using world = new World();
    await using nursery = await openNursery({ ...world.options, enableModules: [module], callTimeoutMs: 30 });
    const child = await nursery.startActor<Service>("child", { module });
    expect(await failure(child.run.hang())).toMatchObject(isTimeout);
    await using found = await findActor<Service>("child", { raiseOnNone: true });
    expect(await failure(found.run.hang())).toMatchObject(isTimeout);
    await using self = await getRoot<Service>();
    expect(await failure(self.run.hang())).toMatchObject(isTimeout);
    // and for those of the actors below
    const error = await failure(child.with({ timeout: 60_000 }).run.hangIn("root"));
    expect(error).toMatchObject({ name: "RemoteActorError", remoteName: "TimeoutError" });
    await child.with({ timeout: 60_000 }).run.startChild("grandchild");
    await using grandchild = await findActor<Service>("grandchild", { raiseOnNone: true });
    const deep = await failure(grandchild.with({ timeout: 60_000 }).run.hangIn("root"));
    expect(deep).toMatchObject({ name: "RemoteActorError", remoteName: "TimeoutError" });
  });

  test("of startActor comes before the tree's; 0 and Infinity are none", async () => {
    await using world = new World();
    await using nursery = await openNursery({ ...world.options, callTimeoutMs: 30 });
    for (const callTimeoutMs of [0, Number.POSITIVE_INFINITY]) {
      const child = await nursery.startActor<Service>(`child ${callTimeoutMs}`, { module, callTimeoutMs });
      const controller = new AbortController();
      const endless = failure(child.with({ signal: controller.signal }).run.hang());
      await using bounded = await findActor<Service>(`child ${callTimeoutMs}`, { raiseOnNone: true });
      expect(await failure(bounded.run.hang())).toMatchObject(isTimeout);
      controller.abort("by the test");
      expect<unknown>(await endless).toBe("by the test");
    }
  });

  test("bounds neither streams nor dialogs nor the functions of a registrar", async () => {
    await using world = new World();
    await using nursery = await openNursery({ ...world.options, callTimeoutMs: 20 });
    const child = await nursery.startActor<Drains>("child", { module: drains });
    await using registry = await getRegistry();
    const waiting = registry.run.waitForActor("late");
    const stream = child.stream.ticks(true);
    await stream.next();
    const next = stream.next();
    await using dialog = await child.open.talk();
    // meanwhile a call is too slow
    expect(await failure(child.run.sleepFor(60_000))).toMatchObject(isTimeout);
    await nursery.startActor("late", { module });
    expect((await waiting).id.name).toBe("late");
    expect(await child.drainActor()).toBeTrue();
    expect((await next).value).toBe("drains");
    expect(await dialog.result).toBe("closed");
  });

  test("must be a non-negative number", async () => {
    await using world = new World();
    for (const callTimeoutMs of [-1, Number.NaN]) {
      expect(await failure(openNursery({ ...world.options, callTimeoutMs }))).toBeInstanceOf(RangeError);
      await using nursery = await openNursery(world.options);
      expect(await failure(nursery.startActor("child", { module, callTimeoutMs }))).toBeInstanceOf(
        RangeError,
      );
    }
  });
});
