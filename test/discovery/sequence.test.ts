import { describe, expect, test } from "bun:test";
import fc from "fast-check";

import { Sequence } from "../../src/discovery/sequence.ts";

interface Item {
  readonly key: number;
  readonly order: number;
}

describe("Sequence", () => {
  test("does what an array does", () => {
    const step = fc.record({
      what: fc.constantFrom("push", "push", "push", "insertBefore", "insertInOrder", "replace", "delete"),
      pick: fc.nat(),
      times: fc.integer({ min: 1, max: 90 }),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
        const sequence = new Sequence<Item, number>(({ key }) => key);
        let model: Item[] = [];
        let lastKey = 0;
        const isSorted = (): boolean =>
          model.every((item, at) => at === 0 || model[at - 1]!.order <= item.order);
        for (const { what, pick, times } of steps) {
          for (let time = 0; time < times; time++) {
            const at = (pick + time * 7) % Math.max(model.length, 1);
            const one = model[at];
            const key = ++lastKey;
            const item = { key, order: (pick * 31 + time * 17) % 1_000 };
            if (what === "push") {
              sequence.push(item);
              model.push(item);
            } else if (what === "insertBefore") {
              sequence.insertBefore(one?.key ?? -1, item);
              model.splice(one === undefined ? model.length : at, 0, item);
            } else if (what === "insertInOrder") {
              if (!isSorted()) continue;
              const isAfter = (other: Item): boolean => other.order > item.order;
              sequence.insertInOrder(item, isAfter);
              const place = model.findIndex(isAfter);
              model.splice(place < 0 ? model.length : place, 0, item);
            } else if (what === "replace") {
              expect(sequence.replace(one?.key ?? -1, item)).toBe(one !== undefined);
              if (one !== undefined) model = model.with(at, item);
            } else {
              expect(sequence.delete(one?.key ?? -1)).toBe(one !== undefined);
              if (one !== undefined) model.splice(at, 1);
            }
          }
          expect(sequence.toArray()).toEqual(model);
          expect([sequence.size, sequence.first, sequence.last]).toEqual([
            model.length,
            model[0],
            model.at(-1),
          ]);
          const at = pick % Math.max(model.length, 1);
          expect(sequence.get(model[at]?.key ?? -1)).toBe(model[at]);
          expect(sequence.following(model[at]?.key ?? -1)).toBe(model[at + 1]);
        }
      }),
      { numRuns: 100 },
    );
  });

  test("looks at no more of a long list than of a short one", () => {
    const looksPerStep = (length: number): number => {
      let looks = 0;
      const sequence = new Sequence<Item, number>(({ key }) => {
        looks++;
        return key;
      });
      for (let key = 0; key < length; key++) sequence.push({ key, order: key });
      looks = 0;
      const steps = 1_000;
      for (let n = 0; n < steps; n++) {
        const key = (n * 7_919) % length;
        sequence.replace(key, { key, order: key });
        sequence.insertBefore(key, { key: length + n, order: key });
        sequence.insertInOrder({ key: 2 * length + n, order: key }, ({ order }) => {
          looks++;
          return order > key;
        });
        sequence.following(key);
        sequence.delete(length + n);
        sequence.delete(2 * length + n);
      }
      return looks / steps;
    };
    const [short, long] = [looksPerStep(1_000), looksPerStep(100_000)];
    expect(long).toBeLessThan(2 * short);
    expect(long).toBeLessThan(1_000);
  });
});
