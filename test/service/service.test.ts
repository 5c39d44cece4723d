/** A service over real processes: who gets a call, what it waits for, and how it ends. */
import { describe, expect, test } from "bun:test";

import {
  ActorNameError,
  ActorNotFoundError,
  currentActor,
  LimitError,
  NoRuntimeError,
  NotExposedError,
  openNursery,
  openRootActor,
  openService,
  openTaskGroup,
  RegistryUnavailableError,
  RemoteActorError,
  type Service,
  TimeoutError,
  TransportClosedError,
} from "../../src/index.ts";
import { isProcessAlive } from "../../src/transport/runtime-dir.ts";
import { arrivals, openGate } from "../fixtures/gates.ts";
import { failure } from "../support/outcome.ts";
import { RawRegistrar } from "../support/raw-peer.ts";
import { type Served, Stage } from "../support/served.ts";
import { setTiming } from "../support/timing.ts";
import { freePort, until, World } from "../support/world.ts";

const served = new URL("../fixtures/served.ts", import.meta.url).href;
const gates = new URL("../fixtures/gates.ts", import.meta.url).href;
/** A stage whose root has gates. */
const withGates = { name: "gates", enableModules: [gates] };

function times<T>(count: number, make: (at: number) => T): T[] {
  return Array.from({ length: count }, (_, at) => make(at));
}

