import { describe, expect, test } from "bun:test";

import { Admission } from "../../src/tree/admission.ts";

const never = new AbortController().signal;

describe("Admission", () => {
  test("has so many places, and admits those who wait in the order of their coming", async () => {
    const admission = new Admission(2);
    const [first, second] = [admission.tryEnter()!, admission.tryEnter()!];
    expect(admission.tryEnter()).toBeUndefined();
    const admitted: string[] = [];
    const waiting = ["a", "b", "c"].map(async (name) => {
      const leave = await admission.enter(never);
      admitted.push(name);
      return leave;
    });
    expect(admission.waiting).toBe(3);
    second();
    const leaveA = await waiting[0]!;
    expect([admitted, admission.waiting]).toEqual([["a"], 2]);
    first();
    leaveA();
    const rest = await Promise.all(waiting);
    expect(admitted).toEqual(["a", "b", "c"]);
    for (const leave of rest) leave();
    expect(admission.tryEnter()).toBeDefined();
  });

  test("counts a place once, however often it is given back", () => {
    const admission = new Admission(1);
    const leave = admission.tryEnter()!;
    leave();
    leave();
    expect(admission.tryEnter()).toBeDefined();
    expect(admission.tryEnter()).toBeUndefined();
  });

  test("is idle while no place is taken", () => {
    const admission = new Admission(2);
    expect(admission.isIdle).toBeTrue();
    const [first, second] = [admission.tryEnter()!, admission.tryEnter()!];
    first();
    expect(admission.isIdle).toBeFalse();
    second();
    expect(admission.isIdle).toBeTrue();
  });

  test("lets nobody pass those who wait", async () => {
    const admission = new Admission(1);
    const leave = admission.tryEnter()!;
    const waiting = admission.enter(never);
    leave();
    // admitted already, though it has not noticed
    expect(admission.tryEnter()).toBeUndefined();
    (await waiting)();
    expect(admission.tryEnter()).toBeDefined();
  });

  test("rejects one that waits with its signal's reason, and takes no place for it", async () => {
    const admission = new Admission(1);
    const leave = admission.tryEnter()!;
    const controller = new AbortController();
    const reason = new Error("no longer wanted");
    const aborted = admission.enter(controller.signal);
    const other = admission.enter(never);
    controller.abort(reason);
    expect(await aborted.catch((error: unknown) => error)).toBe(reason);
    expect(await admission.enter(controller.signal).catch((error: unknown) => error)).toBe(reason);
    expect(admission.waiting).toBe(1);
    leave();
    (await other)();
    expect([admission.waiting, admission.tryEnter() !== undefined]).toEqual([0, true]);
  });

  test("keeps a place for one whose signal is aborted in the same turn as it is admitted", async () => {
    const admission = new Admission(1);
    const leave = admission.tryEnter()!;
    const controller = new AbortController();
    const entering = admission.enter(controller.signal);
    leave();
    controller.abort(new Error("too late"));
    const own = await entering;
    expect(admission.tryEnter()).toBeUndefined();
    own();
    expect(admission.tryEnter()).toBeDefined();
  });
});
