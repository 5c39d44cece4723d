/** What an open page gets: real actors, and the messages of a real WebSocket. */
import { describe, expect, test } from "bun:test";

import { currentRuntime } from "../../src/actor/current.ts";
import type { ActorSample, DetailMessage, EventInfo, ServerMessage } from "../../src/page/protocol.ts";
import { readersOf } from "../../src/tree/child-events.ts";
import { type TestTree, testTree } from "../../src/testing.ts";
import { admit, type LivePage as Live, LivePage, serve } from "../support/page-client.ts";
import { until } from "../support/world.ts";

const module = new URL("../fixtures/page.ts", import.meta.url);
type Page = typeof import("../fixtures/page.ts");

/** A sample of that actor that fits. */
function sampleOf(
  uuid: string,
  fits: (sample: ActorSample) => boolean = () => true,
): (message: ServerMessage) => ActorSample | undefined {
  return (message) =>
    message.type === "samples"
      ? message.samples.find((sample) => sample.uuid === uuid && fits(sample))
      : undefined;
}

function eventOf(what: EventInfo["what"], uuid: string): (message: ServerMessage) => EventInfo | undefined {
  return (message) =>
    message.type === "events"
      ? message.events.find((event) => event.what === what && event.uuid === uuid)
      : undefined;
}

/** The names of the first whole list. */
async function names(live: Live): Promise<string[]> {
  return await live.until((message) =>
    message.type === "actors" && message.isWhole
      ? message.present.map(({ name }) => name).toSorted()
      : undefined,
  );
}

function start(tree: TestTree, name: string): ReturnType<TestTree["nursery"]["startActor"]> {
  return tree.nursery.startActor(name, { module });
}