describe("a service", () => {
  test("gives each instance the same number of calls, in turn", async () => {
    await using stage = await Stage.open();
    const uuids = await stage.startMany("w", 3);
    await using service = await openService<Served>("w");
    expect(service.instances.map(({ id }) => id.uuid)).toEqual(uuids);
    const seen: string[] = [];
    for (let at = 0; at < 12; at++) seen.push(await service.run.who());
    for (const uuid of uuids) expect(seen.filter((one) => one === uuid)).toHaveLength(4);
    const { who } = service.run;
    const together = await Promise.all(times(300, () => who()));
    for (const uuid of uuids) expect(together.filter((one) => one === uuid)).toHaveLength(100);
  });

  test("runs, streams and opens dialogs as a portal does", async () => {
    await using stage = await Stage.open();
    const { id } = await stage.start("w");
    await using service = await openService<Served>("w");
    const values: number[] = [];
    for await (const value of service.stream.numbers("stream", 3)) values.push(value);
    expect(values).toEqual([0, 1, 2]);
    for await (const value of service.stream.numbers("left", 1_000)) if (value === 1) break;
    await using dialog = await service.open.talk("dialog");
    expect(dialog.started).toBe(id.uuid);
    await dialog.send("hello");
    for await (const text of dialog) {
      expect(text).toBe("hello");
      break;
    }
    await dialog.end();
    expect(await dialog.result).toBe(1);
    const { run } = service as unknown as Service;
    expect(await failure(run["missing"]!())).toBeInstanceOf(NotExposedError);
  });

  test("connects to an instance when a call first goes there", async () => {
    await using stage = await Stage.open();
    await using world = stage.world;
    await stage.startMany("w", 4);
    const caller = await world.actor("caller");
    const peers = await caller.run(async ({ furrow }) => {
      await using service = await furrow.openService<Served>("w");
      const counts = [furrow.currentActor().stats().peers];
      for (let at = 0; at < 3; at++) {
        await service.run.who();
        counts.push(furrow.currentActor().stats().peers);
      }
      return counts.map((count) => count - counts[0]!);
    });
    expect(peers).toEqual([0, 1, 2, 3]);
  });

  test("goes on in a new process when an instance that was killed is started again", async () => {
    await using stage = await Stage.open(withGates);
    const { id } = await stage.start("w", { restart: { when: "on-failure", backoffMs: [1, 1] } });
    await using service = await openService<Served>("w");
    const safe = service.with({ idempotent: true });
    const [lost, kept] = [failure(service.run.pass("killed")), safe.run.pass("killed")];
    await arrivals("killed", 2);
    openGate("killed");
    process.kill(id.pid, "SIGKILL");
    // answered before the kill, or lost
    const error = await lost.catch(() => undefined);
    if (error !== undefined) {
      expect(error).toBeInstanceOf(TransportClosedError);
      expect(error.message).toContain(`pass may have run on w#${id.uuid.slice(0, 8)}: `);
    }
    await kept;
    const next = await safe.run.who();
    expect(next).not.toBe(id.uuid);
  });

  test("says of a call that was lost with its instance that it may have run", async () => {
    await using stage = await Stage.open();
    const { id } = await stage.start("w", { restart: { when: "on-failure", backoffMs: [1, 1] } });
    await using service = await openService<Served>("w");
    const error = await failure(service.run.crash("once"));
    expect(error).toBeInstanceOf(TransportClosedError);
    expect(error.message).toMatch(
      new RegExp(
        `^crash may have run on w#${id.uuid.slice(0, 8)}: connection to w#\\w+ was lost: the peer died$`,
      ),
    );
    expect(await service.run.who()).not.toBe(id.uuid);
    expect(stage.counts().get("once")).toBe(1);
  });

  test("neither loses nor repeats a call while its instances are replaced one after the other", async () => {
    await using stage = await Stage.open();
    let old = await stage.start("w");
    await using service = await openService<Served>("w");
    let isOver = false;
    let made = 0;
    const lane = async (name: string): Promise<void> => {
      for (let at = 0; !isOver; at++) {
        await service.run.work(`${name}-${at}`, at % 3);
        made++;
      }
    };
    const lanes = Promise.all(["a", "b", "c", "d"].map(lane));
    for (let round = 0; round < 5; round++) {
      const next = await stage.start("w");
      expect(await old.drainActor()).toBeTrue();
      old = next;
    }
    isOver = true;
    await lanes;
    const counts = stage.counts();
    expect(counts.size).toBe(made);
    expect(Array.from(counts).filter(([, count]) => count !== 1)).toEqual([]);
  });

  test("outlives the registrar, and sees what comes and goes after a takeover", async () => {
    await using world = new World();
    const hub = await world.actor("hub");
    await using _ = await openRootActor({ ...world.options, name: "caller" });
    const first = await world.actor("w", { enableModules: [served] });
    const uuidOf = (program: typeof first): Promise<string> =>
      program.run(({ furrow }) => furrow.currentActor().uuid);
    const one = await uuidOf(first);
    await using service = await openService<Served>("w");
    expect(await service.run.who()).toBe(one);
    await hub.kill();
    // no registrar, or one that is taking over: the instances are known
    for (let at = 0; at < 20; at++) expect(await service.run.who()).toBe(one);
    const second = await world.actor("w", { enableModules: [served] });
    const two = await uuidOf(second);
    await until(() => service.instances.length === 2, 10_000);
    const seen = new Set([await service.run.who(), await service.run.who()]);
    expect(seen).toEqual(new Set([one, two]));
    await first.kill();
    const { who } = service.with({ idempotent: true }).run;
    for (let at = 0; at < 5; at++) expect(await who()).toBe(two);
    await until(() => service.instances.length === 1);
  }, 20_000);

  test("may be opened in a called function, and is not tied to it", async () => {
    await using stage = await Stage.open();
    const uuids = await stage.startMany("w", 2);
    const asker = await stage.start("asker");
    const seen = await asker.run.ask("w", 4);
    expect(seen.toSorted()).toEqual([...uuids, ...uuids].toSorted());
    let kept: Service<Served> | undefined;
    await using group = openTaskGroup();
    await group.start(async () => {
      kept = await openService<Served>("w");
    });
    group.cancel();
    await using service = kept!;
    expect(uuids).toContain(await service.run.who());
  });

  test("may include the very actor that calls", async () => {
    await using stage = await Stage.open({ name: "w", enableModules: [served] });
    const { id } = await stage.start("w");
    await using service = await openService<Served>("w");
    const seen = await Promise.all(times(4, () => service.run.who()));
    expect(seen.filter((uuid) => uuid === currentActor().uuid)).toHaveLength(2);
    expect(seen.filter((uuid) => uuid === id.uuid)).toHaveLength(2);
    for await (const value of service.stream.numbers("none", 0)) expect(value).toBeUndefined();
  });

  test("passes over the actor that calls, where its calls run one at a time", async () => {
    await using stage = await Stage.open();
    const serial = await stage.start("w", { concurrency: 1 });
    const error = await failure(serial.run.ask("w", 1));
    expect(error).toBeInstanceOf(LimitError);
    expect(error.message).toContain("it would wait for its own end");
    const other = await stage.start("w");
    expect(await serial.run.ask("w", 3)).toEqual(times(3, () => other.id.uuid));
  });

  test("names the instance in the errors of its calls", async () => {
    await using stage = await Stage.open({ limits: { maxCallsInFlight: 1 } });
    const { id } = await stage.start("w");
    await using service = await openService<Served>("w");
    const who = `w#${id.uuid.slice(0, 8)}`;
    const thrown = await failure(service.run.fail("no"));
    expect(thrown).toBeInstanceOf(RemoteActorError);
    expect(thrown.message).toBe(`${who}: RangeError: no`);
    const running = failure(service.with({ timeout: 50 }).run.hang());
    const refused = await failure(service.run.who());
    expect(refused).toBeInstanceOf(LimitError);
    expect(refused.message).toMatch(`${who}: too many calls in flight: 1, maxCallsInFlight is 1`);
    expect(refused.stack).toContain(who);
    expect((await running).message).toBe(`call of hang on ${who} took longer than 50 ms`);
    const { run } = service as unknown as Service;
    const unsent = await failure(run["who"]!(() => {}));
    expect(unsent.name).toBe("EncodeError");
  });

  test("applies the default timeout of its actor", async () => {
    await using stage = await Stage.open({ callTimeoutMs: 30 });
    await stage.start("w");
    await using service = await openService<Served>("w");
    expect(await failure(service.run.hang())).toMatchObject({ code: "ERR_TIMEOUT", stage: "call" });
  });
});

