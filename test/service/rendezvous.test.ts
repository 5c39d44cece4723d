/** Which keys move when instances come, go and are started again. */
import { describe, expect, test } from "bun:test";

import { nextUuid, placeOf } from "../../src/identity.ts";
import { ownerOf, seedOf, type Weighed } from "../../src/service/rendezvous.ts";

const keys = Array.from({ length: 20_000 }, (_, at) => `user-${at}`);

function instance(uuid: string = crypto.randomUUID()): Weighed {
  return { uuid, seed: seedOf(uuid) };
}

function instances(count: number): Weighed[] {
  return Array.from({ length: count }, () => instance());
}

/** The owner of each key. */
function owners(among: readonly Weighed[]): (string | undefined)[] {
  return keys.map((key) => ownerOf(key, among)?.uuid);
}

function moved(from: readonly (string | undefined)[], to: readonly (string | undefined)[]): number {
  return from.filter((owner, at) => owner !== to[at]).length / keys.length;
}

describe("ownerOf", () => {
  test("gives every instance about the same share of the keys", () => {
    const all = instances(20);
    const shares = new Map<string | undefined, number>();
    for (const owner of owners(all)) shares.set(owner, (shares.get(owner) ?? 0) + 1);
    expect(shares.size).toBe(20);
    for (const share of shares.values()) {
      expect(share).toBeGreaterThan(0.85 * (keys.length / 20));
      expect(share).toBeLessThan(1.15 * (keys.length / 20));
    }
  });

  test.each([1, 2, 5, 19])("moves only its own share to an instance that comes to %i others", (count) => {
    const before = instances(count);
    const newcomer = instance();
    const [from, to] = [owners(before), owners([...before, newcomer])];
    const share = moved(from, to);
    expect(share).toBeGreaterThan(0.85 / (count + 1));
    expect(share).toBeLessThan(1.15 / (count + 1));
    // and none between the others
    expect(to.every((owner, at) => owner === newcomer.uuid || owner === from[at])).toBeTrue();
  });

  test("moves only the share of an instance that goes, and spreads it over the others", () => {
    const [gone, ...rest] = instances(10);
    const [from, to] = [owners([gone!, ...rest]), owners(rest)];
    expect(to.every((owner, at) => owner === from[at] || from[at] === gone!.uuid)).toBeTrue();
    const heirs = new Set(to.filter((_, at) => from[at] === gone!.uuid));
    expect(heirs.size).toBe(9);
  });

  test("gives an instance that its nursery has started again its keys back, and no others", () => {
    const [first, ...rest] = instances(10);
    const next = instance(nextUuid(first!.uuid));
    const [before, after] = [owners([first!, ...rest]), owners([...rest, next])];
    expect(after.map((owner) => (owner === next.uuid ? first!.uuid : owner))).toEqual(before);
  });

  test("doesn't depend on the order in which the instances are known, not even in the same place", () => {
    const all = instances(9);
    const same = instance(nextUuid(all[3]!.uuid));
    expect(owners([...all, same])).toEqual(owners([same, ...all.toReversed()]));
  });

  test("is undefined when there is none", () => {
    expect(ownerOf("key", [])).toBeUndefined();
  });
});

describe("nextUuid", () => {
  test("is a new uuid in the same place", () => {
    const first = nextUuid(undefined);
    const second = nextUuid(first);
    const third = nextUuid(second);
    expect(new Set([first, second, third].map(placeOf)).size).toBe(1);
    expect(new Set([first, second, third].map((uuid) => uuid.slice(0, 23))).size).toBe(3);
    expect(third).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  });

  test("begins anew after a uuid of another form", () => {
    expect(placeOf("py-worker_1")).toBe("py-worker_1");
    expect(nextUuid("py-worker_1")).toMatch(/^[0-9a-f-]{36}$/);
  });
});
