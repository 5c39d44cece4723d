/** What is measured, and that nothing is while nobody looks. */
import { describe, expect, test } from "bun:test";

import { currentRuntime } from "../../src/actor/current.ts";
import {
  currentActor,
  findActor,
  type Nursery,
  openNursery,
  openRootActor,
  type Portal,
} from "../../src/index.ts";
import type { Inspected } from "../../src/inspect/inspection.ts";
import { Measuring } from "../../src/inspect/measuring.ts";
import type { Sample, StreamSample } from "../../src/inspect/sample.ts";
import { failure } from "../support/outcome.ts";
import { until, World } from "../support/world.ts";

const module = new URL("../fixtures/measured.ts", import.meta.url);
type Measured = typeof import("../fixtures/measured.ts");
type Looked = Measured & Inspected;

async function start(nursery: Nursery, name: string): Promise<Portal<Looked>> {
  return await nursery.startActor<Looked>(name, { module });
}

/** One who looks: samples on demand, at once. */
class Look implements AsyncDisposable {
  readonly #stream: AsyncGenerator<Sample, void, undefined>;

  constructor(portal: Portal<Looked>) {
    this.#stream = portal.stream["furrow.inspect"](10);
  }

  async next(): Promise<Sample> {
    return (await this.#stream.next()).value!;
  }

  /** The first sample of which `wanted` holds. */
  async until(wanted: (sample: Sample) => boolean): Promise<Sample> {
    for (;;) {
      const sample = await this.next();
      if (wanted(sample)) return sample;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stream.return();
  }
}

function count(buckets: readonly number[]): number {
  return buckets.reduce((sum, one) => sum + one, 0);
}

describe("furrow.inspect", () => {
  test("counts calls, errors by code and durations of each function, from the first look on", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const portal = await start(nursery, "measured");
    // nobody looks yet
    await portal.run.add(1, 2);
    await using look = new Look(portal);
    expect((await look.next()).functions).toEqual([]);
    for (let n = 0; n < 3; n++) await portal.run.add(n, 1);
    await portal.run.later(1);
    await failure(portal.run.fail());
    await failure((portal.run as unknown as Record<string, () => Promise<void>>)["missing"]!());
    const hanging = failure(portal.with({ timeout: 20 }).run.hang());
    await hanging;
    const sample = await look.until(({ functions }) =>
      functions.some(({ name, calls }) => name === "hang" && calls > 0),
    );
    const counted = sample.functions.map(({ name, calls, errors, inFlight }) => ({
      name,
      calls,
      errors,
      inFlight,
    }));
    expect(counted).toEqual([
      { name: "add", calls: 3, errors: {}, inFlight: 0 },
      { name: "later", calls: 1, errors: {}, inFlight: 0 },
      { name: "fail", calls: 1, errors: { ERR_REMOTE_ACTOR: 1 }, inFlight: 0 },
      { name: "hang", calls: 1, errors: { ERR_CONTEXT_CANCELLED: 1 }, inFlight: 0 },
      { name: "_OTHER", calls: 1, errors: { ERR_NOT_EXPOSED: 1 }, inFlight: 0 },
    ]);
    for (const { buckets, calls } of sample.functions) expect(count(buckets)).toBe(calls);
    const hung = sample.functions.find(({ name }) => name === "hang")!;
    expect(hung.sumSeconds).toBeGreaterThan(0.01);
    expect(sample.id).toEqual(portal.id);
    expect(sample.rssBytes).toBeGreaterThan(1_000_000);
    expect(sample.cpuSeconds).toBeGreaterThan(0);
    expect(sample.bytes.received).toBeGreaterThan(0);
    expect(sample.peers.map(({ uuid }) => uuid)).toContain(currentActor().uuid);
  });

  test("counts no bytes of calls that an actor makes to itself: they use no connection", async () => {
    await using world = new World();
    await using actor = await openRootActor({ ...world.options, enableModules: [module.href] });
    const runtime = currentRuntime();
    using reader = Measuring.of(runtime).open();
    await using portal = await findActor<Measured>(actor.name, { raiseOnNone: true });
    await portal.run.add(1, 1);
    const sample = reader.sample();
    expect(sample.functions).toEqual([expect.objectContaining({ name: "add", calls: 1 })]);
    expect(sample.bytes).toEqual({ sent: 0, received: 0 });
    // its end of the link has read the call, and written the answer
    const [link] = runtime.sessions().map(({ peer }) => peer.channel.link);
    expect([link!.writtenBytes > 0, link!.readBytes > 0]).toEqual([true, true]);
  });

  test("shows what is in flight, calls that began before the first look included", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const portal = await start(nursery, "measured");
    const abort = new AbortController();
    const before = failure(portal.with({ signal: abort.signal }).run.hang());
    await portal.run.add(1, 1);
    await using look = new Look(portal);
    expect((await look.next()).functions).toEqual([
      expect.objectContaining({ name: "hang", calls: 0, inFlight: 1 }),
    ]);
    const during = failure(portal.with({ signal: abort.signal }).run.hang());
    const sample = await look.until(({ functions }) => functions.some(({ inFlight }) => inFlight > 1));
    // not the look itself
    expect(sample.callsInFlight).toBe(2);
    expect(sample.functions).toEqual([expect.objectContaining({ name: "hang", calls: 0, inFlight: 2 })]);
    abort.abort(new Error("enough"));
    await Promise.all([before, during]);
  });

  test("measures nothing without a reader: the last one to leave takes it all along", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const portal = await start(nursery, "measured");
    expect(await portal.run.isObserved()).toBeFalse();
    {
      await using first = new Look(portal);
      await first.next();
      {
        await using second = new Look(portal);
        await second.next();
      }
      expect(await portal.run.isObserved()).toBeTrue();
    }
    expect(await portal.run.isObserved()).toBeFalse();
    await portal.run.add(1, 1);
    await using again = new Look(portal);
    expect((await again.next()).functions).toEqual([]);
  });