describe("a key function", () => {
  const byKey = { by: (_fn: string, [key]: readonly unknown[]) => String(key) };
  const keys = times(400, (at) => `key-${at}`);

  async function owners(service: Service<Served>): Promise<string[]> {
    return await Promise.all(keys.map((key) => service.run.work(key, 0)));
  }

  function moved(before: readonly string[], after: readonly string[]): number {
    return before.filter((owner, at) => owner !== after[at]).length;
  }

  test("sends a key to the same instance from everywhere, and one more instance moves only its share", async () => {
    await using stage = await Stage.open();
    await stage.startMany("w", 4);
    await using service = await openService<Served>("w", byKey);
    const before = await owners(service);
    expect(new Set(before).size).toBe(4);
    const caller = await stage.world.actor("caller");
    const elsewhere = await caller.run(async ({ furrow, args }) => {
      await using other = await furrow.openService<Served>("w", { by: (_, [key]) => String(key) });
      return await Promise.all((args[0] as string[]).map((key) => other.run.work(key, 0)));
    }, keys);
    expect(elsewhere).toEqual(before);
    const { id } = await stage.start("w");
    await until(() => service.instances.length === 5);
    const after = await owners(service);
    expect(after.every((owner, at) => owner === id.uuid || owner === before[at])).toBeTrue();
    // within three standard deviations of 1/5
    expect(moved(before, after)).toBeLessThanOrEqual(keys.length / 5 + 24);
  });

  test("gives an instance that is started again its keys back, and moves no others", async () => {
    await using stage = await Stage.open();
    await stage.startMany("w", 3);
    const { id } = await stage.start("w", { restart: { when: "on-failure", backoffMs: [300, 300] } });
    await using service = await openService<Served>("w", byKey);
    const before = await owners(service);
    process.kill(id.pid, "SIGKILL");
    await until(() => service.instances.length === 3);
    const meanwhile = await owners(service);
    expect(before.every((owner, at) => owner === id.uuid || owner === meanwhile[at])).toBeTrue();
    await until(() => service.instances.length === 4);
    const next = service.instances.at(-1)!.id.uuid;
    const after = await owners(service);
    expect(after.map((owner) => (owner === next ? id.uuid : owner))).toEqual(before);
  });
});

