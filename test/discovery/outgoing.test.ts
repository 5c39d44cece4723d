/** Changes that concern many peers: pushed over many turns, in the order that one turn would give. */
import { describe, expect, test } from "bun:test";

import { currentRuntime } from "../../src/actor/current.ts";
import { mostPushedAtOnce, Outgoing } from "../../src/discovery/outgoing.ts";
import { Registrars } from "../../src/discovery/registrars.ts";
import { currentActor, openRootActor } from "../../src/index.ts";
import { hostId } from "../../src/transport/host.ts";
import { Kind } from "../../src/wire/messages.ts";
import { type RawMessage, RawPeer } from "../support/raw-peer.ts";
import { setTiming } from "../support/timing.ts";
import { until, World } from "../support/world.ts";

const addrs = ["tcp://127.0.0.1:1"] as const;
const crowdSize = 500;

const names = Object.fromEntries(Object.entries(Kind).map(([name, value]) => [value, name]));

/** The kind of a message and what it's about: for an answer its id, else the name. */
function shown([kind, ...fields]: RawMessage): string {
  const about = kind === Kind.change ? [fields[2], fields[1]] : [fields[0]];
  return `${names[kind]} ${about.join(" ")}`;
}

function pushes(): number {
  return currentActor().stats().registrar!.pushes;
}

/** A root with very short slices, and peers that have all asked the same. */
class Scene extends AsyncDisposableStack {
  readonly world: World = this.use(new World());
  crowd: RawPeer[] = [];
  #pushed = 0;

  static async open(ask: RawMessage, size: number = crowdSize): Promise<Scene> {
    const scene = new Scene();
    scene.use(setTimingLater({ sliceMs: 0 }));
    const limits = { maxStrangers: size };
    scene.use(await openRootActor({ ...scene.world.options, name: "root", limits }));
    scene.crowd = await Promise.all(Array.from({ length: size }, (_one, n) => scene.connect(`crowd-${n}`)));
    for (const peer of scene.crowd) peer.send(ask);
    for (const peer of scene.crowd) await peer.take(Kind.result);
    scene.restart();
    return scene;
  }

  async connect(name: string): Promise<RawPeer> {
    const peer = this.use(await RawPeer.connect(this.world.unix, { name, addrs }));
    await peer.take(Kind.hello);
    return peer;
  }

  restart(): void {
    this.#pushed = pushes();
  }

  /** How many pushes there were since the last restart. */
  get pushed(): number {
    return pushes() - this.#pushed;
  }

  /** Sends these from a new peer; resolves when it has been pushed to a few of the crowd. */
  async begin(name: string, ...messages: RawMessage[]): Promise<RawPeer> {
    const peer = await this.connect(name);
    this.restart();
    peer.send(...messages);
    while (this.pushed === 0) await turn();
    expect(this.pushed).toBeLessThan(this.crowd.length / 2);
    return peer;
  }

  /** What each of the crowd has got since the answer to its first question; it has to be the same for all. */
  async seen(count: number, peers: readonly RawPeer[] = this.crowd): Promise<string[]> {
    const all = await Promise.all(
      peers.map(async (peer) => {
        const taken: string[] = [];
        while (taken.length < count) taken.push(shown(await peer.take()));
        return taken.join();
      }),
    );
    expect(new Set(all).size).toBe(1);
    return all[0]!.split(",");
  }
}

function setTimingLater(waits: Parameters<typeof setTiming>[0]): AsyncDisposable {
  const timing = setTiming(waits);
  return { [Symbol.asyncDispose]: async () => timing[Symbol.dispose]() };
}

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

const lookup: RawMessage = [Kind.lookup, 1, "x", true];
const watch: RawMessage = [Kind.watch, 1, "x*"];
const register: RawMessage = [Kind.register, 1, addrs];
const unregister: RawMessage = [Kind.unregister, 2];

