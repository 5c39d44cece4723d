import { describe, expect, test } from "bun:test";
import fc from "fast-check";

import type { ActorChange, WatchListener, WatchSource } from "../../src/discovery/actor-event.ts";
import type { Registration } from "../../src/discovery/registration.ts";
import { WatchMerge } from "../../src/discovery/watch-merge.ts";

function actorOf(uuid: string, revision: number, addr = "tcp://10.0.0.1:1"): Registration {
  const id = { name: "n", uuid, pid: 1, host: "h" };
  return { id, addrs: [addr], revision } as unknown as Registration;
}

/** What one registrar tells. */
class Registrar implements WatchSource {
  isReady = false;
  isClosed = false;
  revision = 0;
  listener: WatchListener | undefined;
  readonly #actors = new Map<string, Registration>();

  actors(): Iterable<Registration> {
    return this.#actors.values();
  }

  find(uuid: string): Registration | undefined {
    return this.#actors.get(uuid);
  }

  close(): void {
    this.isClosed = true;
  }

  /** Answers with these actors. */
  sync(...uuids: string[]): void {
    this.#actors.clear();
    for (const uuid of uuids) this.#actors.set(uuid, actorOf(uuid, ++this.revision));
    this.isReady = true;
    this.listener?.onSync();
  }

  change(type: ActorChange["type"], uuid: string, addr?: string): void {
    const actor = actorOf(uuid, ++this.revision, addr);
    if (type === "down") this.#actors.delete(uuid);
    else this.#actors.set(uuid, actor);
    this.listener?.onChange({ type, actor, revision: this.revision });
  }
}

class Scene {
  /** What was passed on: "sync a b" with the state at that moment, "up a 7". */
  readonly log: string[] = [];
  readonly merge: WatchMerge<Registrar>;
  #onOver: (() => void) | undefined;

