/** Which instance each way of spreading calls chooses. */
import { describe, expect, test } from "bun:test";

import { balanceBy, type Candidate, checkBy, type ServiceBy } from "../../src/service/balance.ts";
import { seedOf } from "../../src/service/rendezvous.ts";

interface Instance extends Candidate {
  load: number;
}

function instances(count: number): Instance[] {
  return Array.from({ length: count }, (_, at) => {
    const uuid = `instance-${at}`;
    return { uuid, seed: seedOf(uuid), load: 0 };
  });
}

/** How often each is chosen, by its number. */
function shares(all: readonly Instance[], by: ServiceBy, times: number): number[] {
  const choose = balanceBy<Instance>(by);
  const counts = all.map(() => 0);
  for (let at = 0; at < times; at++) counts[all.indexOf(choose(all, "fn", [at])!)]!++;
  return counts;
}

describe("round-robin", () => {
  test("takes one after the other", () => {
    expect(shares(instances(7), "round-robin", 700)).toEqual(Array.from({ length: 7 }, () => 100));
  });

  test("begins anywhere", () => {
    const all = instances(5);
    const first = Array.from({ length: 200 }, () => balanceBy<Instance>("round-robin")(all, "fn", []));
    expect(new Set(first).size).toBe(5);
  });

  test("goes on as instances come and go", () => {
    const choose = balanceBy<Instance>("round-robin");
    const all = instances(4);
    for (const length of [4, 1, 3, 0, 2, 4, 0, 1])
      for (let at = 0; at < 5; at++) {
        const chosen = choose(all.slice(0, length), "fn", []);
        expect(chosen === undefined).toBe(length === 0);
      }
  });
});

describe("random", () => {
  test("takes any, each about as often", () => {
    for (const count of shares(instances(4), "random", 4_000)) {
      expect(count).toBeGreaterThan(800);
      expect(count).toBeLessThan(1_200);
    }
    expect(balanceBy<Instance>("random")([], "fn", [])).toBeUndefined();
  });
});

describe("least-busy", () => {
  test("takes the one with the lowest load", () => {
    const all = instances(5);
    for (const one of all) one.load = 5;
    all[3]!.load = 2;
    expect(shares(all, "least-busy", 10)).toEqual([0, 0, 0, 10, 0]);
  });

  test("takes equals in turn", () => {
    const all = instances(4);
    expect(shares(all, "least-busy", 40)).toEqual([10, 10, 10, 10]);
    all[2]!.load = 1;
    const counts = shares(all, "least-busy", 40);
    expect(counts[2]).toBe(0);
    expect(Math.min(counts[0]!, counts[1]!, counts[3]!)).toBeGreaterThanOrEqual(10);
  });

  test("has nothing to take where there is none", () => {
    expect(balanceBy<Instance>("least-busy")([], "fn", [])).toBeUndefined();
  });
});

describe("a key function", () => {
  test("sends equal keys to the same instance, and gets the function's name and arguments", () => {
    const all = instances(10);
    const asked: unknown[] = [];
    const byUser = (fn: string, args: readonly unknown[]): string => {
      asked.push([fn, ...args]);
      return String(args[0]);
    };
    const [one, two] = [balanceBy<Instance>(byUser), balanceBy<Instance>(byUser)];
    for (let user = 0; user < 50; user++)
      expect(one(all, "get", [user, "a"])).toBe(two(all.toReversed(), "set", [user, "b"]));
    expect(asked.slice(0, 2)).toEqual([
      ["get", 0, "a"],
      ["set", 0, "b"],
    ]);
  });

  test("fails where it doesn't give a string, or throws", () => {
    const all = instances(2);
    const choose = balanceBy<Instance>((() => 7) as unknown as ServiceBy);
    expect(() => choose(all, "get", [])).toThrow(
      new TypeError('the key of a call must be a string; for get the function of "by" gave number'),
    );
    const thrown = new Error("no key");
    const throwing = balanceBy<Instance>(() => {
      throw thrown;
    });
    expect(() => throwing(all, "get", [])).toThrow(thrown);
  });
});

describe("checkBy", () => {
  test("refuses an unknown way", () => {
    for (const by of ["round-robin", "random", "least-busy", () => ""])
      expect(() => checkBy(by)).not.toThrow();
    expect(() => checkBy("fastest")).toThrow(
      new RangeError(
        'by must be one of round-robin, random, least-busy, or a function that gives a key; got "fastest"',
      ),
    );
    for (const by of [undefined, null, 1, {}]) expect(() => checkBy(by)).toThrow(RangeError);
  });
});
