import { describe, expect, test } from "bun:test";
import fc from "fast-check";

import { Pending } from "../../src/rpc/caller/pending.ts";

/** Checks it against a map, with requests of rising ids of which some are answered at once, some late and some never. */
function check(steps: readonly (number | null)[]): void {
  const pending = new Pending<string>();
  const model = new Map<number, string>();
  let last = 0;
  for (const step of steps) {
    if (step === null) {
      pending.set(++last, `request ${last}`);
      model.set(last, `request ${last}`);
    } else {
      const id = last - (step % (last + 1));
      expect(pending.get(id)).toBe(model.get(id));
      expect(pending.delete(id)).toBe(model.delete(id));
      expect(pending.delete(id)).toBeFalse();
    }
    expect(pending.size).toBe(model.size);
  }
  expect(pending.entries()).toEqual(Array.from(model));
  const [oldest] = model.keys();
  expect(pending.oldest).toBe(oldest);
  pending.clear();
  expect([pending.size, pending.entries(), pending.get(last)]).toEqual([0, [], undefined]);
}

describe("Pending", () => {
  test("finds each request by its id, however many are answered before it", () => {
    const step = fc.option(fc.nat(1_000), { freq: 2 });
    fc.assert(fc.property(fc.array(step, { maxLength: 1_000, size: "max" }), check));
  });

  test("keeps one that is never answered, while ten thousand later ones are", () => {
    const pending = new Pending<number>();
    pending.set(1, 1);
    for (let id = 2; id < 10_000; id++) {
      pending.set(id, id);
      expect(pending.delete(id)).toBeTrue();
    }
    expect([pending.size, pending.get(1), pending.entries()]).toEqual([1, 1, [[1, 1]]]);
  });

  test("holds more than have slots", () => {
    const pending = new Pending<number>();
    const ids = Array.from({ length: 70_000 }, (_, n) => n + 1);
    for (const id of ids) pending.set(id, id);
    expect(pending.entries().map(([id]) => id)).toEqual(ids);
    for (const id of ids.toReversed()) expect(pending.delete(id)).toBeTrue();
    expect(pending.size).toBe(0);
  });
});