describe.each([
  ["interested in its name", lookup, ["added x", "removed x"]],
  ["interested in its details", [...lookup, true] as unknown as RawMessage, ["added x", "removed x"]],
  ["watching it", watch, ["change x 0", "change x 2"]],
] as [string, RawMessage, [string, string]][])("a change for many that are %s", (_, ask, [up, down]) => {
  test("is pushed over many turns, and acknowledged after the last", async () => {
    await using scene = await Scene.open(ask);
    const peer = await scene.begin("x", register);
    const turns = new Set([scene.pushed]);
    let most = 0;
    for (let last = scene.pushed; scene.pushed < crowdSize; last = scene.pushed) {
      expect(peer.received.some(([kind]) => kind === Kind.result)).toBeFalse();
      await turn();
      most = Math.max(most, scene.pushed - last);
      turns.add(scene.pushed);
    }
    await peer.take(Kind.result);
    expect(scene.pushed).toBe(crowdSize);
    expect(turns.size).toBeGreaterThan(10);
    expect(most).toBeLessThan(crowdSize / 4);
    expect(await scene.seen(1)).toEqual([up]);
  });

  test("lets calls be answered meanwhile", async () => {
    await using scene = await Scene.open(ask);
    const caller = await scene.connect("caller");
    await scene.begin("x", register);
    caller.send([Kind.call, 1, "registrar.findActors", ["x"]]);
    const [, , found] = await caller.take(Kind.result);
    expect(found).toHaveLength(1);
    expect(scene.pushed).toBeLessThan(crowdSize);
  });

  test("reaches each of them ahead of the next change and of the answer to a later question", async () => {
    await using scene = await Scene.open(ask);
    const last = scene.crowd.at(-1)!;
    const peer = await scene.begin("x", register, unregister);
    last.send([Kind.lookup, 9, "x", false]);
    expect(await scene.seen(2, scene.crowd.slice(0, -1))).toEqual([up, down]);
    // its question came between the two changes, or after both
    const seen = await scene.seen(3, [last]);
    expect(seen.filter((text) => text !== "result 9")).toEqual([up, down]);
    expect(seen.indexOf("result 9")).toBeGreaterThan(0);
    const answer = last.received.find(([kind, id]) => kind === Kind.result && id === 9)!;
    expect(answer[2]).toHaveLength(seen.indexOf("result 9") === 1 ? 1 : 0);
    await peer.take(Kind.result);
    expect((await peer.take(Kind.result))[1]).toBe(2);
  });

  test("comes before the end of the connection that made it", async () => {
    await using scene = await Scene.open(ask);
    const peer = await scene.begin("x", register);
    peer.cut();
    // not by the clock: a fast machine pushes to all of them in a few milliseconds
    while (currentRuntime().peers.size > crowdSize) await turn();
    expect(scene.pushed).toBeLessThan(crowdSize);
    expect(await scene.seen(2)).toEqual([up, down]);
  });

  test("passes over those that leave meanwhile, and doesn't wait for those that don't read", async () => {
    await using scene = await Scene.open(ask);
    const [first, ...others] = scene.crowd as [RawPeer, ...RawPeer[]];
    first.pause();
    const peer = await scene.begin("x", register);
    const gone = others.splice(-20);
    for (const one of gone) one.cut();
    await peer.take(Kind.result);
    expect(await scene.seen(1, others)).toEqual([up]);
    expect(scene.pushed).toBeLessThanOrEqual(crowdSize - gone.length + 1);
    first.resume();
    expect(await scene.seen(1, [first])).toEqual([up]);
  });

  test("is pushed to all before `retired`, and acknowledged; requests that wait are refused", async () => {
    await using scene = await Scene.open(ask);
    const asker = await scene.connect("asker");
    const peer = await scene.begin("x", register);
    asker.send([Kind.lookup, 7, "x", false]);
    await turn();
    await turn();
    expect(scene.pushed).toBeLessThan(crowdSize);
    Registrars.of(currentRuntime()).unserve();
    expect((await scene.seen(2)).map((text) => text.replace(/retired .*/, "retired"))).toEqual([
      up,
      "retired",
    ]);
    expect([(await peer.take())[0], (await peer.take())[0]]).toEqual([Kind.result, Kind.retired]);
    const answers = [(await asker.take())[0], (await asker.take())[0]];
    expect(answers).toEqual([Kind.error, Kind.retired]);
  });

  test("is pushed to all before the registrar ends", async () => {
    await using scene = await Scene.open(ask);
    const peer = await scene.begin("x", register);
    await currentActor().cancel();
    expect((await scene.seen(1))[0]).toBe(up);
    await peer.take(Kind.result);
  });
});

