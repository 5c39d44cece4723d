/** Whatever is measured is bounded: functions, streams, names. */
import { describe, expect, test } from "bun:test";

import type { ActorId } from "../../src/identity.ts";
import { Flows } from "../../src/inspect/flows.ts";
import { bucketBounds, Histogram, quantile } from "../../src/inspect/histogram.ts";
import { writeMetrics } from "../../src/inspect/metrics-text.ts";
import type { FunctionSample, Sample } from "../../src/inspect/sample.ts";
import { servedCode, Tallies } from "../../src/inspect/tallies.ts";
import { Accumulator } from "../../src/inspect/totals.ts";
import { Inbox, Outbox } from "../../src/rpc/flow.ts";
import { parseMetrics } from "../support/metrics.ts";

function idOf(name: string, uuid = name): ActorId {
  return { name, uuid, pid: 1, host: "h" };
}

function outboxWith(messages: number): Outbox {
  const link = { pendingBytes: 0, drained: () => Promise.resolve() };
  const outbox = new Outbox({ flush() {}, link }, () => 10);
  if (messages > 0) outbox.allow(messages, 1_000);
  return outbox;
}

function sampleOf(functions: Partial<FunctionSample>[], clockMs = 0): Sample {
  const full = functions.map((one) => ({
    name: "f",
    verb: "run" as const,
    calls: 0,
    errors: {},
    inFlight: 0,
    buckets: [],
    sumSeconds: 0,
    ...one,
  }));
  return {
    id: idOf("a"),
    at: 0,
    clockMs,
    sinceMs: 0,
    uptimeMs: 0,
    state: "ready",
    functions: full,
    asked: [],
    flows: [],
    streams: [],
    streamsLeftOut: 0,
    callsInFlight: 0,
    callsWaiting: 0,
    oldestCall: null,
    loop: { lagMs: 0 },
    rssBytes: 1,
    cpuSeconds: 1,
    bytes: { sent: 0, received: 0 },
    unsentBytes: 0,
    peerCount: 0,
    peers: [],
    peersLeftOut: 0,
    lookups: { requests: 0, hits: 0, pushes: 0 },
    registrar: null,
  };
}

describe("Histogram", () => {
  test("puts a duration into the first bucket whose bound it doesn't exceed", () => {
    const histogram = new Histogram();
    for (const ms of [0, 0.01, 0.011, 1, 1.5, 9_999, 10_000, 10_001, 1e9]) histogram.add(ms);
    const { buckets, sumSeconds } = histogram.sample();
    const filled = buckets.flatMap((count, at) => (count > 0 ? [[bucketBounds[at] ?? Infinity, count]] : []));
    expect(filled).toEqual([
      [0.000_01, 2],
      [0.000_02, 1],
      [0.001, 1],
      [0.002, 1],
      [10, 2],
      [Infinity, 2],
    ]);
    expect(sumSeconds).toBeCloseTo(1_000_030.002_521, 3);
  });

  test("has quantiles that are right to within a bucket", () => {
    const histogram = new Histogram();
    for (let ms = 1; ms <= 1_000; ms++) histogram.add(ms);
    const { buckets } = histogram.sample();
    expect(quantile(buckets, 0.5)).toBeCloseTo(0.5, 2);
    expect(quantile(buckets, 0.99)).toBeCloseTo(0.99, 2);
    expect(quantile(buckets, 1)).toBe(1);
    expect(quantile([], 0.5)).toBeUndefined();
    expect(
      quantile(
        Array.from({ length: 20 }, (_, at) => (at === 19 ? 1 : 0)),
        0.5,
      ),
    ).toBe(10);
  });
});

describe("Tallies", () => {
  test("count the functions beyond 1,024 as one", () => {
    const tallies = new Tallies();
    for (let n = 0; n < 2_000; n++) tallies.of(`f${n}`, `f${n}`, "run").add(1, undefined, servedCode);
    const samples = Array.from(tallies.entries(), ([, tally]) => tally.sample());
    expect(samples).toHaveLength(1_025);
    expect(samples.at(-1)).toMatchObject({ name: "_OTHER", calls: 2_000 - 1_024 });
  });
});

