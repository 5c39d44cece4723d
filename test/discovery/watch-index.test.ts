import { describe, expect, test } from "bun:test";
import fc from "fast-check";

import { WatchIndex } from "../../src/discovery/watch-index.ts";

function indexOf(patterns: readonly string[]): WatchIndex<string> {
  const index = new WatchIndex<string>();
  for (const pattern of patterns) index.add(pattern, pattern);
  return index;
}

/** The watchers of a name, and how many probes it took to find them. */
function visit(index: WatchIndex<string>, name: string): { found: string[]; probes: number } {
  const sets: ReadonlySet<string>[] = [];
  const probes = index.find(name, sets);
  const found: string[] = [];
  index.visit(name, (watcher) => found.push(watcher));
  expect(found).toEqual(sets.flatMap((watchers) => Array.from(watchers)));
  return { found, probes };
}

describe("WatchIndex", () => {
  test("finds the watchers of the name itself, of each of its beginnings, and of all names", () => {
    const index = indexOf(["market", "market*", "mar*", "*", "marketplace", "x*", "m"]);
    expect(visit(index, "market").found).toEqual(["market", "*", "mar*", "market*"]);
    expect(visit(index, "ma").found).toEqual(["*"]);
    expect(visit(index, "m").found).toEqual(["m", "*"]);
  });

  test("takes a star in a name for a character", () => {
    const index = indexOf(["a*"]);
    index.add("a", "exact");
    expect(visit(index, "a*").found).toEqual(["a*"]);
  });

  test("takes one probe, and one for each distinct length of prefixes, however many watches there are", () => {
    const others = Array.from({ length: 10_000 }, (_, n) => `other-${String(n).padStart(5, "0")}*`);
    const index = indexOf(others);
    expect(visit(index, "market-of-the-north")).toEqual({ found: [], probes: 2 });
    index.add("market*", "all markets");
    index.add("*", "everything");
    expect(visit(index, "market-of-the-north")).toEqual({
      found: ["everything", "all markets"],
      probes: 4,
    });
  });

  test("takes no probe for prefixes that are longer than the name, nor for those of a length that was given up", () => {
    const index = indexOf(["abcdefgh*", "abc*", "abd*"]);
    expect(visit(index, "ab")).toEqual({ found: [], probes: 1 });
    index.remove("abc*", "abc*");
    expect(visit(index, "abdefghijk")).toEqual({ found: ["abd*"], probes: 3 });
    index.remove("abd*", "abd*");
    expect(visit(index, "abdefghijk")).toEqual({ found: [], probes: 2 });
    index.remove("abcdefgh*", "abcdefgh*");
    expect(visit(index, "abdefghijk")).toEqual({ found: [], probes: 1 });
  });

  test("counts watches, each once, and ignores the removal of what it never had", () => {
    const index = indexOf(["a", "a*", "a*"]);
    expect(index.size).toBe(2);
    index.remove("a*", "somebody else");
    index.remove("b*", "b*");
    index.remove("b", "b");
    expect(index.size).toBe(2);
    index.remove("a*", "a*");
    index.remove("a", "a");
    index.remove("a", "a");
    expect(index.size).toBe(0);
  });

  test("lets a watcher leave while it is visited, and others, too", () => {
    const index = new WatchIndex<string>();
    for (const watcher of ["first", "second", "third"]) index.add("a*", watcher);
    const found: string[] = [];
    index.visit("abc", (watcher) => {
      found.push(watcher);
      index.remove("a*", "first");
      index.remove("a*", "second");
    });
    expect(found).toEqual(["first", "third"]);
    expect(visit(index, "abc").found).toEqual(["third"]);
  });

  test("finds what a look at each pattern would find, whatever was added and removed", () => {
    const text = fc.string({ unit: fc.constantFrom("a", "b", "*", "é", "\u{1f600}"), maxLength: 4 });
    const pattern = text
      .map((one) => one.replaceAll("*", ""))
      .chain((one) => fc.constantFrom(one, `${one}*`));
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.boolean(), pattern), { maxLength: 20 }), text, (steps, name) => {
        const index = new WatchIndex<string>();
        const watched = new Set<string>();
        for (const [isAdded, one] of steps) {
          index[isAdded ? "add" : "remove"](one, one);
          watched[isAdded ? "add" : "delete"](one);
        }
        const matching = Array.from(watched).filter((one) =>
          one.endsWith("*") ? name.startsWith(one.slice(0, -1)) : name === one,
        );
        const { found } = visit(index, name);
        expect(found.toSorted()).toEqual(matching.toSorted());
        expect(index.size).toBe(watched.size);
      }),
    );
  });
});