  constructor(...registrars: Registrar[]) {
    this.merge = new WatchMerge(
      {
        onSync: () => this.log.push(["sync", ...this.state].join(" ")),
        onChange: ({ type, actor, revision }) => this.log.push(`${type} ${actor.id.uuid} ${revision}`),
        onEnd: (error) => this.log.push(`end: ${error?.message}`),
      },
      (onOver) => {
        this.#onOver = onOver;
        return () => (this.#onOver = undefined);
      },
    );
    this.set(...registrars);
  }

  get state(): string[] {
    return this.merge.actors().map(({ id }) => id.uuid);
  }

  get isWaiting(): boolean {
    return this.#onOver !== undefined;
  }

  set(...registrars: Registrar[]): void {
    this.merge.setPlaces(registrars, (registrar, listener) => {
      registrar.listener = listener;
      return registrar;
    });
  }

  /** Lets the patience run out. */
  runOut(): void {
    const onOver = this.#onOver;
    this.#onOver = undefined;
    onOver?.();
  }

  /** What was passed on since the last call. */
  take(): string[] {
    return this.log.splice(0);
  }
}

describe("a watch of one registrar", () => {
  test("passes everything on as it is, after the first sync", () => {
    const one = new Registrar();
    const scene = new Scene(one);
    expect(scene.merge.isSynced).toBeFalse();
    one.sync("a", "b");
    one.change("up", "c");
    one.change("changed", "a");
    one.change("down", "b");
    expect(scene.take()).toEqual(["sync a b", "up c 3", "changed a 4", "down b 5"]);
    expect([scene.state, scene.merge.revision]).toEqual([["a", "c"], 5]);
  });

  test("syncs at once with one that is known already, and again when the registrar says all anew", () => {
    const one = new Registrar();
    one.sync("a");
    const scene = new Scene(one);
    one.sync("b");
    expect(scene.take()).toEqual(["sync a", "sync b"]);
  });

  test("is silent while there is none, and syncs once with the next", () => {
    const [one, next] = [new Registrar(), new Registrar()];
    const scene = new Scene(one);
    one.sync("a", "b");
    one.listener?.onEnd();
    expect([one.isClosed, scene.merge.isSynced, scene.isWaiting]).toEqual([true, false, false]);
    scene.set();
    scene.set(next);
    expect(scene.take()).toEqual(["sync a b"]);
    next.sync("b");
    next.change("up", "c");
    expect(scene.take()).toEqual(["sync b", "up c 2"]);
  });

  test("ends with the error that its registrar ends it with", () => {
    const one = new Registrar();
    const scene = new Scene(one);
    one.listener?.onEnd(new Error("too large"));
    expect(scene.take()).toEqual(["end: too large"]);
  });

  test("closes what it has opened", () => {
    const [one, two] = [new Registrar(), new Registrar()];
    const scene = new Scene(one, two);
    one.sync();
    scene.merge.close();
    expect([one.isClosed, two.isClosed, scene.isWaiting]).toEqual([true, true, false]);
  });
});

describe("a watch of several registrars", () => {
  function synced(first: string[], second: string[]): { scene: Scene; one: Registrar; two: Registrar } {
    const [one, two] = [new Registrar(), new Registrar()];
    const scene = new Scene(one, two);
    one.sync(...first);
    two.sync(...second);
    scene.take();
    return { scene, one, two };
  }

  test("syncs once, when all have answered, with each actor once", () => {
    const [one, two] = [new Registrar(), new Registrar()];
    const scene = new Scene(one, two);
    two.sync("b", "c");
    expect(scene.take()).toEqual([]);
    one.sync("a", "b");
    expect(scene.take()).toEqual(["sync a b c"]);
  });

  test("syncs without those that are silent for a while, and again when they speak", () => {
    const [one, two] = [new Registrar(), new Registrar()];
    const scene = new Scene(one, two);
    one.sync("a");
    scene.runOut();
    expect(scene.take()).toEqual(["sync a"]);
    one.change("up", "b");
    two.sync("c");
    expect(scene.take()).toEqual(["up b 2", "sync a b c"]);
  });

  test("passes a change that several report on once, from the first that knew the actor", () => {
    const { scene, one, two } = synced([], []);
    one.change("up", "a");
    two.change("up", "a");
    two.change("changed", "a", "tcp://10.0.0.1:2");
    one.change("changed", "a", "tcp://10.0.0.1:2");
    one.change("changed", "a", "tcp://10.0.0.1:3");
    two.change("changed", "a", "tcp://10.0.0.1:3");
    expect(scene.take()).toEqual(["up a 1", "changed a 2", "changed a 3"]);
  });

  test("reports an actor down when none knows it any more", () => {
    const { scene, one, two } = synced(["a", "b"], ["b", "a"]);
    one.change("down", "a");
    two.change("down", "b");
    expect(scene.take()).toEqual([]);
    two.change("down", "a");
    one.change("down", "b");
    expect(scene.take()).toEqual(["down a 4", "down b 4"]);
    expect(scene.state).toEqual([]);
  });

  test("follows the next registrar that knows an actor, and says if that one knows it otherwise", () => {
    const { scene, one, two } = synced(["a"], ["a"]);
    one.change("down", "a");
    two.change("changed", "a", "tcp://10.0.0.1:2");
    two.change("down", "a");
    expect(scene.take()).toEqual(["changed a 2", "down a 3"]);
    const other = synced(["a"], []);
    other.two.change("up", "a", "tcp://10.0.0.1:9");
    other.one.change("down", "a");
    expect(other.scene.take()).toEqual(["changed a 1"]);
  });

  test("keeps what a lost registrar knew until another has taken its place, then syncs once", () => {
    const { scene, one, two } = synced(["a", "b"], ["b"]);
    const next = new Registrar();
    one.listener?.onEnd();
    scene.set(two);
    two.change("up", "c");
    expect([scene.take(), scene.state, scene.isWaiting]).toEqual([["up c 2"], ["a", "b", "c"], true]);
    scene.set(two, next);
    next.sync("a", "b", "c");
    expect(scene.take()).toEqual(["sync b c a"]);
    expect(scene.isWaiting).toBeFalse();
  });

  test("gives up on what only a lost registrar knew after a while, with a sync", () => {
    const { scene, one, two } = synced(["a", "b"], ["b"]);
    scene.set(two);
    expect([one.isClosed, scene.take()]).toEqual([true, []]);
    scene.runOut();
    expect(scene.take()).toEqual(["sync b"]);
  });

  test("says nothing when the others know all that a lost registrar knew", () => {
    const { scene, two } = synced(["a", "b"], ["b", "a"]);
    scene.set(two);
    expect([scene.take(), scene.isWaiting]).toEqual([[], false]);
    two.change("down", "a");
    expect(scene.take()).toEqual(["down a 3"]);
  });

  test("adopts an actor of a lost registrar when another reports it", () => {
    const { scene, two } = synced(["a"], []);
    scene.set(two);
    two.change("up", "a");
    two.change("down", "a");
    expect(scene.take()).toEqual(["down a 2"]);
  });

  test("leads a reader to what the registrars know together, whatever they do", () => {
    const uuid = fc.constantFrom("a", "b", "c");
    const step = fc.oneof(
      fc.record({ what: fc.constant("sync" as const), at: fc.nat(2), uuids: fc.uniqueArray(uuid) }),
      fc.record({ what: fc.constantFrom("up" as const, "down" as const), at: fc.nat(2), uuid }),
      fc.record({ what: fc.constantFrom("lose" as const, "find" as const), at: fc.nat(2) }),
      fc.record({ what: fc.constant("runOut" as const) }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        const registrars = [new Registrar(), new Registrar(), new Registrar()];
        let places = [registrars[0]!, registrars[1]!];
        const scene = new Scene(...places);
        let view = new Set<string>();
        for (const one of steps) {
          if (one.what === "runOut") scene.runOut();
          else {
            const registrar = registrars[one.at]!;
            const isThere = places.includes(registrar);
            if (one.what === "lose" && isThere) {
              places = places.filter((other) => other !== registrar);
              registrar.listener?.onEnd();
              scene.set(...places);
              registrars[one.at] = new Registrar();
            } else if (one.what === "find" && !isThere) scene.set(...(places = [...places, registrar]));
            else if (one.what === "sync" && isThere) registrar.sync(...one.uuids);
            else if (one.what === "up" && registrar.isReady)
              registrar.change(
                registrar.find(one.uuid) ? "changed" : "up",
                one.uuid,
                `tcp://${scene.log.length}`,
              );
            else if (one.what === "down" && registrar.find(one.uuid)) registrar.change("down", one.uuid);
          }
          for (const entry of scene.take()) {
            const [type, ...uuids] = entry.split(" ");
            if (type === "sync") view = new Set(uuids);
            else {
              // a reader never hears of one that it doesn't know, nor twice that one came
              expect(view.has(uuids[0]!)).toBe(type !== "up");
              if (type === "down") view.delete(uuids[0]!);
              else view.add(uuids[0]!);
            }
          }
          if (!scene.merge.isSynced) continue;
          expect([...view].toSorted()).toEqual(scene.state.toSorted());
          const known = new Set(places.flatMap((place) => Array.from(place.actors(), ({ id }) => id.uuid)));
          for (const one of known) expect(view).toContain(one);
          if (!scene.isWaiting) expect(view).toEqual(known);
        }
      }),
      { numRuns: 2_000 },
    );
  });

  test("starts anew when all are lost", () => {
    const { scene, one, two } = synced(["a"], ["b"]);
    scene.set();
    expect(scene.merge.isSynced).toBeFalse();
    scene.set(one, two);
    expect(scene.take()).toEqual(["sync a b"]);
  });
});
