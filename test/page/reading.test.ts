/** What the page makes of the counters that it gets: pure functions of src/page/app. */
import { describe, expect, test } from "bun:test";

import { treeRows } from "../../src/page/app/forest.ts";
import { bytes, count, duration, ms, percent, rate } from "../../src/page/app/format.ts";
import { History } from "../../src/page/app/history.ts";
import { ratesOf } from "../../src/page/app/rates.ts";
import { silenceOf, standingOf } from "../../src/page/app/standing.ts";
import { streamRows } from "../../src/page/app/streams.ts";
import { totalsOf } from "../../src/page/app/totals.ts";
import { warningsOf } from "../../src/page/app/warnings.ts";
import { EventLog } from "../../src/page/event-log.ts";
import type { ActorInfo, ActorSample, StreamInfo } from "../../src/page/protocol.ts";
import { noCounts } from "../../src/inspect/histogram.ts";

function info(uuid: string, parent: string | null = null, name: string = uuid): ActorInfo {
  const rest = { startedAt: 0, version: null, metadata: {}, functions: [], addrs: [] } as const;
  return { uuid, name, pid: 1, parent, state: "ready", ...rest };
}

function sample(uuid: string, seconds: number, more: Partial<ActorSample> = {}): ActorSample {
  return {
    uuid,
    clockMs: seconds * 1_000,
    sinceMs: 0,
    everyMs: 1_000,
    rssBytes: 1 << 20,
    cpuSeconds: 0,
    lagMs: 0,
    calls: 0,
    failed: 0,
    buckets: noCounts(),
    callsInFlight: 0,
    callsWaiting: 0,
    streams: [],
    ...more,
  };
}

const box = <T>(value: T): { peek(): T } => ({ peek: () => value });

/** An actor as the page keeps it, after these samples, the last of which came just now. */
function known(of: ActorInfo, samples: readonly ActorSample[], now = 0, trouble: string | null = null) {
  const history = new History();
  const activities = samples.map((one) => history.add(one, now));
  return {
    info: box(of),
    activity: box(activities.at(-1)),
    trouble: box(trouble),
    ended: box<{ how: string | undefined } | undefined>(undefined),
  };
}

const clock = { now: 0, seenSince: -1e6 };

describe("rates", () => {
  test("are differences over the actor's own clock, and unknown where it began to count anew", () => {
    const before = sample("a", 10, { calls: 100, failed: 2, cpuSeconds: 1 });
    const after = sample("a", 12, { calls: 300, failed: 4, cpuSeconds: 2 });
    expect(ratesOf(before, after)).toEqual({ callsPerSecond: 100, cpu: 0.5 });
    expect(ratesOf(after, after)).toBeUndefined();
    expect(ratesOf(before, { ...after, sinceMs: 11_000 })).toBeUndefined();
  });

  test("are over the last seconds, and the line has one point for each sample of the last minute", () => {
    const history = new History();
    let activity = history.add(sample("a", 0), 0);
    expect([activity.rates, activity.line]).toEqual([undefined, []]);
    for (let second = 1; second <= 90; second++)
      activity = history.add(
        sample("a", second, { calls: second <= 80 ? second : 80 + (second - 80) * 10 }),
        0,
      );
    expect(activity.rates?.callsPerSecond).toBe(10);
    expect(activity.line).toEqual([
      ...Array.from({ length: 50 }, () => 1),
      ...Array.from({ length: 10 }, () => 10),
    ]);
    expect(activity.calls).toBe(180 - 30);
  });

  test("of an actor that is seldom looked at are those since the look before, which stand for all seconds between", () => {
    const history = new History();
    for (let second = 0; second <= 100; second += 5)
      history.add(sample("a", second, { calls: second * 2, everyMs: 5_000 }), 0);
    const activity = history.add(sample("a", 105.2, { calls: 252, cpuSeconds: 2.6, everyMs: 5_000 }), 0);
    expect(activity.rates).toEqual({ callsPerSecond: 10, cpu: 0.5 });
    expect(activity.line).toEqual([
      ...Array.from({ length: 55 }, () => 2),
      ...Array.from({ length: 5 }, () => 10),
    ]);
  });

  test("begin again with an actor that has begun to count again", () => {
    const history = new History();
    history.add(sample("a", 1, { calls: 500 }), 0);
    history.add(sample("a", 2, { calls: 600 }), 0);
    const activity = history.add(sample("a", 30, { calls: 5, sinceMs: 29_000 }), 0);
    expect([activity.calls, activity.rates]).toEqual([0, undefined]);
  });
});

