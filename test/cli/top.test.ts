import { afterAll, beforeAll, describe, expect, test } from "bun:test";

import { Activity } from "../../src/cli/top/activity.ts";
import { warningsAbout } from "../../src/cli/top/warnings.ts";
import type { FunctionSample, Sample, StreamSample } from "../../src/inspect/sample.ts";
import { furrow, PipeRun, TerminalRun } from "../support/command-line.ts";
import { Shop } from "../support/shop.ts";

const escape = "\u001b";

/** A sample at `clockMs`, in which so many calls took a millisecond. */
function sampleAt(clockMs: number, calls: number, more: Partial<Sample> = {}): Sample {
  const buckets = Array.from({ length: 20 }, (_, at) => (at === 6 ? calls : 0));
  const fn: FunctionSample = {
    name: "f",
    verb: "run",
    calls,
    errors: {},
    inFlight: 2,
    buckets,
    sumSeconds: 0,
  };
  return {
    clockMs,
    sinceMs: 0,
    functions: [fn],
    cpuSeconds: clockMs / 2_000,
    rssBytes: 1_000,
    loop: { lagMs: 1 },
    streams: [],
    callsWaiting: 0,
    ...more,
  } as unknown as Sample;
}

describe("Activity", () => {
  test("has no rates before the second sample", () => {
    const activity = new Activity();
    expect(activity.now().callsPerSecond).toBeNull();
    activity.add(sampleAt(1_000, 500));
    expect(activity.now()).toMatchObject({
      callsPerSecond: null,
      cpuShare: null,
      rssBytes: 1_000,
      inFlight: 2,
    });
  });

  test("computes rates from the last two samples, by the actor's clock", () => {
    const activity = new Activity();
    activity.add(sampleAt(1_000, 0));
    activity.add(sampleAt(3_000, 100));
    activity.add(sampleAt(3_500, 200));
    expect(activity.now()).toMatchObject({ callsPerSecond: 200, cpuShare: 0.5 });
  });

  test("computes latencies of the last ten seconds", () => {
    const slow = sampleAt(0, 0).functions[0]!;
    const activity = new Activity();
    const peak = { ...slow, buckets: slow.buckets.with(16, 1_000) };
    activity.add(sampleAt(0, 0));
    activity.add(sampleAt(1_000, 0, { functions: [peak] }));
    expect(activity.now().p99Ms).toBeGreaterThan(1_000);
    for (let second = 2; second <= 12; second++)
      activity.add(
        sampleAt(second * 1_000, 0, { functions: [{ ...peak, buckets: peak.buckets.with(6, second) }] }),
      );
    expect(activity.now().p99Ms).toBeLessThanOrEqual(1);
  });

  test("begins anew when the actor does", () => {
    const activity = new Activity();
    activity.add(sampleAt(1_000, 500));
    activity.add(sampleAt(2_000, 3, { sinceMs: 1_500 }));
    expect(activity.now().callsPerSecond).toBeNull();
  });

  test("counts errors since the view began, also when the actor begins to measure anew", () => {
    const [fn] = sampleAt(0, 0).functions;
    const withErrors = (clockMs: number, count: number): Sample =>
      sampleAt(clockMs, 0, { functions: [{ ...fn!, errors: { ERR_REMOTE_ACTOR: count } }] });
    const activity = new Activity();
    activity.add(withErrors(0, 5));
    activity.add(withErrors(1_000, 7));
    expect(activity.now().errors).toBe(2);
    activity.add({ ...withErrors(2_000, 1), sinceMs: 1_500 });
    expect(activity.now().errors).toBe(3);
  });
});

