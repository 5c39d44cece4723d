import { describe, expect, test } from "bun:test";
import { inspect } from "node:util";

import { writeBrief } from "../../src/discovery/brief.ts";
import { findOne } from "../../src/discovery/find.ts";
import { Lookup } from "../../src/discovery/lookup.ts";
import { reportLines } from "../../src/discovery/report-text.ts";
import {
  type Actor,
  ActorNameError,
  ActorNotFoundError,
  type Address,
  AddressError,
  explainLookup,
  findActor,
  FurrowError,
  getRegistry,
  type LookupReport,
  openRootActor,
  queryActor,
  RegistryUnavailableError,
  TimeoutError,
  waitForActor,
} from "../../src/index.ts";
import { Kind } from "../../src/wire/messages.ts";
import { encodeError } from "../../src/wire/error-values.ts";
import { failure } from "../support/outcome.ts";
import { RawPeer, RawRegistrar } from "../support/raw-peer.ts";
import { setTiming } from "../support/timing.ts";
import { freePort, type Program, until, World } from "../support/world.ts";

const service = new URL("../fixtures/service.ts", import.meta.url);
type Service = typeof import("../fixtures/service.ts");

function untimed<T extends { readonly ms: number }>({ ms: _, ...rest }: T): Omit<T, "ms"> {
  return rest;
}

/** The candidates, without times and uuids. */
function candidatesOf({ candidates }: LookupReport): unknown[] {
  return candidates.map(({ id, source, dials }) => ({ pid: id.pid, source, dials: dials.map(untimed) }));
}

/** A report without what differs between two runs. */
function shown(report: LookupReport): unknown {
  return {
    name: report.name,
    registrars: report.registrars.map(untimed),
    candidates: candidatesOf(report),
  };
}

async function addrsOf(program: Program): Promise<Address[]> {
  return await program.run(({ furrow }) => [...furrow.currentActor().addrs]);
}

/** The error of a lookup, whose report must be plain data. */
async function reportOf(failing: Promise<unknown>): Promise<{ error: Error; report: LookupReport }> {
  const error = await failure(failing);
  expect(error).toBeInstanceOf(FurrowError);
  const { report } = error as FurrowError;
  if (report === undefined) throw new Error(`${error.name} has no report`);
  expect(JSON.parse(JSON.stringify(report))).toEqual(report);
  return { error, report };
}

/** Every duration of a report. */
function timesOf({ ms, registrars, candidates }: LookupReport): number[] {
  const dials = candidates.flatMap((one) => one.dials);
  return [ms, ...[...registrars, ...dials].map((one) => one.ms)];
}

async function openAsker(world: World, more: object = {}): Promise<Actor> {
  return await openRootActor({ ...world.options, name: "asker", ...more });
}