describe("a page", () => {
  test("gets who is registered, each change at once, and samples of every actor", async () => {
    await using tree = await testTree();
    const one = await tree.nursery.startActor("one", { module, version: "1.2.3", metadata: { zone: "a" } });
    await using page = serve();
    using live = await LivePage.open(await admit(page));
    live.show();
    expect(await names(live)).toEqual([tree.actor.name, "one"].toSorted());
    const info = await live.until((message) =>
      message.type === "actors" ? message.present.find(({ name }) => name === "one") : undefined,
    );
    expect(info).toMatchObject({
      uuid: one.id.uuid,
      pid: one.id.pid,
      parent: tree.actor.uuid,
      version: "1.2.3",
      metadata: { zone: "a" },
      state: "ready",
    });
    for (const uuid of [one.id.uuid, tree.actor.uuid]) {
      const { rssBytes, cpuSeconds } = await live.until(sampleOf(uuid));
      expect(rssBytes).toBeGreaterThan(1_000_000);
      expect(cpuSeconds).toBeGreaterThan(0);
    }
    const two = await start(tree, "two");
    expect(await live.until(eventOf("started", two.id.uuid))).toMatchObject({ name: "two", pid: two.id.pid });
    await live.until(sampleOf(two.id.uuid));
    await two.cancelActor();
    await live.until((message) =>
      message.type === "actors" && message.gone.includes(two.id.uuid) ? true : undefined,
    );
    expect(await live.until(eventOf("ended", two.id.uuid))).not.toHaveProperty("how");
  });

  test("is told how an actor died that was killed", async () => {
    await using tree = await testTree({ strategy: "one-for-one" });
    const victim = await tree.nursery.startActor("victim", { module, restart: "on-failure" });
    await using page = serve();
    using live = await LivePage.open(await admit(page));
    live.show();
    await live.until(sampleOf(victim.id.uuid));
    // its parent's events are followed
    await until(() => readersOf(currentRuntime()).size > 0);
    await tree.kill("victim");
    expect(await live.until(eventOf("died", victim.id.uuid))).toMatchObject({
      name: "victim",
      how: "SIGKILL",
    });
    const restarted = await live.until((message) =>
      message.type === "events" ? message.events.find(({ what }) => what === "restarted") : undefined,
    );
    expect(restarted.name).toBe("victim");
    expect(restarted.uuid).not.toBe(victim.id.uuid);
    live.show({ selected: restarted.uuid });
    const child = await live.until((message) => (message.type === "child" ? message : undefined));
    expect(child).toEqual({ type: "child", uuid: restarted.uuid, restarts: 1 });
  });

  test("hears nothing of a frozen actor, goes on hearing of the others, and hears of it again when it thaws", async () => {
    await using tree = await testTree();
    const cold = await start(tree, "cold");
    const warm = await start(tree, "warm");
    await using page = serve();
    using live = await LivePage.open(await admit(page));
    live.show();
    await live.until(sampleOf(cold.id.uuid));
    tree.freeze("cold");
    // what was under way when it froze arrives before the other's next ones
    const { clockMs } = await live.until(sampleOf(warm.id.uuid), live.received.length);
    await live.until(sampleOf(warm.id.uuid, (sample) => sample.clockMs > clockMs + 400));
    const from = live.received.length;
    await live.until(sampleOf(warm.id.uuid, (sample) => sample.clockMs > clockMs + 1_000));
    expect(live.received.slice(from).some((message) => sampleOf(cold.id.uuid)(message) !== undefined)).toBe(
      false,
    );
    tree.thaw("cold");
    await live.until(sampleOf(cold.id.uuid), from);
  });

  test("gets counts of calls and failures, and a stream whose reader doesn't read, and never a value of any of them", async () => {
    await using tree = await testTree();
    const market = await tree.nursery.startActor<Page>("market", { module });
    const web = await tree.nursery.startActor<Page>("web", { module, output: "keep" });
    await using page = serve();
    using live = await LivePage.open(await admit(page));
    live.show({ selected: market.id.uuid });
    await live.until(sampleOf(market.id.uuid));
    const secret = "sesame";
    await web.run.call("market", secret, 5);
    const reading = new AbortController();
    const read = web
      .with({ signal: reading.signal })
      .run.readOne("market", secret)
      .catch(() => {});
    const sample = await live.until(
      sampleOf(
        market.id.uuid,
        ({ calls, streams }) => calls >= 10 && streams.some(({ waitsFor }) => waitsFor === "credit"),
      ),
    );
    expect([sample.calls, sample.failed]).toEqual([10, 5]);
    expect(sample.buckets.reduce((sum, count) => sum + count, 0)).toBe(10);
    expect(sample.streams).toMatchObject([
      {
        name: "ticks",
        verb: "stream",
        side: "callee",
        peer: { name: "web", uuid: web.id.uuid },
        credit: { messages: 0 },
      },
    ]);
    const waited = await live.until(
      sampleOf(market.id.uuid, ({ streams }) => (streams[0]?.waitedMs ?? 0) > sample.streams[0]!.waitedMs),
    );
    expect(waited.streams[0]!.waitsFor).toBe("credit");
    const detail = await live.until((message) =>
      message.type === "detail" && message.functions.length >= 3 ? message : undefined,
    );
    expect(detail.uuid).toBe(market.id.uuid);
    expect(detail.functions.find(({ name }) => name === "refuse")?.errors).toEqual({ ERR_REMOTE_ACTOR: 5 });
    reading.abort();
    await read;
    expect(live.text).not.toContain(secret);
    expect(live.text).not.toContain("furrow.inspect");
  });

  test("gets fewer samples of those that it doesn't show where there are many, and their counters go on", async () => {
    await using tree = await testTree();
    const [one, two] = [await start(tree, "one"), await start(tree, "two")];
    await using page = serve({ crowd: 2 });
    using live = await LivePage.open(await admit(page));
    const seldom = (uuid: string) =>
      live.until(
        sampleOf(uuid, ({ everyMs }) => everyMs === 100),
        live.received.length,
      );
    const often = (uuid: string) =>
      live.until(
        sampleOf(uuid, ({ everyMs }) => everyMs === 20),
        live.received.length,
      );
    live.show({ inSight: [one.id.uuid], selected: tree.actor.uuid });
    const first = await seldom(two.id.uuid);
    await Promise.all([often(one.id.uuid), often(tree.actor.uuid)]);
    live.show({ inSight: [two.id.uuid] });
    await Promise.all([seldom(one.id.uuid), seldom(tree.actor.uuid)]);
    const second = await often(two.id.uuid);
    expect(second.sinceMs).toBe(first.sinceMs);
    // then they aren't many any more
    live.show();
    await Promise.all([seldom(one.id.uuid), seldom(two.id.uuid)]);
    await one.cancelActor();
    expect((await often(two.id.uuid)).sinceMs).toBe(first.sinceMs);
  });

  test("gets how many are interested in each name, and each change of that", async () => {
    await using tree = await testTree();
    await start(tree, "market");
    const web = await tree.nursery.startActor<Page>("web", { module });
    await using page = serve();
    using live = await LivePage.open(await admit(page));
    live.show();
    const countOf = (name: string) => (message: ServerMessage) =>
      message.type === "interests" ? (new Map(message.counts).get(name) ?? 0) : undefined;
    expect(await live.until(countOf("market"))).toBe(0);
    const from = live.received.length;
    await web.run.call("market", "BTC", 1);
    expect(await live.until(countOf("market"), from)).toBe(1);
    await web.cancelActor();
    await live.until((message) => (countOf("market")(message) === 0 ? true : undefined), from);
  });

  test("gets the oldest call of the selected actor that is in flight, with its age", async () => {
    await using tree = await testTree();
    const market = await tree.nursery.startActor<Page>("market", { module });
    const call = (): AbortController => {
      const abort = new AbortController();
      market
        .with({ signal: abort.signal })
        .run.untilAborted()
        .catch(() => {});
      return abort;
    };
    const before = call();
    await using page = serve();
    using live = await LivePage.open(await admit(page));
    live.show({ selected: market.id.uuid });
    const oldest = (fits: (oldest: DetailMessage["oldestCall"], detail: DetailMessage) => boolean) =>
      live.until((message) =>
        message.type === "detail" && fits(message.oldestCall, message) ? message : undefined,
      );
    await oldest((one) => one?.name === "untilAborted" && one.ageMs === null);
    const during = call();
    await oldest((_, { functions }) => functions[0]!.inFlight === 2);
    before.abort();
    const { oldestCall } = await oldest((one) => (one?.ageMs ?? 0) > 0);
    await oldest((one) => one!.ageMs! > oldestCall!.ageMs!);
    during.abort();
    const from = live.received.length;
    await live.until(
      (message) => (message.type === "detail" && message.oldestCall === null ? true : undefined),
      from,
    );
  });

  test("gets the log of the selected actor, what was written before included", async () => {
    await using tree = await testTree();
    const writer = await tree.nursery.startActor<Page>("writer", { module, output: "keep" });
    await writer.run.write("before");
    await using page = serve();
    using live = await LivePage.open(await admit(page));
    live.show({ selected: writer.id.uuid, log: true });
    const line = (text: string) => (message: ServerMessage) =>
      message.type === "log" ? message.lines.find((one) => one.text === text) : undefined;
    expect(await live.until(line("before"))).toMatchObject({ stream: "stdout" });
    await writer.run.write("after");
    await live.until(line("after"));
    const from = live.received.length;
    live.show({ selected: tree.actor.uuid, log: true });
    const none = await live.until((message) => (message.type === "log" ? message : undefined), from);
    expect(none).toMatchObject({ uuid: tree.actor.uuid, isFirst: true, lines: [] });
    expect(none.trouble).toContain("a root's output goes to its own terminal");
  });
});