describe("warningsAbout", () => {
  const stream: StreamSample = {
    name: "ticks",
    verb: "stream",
    side: "callee",
    peer: { name: "web-2", uuid: "u" },
    sent: 64,
    received: 0,
    credit: { messages: 0, bytes: 1_000 },
    queued: 1,
    unread: 0,
    waitsFor: "credit",
    waitedMs: 41_200,
    ageMs: 50_000,
  };

  test.each([
    [
      "a reader that reads nothing",
      { streams: [stream] },
      "web-2 has read nothing from market.ticks for 41 s (0 messages of credit)",
    ],
    [
      "a connection that takes nothing",
      { streams: [{ ...stream, waitsFor: "link" }] },
      "the connection from market to web-2 has taken nothing for 41 s",
    ],
    [
      "an event loop that was blocked",
      { loop: { lagMs: 812 } },
      "market was busy for 812 ms, and answered nobody",
    ],
    ["calls that wait", { callsWaiting: 3 }, "3 calls of market wait for their turn"],
  ] as const)("tells of %s", (_, more, text) => {
    expect(warningsAbout("market", sampleAt(0, 0, more as Partial<Sample>), undefined)).toEqual([text]);
  });

  test("says nothing of a reader that is slow for a moment, or of a stream that has nothing to send", () => {
    const streams = [
      { ...stream, waitedMs: 4_000 },
      { ...stream, waitsFor: "message" as const },
    ];
    expect(warningsAbout("market", sampleAt(0, 0, { streams }), undefined)).toEqual([]);
  });
});

describe("furrow top", () => {
  let shop: Shop;
  beforeAll(async () => {
    shop = await Shop.open();
  });
  afterAll(() => shop[Symbol.asyncDispose]());

  test("counts calls, their errors and restarts", async () => {
    const web = await shop.start("web", { restart: { when: "on-failure", backoffMs: [1, 1] } });
    await using run = new PipeRun(shop.env, ["top", "w*", "-n", "100ms", "--json"]);
    const shows = async (part: RegExp): Promise<void> => await run.shows(part);
    await shows(/"name":"web".*"restarts":0/);
    const calling = new AbortController();
    const call = async (): Promise<void> => {
      while (!calling.signal.aborted) {
        await web.run.getPrice("BTC");
        await web.run.fails().catch(() => {});
      }
    };
    const called = call();
    // once it's measured, there are calls and errors to count
    await shows(/"callsPerSecond":[1-9].*"errors":[1-9]/);
    calling.abort();
    await called;
    await web.run.crash();
    await shows(/"restarts":1/);
    run.interrupt();
    expect((await run.outcome()).exitCode).toBe(130);
    expect((await furrow(shop.env, ["stop", "web"])).exitCode).toBe(0);
  });

  test("says that a frozen actor is silent, and waits for it no longer than that", async () => {
    const web = await shop.start("web");
    shop.tree.freeze("web");
    const { exitCode, stdout } = await furrow(shop.env, ["top", "w*", "--once", "-n", "100ms"]);
    expect(exitCode).toBe(0);
    expect(stdout).toMatch(/^web +silent /m);
    expect(stdout).toMatch(/^! web hasn't answered for \d+ s$/m);
    shop.tree.thaw("web");
    await web.cancelActor();
  });

  test("is drawn again in its place until q is pressed, and leaves the terminal as it was", async () => {
    await using run = new TerminalRun(shop.env, ["top", "-n", "100ms"], { cols: 90 });
    await run.shows("%");
    await run.shows(new RegExp(`${escape}\\[\\d+A`));
    run.type("q");
    const { exitCode, text } = await run.outcome();
    expect(exitCode).toBe(0);
    expect(text).not.toContain(`${escape}[?`);
    for (const line of text.split("\n")) expect(Bun.stringWidth(line)).toBeLessThanOrEqual(90);
  });

  test("ends with 130 on Ctrl-C, though the terminal passes keys on", async () => {
    await using run = new TerminalRun(shop.env, ["top", "-n", "100ms"]);
    await run.shows("NAME");
    run.type("\x03");
    expect((await run.outcome()).exitCode).toBe(130);
  });

  test("fails with 4 when nobody has the name", async () => {
    expect((await furrow(shop.env, ["top", "nobody", "--once"])).exitCode).toBe(4);
  });
});