describe("explainLookup", () => {
  test("shows the registrar's answer and the dial, then the cache and the connection that is there", async () => {
    await using world = new World();
    await world.actor("hub");
    const target = await world.actor("target");
    const [unix, tcp] = await addrsOf(target);
    await using _ = await openAsker(world);
    const rest = [{ addr: tcp, outcome: "skipped", reason: `connected at ${unix}` }];
    const first = await explainLookup("target");
    expect(shown(first)).toEqual({
      name: "target",
      registrars: [{ addr: world.unix, outcome: "answered" }],
      candidates: [
        { pid: target.pid, source: "registrar", dials: [{ addr: unix, outcome: "connected" }, ...rest] },
      ],
    });
    expect(first.candidates[0]!.dials[0]!.ms).toBeGreaterThan(0);
    expect(first.registrars[0]!.ms).toBeGreaterThan(0);
    expect(first.ms).toBeGreaterThanOrEqual(Math.max(...timesOf(first)));
    const dial = { addr: unix, outcome: "connected", reason: "connected already" };
    expect(shown(await explainLookup("target"))).toEqual({
      name: "target",
      registrars: [{ addr: world.unix, outcome: "cached" }],
      candidates: [{ pid: target.pid, source: "cache", dials: [dial, ...rest] }],
    });
  });

  test("shows a connected peer, for which no registrar is asked", async () => {
    await using world = new World();
    await world.actor("hub");
    const target = await world.actor("target");
    await using _ = await openAsker(world, { limits: { maxCachedNames: 1 } });
    await using _portal = await findActor("target", { raiseOnNone: true });
    // takes the target's place in the cache
    await findActor("nobody");
    const report = await explainLookup("target");
    expect(report.registrars).toEqual([]);
    expect(report.candidates.map(({ id, source }) => [id.pid, source])).toEqual([[target.pid, "peer"]]);
    expect(report.candidates[0]!.dials[0]).toMatchObject({
      outcome: "connected",
      reason: "connected already",
    });
  });

  test("shows the own table in a registrar, and the actor itself", async () => {
    await using world = new World();
    await using actor = await openRootActor(world.options);
    const target = await world.actor("target");
    const [own] = actor.registryAddrs;
    const found = await explainLookup("target");
    expect(found.registrars).toEqual([{ addr: own!, outcome: "answered", ms: 0 }]);
    expect(found.candidates.map(({ id, source }) => [id.pid, source])).toEqual([[target.pid, "table"]]);
    const itself = (await explainLookup("root")).candidates[0]!;
    expect([itself.source, itself.dials[0]]).toEqual([
      "table",
      { addr: own!, outcome: "connected", reason: "this actor itself", ms: 0 },
    ]);
    const none = await explainLookup("nobody");
    expect(shown(none)).toEqual({
      name: "nobody",
      registrars: [{ addr: own, outcome: "answered" }],
      candidates: [],
    });
  });

  test("says of each address why it led nowhere: refused, another actor, another host, not allowed", async () => {
    await using world = new World();
    const hub = await world.actor("hub");
    const [, hubTcp] = await addrsOf(hub);
    const missing: Address = `unix://${world.dir}/missing.sock`;
    const foreign: Address = "unix://0123456789abcdef/run/x.sock";
    const nobody: Address = `tcp://127.0.0.1:${freePort()}`;
    const addrs = [foreign, nobody, hubTcp!, missing, world.unix];
    await using _target = await RawPeer.register(world.unix, { name: "target", addrs });
    await using _ = await openAsker(world);
    const why = `cannot connect to ${missing}: no such socket (ENOENT)`;
    const unix = [
      {
        addr: world.unix,
        outcome: "refused",
        reason: expect.stringContaining("the actor that was looked up"),
      },
      { addr: missing, outcome: "refused", reason: why },
    ];
    const elsewhere = { addr: foreign, outcome: "skipped", reason: "a socket file of another host" };
    const candidate = { pid: process.pid, source: "registrar" };
    expect(candidatesOf(await explainLookup("target"))).toEqual([
      {
        ...candidate,
        dials: [
          ...unix,
          { addr: hubTcp, outcome: "refused", reason: expect.stringContaining("refused (target)") },
          { addr: nobody, outcome: "refused", reason: expect.stringContaining("ECONNREFUSED") },
          elsewhere,
        ],
      },
    ]);
    const options = { enableTransports: ["unix"] as const };
    const reason = "enableTransports leaves out tcp";
    const left = [hubTcp, nobody].map((addr) => ({ addr, outcome: "skipped", reason }));
    const report = await explainLookup("target", options);
    expect(candidatesOf(report)).toEqual([
      { ...candidate, source: "cache", dials: [...unix, ...left, elsewhere] },
    ]);
    // the error of the same lookup has the same record
    const thrown = await reportOf(findActor("target", { ...options, raiseOnNone: true }));
    expect(thrown.error).toBeInstanceOf(ActorNotFoundError);
    expect(shown(thrown.report)).toEqual(shown(report));
  });

  test("shows a silent instance, the one that answered in its place, and the one that was not needed", async () => {
    await using world = new World();
    await world.actor("hub");
    const programs = [await world.actor("trio"), await world.actor("trio"), await world.actor("trio")];
    const [last, middle, first] = programs.toReversed() as [Program, Program, Program];
    await using _ = await openAsker(world);
    await last.freeze();
    const report = await explainLookup("trio");
    const outcomes = report.candidates.map(({ id, dials }) => [
      id.pid,
      ...dials.map(({ outcome, reason }) => reason ?? outcome),
    ]);
    const silent = report.candidates[0]!.dials[0]!.addr;
    expect(outcomes).toEqual([
      [
        last.pid,
        "accepted the connection, but said nothing until the lookup was over",
        `the actor is silent at ${silent}`,
      ],
      [middle.pid, "connected", `connected at ${report.candidates[1]!.dials[0]!.addr}`],
      [first.pid, "another instance answered first", "another instance answered first"],
    ]);
    expect(report.candidates[0]!.dials[0]!.outcome).toBe("silent");
    last.signal("SIGCONT");
  });

  test("reports a silent actor, and does not throw; the error of the same lookup has a report of its own", async () => {
    await using world = new World();
    await world.actor("hub");
    const target = await world.actor("target");
    const [unix, tcp] = await addrsOf(target);
    await using _ = await openAsker(world, { limits: { handshakeTimeoutMs: 300 } });
    await target.freeze();
    const dials = [
      { addr: unix, outcome: "silent", reason: expect.stringContaining('stage "handshake"') },
      { addr: tcp, outcome: "skipped", reason: `the actor is silent at ${unix}` },
    ];
    const report = await explainLookup("target");
    expect(candidatesOf(report)).toEqual([{ pid: target.pid, source: "registrar", dials }]);
    // both wait for the same dial, and get the error of that dial
    const both = await Promise.all([reportOf(findActor("target")), reportOf(findActor("target"))]);
    expect(both[0].error).not.toBe(both[1].error);
    for (const { error, report: own } of both) {
      expect(error).toBeInstanceOf(TimeoutError);
      expect([(error as TimeoutError).stage, (error as TimeoutError).code]).toEqual([
        "handshake",
        "ERR_TIMEOUT",
      ]);
      expect(candidatesOf(own)).toEqual([{ pid: target.pid, source: "cache", dials }]);
    }
    // the time of the lookup ends first
    const { report: late } = await reportOf(findActor("target", { timeout: 50 }));
    expect(late.candidates[0]!.dials[0]).toMatchObject({
      outcome: "silent",
      reason: "accepted the connection, but said nothing until the lookup was over",
    });
    target.signal("SIGCONT");
  });

  test("shows each of several registrars: one that answers, one that is silent, one that is down", async () => {
    await using one = new World();
    await using two = new World();
    await using down = new World();
    await one.actor("hub-one");
    const silent = await two.actor("hub-two");
    await using actor = await openRootActor({
      registryAddrs: [one.unix, two.unix, down.unix],
      name: "asker",
      limits: { probeTimeoutMs: 300 },
    });
    await until(() => actor.stats().peers === 2);
    await silent.freeze();
    const report = await explainLookup("nobody");
    expect(shown(report)).toEqual({
      name: "nobody",
      registrars: [
        { addr: one.unix, outcome: "answered" },
        { addr: two.unix, outcome: "silent", reason: expect.stringContaining('lookup of "nobody"') },
        { addr: down.unix, outcome: "refused", reason: expect.stringContaining("no live process serves it") },
      ],
      candidates: [],
    });
    const registryAddrs = [down.unix, two.unix, one.unix];
    const named = await explainLookup("nobody", { registryAddrs });
    expect(named.registrars.map(({ addr, outcome }) => [addr, outcome])).toEqual([
      [down.unix, "refused"],
      [two.unix, "silent"],
      [one.unix, "cached"],
    ]);
    const { error, report: thrown } = await reportOf(
      findActor("x", { registryAddrs: registryAddrs.slice(0, 2) }),
    );
    expect(error).toBeInstanceOf(RegistryUnavailableError);
    expect(thrown.registrars.map(({ outcome }) => outcome)).toEqual(["refused", "silent"]);
    silent.signal("SIGCONT");
  });

  test("passes over a registrar that is slower than one which knows the name", async () => {
    await using world = new World();
    await world.actor("hub");
    await world.actor("target");
    await using slow = new RawRegistrar();
    slow.onLookup = () => {};
    await using _ = await openRootActor({ registryAddrs: [slow.addr, world.unix], name: "asker" });
    const { registrars } = await explainLookup("target");
    expect(registrars.map(untimed)).toEqual([
      { addr: slow.addr, outcome: "skipped", reason: "another registrar answered first" },
      { addr: world.unix, outcome: "answered" },
    ]);
    expect((await explainLookup("target")).registrars.map(untimed)).toEqual([
      { addr: slow.addr, outcome: "skipped", reason: "not asked" },
      { addr: world.unix, outcome: "cached" },
    ]);
  });

  test("shows the instances that the selection leaves out, after those that it tries, and what they lack", async () => {
    await using world = new World();
    await world.actor("hub");
    const eu = await world.actor("pair", { metadata: { region: "eu" } });
    const us = await world.actor("pair", { metadata: { region: "us" } });
    await using _ = await openAsker(world);
    const lacks = expect.stringMatching(/^the metadata "region" of pair#\w+ is "us", not "eu"$/);
    const picked = { outcome: "skipped", reason: lacks };
    for (const source of ["registrar", "cache"] as const) {
      const { candidates } = await explainLookup("pair", { where: { region: "eu" } });
      expect(candidates.map((one) => [one.id.pid, one.source, one.dials[0]!.outcome])).toEqual([
        [eu.pid, source, "connected"],
        [us.pid, source, "skipped"],
      ]);
      for (const dial of candidates[1]!.dials) expect(dial).toMatchObject(picked);
    }
    const needs = ["no such function"];
    const { report } = await reportOf(findActor("pair", { needs, raiseOnNone: true }));
    expect(report.candidates.map(({ id, dials }) => [id.pid, dials.length])).toEqual([
      [eu.pid, 2],
      [us.pid, 2],
    ]);
    expect(report.candidates[0]!.dials[0]!.reason).toContain('exposes no function "no such function"');
    const { candidates } = await explainLookup("pair", { pick: "first" });
    expect(candidates.map(({ id }) => id.pid)).toEqual([eu.pid, us.pid]);
  });

  test("connects to every instance with onlyFirst: false", async () => {
    await using world = new World();
    await world.actor("hub");
    const programs = [await world.actor("pair"), await world.actor("pair")];
    await using actor = await openAsker(world);
    const { candidates } = await explainLookup("pair", { onlyFirst: false });
    expect(candidates.map(({ id, dials }) => [id.pid, dials[0]!.outcome])).toEqual(
      programs.map(({ pid }) => [pid, "connected"]),
    );
    expect(actor.stats().peers).toBe(3);
  });

  test("gives up what it opened", async () => {
    await using world = new World();
    await world.actor("hub");
    await world.actor("target", { enableModules: [service.href] });
    using _timing = setTiming({ defaultIdleMs: 20 });
    await using actor = await openAsker(world);
    await explainLookup("target");
    await until(() => actor.stats().peers === 1);
    await using portal = await findActor<Service>("target", { raiseOnNone: true });
    expect(await portal.run.add(1, 2)).toBe(3);
  });

  test("throws for arguments that no lookup takes, and rejects with the reason of an abort", async () => {
    await using registrar = new RawRegistrar();
    registrar.onLookup = () => {};
    await using _ = await openRootActor({ registryAddrs: [registrar.addr] });
    expect(await failure(explainLookup(""))).toBeInstanceOf(ActorNameError);
    expect(await failure(explainLookup("x", { registryAddrs: [] }))).toBeInstanceOf(AddressError);
    expect(await failure(explainLookup("x", { enableTransports: ["ipx" as "tcp"] }))).toBeInstanceOf(
      AddressError,
    );
    expect(await failure(explainLookup("x", { timeout: -1 }))).toBeInstanceOf(RangeError);
    const reason = new ActorNotFoundError("the caller's own");
    expect(await failure(explainLookup("x", { signal: AbortSignal.abort(reason) }))).toBe(reason);
    const calledOff = new AbortController();
    const { signal } = calledOff;
    const waiting = [explainLookup, findActor, waitForActor, queryActor].map((look) =>
      failure(look("x", { signal })),
    );
    calledOff.abort(reason);
    for (const error of await Promise.all(waiting)) expect(error).toBe(reason);
    expect(reason.report).toBeUndefined();
  });
});

describe("reportLines", () => {
  test("has a line for each registrar, actor and address", () => {
    const id = { name: "market", uuid: "ba3e1cb0-80f3-4ec1-b004-c3150c7d453d", pid: 6510, host: "h" };
    const report: LookupReport = {
      name: "market",
      registrars: [
        { addr: "tcp://a:1", outcome: "answered", ms: 1.234 },
        { addr: "tcp://b:1", outcome: "cached", ms: 0 },
      ],
      candidates: [
        {
          id,
          source: "registrar",
          dials: [
            { addr: "unix:///x.sock", outcome: "silent", reason: "no connection", ms: 207.4 },
            { addr: "tcp://a:2", outcome: "connected", ms: 0.04 },
          ],
        },
      ],
      ms: 210.9,
    };
    expect(reportLines(report)).toEqual([
      '"market": 1 actor of that name, 211 ms',
      "  registrar tcp://a:1 answered (1.2 ms)",
      "  registrar tcp://b:1 cached",
      "  market#ba3e1cb0 (pid 6510), from the registrar",
      "    unix:///x.sock silent (207 ms): no connection",
      "    tcp://a:2 connected (0.0 ms)",
    ]);
    expect(reportLines({ ...report, candidates: [] })[0]).toBe('"market": no actors of that name, 211 ms');
  });
});

describe("the report of an error", () => {
  test("is not printed, and does not cross to another actor", async () => {
    await using world = new World();
    await world.actor("hub");
    await using _ = await openAsker(world);
    const { error } = await reportOf(findActor("nobody", { raiseOnNone: true }));
    for (const text of [Bun.inspect(error), inspect(error), JSON.stringify(encodeError(error))]) {
      expect(text).toContain("no live actor named");
      expect(text).not.toMatch(/candidates|registrars/);
    }
  });

  test("is there when no registrar can be asked, with the fault of each address", async () => {
    await using world = new World();
    const hub = await world.actor("hub");
    await using _ = await openRootActor({
      ...world.options,
      name: "asker",
      limits: { probeTimeoutMs: 100 },
    });
    await hub.freeze();
    const at = { addr: world.unix, outcome: "silent", reason: expect.stringContaining("lookup of") };
    for (const look of [findActor, queryActor]) {
      const { error, report } = await reportOf(look("x"));
      expect(error).toBeInstanceOf(TimeoutError);
      expect(shown(report)).toEqual({ name: "x", registrars: [at], candidates: [] });
    }
    hub.signal("SIGCONT");
    const nobody: Address = `tcp://127.0.0.1:${freePort()}`;
    const down = { addr: nobody, outcome: "refused", reason: expect.stringContaining("ECONNREFUSED") };
    for (const look of [
      findActor("x", { registryAddrs: [nobody] }),
      queryActor("x", { registryAddr: nobody }),
      waitForActor("x", { registryAddr: nobody }),
    ]) {
      const { error, report } = await reportOf(look);
      expect(error).toBeInstanceOf(Error);
      expect(shown(report)).toEqual({ name: "x", registrars: [down], candidates: [] });
    }
    const { report } = await reportOf(getRegistry(nobody));
    expect(shown(report)).toEqual({ name: "", registrars: [down], candidates: [] });
  });

  test("is there on each error of the same question", async () => {
    await using registrar = new RawRegistrar();
    registrar.onLookup = () => {};
    await using _ = await openRootActor({ registryAddrs: [registrar.addr], limits: { probeTimeoutMs: 30 } });
    const failing = [queryActor("x"), queryActor("x"), findActor("x"), queryActor("x", { timeout: 60_000 })];
    const all = await Promise.all(failing.map(reportOf));
    expect(new Set(all.map(({ error }) => error)).size).toBe(all.length);
    for (const { report } of all) expect(report.registrars[0]).toMatchObject({ outcome: "silent" });
  });

  test("of a wait tells of its last round only", async () => {
    await using world = new World();
    await using hub = new RawRegistrar();
    const missing: Address = `unix://${world.dir}/missing.sock`;
    const ghost = writeBrief(crypto.randomUUID(), 1, 1, "", [missing]);
    hub.onLookup = (peer, [, id]) => peer.send([Kind.result, id, [ghost]]);
    await using _ = await openRootActor({ registryAddrs: [hub.addr] });
    const { error, report } = await reportOf(
      waitForActor("ghost", { registryAddr: hub.addr, timeout: 1_300 }),
    );
    expect((error as TimeoutError).stage).toBe("wait");
    expect(report.registrars.map(({ addr, outcome }) => [addr, outcome])).toEqual([[hub.addr, "cached"]]);
    expect(report.candidates.map(({ source }) => source)).toEqual(["cache"]);
    expect(report.candidates[0]!.dials.map(({ addr, outcome }) => [addr, outcome])).toEqual([
      [missing, "refused"],
    ]);
    expect(report.ms).toBeGreaterThanOrEqual(Math.max(...timesOf(report)));
  });

  test("of a wait in another registry says that it answers", async () => {
    await using world = new World();
    await using other = new World();
    await other.actor("other-hub");
    await using _ = await openRootActor(world.options);
    const { error, report } = await reportOf(
      waitForActor("never", { registryAddr: other.unix, timeout: 300 }),
    );
    expect((error as TimeoutError).stage).toBe("wait");
    expect(shown(report)).toEqual({
      name: "never",
      registrars: [{ addr: other.unix, outcome: "answered" }],
      candidates: [],
    });
  });
});

describe("a lookup that is answered from memory over a connection that exists", () => {
  test("records nothing", async () => {
    await using world = new World();
    await world.actor("hub");
    await world.actor("target");
    await using _ = await openAsker(world);
    const look = async (): Promise<Lookup> => {
      const lookup = new Lookup("target", {});
      await using portal = await findOne(lookup);
      expect(portal?.id.name).toBe("target");
      return lookup;
    };
    await using _portal = await findActor("target", { raiseOnNone: true });
    expect((await look()).recorded).toBeUndefined();
    // nor does one that is answered by a connected registrar's table, or finds nothing there
    const miss = new Lookup("nobody", {});
    await findOne(miss);
    const again = new Lookup("nobody", {});
    await findOne(again);
    expect([miss.recorded === undefined, again.recorded]).toEqual([false, undefined]);
  });
});