describe("while a change is pushed", () => {
  test("a request waits, and its connection isn't read", async () => {
    await using scene = await Scene.open(lookup);
    const asker = await scene.connect("asker");
    await scene.begin("x", register);
    asker.send([Kind.lookup, 1, "x", true], [Kind.lookup, 2, "y", true], [Kind.ping, 3]);
    const answers = [await asker.take(), await asker.take(), await asker.take()];
    expect(scene.pushed).toBe(crowdSize);
    expect(answers.map(([kind, id]) => [kind, id])).toEqual([
      [Kind.result, 1],
      [Kind.result, 2],
      [Kind.pong, 3],
    ]);
    expect(answers[0]![2]).toBeString();
    // it is read again
    asker.send([Kind.ping, 4]);
    await asker.take(Kind.pong);
  });

  test("requests of one write are served in their order, however many", async () => {
    await using scene = await Scene.open(lookup);
    const asker = await scene.connect("asker");
    await scene.begin("x", register);
    const count = 5_000;
    asker.sendAll(...Array.from({ length: count }, (_one, id): RawMessage => [Kind.lookup, id, "x", false]));
    for (let id = 0; id < count; id++) expect((await asker.take()).slice(0, 2)).toEqual([Kind.result, id]);
  });

  test("the end of a connection that isn't read is noticed after that", async () => {
    await using scene = await Scene.open(lookup);
    const asker = await scene.connect("asker");
    const peer = await scene.begin("x", register);
    asker.send([Kind.lookup, 1, "y", true]);
    await turn();
    await turn();
    asker.cut();
    await peer.take(Kind.result);
    await until(() => currentRuntime().peers.size === crowdSize + 1);
  });

  test("the request of a connection that ends is dropped", async () => {
    await using scene = await Scene.open(lookup);
    const late = await scene.connect("late");
    const { channel } = Array.from(currentRuntime().peers).find(({ id }) => id.name === "late")!;
    const peer = await scene.begin("x", register);
    late.send([Kind.register, 1, addrs]);
    await turn();
    await turn();
    channel.abort(new Error("lost"));
    await peer.take(Kind.result);
    peer.send(unregister);
    await peer.take(Kind.result);
    const { table } = Registrars.of(currentRuntime()).service!;
    expect(Array.from(table.entries(), ({ name }) => name)).toEqual(["root"]);
  });

  test("the connection of a malformed request is closed", async () => {
    await using scene = await Scene.open(lookup);
    const asker = await scene.connect("asker");
    await scene.begin("x", register);
    asker.send([Kind.claim, 1, "y", false, "", 0]);
    await asker.ended;
    expect(scene.pushed).toBe(crowdSize);
  });

  test("a watch that begins gets it with its state, and not again", async () => {
    await using scene = await Scene.open(watch);
    const { table } = Registrars.of(currentRuntime()).service!;
    for (let n = 0; n < 5_000; n++)
      table.register({ name: "many", uuid: `u${n}`, pid: 1, host: hostId() }, [...addrs]);
    const [reader, late, peer] = [
      await scene.connect("reader"),
      await scene.connect("late"),
      await scene.connect("x"),
    ];
    // its long answer takes turns with the state of the watch
    reader.send([Kind.lookup, 1, "many", false]);
    await reader.take(Kind.part);
    late.send(watch);
    scene.restart();
    peer.send(register);
    const [, , state] = await late.take(Kind.result);
    expect((state as [number, unknown[]])[1]).toHaveLength(1);
    expect(scene.pushed).toBeGreaterThan(0);
    expect(scene.pushed).toBeLessThan(crowdSize);
    await peer.take(Kind.result);
    expect(scene.pushed).toBe(crowdSize);
    peer.send(unregister);
    await peer.take(Kind.result);
    expect(shown(await late.take())).toBe("change x 2");
  });

  test("a change of the registrar's own is over when all have it", async () => {
    await using scene = await Scene.open([Kind.watch, 1, "root"]);
    scene.restart();
    await currentActor().setMetadata({ n: 1 });
    expect(scene.pushed).toBe(crowdSize);
    expect(await scene.seen(1)).toEqual(["change root 1"]);
  });
});

