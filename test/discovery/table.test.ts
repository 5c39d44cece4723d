import { describe, expect, test } from "bun:test";
import { heapStats } from "bun:jsc";
import fc from "fast-check";

import { RegistryTable, type StoredRegistration } from "../../src/discovery/table.ts";
import type { ActorId } from "../../src/index.ts";

const id = (name: string, uuid: string): ActorId => ({ name, uuid, pid: 1, host: "h" });

describe("RegistryTable", () => {
  test("keeps the order of registration per name, and numbers each change", () => {
    const table = new RegistryTable();
    const a = table.register(id("n", "a"), ["tcp://h:1"]);
    const b = table.register(id("n", "b"), []);
    const other = table.register(id("m", "c"), []);
    expect([a.revision, b.revision, other.revision]).toEqual([1, 2, 3]);
    expect([table.first("n"), table.last("n")]).toEqual([a, b]);
    expect(table.all("n")).toEqual([a, b]);
    expect({ size: table.size, names: table.names }).toEqual({ size: 3, names: 2 });
    expect(table.unregister(a)).toBe(4);
    expect(table.unregister(a)).toBe(0);
    expect([table.first("n"), table.last("n")]).toEqual([b, b]);
    expect(table.unregister(b)).toBe(5);
    expect([table.first("n"), table.last("n"), ...table.all("n")]).toEqual([undefined, undefined]);
    expect({ size: table.size, names: table.names, revision: table.revision }).toEqual({
      size: 1,
      names: 1,
      revision: 5,
    });
  });

  test("keeps an entry's place when its holder registers again", () => {
    const table = new RegistryTable();
    const a = table.register(id("n", "a"), []);
    const b = table.register(id("n", "b"), []);
    const moved = table.register(id("n", "a"), ["tcp://h:2"], a);
    expect(table.all("n")).toEqual([moved, b]);
    expect(moved.revision).toBe(3);
    expect(table.size).toBe(2);
    const alone = table.register(id("m", "x"), []);
    expect(table.register(id("m", "x"), [], alone)).toBe(table.last("m")!);
  });

  test("keeps the host id of its entries once, however often it comes", () => {
    const bytes = 1_000_000;
    const heldBytes = (): number => {
      Bun.gc(true);
      const { heapSize, extraMemorySize } = heapStats();
      return heapSize + extraMemorySize;
    };
    const table = new RegistryTable();
    const before = heldBytes();
    for (let n = 0; n < 50; n++) {
      // a string of its own each time, as a decoder makes it
      const host = Buffer.alloc(bytes, "h").toString("latin1");
      table.register({ ...id(`n${n}`, `u${n}`), host }, []);
    }
    expect(heldBytes() - before).toBeLessThan(5 * bytes);
    expect(table.last("n49")?.host).toHaveLength(bytes);
  });

  test("does what a plain list does, whatever the changes", () => {
    const change = fc.record({ name: fc.constantFrom("x", "y", "z"), add: fc.boolean(), pick: fc.nat() });
    fc.assert(
      fc.property(fc.array(change, { maxLength: 60 }), (changes) => {
        const table = new RegistryTable();
        const model: StoredRegistration[] = [];
        let uuid = 0;
        for (const { name, add, pick } of changes) {
          const named = model.filter((entry) => entry.name === name);
          if (add) model.push(table.register(id(name, `u${++uuid}`), []));
          else if (named.length > 0) {
            const gone = named[pick % named.length]!;
            table.unregister(gone);
            model.splice(model.indexOf(gone), 1);
          }
          const left = model.filter((entry) => entry.name === name);
          expect(table.all(name)).toEqual(left);
          expect([table.first(name), table.last(name)]).toEqual([left[0], left[left.length - 1]]);
        }
        expect(table.size).toBe(model.length);
        expect(new Set(table.entries())).toEqual(new Set(model));
      }),
      { numRuns: 200 },
    );
  });
});