describe("where and needs", () => {
  test("leave out instances that don't have what is asked for, as they are at the moment", async () => {
    await using world = new World();
    await using _ = await openRootActor(world.options);
    const [eu, us] = [
      await world.actor("w", { metadata: { zone: "eu" }, enableModules: [served] }),
      await world.actor("w", { metadata: { zone: "us" }, enableModules: [served] }),
    ];
    await world.actor("w", { metadata: { zone: "eu" } });
    const uuidOf = (program: typeof eu): Promise<string> =>
      program.run(({ furrow }) => furrow.currentActor().uuid);
    await using service = await openService<Served>("w", { where: { zone: "eu" }, needs: ["who"] });
    expect(service.instances.map(({ id }) => id.uuid)).toEqual([await uuidOf(eu)]);
    for (let at = 0; at < 3; at++) expect(await service.run.who()).toBe(await uuidOf(eu));
    await us.run(({ furrow }) => furrow.currentActor().setMetadata({ zone: "eu" }));
    await until(() => service.instances.length === 2);
    expect(new Set([await service.run.who(), await service.run.who()]).size).toBe(2);
    await eu.run(({ furrow }) => furrow.currentActor().setMetadata({ zone: "asia" }));
    await until(() => service.instances.length === 1);
    for (let at = 0; at < 3; at++) expect(await service.run.who()).toBe(await uuidOf(us));
  });
});

describe("waitMs", () => {
  test("is how long a call waits for an instance, which gets it as soon as it is there", async () => {
    await using stage = await Stage.open();
    await using service = await openService<Served>("w");
    expect(service.instances).toEqual([]);
    const call = service.run.who();
    const stream = service.stream.numbers("waits", 1).next();
    const dialog = service.open.talk("waits");
    const { id } = await stage.start("w");
    expect(await call).toBe(id.uuid);
    expect(await stream).toEqual({ done: false, value: 0 });
    await using opened = await dialog;
    expect(opened.started).toBe(id.uuid);
  });

  test("ends with an error that says what was there", async () => {
    await using stage = await Stage.open(withGates);
    await using none = await openService<Served>("w", { waitMs: 20 });
    const missing = await failure(none.run.who());
    expect(missing).toBeInstanceOf(ActorNotFoundError);
    expect(missing.message).toBe('no instance of "w" to call within 20 ms: none is registered');
    const plain = await stage.start("w", { metadata: { zone: "us" } });
    await using needy = await openService<Served>("w", { waitMs: 0, needs: ["who", "fly"] });
    const lacking = await failure(needy.stream.numbers("", 1).next());
    const who = `w#${plain.id.uuid.slice(0, 8)}`;
    expect(lacking.message).toBe(`no instance of "w" to call: ${who} exposes no function "fly"`);
    expect(lacking.cause).toBeInstanceOf(NotExposedError);
    const other = await stage.start("w", { metadata: { zone: "eu" } });
    await using zoned = await openService<Served>("w", { waitMs: 0, where: { zone: "eu" } });
    const running = other.run.pass("drains");
    await arrivals("drains");
    const drained = other.drainActor();
    await until(() => zoned.instances.length === 0);
    const draining = await failure(zoned.open.talk(""));
    expect(draining.message).toBe(
      `no instance of "w" to call: the metadata "zone" of ${who} is "us", not "eu"; w#${other.id.uuid.slice(0, 8)} is draining`,
    );
    expect((draining.cause as AggregateError).errors).toHaveLength(2);
    openGate("drains");
    await running;
    await drained;
  });

  test("is cut short by the call's own timeout and signal", async () => {
    await using stage = await Stage.open();
    void stage;
    await using service = await openService<Served>("w");
    const late = await failure(service.with({ timeout: 20 }).run.who());
    expect(late).toBeInstanceOf(TimeoutError);
    expect(late).toMatchObject({
      stage: "wait",
      message: 'call of who: no instance of "w" within 20 ms',
    });
    const streaming = await failure(service.with({ timeout: 20 }).stream.numbers("", 1).next());
    expect(streaming).toMatchObject({ code: "ERR_TIMEOUT", stage: "wait" });
    const controller = new AbortController();
    const { run, open } = service.with({ signal: controller.signal });
    const aborted = [failure(run.who()), failure(open.talk(""))];
    const reason = new Error("enough");
    controller.abort(reason);
    expect(await Promise.all(aborted)).toEqual([reason, reason]);
    expect(await failure(run.who())).toBe(reason);
  });
});