describe("Flows", () => {
  test("list 256 streams, the ones that wait for their readers first, and say how many are left out", async () => {
    const flows = new Flows();
    const open = Array.from({ length: 400 }, (_, n) => ({
      side: "callee" as const,
      verb: "stream" as const,
      name: `s${n}`,
      peer: idOf("reader"),
      outbox: outboxWith(n === 399 ? 0 : 1),
      inbox: undefined,
    }));
    for (const one of open) flows.begin(one);
    const stuck = open.at(-1)!;
    const sent = stuck.outbox.send("x");
    flows.onStall(stuck.outbox, true);
    const { listed, leftOut } = flows.streams();
    expect([listed.length, leftOut]).toEqual([256, 144]);
    expect(listed[0]).toMatchObject({ name: "s399", waitsFor: "credit", queued: 1 });
    stuck.outbox.allow(1, 100);
    await sent;
  });

  test("count the functions beyond 1,024 as one, and keep nothing of a stream that is over", () => {
    const flows = new Flows();
    for (let n = 0; n < 2_000; n++) {
      const outbox = outboxWith(2);
      const one = {
        side: "callee" as const,
        verb: "stream" as const,
        name: `s${n}`,
        peer: idOf("r"),
        outbox,
        inbox: undefined,
      };
      flows.begin(one);
      outbox.trySend("x");
      flows.end(one);
    }
    const totals = flows.totals();
    expect(totals).toHaveLength(1_025);
    expect(totals.at(-1)).toMatchObject({ name: "_OTHER", sent: 2_000 - 1_024 });
    expect(flows.streams().listed).toEqual([]);
  });

  test("count from the first look on, also what its owner doesn't tell the end of", () => {
    const flows = new Flows();
    const inbox = new Inbox({ messages: 100, bytes: 1_000 }, () => {});
    for (let n = 0; n < 3; n++) inbox.push(n, 1);
    const one = {
      side: "caller" as const,
      verb: "stream" as const,
      name: "s",
      peer: idOf("w"),
      outbox: undefined,
      inbox,
    };
    flows.follow([one]);
    for (let n = 0; n < 5; n++) inbox.push(n, 1);
    inbox.take();
    expect(flows.streams().listed).toMatchObject([{ received: 8, unread: 7, ageMs: null }]);
    flows.follow([]);
    expect(flows.streams().listed).toEqual([]);
    expect(flows.totals()).toMatchObject([{ name: "s", side: "caller", received: 5 }]);
  });
});

describe("Accumulator", () => {
  test("tells 1,000 names of actors apart", () => {
    const accumulator = new Accumulator();
    const reports = Array.from({ length: 1_500 }, (_, n) => ({
      id: idOf(`a${n}`),
      restarts: 0,
      sample: sampleOf([]),
    }));
    const { up } = accumulator.add(reports);
    expect(up.values.size).toBe(1_001);
    expect(up.values.get("_OTHER")).toBe(500);
  });

  test("lets no counter shrink when a process ends, is replaced or doesn't answer", () => {
    const accumulator = new Accumulator();
    const buckets = (count: number): number[] => [count];
    const look = (...processes: [uuid: string, calls: number | null, restarts?: number][]): string => {
      const totals = accumulator.add(
        processes.map(([uuid, calls, restarts = 0]) => ({
          id: idOf("market", uuid),
          restarts,
          sample: calls === null ? null : sampleOf([{ buckets: buckets(calls), errors: { ERR_X: calls } }]),
        })),
      );
      const [histogram] = totals.served.values.values();
      const [errors] = totals.servedErrors.values.values();
      return [
        histogram?.buckets[0],
        errors,
        totals.up.values.get("market"),
        totals.restarts.values.get("market"),
      ].join();
    };
    expect(look(["one", 5])).toBe("5,5,1,0");
    expect(look(["one", null])).toBe("5,5,0,0");
    expect(look(["one", 7], ["two", 1])).toBe("8,8,2,0");
    expect(look(["two", 2], ["three", 1, 1])).toBe("10,10,2,1");
    expect(look(["two", 2])).toBe("10,10,1,1");
  });
});

describe("writeMetrics", () => {
  test("escapes what labels can't hold, in both formats", () => {
    const name = 'a "b" \\ c';
    const totals = new Accumulator().add([
      {
        id: idOf(name),
        restarts: 0,
        sample: sampleOf([{ name: "line\nbreak", buckets: [1], sumSeconds: 0.5 }]),
      },
    ]);
    for (const isOpenMetrics of [false, true]) {
      const text = writeMetrics(totals, isOpenMetrics ? "openmetrics" : "prometheus");
      const family = parseMetrics(text, isOpenMetrics).get("furrow_server_call_duration_seconds")!;
      expect(family.samples[0]!.labels).toEqual({ actor: name, method: "line break", le: "0.00001" });
      expect(family.samples.at(-1)!.value).toBe(1);
    }
  });
});