describe("the tree", () => {
  const actors = [
    info("shop"),
    info("web-10", "shop"),
    info("web-2", "shop"),
    info("orders", "shop"),
    info("ledger", "orders"),
    info("stray", "gone"),
  ];
  const drawn = (rows: ReturnType<typeof treeRows>): string[] =>
    rows.map(({ lines, actor }) => lines + actor.name);

  test("has each actor below the one that started it, in the order of names and numbers", () => {
    expect(drawn(treeRows(actors, new Set(), ""))).toEqual([
      "shop",
      "├─ orders",
      "│  └─ ledger",
      "├─ web-2",
      "└─ web-10",
      "stray",
    ]);
  });

  test("leaves out what is below a folded one, and shows what matches a filter with all above it", () => {
    expect(drawn(treeRows(actors, new Set(["orders"]), ""))).toEqual([
      "shop",
      "├─ orders",
      "├─ web-2",
      "└─ web-10",
      "stray",
    ]);
    expect(drawn(treeRows(actors, new Set(["orders"]), "LED"))).toEqual([
      "shop",
      "└─ orders",
      "   └─ ledger",
    ]);
    expect(treeRows(actors, new Set(), "nothing")).toEqual([]);
  });

  test("tells screen readers the place of each row", () => {
    const rows = treeRows(actors, new Set(), "");
    const orders = rows.find(({ actor }) => actor.name === "orders");
    expect(orders).toMatchObject({ level: 2, position: 1, siblings: 3, childCount: 1, isOpen: true });
  });
});

describe("streams", () => {
  const stream: StreamInfo = {
    name: "ticks",
    verb: "stream",
    side: "callee",
    peer: { name: "web", uuid: "web" },
    sent: 64,
    received: 0,
    credit: { messages: 0, bytes: 1_000 },
    queued: 3,
    unread: 0,
    waitsFor: "credit",
    waitedMs: 41_000,
    ageMs: 50_000,
  };
  const end: StreamInfo = {
    ...stream,
    side: "caller",
    peer: { name: "market", uuid: "market" },
    credit: null,
    sent: 0,
    received: 12,
    unread: 52,
    waitsFor: null,
    waitedMs: 0,
  };

  test("are shown once, though both ends tell of them; from the caller alone where its callee isn't seen", () => {
    const market = known(info("market"), [
      sample("market", 1, { streams: [{ ...stream, sent: 60, ageMs: 49_000 }] }),
      sample("market", 2, { streams: [stream] }),
    ]);
    const web = known(info("web"), [sample("web", 2, { streams: [end] })]);
    expect(
      streamRows(
        new Map([
          ["market", market],
          ["web", web],
        ]),
      ),
    ).toMatchObject([
      {
        from: { name: "web" },
        to: { name: "market" },
        name: "ticks",
        perSecond: 4,
        creditLeft: 0,
        queued: 3,
        waiting: "writer",
        waitedMs: 41_000,
        ageMs: 50_000,
      },
    ]);
    expect(streamRows(new Map([["web", web]]))).toMatchObject([
      { from: { name: "web" }, to: { name: "market" }, creditLeft: undefined, unread: 52 },
    ]);
  });

  test("say that the reader waits, which its own end tells", () => {
    const calm = {
      ...stream,
      credit: { messages: 60, bytes: 1_000 },
      queued: 0,
      waitsFor: null,
      waitedMs: 0,
    } as const;
    const actors = new Map([
      ["market", known(info("market"), [sample("market", 2, { streams: [calm] })])],
      [
        "web",
        known(info("web"), [
          sample("web", 2, { streams: [{ ...end, unread: 0, waitsFor: "message", waitedMs: 900 }] }),
        ]),
      ],
    ]);
    expect(streamRows(actors)).toMatchObject([{ waiting: "reader", waitedMs: 900 }]);
  });

  test("warn once their reader has read nothing for five seconds, with names, the time and the credit", () => {
    const actors = new Map([
      [
        "market",
        known(info("market"), [
          sample("market", 2, { streams: [stream, { ...stream, name: "news", waitedMs: 4_000 }] }),
        ]),
      ],
      ["web", known(info("web"), [sample("web", 2)])],
    ]);
    const warnings = warningsOf(actors, streamRows(actors), clock);
    expect(warnings.map(({ text, level, uuid }) => [text, level, uuid])).toEqual([
      [
        "web has read nothing from market.ticks for 41 s (0 messages of credit left, 3 waiting)",
        "bad",
        "web",
      ],
    ]);
  });
});