describe("with", () => {
  test("aborts a call and its task, with the signal's own reason", async () => {
    await using stage = await Stage.open(withGates);
    const portal = await stage.start("w");
    await using service = await openService<Served>("w");
    const controller = new AbortController();
    const call = failure(service.with({ signal: controller.signal }).run.hang("aborted"));
    await arrivals("aborted");
    const reason = new Error("enough");
    controller.abort(reason);
    expect(await call).toBe(reason);
    // without the call that asks
    await until(async () => (await portal.run.callsInFlight()) === 1);
  });

  test("cancels a call with the task that makes it", async () => {
    await using stage = await Stage.open(withGates);
    const portal = await stage.start("w");
    await using service = await openService<Served>("w");
    const group = openTaskGroup();
    const call = failure(group.start(async () => await service.run.hang("in a task")));
    await arrivals("in a task");
    group.cancel();
    expect((await call).message).toBe("the task group was cancelled");
    await group[Symbol.asyncDispose]();
    await until(async () => (await portal.run.callsInFlight()) === 1);
  });

  test("merges its options over those before", async () => {
    await using stage = await Stage.open();
    await stage.start("w");
    await using service = await openService<Served>("w");
    const quick = service.with({ timeout: 30 });
    await using both = quick.with({ signal: new AbortController().signal });
    expect(await failure(both.run.hang())).toMatchObject({ code: "ERR_TIMEOUT" });
    expect(() => service.with({ timeout: -1 })).toThrow(RangeError);
    // holds nothing of its own
    await quick[Symbol.asyncDispose]();
    expect(both.instances).toBe(service.instances);
    await service.run.who();
  });
});