  test("ends with a reader that dies", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const portal = await start(nursery, "measured");
    const program = await world.actor("reader");
    await program.run(async ({ furrow, keep }) => {
      const found = await furrow.findActor("measured", { raiseOnNone: true });
      const stream = (keep["stream"] = found.stream["furrow.inspect"](10));
      await stream.next();
    });
    expect(await portal.run.isObserved()).toBeTrue();
    await program.kill();
    await until(async () => !(await portal.run.isObserved()));
  });

  test("waits for a slow reader, whose credit it is that bounds it", async () => {
    await using world = new World();
    await using nursery = await openNursery({ ...world.options, limits: { creditMessages: 2 } });
    const portal = await start(nursery, "measured");
    await using slow = new Look(portal);
    const first = await slow.next();
    await using quick = new Look(portal);
    let newest = await quick.next();
    // long enough for many more samples than the slow reader has credit for
    for (let n = 0; n < 20; n++) newest = await quick.next();
    let behind = await slow.next();
    for (let n = 0; n < 2; n++) behind = await slow.next();
    expect(behind.clockMs).toBeGreaterThan(first.clockMs);
    expect(behind.clockMs).toBeLessThan(newest.clockMs);
  });

  test("counts the calls that an actor makes, by the name of the other and the function", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const portal = await start(nursery, "caller");
    await start(nursery, "callee");
    await using look = new Look(portal);
    await look.next();
    await portal.run.calls("callee", 5);
    const { asked } = await look.until((sample) => sample.asked[1]?.calls === 1);
    expect(asked.map(({ actor, name, calls, errors }) => ({ actor, name, calls, errors }))).toEqual([
      { actor: "callee", name: "add", calls: 5, errors: {} },
      { actor: "callee", name: "fail", calls: 1, errors: { ERR_REMOTE_ACTOR: 1 } },
    ]);
  });

  test("shows who waits in a stream: the writer without credit, and for how long", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const market = await start(nursery, "market");
    const web = await start(nursery, "web");
    await web.run.readOne("market");
    await using look = new Look(market);
    const stuck = ({ streams }: Sample): StreamSample | undefined =>
      streams.find(({ waitsFor, waitedMs }) => waitsFor === "credit" && waitedMs > 20);
    const waiting = stuck(await look.until((sample) => stuck(sample) !== undefined))!;
    expect(waiting).toMatchObject({
      name: "ticks",
      verb: "stream",
      side: "callee",
      peer: { name: "web", uuid: web.id.uuid },
      queued: 1,
      credit: { messages: 0 },
      ageMs: null,
    });
    const { sent } = waiting;
    expect(sent).toBeGreaterThanOrEqual(64);
    await using other = new Look(web);
    expect((await other.next()).streams).toEqual([
      expect.objectContaining({
        side: "caller",
        peer: { name: "market", uuid: market.id.uuid },
        unread: sent - 1,
      }),
    ]);
    // it reads again: the counters go on, and nobody has waited in vain
    await web.run.readOn(1_000);
    const later = await look.until(({ streams }) => streams[0]!.sent >= 1_000);
    expect(later.streams[0]!.waitedMs).toBeLessThanOrEqual(later.clockMs - later.sinceMs);
    const [flow] = later.flows;
    expect(flow).toMatchObject({ name: "ticks", side: "callee", received: 0 });
    expect(flow!.sent).toBe(later.streams[0]!.sent - sent);
    expect(flow!.stalledSeconds).toBeGreaterThanOrEqual(waiting.waitedMs / 1_000);
  });

  test("counts the messages of streams and dialogs that are over", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const portal = await start(nursery, "measured");
    await using look = new Look(portal);
    await look.next();
    for (let n = 0; n < 2; n++) for await (const _ of portal.stream.ticks(100));
    await using dialog = await portal.open.talk();
    for (const value of [1, 2, 3]) await dialog.send(value);
    await dialog.end();
    expect(await dialog.result).toBe(6);
    const sample = await look.until(({ functions }) => functions.length === 2 && functions[1]!.calls === 1);
    const flows = sample.flows.map(({ name, side, sent, received }) => ({ name, side, sent, received }));
    expect(flows).toEqual([
      { name: "ticks", side: "callee", sent: 200, received: 0 },
      { name: "talk", side: "callee", sent: 3, received: 3 },
    ]);
    expect(sample.functions.map(({ name, verb, calls }) => ({ name, verb, calls }))).toEqual([
      { name: "ticks", verb: "stream", calls: 2 },
      { name: "talk", verb: "open", calls: 1 },
    ]);
    expect(sample.streams).toEqual([]);
  });

  test("tells how late the event loop was since the last sample", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const portal = await start(nursery, "measured");
    await using look = new Look(portal);
    await look.next();
    await portal.run.block(400);
    const { loop } = await look.until((sample) => sample.loop.lagMs > 200);
    expect(loop.lagMs).toBeLessThan(10_000);
  });

  test("refuses an interval that isn't one", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const portal = await start(nursery, "measured");
    for (const interval of [0, -1, Number.NaN, 1e9, "1"]) {
      const stream = portal.stream["furrow.inspect"](interval as number);
      expect((await failure(stream.next())).message).toContain("takes an interval from 10 to 3600000 ms");
    }
  });

  test("doesn't hold up a drain, and goes on until the actor ends", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const portal = await start(nursery, "measured");
    await using look = new Look(portal);
    expect((await look.next()).state).toBe("ready");
    const hanging = failure(portal.with({ timeout: 300 }).run.hang());
    const drained = portal.drainActor();
    await look.until(({ state }) => state === "draining");
    await hanging;
    expect(await drained).toBeTrue();
  });
});

