/**
 * Three hosts with an etcd server on each, and what happens to them: a registrar killed, a cable pulled, the etcd's majority
 * lost, a host killed. After each test everything is as before, without a hand on any program that lived.
 */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";

import { EtcdOnHosts } from "../support/etcd-hosts.ts";
import { lacksEtcd } from "../support/etcd-servers.ts";
import { boot, listed, type MachineOptions, start } from "../support/machines.ts";
import { type Host, Hosts, noHosts } from "../support/netns.ts";
import { type Program, until } from "../support/world.ts";

type Service = typeof import("../fixtures/service.ts");

const setUpMs = 30_000;
const options: MachineOptions = {
  ttlMs: 2_000,
  timing: { pingIntervalMs: 300 },
  root: { limits: { dialTimeoutMs: 500, handshakeTimeoutMs: 1_000 } },
};

/** Calls an actor; the sum, or the code of the error. */
async function call(from: Program, name: string): Promise<number | string> {
  return await from.run(async ({ furrow, args: [wanted] }) => {
    try {
      await using portal = await furrow.findActor<Service>(String(wanted), {
        raiseOnNone: true,
        timeout: 5_000,
      });
      return await portal.with({ timeout: 5_000 }).run.add(1, 2);
    } catch (error) {
      return (error as { code: string }).code;
    }
  }, name);
}

/** What `queryActor` says: whether there is an address, and whether that may be behind; or the codes of its error and the cause. */
async function query(from: Program, name: string): Promise<string> {
  return await from.run(async ({ furrow, args: [wanted] }) => {
    try {
      await using found = await furrow.queryActor(String(wanted), { timeout: 5_000 });
      return `${found.addr === null ? "none" : "found"}${found.stale ? ", stale" : ""}`;
    } catch (error) {
      const { code, cause } = error as { code: string; cause?: { code?: string } };
      return `${code} <- ${cause?.code}`;
    }
  }, name);
}

/** Watches a pattern from now on; returns the events after the first state. */
async function watch(on: Program, pattern: string): Promise<() => Promise<string[]>> {
  await on.run(async ({ furrow, keep, args: [wanted] }) => {
    const { promise, resolve } = Promise.withResolvers<void>();
    const events: string[] = [];
    keep[`events of ${String(wanted)}`] = events;
    void (async () => {
      for await (const event of furrow.watchActors(String(wanted))) {
        if (event.type === "sync") {
          events.push(`sync ${event.actors.length}`);
          resolve();
        } else {
          events.push(`${event.type} ${event.actor.id.name}`);
        }
      }
    })();
    await promise;
  }, pattern);
  return async () =>
    await on.run(({ keep, args: [key] }) => [...(keep[String(key)] as string[])], `events of ${pattern}`);
}

/** A call that stays pending; resolves with the code and the text of its error. */
function hang(from: Program, name: string): Promise<string> {
  return from.run(async ({ furrow, args: [wanted] }) => {
    await using portal = await furrow.findActor<Service>(String(wanted), { raiseOnNone: true });
    const error = await portal.run.hang().catch((thrown: unknown) => thrown as Error & { code: string });
    return `${error.code}: ${error.message}`;
  }, name);
}

describe.skipIf(noHosts !== undefined || lacksEtcd !== undefined)("three hosts with an etcd of three", () => {
  let hosts: Hosts;
  let etcd: EtcdOnHosts;
  let [a, b, c]: Host[] = [];
  let [onA, onB, onC]: Program[] = [];
  let everyone: string[];

  const all = (): [Program, Program, Program] => [onA!, onB!, onC!];
  const agree = async (names: readonly string[], ...programs: Program[]): Promise<void> =>
    await until(
      async () => (await Promise.all(programs.map(listed))).every((list) => list.join() === names.join()),
      setUpMs,
    );

  beforeAll(async () => {
    hosts = await Hosts.open("a", "b", "c");
    [a, b, c] = ["a", "b", "c"].map((name) => hosts.get(name)) as [Host, Host, Host];
    etcd = await EtcdOnHosts.start(a, b, c);
    [onA, onB, onC] = await Promise.all(
      [a, b, c].map((host) => boot(host, `${host.name}-root`, etcd, options)),
    );
    for (const [at, program] of all().entries()) await start(program, `${"abc"[at]}-child`);
    everyone = ["a-child", "a-root", "b-child", "b-root", "c-child", "c-root"];
    await agree(everyone, ...all());
  }, setUpMs);

  afterEach(async () => await agree(everyone, ...all()), setUpMs);

  afterAll(async () => await hosts?.[Symbol.asyncDispose]());

  test(
    "with a cable pulled, the host goes on alone, the others take it for dead in the end, and all is as before once it is plugged in",
    async () => {
      const eventsOnC = await watch(onC!, "a-*");
      const eventsOnA = await watch(onA!, "c-*");
      const pending = hang(onC!, "a-child");
      await until(
        async () => await onC!.run(({ furrow }) => furrow.currentActor().stats().callsInFlight > 0),
      );
      const since = performance.now();
      const after = (): number => Math.round(performance.now() - since);
      a!.cutCable();
      expect(await pending).toMatch(/^ERR_TRANSPORT_CLOSED: .*was silent for 900 ms/);
      const failed = after();
      await until(async () => (await eventsOnC()).length === 3, setUpMs);
      const gone = after();
      expect((await eventsOnC()).slice(1).toSorted()).toEqual(["down a-child", "down a-root"]);
      expect(await query(onC!, "a-child")).toBe("none");
      expect(await call(onC!, "b-child")).toBe(3);
      // on the host itself nothing is lost, and it says what it can't know
      await until(async () => (await query(onA!, "c-child")) === "found, stale");
      const stale = after();
      expect(await query(onA!, "a-child")).toBe("found");
      expect(await query(onA!, "nobody")).toBe("ERR_REGISTRY_UNAVAILABLE <- ERR_STORE_UNAVAILABLE");
      await start(onA!, "a-local", { restart: "never" });
      expect(await call(onA!, "a-local")).toBe(3);
      expect(await eventsOnA()).toEqual(["sync 2"]);
      const plugged = performance.now();
      a!.plug();
      await agree([...everyone, "a-local"].toSorted(), ...all());
      const back = Math.round(performance.now() - plugged);
      expect([await call(onC!, "a-local"), await call(onA!, "c-child")]).toEqual([3, 3]);
      await until(async () => (await query(onA!, "nobody")) === "none");
      expect(await eventsOnA()).toEqual(["sync 2"]);
      await onA!.run(async ({ furrow }) => {
        await using portal = await furrow.findActor("a-local", { raiseOnNone: true });
        await portal.cancelActor();
      });
      console.log(
        `cable pulled: a call failed after ${failed} ms, the entries were gone after ${gone} ms, the host itself knew after ${stale} ms; all back ${back} ms after it was plugged in`,
      );
    },
    setUpMs,
  );
});
