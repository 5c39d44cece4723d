import { describe, expect, test } from "bun:test";
import fc from "fast-check";

import { SplitMap } from "../../src/discovery/split-map.ts";

describe("SplitMap", () => {
  test("does what a Map does, with any string", () => {
    // few and short ones, so that many are the same; the empty one has no digits at all
    const key = fc.string({ maxLength: 3 });
    const step = fc.record({ key, value: fc.option(fc.nat(), { nil: undefined }) });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
        const map = new Map<string, number>();
        const split = new SplitMap<number>();
        for (const { key: uuid, value } of steps) {
          if (value === undefined) {
            map.delete(uuid);
            split.delete(uuid);
          } else {
            map.set(uuid, value);
            split.set(uuid, value);
          }
          expect([split.size, split.has(uuid), split.get(uuid)]).toEqual([
            map.size,
            map.has(uuid),
            map.get(uuid),
          ]);
        }
        for (const [uuid, value] of map) expect(split.get(uuid)).toBe(value);
      }),
    );
  });
});