test("a change for few is pushed in the turn that makes it", async () => {
  await using scene = await Scene.open(lookup, mostPushedAtOnce);
  const peer = await scene.connect("x");
  scene.restart();
  peer.send(register);
  while (scene.pushed === 0) await turn();
  expect(scene.pushed).toBe(mostPushedAtOnce);
  expect(await scene.seen(1)).toEqual(["added x"]);
});

describe("Outgoing", () => {
  /** Pushes that many steps, each noted as the text. */
  function* steps(count: number, log: string[], text: string): Generator<void> {
    for (let n = 0; n < count; n++) yield void log.push(text);
  }

  test("keeps the order of pushes and of what follows them, and leaves answers until all is pushed", async () => {
    using _ = setTiming({ sliceMs: 0 });
    const [outgoing, log] = [new Outgoing(), [] as string[]];
    expect(outgoing.isIdle).toBeTrue();
    outgoing.push(100, steps(100, log, "a"), () => {});
    outgoing.answer(() => log.push("answer"));
    outgoing.after(() => log.push("a is pushed"));
    outgoing.push(1, steps(1, log, "b"), () => {});
    const pushed = outgoing.pushed!.then(() => log.push("both are pushed"));
    outgoing.answer(() => log.push("last answer"));
    expect(outgoing.isIdle).toBeFalse();
    await Promise.all([pushed, outgoing.idle]);
    const rest = log.filter((text) => text !== "a");
    expect(log.slice(0, 100)).toEqual(Array.from({ length: 100 }, () => "a"));
    expect(rest).toEqual(["a is pushed", "b", "both are pushed", "answer", "last answer"]);
    expect([outgoing.isIdle, outgoing.pushed, outgoing.idle]).toEqual([true, undefined, undefined]);
  });

  test("says whether what is pushed has to be written at once: for many, and while others wait", () => {
    using _ = setTiming({ sliceMs: 0 });
    const [outgoing, spread] = [new Outgoing(), [] as boolean[]];
    function* noting(count: number): Generator<void> {
      for (let n = 0; n < count; n++) yield void spread.push(outgoing.isSpread);
    }
    outgoing.push(mostPushedAtOnce, noting(1), () => {});
    outgoing.push(mostPushedAtOnce + 1, noting(100), () => {});
    outgoing.push(1, noting(1), () => {});
    outgoing.finish();
    outgoing.push(1, noting(1), () => {});
    expect(spread).toEqual([false, ...Array.from({ length: 101 }, () => true), false]);
    expect(outgoing.isSpread).toBeFalse();
  });

  test("goes on after one that fails", () => {
    const [outgoing, log] = [new Outgoing(), [] as string[]];
    const fail = (): never => {
      throw new Error("failed");
    };
    function* failing(): Generator<void> {
      outgoing.after(fail);
      outgoing.push(1, steps(1, log, "next"), () => {});
      yield fail();
    }
    outgoing.push(1, failing(), () => {});
    expect(log).toEqual(["next"]);
    expect([outgoing.isIdle, outgoing.isSpread]).toEqual([true, false]);
  });

  test("pushes what arises from a push after it", () => {
    const [outgoing, log] = [new Outgoing(), [] as string[]];
    function* losing(): Generator<void> {
      yield void log.push("first");
      outgoing.push(2, steps(2, log, "second"), () => {});
      yield void log.push("first");
    }
    outgoing.push(2, losing(), () => {});
    expect(log).toEqual(["first", "first", "second", "second"]);
  });

  test("finishes at once, with what answers change", () => {
    using _ = setTiming({ sliceMs: 0 });
    const [outgoing, log] = [new Outgoing(), [] as string[]];
    outgoing.push(100, steps(100, log, "a"), () => {});
    outgoing.answer(() => outgoing.push(100, steps(100, log, "b"), () => {}));
    outgoing.answer(() => log.push("answer"));
    outgoing.finish();
    expect(outgoing.isIdle).toBeTrue();
    expect([log.length, log[99], log[100], log[200]]).toEqual([201, "a", "b", "answer"]);
  });
});