describe("disposal", () => {
  test("rejects what is pending, cancels it at the instances, and lets go of them", async () => {
    using _ = setTiming({ defaultIdleMs: 20 });
    await using world = new World();
    await world.actor("hub");
    await using actor = await openRootActor({ ...world.options, ...withGates });
    const instance = await world.actor("w", { enableModules: [served] });
    const service = await openService<Served>("w");
    const waiting = await openService<Served>("nobody");
    const safe = service.with({ idempotent: true });
    const running = [failure(service.run.hang("disposed")), failure(safe.run.hang("disposed"))];
    const unplaced = failure(waiting.run.who());
    await arrivals("disposed", 2);
    await Promise.all([service[Symbol.asyncDispose](), waiting[Symbol.asyncDispose]()]);
    for (const error of await Promise.all(running)) {
      expect(error).toBeInstanceOf(TransportClosedError);
      expect(error.message).toMatch(/^hang may have run on w#\w+: service "w" is closed$/);
    }
    expect(await unplaced).toBeInstanceOf(TransportClosedError);
    expect((await unplaced).message).toBe('service "nobody" is closed');
    for (const later of [service.run.who(), safe.stream.numbers("", 1).next(), service.open.talk("")])
      expect((await failure(later)).message).toBe('service "w" is closed');
    expect(service.instances).toEqual([]);
    // the instance itself waits there
    openGate("disposed");
    const inFlight = (): Promise<number> =>
      instance.run(({ furrow }) => furrow.currentActor().stats().callsInFlight);
    await until(async () => (await inFlight()) === 0);
    // the registrar alone
    await until(() => actor.stats().peers === 1);
    await service[Symbol.asyncDispose]();
  });

  test("lets streams and dialogs that have begun go on", async () => {
    await using stage = await Stage.open();
    await stage.start("w");
    const service = await openService<Served>("w");
    const stream = service.stream.numbers("kept", 3);
    await stream.next();
    await using dialog = await service.open.talk("kept");
    await service[Symbol.asyncDispose]();
    expect(await Array.fromAsync(stream)).toEqual([1, 2]);
    await dialog.end();
    expect(await dialog.result).toBe(0);
  });

  test("comes with the signal of openService, whose reason its calls reject with", async () => {
    await using stage = await Stage.open(withGates);
    await stage.start("w");
    const controller = new AbortController();
    await using service = await openService<Served>("w", { signal: controller.signal });
    const running = failure(service.run.hang("abort of all"));
    await arrivals("abort of all");
    const reason = new Error("over");
    controller.abort(reason);
    expect(await running).toBe(reason);
    expect(await failure(service.run.who())).toBe(reason);
    expect(await failure(openService("w", { signal: controller.signal }))).toBe(reason);
  });

  test("comes with the end of the actor", async () => {
    await using world = new World();
    await world.actor("w", { enableModules: [served] });
    const actor = await openRootActor({ ...world.options, ...withGates });
    const service = await openService<Served>("w");
    const running = failure(service.run.hang("end of the actor"));
    await arrivals("end of the actor");
    await actor.cancel();
    expect(await running).toBeInstanceOf(TransportClosedError);
    const later = await failure(service.run.who());
    expect(later).toBeInstanceOf(TransportClosedError);
    expect(later.message).toContain('service "w" is closed: ');
    await service[Symbol.asyncDispose]();
  });
});

describe("openService", () => {
  test("refuses malformed arguments", async () => {
    expect(await failure(openService("w"))).toBeInstanceOf(NoRuntimeError);
    await using world = new World();
    await using _ = await openRootActor(world.options);
    expect(await failure(openService(""))).toBeInstanceOf(ActorNameError);
    expect((await failure(openService("w*"))).message).toBe(
      'a service has one name, and "w*" stands for many',
    );
    expect(await failure(openService("w", { waitMs: -1 }))).toBeInstanceOf(RangeError);
    expect(await failure(openService("w", { by: "fastest" as "random" }))).toBeInstanceOf(RangeError);
    expect(await failure(openService("w", { needs: "fn" as unknown as string[] }))).toBeInstanceOf(TypeError);
    expect((await failure(openService("w", { registryAddr: "nowhere" as "/x" }))).name).toBe("AddressError");
  });

  test("fails where no registrar answers, and follows the one at an address", async () => {
    await using world = new World();
    await using elsewhere = new World();
    await using _ = await openRootActor({ ...world.options, limits: { probeTimeoutMs: 50 } });
    const nowhere = `tcp://127.0.0.1:${freePort()}` as const;
    expect(await failure(openService("w", { registryAddr: nowhere }))).toBeInstanceOf(
      RegistryUnavailableError,
    );
    await elsewhere.actor("w", { enableModules: [served] });
    await using service = await openService<Served>("w", { registryAddr: elsewhere.unix });
    expect(await service.run.who()).toBe(service.instances[0]!.id.uuid);
  });

  test("fails where its registrar is silent", async () => {
    using timing = setTiming({ gracePeriodMs: 10 });
    void timing;
    await using hub = new RawRegistrar();
    await using _ = await openRootActor({ registryAddrs: [hub.addr], limits: { probeTimeoutMs: 50 } });
    const error = await failure(openService("w"));
    expect(error).toMatchObject({ code: "ERR_TIMEOUT", stage: "lookup" });
    expect(error.message).toContain('opening of service "w"');
  });
});

test("a service leaves no process behind that a nursery wouldn't", async () => {
  await using world = new World();
  const nursery = await openNursery(world.options);
  const portal = await nursery.startActor<Served>("w", { module: served });
  const service = await openService<Served>("w");
  await service.run.who();
  await nursery[Symbol.asyncDispose]();
  expect(isProcessAlive(portal.id.pid)).toBeFalse();
  await service[Symbol.asyncDispose]();
});