describe("furrow.describe", () => {
  test("tells what an actor is: versions, limits, modules, functions, children, peers", async () => {
    await using world = new World();
    await using nursery = await openNursery({ ...world.options, name: "shop", version: "1.2.3" });
    const child = await nursery.startActor<Looked>("child", {
      module,
      version: "4.5.6",
      metadata: { zone: "eu" },
      concurrency: 7,
    });
    const described = await child.run["furrow.describe"]();
    expect(described).toMatchObject({
      id: child.id,
      isRoot: false,
      isRegistrar: false,
      state: "ready",
      version: "4.5.6",
      metadata: { zone: "eu" },
      furrow: (await import("../../package.json")).version,
      bun: Bun.version,
      modules: [module.href],
      concurrency: 7,
      children: [],
      limits: { creditMessages: 64 },
      peersLeftOut: 0,
    });
    expect(described.functions).toContainEqual({ name: "ticks", verb: "stream" });
    expect(described.peers.map(({ name }) => name)).toEqual(["shop"]);
    const { currentActor, LocalPortal } = await import("../../src/index.ts");
    const { currentRuntime } = await import("../../src/actor/current.ts");
    const self = new LocalPortal<Inspected>(currentRuntime());
    const root = await self.run["furrow.describe"]();
    expect(root).toMatchObject({ id: currentActor().id, isRoot: true, isRegistrar: true, parent: null });
    expect(root.children).toEqual([
      { id: child.id, restarts: 0, startedAt: expect.any(Number), state: "ready" },
    ]);
    expect(described.parent).toBe(root.id.uuid);
    const found = await findActor("child");
    expect(found?.id).toEqual(child.id);
  });
});
