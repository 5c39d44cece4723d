import { describe, expect, test } from "bun:test";
import { heapStats } from "bun:jsc";
import fc from "fast-check";

import { noDetails } from "../../src/discovery/details.ts";
import { encodeDetails } from "../../src/discovery/registration.ts";
import { encodeValue } from "../../src/discovery/remote-entry.ts";
import type { RemoteActor, StoredRegistration } from "../../src/discovery/stored-registration.ts";
import { RegistryTable } from "../../src/discovery/table.ts";
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

  test("changes the details of an entry in its place, and leaves one without details as small as it was", () => {
    const table = new RegistryTable();
    const a = table.register(id("n", "a"), ["tcp://h:1"]);
    const b = table.register(id("n", "b"), [], undefined, noDetails);
    const changed = table.update(a, { ...noDetails, version: "2" });
    expect(table.all("n")).toEqual([changed, b]);
    expect([changed.details.version, changed.addrs, changed.revision]).toEqual(["2", ["tcp://h:1"], 3]);
    expect([a.details, b.details]).toEqual([noDetails, noDetails]);
    for (const bare of [a, b])
      expect(Object.keys(bare)).toEqual(["name", "uuid", "pid", "host", "addrs", "revision"]);
  });

  test("keeps actors of other hosts in the directory's order, before those that are registered here", () => {
    const table = new RegistryTable();
    const remote = (uuid: string, created: number, order: number, details = noDetails): RemoteActor => ({
      name: "n",
      uuid,
      pid: 1,
      actorHost: `host-${uuid}`,
      addrs: [],
      isDraining: false,
      encodedDetails: encodeValue(encodeDetails(details)),
      created,
      order,
      digest: 0,
    });
    const uuids = (): string[] => table.all("n").map(({ uuid }) => uuid);
    const c = table.mirror(remote("c", 7, 2));
    const here = table.register(id("n", "here"), []);
    const a = table.mirror(remote("a", 5, 9));
    table.mirror(remote("b", 7, 1));
    const later = table.register(id("n", "later"), []);
    expect(uuids()).toEqual(["a", "b", "c", "here", "later"]);
    expect([table.first("n"), table.last("n")]).toEqual([a, later]);
    expect([a, c, here, later].map((one) => table.following(one)?.uuid)).toEqual([
      "b",
      "here",
      "later",
      undefined,
    ]);
    const changed = table.mirror(remote("a", 5, 9, { ...noDetails, version: "2" }), a);
    expect(table.first("n")).toBe(changed);
    table.mirror(remote("c", 4, 0), c);
    expect(uuids()).toEqual(["c", "a", "b", "here", "later"]);
    expect(table.unregister(later)).toBe(table.revision);
    expect(table.last("n")).toBe(here);
    // an actor that registers here, too, and leaves again
    const direct = table.register(id("n", "a"), [], changed);
    expect(uuids()).toEqual(["c", "b", "here", "a"]);
    table.mirror(remote("a", 5, 9), direct);
    expect(uuids()).toEqual(["c", "a", "b", "here"]);
    table.unregister(here);
    expect([table.size, table.last("n")?.uuid]).toEqual([3, "b"]);
  });

  test("keeps a draining entry that no name leads to, and gives it a new place when it is ready again", () => {
    const table = new RegistryTable();
    const a = table.register(id("n", "a"), []);
    const b = table.register(id("n", "b"), []);
    const leaving = table.update(a, { ...noDetails, state: "draining" });
    expect([table.all("n"), table.first("n")]).toEqual([[b], b]);
    expect([table.draining("n"), table.draining("m")]).toEqual([[leaving], []]);
    expect(Array.from(table.entries())).toEqual([b, leaving]);
    const still = table.update(leaving, { ...leaving.details, version: "2" });
    expect(table.draining("n")).toEqual([still]);
    expect({ size: table.size, names: table.names }).toEqual({ size: 2, names: 1 });
    const back = table.update(still, { ...still.details, state: "ready" });
    expect([table.all("n"), table.draining("n"), back.revision]).toEqual([[b, back], [], 5]);
    const gone = table.update(back, leaving.details);
    expect([table.unregister(gone), table.unregister(gone), table.size]).toEqual([7, 0, 1]);
    expect(Array.from(table.entries())).toEqual([b]);
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
    const change = fc.record({
      name: fc.constantFrom("x", "y", "z"),
      what: fc.constantFrom("add", "remove", "draining", "ready"),
      pick: fc.nat(),
    });
    fc.assert(
      fc.property(fc.array(change, { maxLength: 60 }), (changes) => {
        const table = new RegistryTable();
        let model: StoredRegistration[] = [];
        let uuid = 0;
        const isReady = (entry: StoredRegistration): boolean => entry.details.state === "ready";
        for (const { name, what, pick } of changes) {
          const named = model.filter((entry) => entry.name === name);
          const one = named[pick % named.length];
          if (what === "add") model.push(table.register(id(name, `u${++uuid}`), []));
          else if (one === undefined) continue;
          else if (what === "remove") {
            table.unregister(one);
            model = model.filter((entry) => entry !== one);
          } else {
            const next = table.update(one, { ...noDetails, state: what });
            const keepsPlace = isReady(one) && isReady(next);
            model = keepsPlace
              ? model.with(model.indexOf(one), next)
              : [...model.filter((entry) => entry !== one), next];
          }
          const left = model.filter((entry) => entry.name === name && isReady(entry));
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
