import { describe, expect, test } from "bun:test";
import fc from "fast-check";

import type { ActorChange } from "../../src/discovery/actor-event.ts";
import { EventQueue } from "../../src/discovery/event-queue.ts";

let revisions = 0;

function change(type: ActorChange["type"], uuid: string, revision: number = ++revisions): ActorChange {
  const id = { name: "n", uuid, pid: 1, host: "h" };
  return { type, actor: { id, addrs: [], revision } as unknown as ActorChange["actor"], revision };
}

function push(queue: EventQueue, ...changes: [ActorChange["type"], string][]): void {
  for (const [type, uuid] of changes) queue.push(change(type, uuid));
}

/** What is left, in short: "up a". */
function rest(queue: EventQueue): string[] {
  const all: string[] = [];
  for (let next = queue.take(); next !== undefined; next = queue.take())
    all.push(`${next.type} ${next.actor.id.uuid}`);
  return all;
}

describe("EventQueue", () => {
  test.each<[string, ActorChange["type"][], string[]]>([
    ["up, then changed: one up", ["up", "changed"], ["up a"]],
    ["up, then down: nothing", ["up", "down"], []],
    ["up, down, and up again: one up", ["up", "down", "up"], ["up a"]],
    ["changed twice: once", ["changed", "changed"], ["changed a"]],
    ["changed, then down: down", ["changed", "down"], ["down a"]],
    ["down, then up: changed, since the reader never knew it gone", ["down", "up"], ["changed a"]],
    ["down, up and down: down", ["down", "up", "down"], ["down a"]],
  ])("merges what a reader hasn't read of an actor: %s", (_, types, left) => {
    const queue = new EventQueue();
    for (const type of types) push(queue, [type, "a"]);
    expect(queue.size).toBe(left.length);
    expect(rest(queue)).toEqual(left);
  });

  test("gives the latest state of each actor, in the order of revisions", () => {
    const queue = new EventQueue();
    push(queue, ["changed", "a"], ["changed", "b"], ["up", "c"], ["changed", "a"]);
    const taken = [queue.take()!, queue.take()!, queue.take()!];
    expect(taken.map(({ actor }) => actor.id.uuid)).toEqual(["b", "c", "a"]);
    const order = taken.map(({ revision }) => revision);
    expect(order).toEqual(order.toSorted((a, b) => a - b));
    expect(taken[2]!.actor.revision).toBe(taken[2]!.revision);
    expect(queue.take()).toBeUndefined();
  });

  test("keeps all events of a turn that began when it was empty, and merges what is left of them at its end", () => {
    const queue = new EventQueue();
    queue.beginTurn();
    push(
      queue,
      ["up", "a"],
      ["changed", "a"],
      ["down", "a"],
      ["up", "b"],
      ["changed", "b"],
      ["changed", "b"],
    );
    expect(queue.size).toBe(6);
    expect([queue.take()?.type, queue.take()?.type]).toEqual(["up", "changed"]);
    queue.endTurn();
    expect(rest(queue)).toEqual(["down a", "up b"]);
    push(queue, ["up", "c"], ["changed", "c"]);
    expect(rest(queue)).toEqual(["up c"]);
  });

  test("forgets all when it is cleared, within a turn, too", () => {
    const queue = new EventQueue();
    push(queue, ["up", "a"]);
    queue.clear();
    queue.beginTurn();
    push(queue, ["up", "b"]);
    queue.clear();
    push(queue, ["up", "c"], ["changed", "c"]);
    queue.endTurn();
    expect(rest(queue)).toEqual(["up c"]);
  });

  test("leads a reader to the same state as all events, however it reads, and holds no more than an event for each actor", () => {
    const step = fc.record({ uuid: fc.constantFrom("a", "b", "c"), isUp: fc.boolean(), reads: fc.nat(2) });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const queue = new EventQueue();
        const actual = new Map<string, number>();
        const seen = new Map<string, number>();
        const read = (): void => {
          const next = queue.take();
          if (next === undefined) return;
          const { uuid } = next.actor.id;
          // each type says what the reader has to do: it never hears of an actor it doesn't know, nor twice that it came
          expect(next.type === "up").toBe(!seen.has(uuid));
          if (next.type === "down") seen.delete(uuid);
          else seen.set(uuid, next.actor.revision);
        };
        for (const { uuid, isUp, reads } of steps) {
          const wasUp = actual.has(uuid);
          if (!isUp && !wasUp) continue;
          const event = change(isUp ? (wasUp ? "changed" : "up") : "down", uuid);
          if (isUp) actual.set(uuid, event.revision);
          else actual.delete(uuid);
          queue.push(event);
          expect(queue.size).toBeLessThanOrEqual(3);
          for (let n = 0; n < reads; n++) read();
        }
        while (queue.size > 0) read();
        expect(Object.fromEntries(seen)).toEqual(Object.fromEntries(actual));
      }),
    );
  });
});
