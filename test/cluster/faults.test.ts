/**
 * Three hosts with an etcd server on each, and what happens to them: a registrar killed, a cable pulled, the etcd's majority
 * lost, a host killed. In the end everything is as before, without a hand on any program that lived.
 */
import { describe, expect, setDefaultTimeout, test } from "bun:test";

import { lacksEtcd } from "../support/etcd-servers.ts";
import {
  call,
  everyone,
  hang,
  listed,
  type MachineOptions,
  query,
  Stage,
  start,
  Watching,
} from "../support/machines.ts";
import { noHosts } from "../support/netns.ts";
import { until } from "../support/world.ts";

type Service = typeof import("../fixtures/service.ts");

setDefaultTimeout(60_000);

const options: MachineOptions = {
  ttlMs: 2_000,
  timing: { pingIntervalMs: 300 },
  root: { limits: { dialTimeoutMs: 2_000, handshakeTimeoutMs: 2_000 } },
};

/** Milliseconds since the call, or since `stopwatch` was called. */
function stopwatch(): () => number {
  const since = performance.now();
  return () => Math.round(performance.now() - since);
}

describe.skipIf(noHosts !== undefined || lacksEtcd !== undefined)("three hosts with an etcd of three", () => {
  test("with a cable pulled, the host goes on alone, the others find it dead, and all is as before once it is plugged in", async () => {
    await using stage = await Stage.open(options);
    const [a] = stage.all;
    const [onA, , onC] = stage.programs;
    const [eventsOnA, eventsOnC] = [await Watching.begin(onA, "c-*"), await Watching.begin(onC, "a-*")];
    const { failed } = await hang(onC, "a-child");
    const after = stopwatch();
    a.cutCable();
    const knew = until(async () => (await query(onA, "c-child")) === "found, stale", 20_000).then(after);
    expect(await failed).toMatch(/^ERR_TRANSPORT_CLOSED: .*was silent for 900 ms/);
    const noticed = after();
    await eventsOnC.has(3);
    const gone = after();
    expect((await eventsOnC.events()).slice(1).toSorted()).toEqual(["down a-child", "down a-root"]);
    expect(await query(onC, "a-child")).toBe("none");
    expect(await call(onC, "b-child")).toBe(3);
    // on the host itself nothing is lost, and it says what it can't know
    const stale = await knew;
    expect(await query(onA, "a-child")).toBe("found");
    expect(await query(onA, "nobody")).toBe("ERR_REGISTRY_UNAVAILABLE <- ERR_STORE_UNAVAILABLE");
    await start(onA, "a-alone");
    expect(await call(onA, "a-alone")).toBe(3);
    const sincePlugged = stopwatch();
    a.plug();
    await stage.agree([...everyone, "a-alone"]);
    const back = sincePlugged();
    expect([await call(onC, "a-alone"), await call(onA, "c-child")]).toEqual([3, 3]);
    await until(async () => (await query(onA, "nobody")) === "none", 20_000);
    expect(await eventsOnA.events()).toEqual(["sync 2"]);
    console.log(
      `cable pulled: a call failed after ${noticed} ms, the entries were gone after ${gone} ms, the host itself knew after ${stale} ms; all back ${back} ms after it was plugged in`,
    );
  });

  test("with a registrar killed, the other actors of its host stay where they are for the others, and so do calls to them", async () => {
    await using stage = await Stage.open(options);
    const [a] = stage.all;
    const [onA, onB, onC] = stage.programs;
    const heir = await stage.boot(a, "a-heir");
    await start(heir, "a-steady");
    await stage.agree([...everyone, "a-heir", "a-steady"]);
    const watching = await Watching.begin(onC, "a-*");
    const calls = onC.run(async ({ furrow, keep }) => {
      await using portal = await furrow.findActor<Service>("a-steady", { raiseOnNone: true });
      keep["calling"] = true;
      let done = 0;
      for (; keep["calling"] === true; done++) await portal.run.add(done, 1);
      return done;
    });
    calls.catch(() => {});
    const after = stopwatch();
    await onA.kill();
    await watching.has(4);
    const gone = after();
    // its child has ended with it; the heir serves the registry's addresses now; and that is all
    expect((await watching.events()).toSorted()).toEqual([
      "changed a-heir",
      "down a-child",
      "down a-root",
      "sync 4",
    ]);
    await start(heir, "a-new");
    await until(async () => (await listed(onB)).includes("a-new"));
    await onC.run(({ keep }) => void (keep["calling"] = false));
    const done = await calls;
    expect([await call(onC, "a-new"), done > 0]).toEqual([3, true]);
    console.log(
      `registrar killed: its entry and its child's were gone after ${gone} ms; ${done} calls to another actor of its host meanwhile`,
    );
  });

  test("with the etcd's majority lost, each host goes on as if nothing was, known actors of others are called, and nothing is lost", async () => {
    await using stage = await Stage.open(options);
    const [, b, c] = stage.all;
    const [onA, onB, onC] = stage.programs;
    const watches = await Promise.all([onA, onC].map((program) => Watching.begin(program, "*")));
    const after = stopwatch();
    await Promise.all([stage.etcd.kill(b), stage.etcd.kill(c)]);
    await until(async () => (await query(onC, "a-child")) === "found, stale", 20_000);
    const stale = after();
    for (const [program, name] of [
      [onA, "a-alone"],
      [onB, "b-alone"],
      [onC, "c-alone"],
    ] as const) {
      await start(program, name);
      expect([await query(program, name), await call(program, name)]).toEqual(["found", 3]);
    }
    // what is known of the others is called, over new connections too
    for (const program of stage.programs)
      for (const name of everyone) expect(await call(program, name)).toBe(3);
    expect(await query(onC, "nobody")).toBe("ERR_REGISTRY_UNAVAILABLE <- ERR_STORE_UNAVAILABLE");
    expect(await call(onC, "b-alone")).toStartWith("ERR_REGISTRY_UNAVAILABLE");
    const waiting = onC.run(async ({ furrow }) => {
      await using portal = await furrow.waitForActor<Service>("b-alone");
      return await portal.run.add(1, 2);
    });
    // longer than a lease lasts: it can't lapse while there is no one to say so
    await Bun.sleep(2_500);
    expect(await Promise.all(watches.map((watching) => watching.events()))).toEqual([
      ["sync 6", "up a-alone"],
      ["sync 6", "up c-alone"],
    ]);
    const sinceReturn = stopwatch();
    await Promise.all([stage.etcd.begin(b), stage.etcd.begin(c)]);
    expect(await waiting).toBe(3);
    await stage.agree([...everyone, "a-alone", "b-alone", "c-alone"]);
    const back = sinceReturn();
    await until(async () => (await query(onC, "nobody")) === "none", 20_000);
    for (const watching of watches)
      expect((await watching.events()).filter((event) => !/^(sync 6|up .-alone)$/.test(event))).toEqual([]);
    console.log(
      `majority lost: lookups said so after ${stale} ms; all agreed ${back} ms after its servers were started again`,
    );
  });

  test("with a host killed, all that was on it goes at once, and comes back with it", async () => {
    await using stage = await Stage.open(options);
    const [, b] = stage.all;
    const [onA, , onC] = stage.programs;
    const watching = await Watching.begin(onC, "b-*");
    const { failed } = await hang(onC, "b-child");
    const after = stopwatch();
    await b.kill();
    expect(await failed).toMatch(/^ERR_TRANSPORT_CLOSED: .*was silent for 900 ms/);
    const noticed = after();
    await watching.has(3);
    const gone = after();
    expect((await watching.events()).slice(1).toSorted()).toEqual(["down b-child", "down b-root"]);
    await until(async () => (await query(onA, "b-child")) === "none");
    expect(await query(onC, "b-child")).toBe("none");
    b.clear();
    await stage.etcd.begin(b);
    const sinceBoot = stopwatch();
    stage.programs[1] = await stage.boot(b, "b-root");
    await start(stage.programs[1], "b-child");
    await stage.agree(everyone);
    const back = sinceBoot();
    expect(await call(onC, "b-child")).toBe(3);
    console.log(
      `host killed: a call failed after ${noticed} ms, its entries were gone after ${gone} ms; agreed ${back} ms after its programs were started again`,
    );
  });
});