describe("warnings", () => {
  const texts = (actors: ReadonlyMap<string, ReturnType<typeof known>>, at = clock): string[] =>
    warningsOf(actors, [], at).map(({ text }) => text);

  test("name an actor that doesn't answer, unless the page itself wasn't looking", () => {
    const cold = known(info("cold"), [sample("cold", 1)]);
    const actors = new Map([["cold", cold]]);
    expect(texts(actors, { ...clock, now: 3_000 })).toEqual([]);
    expect(texts(actors, { ...clock, now: 12_000 })).toEqual([
      "cold hasn't answered for 12 s: it's frozen, or too busy",
    ]);
    expect(standingOf(cold, { ...clock, now: 12_000 })).toEqual({ kind: "silent", text: "silent 12 s" });
    expect(silenceOf(cold, { ...clock, now: 12_000, seenSince: 11_000 })).toBe(0);
    const unseen = known(info("a"), [sample("a", 1, { everyMs: 5_000 })]);
    expect([
      silenceOf(unseen, { ...clock, now: 12_000 }),
      silenceOf(unseen, { ...clock, now: 16_000 }),
    ]).toEqual([0, 16_000]);
  });

  test("name a loop that was blocked, a busy core, failing calls, and calls that wait for their turn", () => {
    const before = sample("a", 1);
    const after = sample("a", 2, { lagMs: 840, cpuSeconds: 0.97, calls: 40, failed: 10, callsWaiting: 12 });
    expect(texts(new Map([["a", known(info("a"), [before, after])]]))).toEqual([
      "a uses 97% of a core",
      "10 of 40 calls of a failed in the last minute",
      "12 calls wait for their turn in a",
      "a's event loop was 840 ms late: something blocks it",
    ]);
    const fine = sample("a", 2, { lagMs: 20, cpuSeconds: 0.5, calls: 1_000, failed: 4, callsWaiting: 1 });
    expect(texts(new Map([["a", known(info("a"), [before, fine])]]))).toEqual([]);
  });

  test("blame the machine if many loops are late at once", () => {
    const late = ["a", "b", "c"].map((uuid, at) => [uuid, sample(uuid, 1, { lagMs: 300 + at })] as const);
    const others = ["d", "e"].map((uuid) => [uuid, sample(uuid, 1)] as const);
    const actors = new Map([...late, ...others].map(([uuid, one]) => [uuid, known(info(uuid), [one])]));
    expect(texts(actors)).toEqual([
      "3 of 5 event loops were late, by up to 302 ms: the machine is short of processor time",
    ]);
  });

  test("tell actors of one name apart, and say why one can't be looked at", () => {
    const actors = new Map(
      ["0123456789", "abcdefghij"].map((uuid) => [
        uuid,
        known(info(uuid, null, "web"), [], 0, "it doesn't answer"),
      ]),
    );
    expect(texts(actors)).toEqual(["web#01234567: it doesn't answer", "web#abcdefgh: it doesn't answer"]);
  });
});

describe("totals", () => {
  test("add up what the actors did, and take the quantile of all their calls together", () => {
    const buckets = (fast: number, slow: number): number[] =>
      noCounts().map((_, at) => (at === 0 ? fast : at === 9 ? slow : 0));
    const one = known(info("a"), [sample("a", 1), sample("a", 2, { calls: 98, buckets: buckets(98, 0) })]);
    const two = known(info("b"), [
      sample("b", 1),
      sample("b", 3, { calls: 2, cpuSeconds: 1, buckets: buckets(0, 2) }),
    ]);
    const totals = totalsOf([one, two]);
    expect(totals).toMatchObject({ actors: 2, callsPerSecond: 99, cpu: 0.5, rssBytes: 2 << 20 });
    expect(totals.p99).toBeGreaterThan(5);
  });
});

describe("events", () => {
  const id = { name: "a", uuid: "u", pid: 1, host: "h" };

  test("of one death are one, in whichever order the registry and the parent tell of it", () => {
    const first = new EventLog();
    expect(first.add("ended", id, 1)).toMatchObject({ number: 1, what: "ended" });
    expect(first.add("died", id, 2, "SIGKILL")).toMatchObject({ number: 1, what: "died", how: "SIGKILL" });
    expect(first.all).toHaveLength(1);
    const second = new EventLog();
    second.add("died", id, 1, "SIGKILL");
    expect(second.add("ended", id, 2)).toBeUndefined();
    expect(second.all).toMatchObject([{ number: 1, what: "died" }]);
    expect(second.add("started", { ...id, uuid: "v" }, 3)).toMatchObject({ number: 2 });
    expect(second.add("restarted", { ...id, uuid: "v" }, 4)).toMatchObject({ number: 2, what: "restarted" });
  });

  test("are kept up to a bound, the latest ones", () => {
    const log = new EventLog();
    for (let at = 0; at < 1_000; at++) log.add("started", { ...id, uuid: String(at) }, at);
    expect([log.all.length, log.all.at(-1)?.number]).toEqual([200, 1_000]);
  });
});

describe("numbers", () => {
  test("read as people write them", () => {
    expect([0, 999, 1_024, 39 << 20, 2 ** 31].map(bytes)).toEqual(["0B", "999B", "1.0K", "39M", "2.0G"]);
    expect([0, 0.004, 0.5, 0.97, 1.5].map(percent)).toEqual(["0.0%", "0.4%", "50%", "97%", "150%"]);
    expect([0, 0.04, 4, 9.5, 1_842].map(rate)).toEqual(["0", "0.04", "4", "9.5", "1\u202f842"]);
    expect([0.021, 1.5, 310, 8_200].map(ms)).toEqual(["0.02", "1.5", "310", "8\u202f200"]);
    expect([500, 41_000, 720_000, 7_200_000, 1e9].map(duration)).toEqual([
      "0 s",
      "41 s",
      "12 min",
      "2 h",
      "11 d",
    ]);
    expect([bytes, percent, rate, ms, duration, count].map((show) => show(undefined))).toEqual(
      Array.from({ length: 6 }, () => "–"),
    );
  });
});
