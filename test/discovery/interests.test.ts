import { describe, expect, test } from "bun:test";
import fc from "fast-check";

import { Interests } from "../../src/discovery/interests.ts";
import { Names } from "../../src/discovery/names.ts";

class Scene {
  /** What was delivered, in order: "peer: change". */
  readonly pushed: string[] = [];
  /** How many changes were made for pushing. */
  made = 0;
  readonly names = new Names();
  readonly interests: Interests<string, string>;

  constructor(maxNames = 10) {
    this.interests = new Interests(this.names, maxNames, (peer, change) =>
      this.pushed.push(`${peer}: ${change}`),
    );
  }

  push(name: string, change: string): void {
    this.run(
      this.interests.push(name, () => {
        this.made++;
        return change;
      }),
    );
  }

  /** Takes all steps of a push. */
  run(peers: Iterator<unknown> | undefined): void {
    while (peers?.next().done === false);
  }
}

const forms = [() => "brief", () => "detailed"] as const;

describe("Interests", () => {
  test("pushes a name's changes to each peer that is interested, once, and to no other", () => {
    const scene = new Scene();
    for (const peer of ["a", "b", "c", "a"]) scene.interests.take(peer, "x");
    scene.interests.take("d", "y");
    scene.push("x", "first");
    scene.push("y", "second");
    expect(scene.pushed).toEqual(["a: first", "b: first", "c: first", "d: second"]);
  });

  test("makes a change once for all peers, and not at all for a name without interest", () => {
    const scene = new Scene();
    scene.push("x", "unseen");
    expect(scene.made).toBe(0);
    scene.interests.take("a", "x");
    scene.interests.take("b", "x");
    scene.push("x", "seen");
    expect(scene.made).toBe(1);
  });

  test("ends one interest of a peer with drop, and all of them with leave", () => {
    const scene = new Scene();
    for (const name of ["x", "y", "z"]) for (const peer of ["a", "b"]) scene.interests.take(peer, name);
    scene.interests.drop("a", "x");
    scene.push("x", "without a");
    scene.interests.leave("b");
    for (const name of ["x", "y", "z"]) scene.push(name, name);
    expect(scene.pushed).toEqual(["b: without a", "a: y", "a: z"]);
    expect(Array.from(scene.interests.peers)).toEqual(["a"]);
  });

  test("ignores a drop or a leave of what it never had", () => {
    const scene = new Scene();
    scene.interests.take("a", "x");
    scene.interests.drop("a", "y");
    scene.interests.drop("b", "x");
    scene.interests.leave("b");
    scene.push("x", "still");
    expect(scene.pushed).toEqual(["a: still"]);
  });

  test("refuses a peer's interest beyond the limit, unless it has that one already, and counts no other peer's", () => {
    const { interests } = new Scene(2);
    expect(["x", "y", "z", "x"].map((name) => interests.take("a", name)?.name)).toEqual([
      "x",
      "y",
      undefined,
      "x",
    ]);
    expect(interests.take("b", "z")?.name).toBe("z");
    interests.drop("a", "x");
    expect(interests.take("a", "z")?.name).toBe("z");
  });

  test("lists a peer until it leaves, without interests too", () => {
    const { interests } = new Scene(1);
    interests.take("a", "x");
    interests.drop("a", "x");
    expect(Array.from(interests.peers)).toEqual(["a"]);
    interests.leave("a");
    expect(Array.from(interests.peers)).toEqual([]);
  });

  test("pushes the detailed form to those that have asked for it once, until they drop the name", () => {
    const scene = new Scene();
    const both = (change: string): void => {
      const detailed = (): string => `${change} in detail`;
      scene.run(scene.interests.push("x", () => change, detailed));
    };
    scene.interests.take("a", "x");
    scene.interests.take("b", "x", true);
    scene.interests.take("c", "x");
    scene.interests.take("c", "x", true);
    scene.interests.take("b", "x");
    both("first");
    scene.run(scene.interests.push("x", undefined, () => "details alone"));
    scene.push("x", "same for all");
    scene.interests.drop("b", "x");
    scene.interests.take("b", "x");
    scene.interests.leave("c");
    both("last");
    expect(scene.pushed).toEqual([
      "a: first",
      "b: first in detail",
      "c: first in detail",
      "b: details alone",
      "c: details alone",
      "a: same for all",
      "b: same for all",
      "c: same for all",
      "a: last",
      "b: last",
    ]);
  });

  test("counts a detailed interest as one, whatever form it had before", () => {
    const { interests } = new Scene(2);
    const taken = [
      interests.take("a", "x"),
      interests.take("a", "x", true),
      interests.take("a", "y", true),
      interests.take("a", "z", true),
      interests.take("a", "y"),
    ];
    expect(taken.map((record) => record?.name)).toEqual(["x", "x", "y", undefined, "y"]);
  });

  test("wakes a watcher once, after the change was pushed", () => {
    const scene = new Scene();
    scene.interests.take("a", "x");
    scene.interests.watch("x", () => scene.pushed.push("woken"));
    scene.interests.watch("y", () => scene.pushed.push("never"));
    scene.push("x", "first");
    scene.push("x", "second");
    expect(scene.pushed).toEqual(["a: first", "woken", "a: second"]);
  });

  test("wakes neither a watcher that was called off nor one that is added during the wake", () => {
    const scene = new Scene();
    const log: string[] = [];
    const { interests } = scene;
    interests.watch("x", () => {
      log.push("first");
      interests.watch("x", () => log.push("added"));
    });
    const unwatch = interests.watch("x", () => log.push("called off"));
    unwatch();
    scene.push("x", "");
    expect(log).toEqual(["first"]);
    scene.push("x", "");
    expect(log).toEqual(["first", "added"]);
  });

  test("keeps a later watcher when one that was woken before is called off", () => {
    const scene = new Scene();
    const log: string[] = [];
    const unwatch = scene.interests.watch("x", () => log.push("first"));
    scene.push("x", "");
    scene.interests.watch("x", () => log.push("later"));
    unwatch();
    scene.push("x", "");
    expect(log).toEqual(["first", "later"]);
  });

  test("wakes all watchers at the end", () => {
    const { interests } = new Scene();
    const log: string[] = [];
    for (const name of ["x", "y"]) interests.watch(name, () => log.push(name));
    interests.wakeAll();
    interests.wakeAll();
    expect(log).toEqual(["x", "y"]);
  });

  test("pushes a change with each step to one peer, those that move to the details meanwhile included", () => {
    const scene = new Scene();
    for (const peer of ["a", "b", "c", "d"]) scene.interests.take(peer, "x");
    const steps = scene.interests.push(
      "x",
      () => "brief",
      () => "detailed",
    )!;
    steps.next();
    expect(scene.pushed).toEqual(["a: brief"]);
    scene.interests.take("b", "x", true);
    scene.interests.leave("c");
    scene.run(steps);
    expect(scene.pushed).toEqual(["a: brief", "d: brief", "b: detailed"]);
    expect(scene.interests.push("y", () => "unseen")).toBeUndefined();
  });

  test("does what plain lists do, whatever peers take, drop and leave", () => {
    const most = 3;
    const names = ["w", "x", "y", "z"];
    const step = fc.record({
      act: fc.constantFrom("take", "take", "take", "detail", "drop", "drop", "leave"),
      peer: fc.constantFrom("a", "b"),
      name: fc.constantFrom(...names),
    });
    fc.assert(
      fc.property(fc.array(step, { minLength: 40, maxLength: 60 }), (steps) => {
        const scene = new Scene(most);
        const { interests, pushed } = scene;
        const model = new Map<string, Map<string, boolean>>();
        for (const { act, peer, name } of steps) {
          const own = model.get(peer) ?? new Map<string, boolean>();
          model.set(peer, own);
          if (act === "leave") {
            interests.leave(peer);
            model.delete(peer);
          } else if (act === "drop") {
            interests.drop(peer, name);
            own.delete(name);
          } else {
            const isDetailed = act === "detail";
            const hasRoom = own.has(name) || own.size < most;
            expect(interests.take(peer, name, isDetailed)?.name).toBe(hasRoom ? name : undefined);
            if (hasRoom) own.set(name, isDetailed || own.get(name) === true);
          }
        }
        for (const name of names) {
          const taking = Array.from(model).filter(([, own]) => own.has(name));
          expect(interests.count(name)).toBe(taking.length);
          for (const peer of ["a", "b"])
            expect(interests.has(peer, name)).toBe(model.get(peer)?.has(name) === true);
          pushed.length = 0;
          scene.run(interests.push(name, ...forms));
          const expected = taking.map(
            ([peer, own]) => `${peer}: ${own.get(name) === true ? "detailed" : "brief"}`,
          );
          expect(pushed.toSorted()).toEqual(expected.toSorted());
        }
        for (const peer of ["a", "b"]) interests.leave(peer);
        for (const name of names) expect(interests.push(name, () => "unseen")).toBeUndefined();
      }),
    );
  });
});