describe("nothing runs", () => {
  test("before a page is shown, while all are hidden, and after the last is closed", async () => {
    await using tree = await testTree();
    const actor = await start(tree, "actor");
    const isMeasured = (): boolean => currentRuntime().observer !== undefined;
    await using page = serve();
    const browser = await admit(page);
    using first = await LivePage.open(browser);
    await first.until((message) => (message.type === "hello" ? true : undefined));
    expect([page.probeCount, isMeasured()]).toEqual([0, false]);

    first.show();
    await first.until(sampleOf(actor.id.uuid));
    await first.until(sampleOf(tree.actor.uuid));
    expect([page.probeCount, isMeasured()]).toEqual([2, true]);
    // another page shares what runs
    using second = await LivePage.open(browser);
    second.show();
    await second.until(sampleOf(actor.id.uuid));
    expect(page.probeCount).toBe(2);

    first.show({ isVisible: false });
    await second.until(sampleOf(actor.id.uuid), second.received.length);
    const seen = first.received.length;
    second.show({ isVisible: false });
    await until(() => !isMeasured());
    expect([page.probeCount, first.received.length]).toEqual([0, seen]);

    second.show();
    await second.until(sampleOf(actor.id.uuid), second.received.length);
    expect(isMeasured()).toBe(true);
    await second.close();
    await until(() => !isMeasured());
    expect(page.probeCount).toBe(0);
  });
});
