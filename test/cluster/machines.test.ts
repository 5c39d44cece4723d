/** Three hosts with an etcd server on each: what is started on one is found and called from the others. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";

import { EtcdOnHosts } from "../support/etcd-hosts.ts";
import { lacksEtcd } from "../support/etcd-servers.ts";
import { boot, listed, start, trap } from "../support/machines.ts";
import { type Host, Hosts, noHosts } from "../support/netns.ts";
import { type Program, until } from "../support/world.ts";

type Service = typeof import("../fixtures/service.ts");

const setUpMs = 30_000;
const rounds = 21;

describe.skipIf(noHosts !== undefined || lacksEtcd !== undefined)("three hosts with an etcd of three", () => {
  let hosts: Hosts;
  let [a, c]: Host[] = [];
  let [onA, onC]: Program[] = [];
  /** An actor on c that isn't its registrar. */
  let caller: Program;

  beforeAll(async () => {
    hosts = await Hosts.open("a", "b", "c");
    const all = ["a", "b", "c"].map((name) => hosts.get(name)) as [Host, Host, Host];
    [a, , c] = all;
    const etcd = await EtcdOnHosts.start(...all);
    [onA, , onC] = await Promise.all(all.map((host) => boot(host, `root-${host.name}`, etcd)));
    caller = await boot(c, "caller", etcd);
    await until(async () => (await listed(caller)).length === 4, setUpMs);
  }, setUpMs);

  afterAll(async () => await hosts?.[Symbol.asyncDispose]());

  test("an actor that starts on one is found by its name and called from another, over TLS", async () => {
    // when the registrar of a has it
    await onA!.run(({ furrow, keep }) => {
      const seen = (keep["seen"] = {} as Record<string, number>);
      void (async () => {
        for await (const event of furrow.watchActors("worker-*")) {
          if (event.type === "up") seen[event.actor.id.name] = performance.timeOrigin + performance.now();
        }
      })();
    });
    const times: { found: number; called: number }[] = [];
    for (let round = 0; round < rounds; round++) {
      const name = `worker-${round}`;
      const waiting = caller.run(async ({ furrow, args: [wanted] }) => {
        await using portal = await furrow.waitForActor<Service>(String(wanted));
        const now = (): number => performance.timeOrigin + performance.now();
        const found = now();
        const sum = await portal.run.add(1, 2);
        const called = now();
        const { auth, subject } = (await portal.run.peer()) as { auth: string; subject: string };
        return { addr: portal.addr, sum, auth, subject, found, called };
      }, name);
      await start(onA!, name);
      const { found, called, ...outcome } = await waiting;
      expect(outcome).toEqual({
        addr: expect.stringMatching(/^tcp:\/\/10\.77\.0\.1:\d+$/),
        sum: 3,
        auth: "tls",
        subject: "c/caller",
      });
      const registered = await onA!.run(
        ({ keep, args: [key] }) => (keep["seen"] as Record<string, number>)[String(key)]!,
        name,
      );
      times.push({ found: found - registered, called: called - registered });
    }
    const median = (of: "found" | "called"): string =>
      times
        .map((one) => one[of])
        .toSorted((one, other) => one - other)
        [rounds >> 1]!.toFixed(1);
    const slowest = Math.max(...times.map(({ called }) => called)).toFixed(1);
    console.log(
      `registered on a, then on c: connected after ${median("found")} ms, called after ${median("called")} ms (medians of ${rounds}; slowest call ${slowest} ms)`,
    );
  });

  test("a socket of one is never dialled from another, though there is one of the same path", async () => {
    const [both, only] = [a!.unix("both"), a!.unix("only")];
    await start(onA!, "both", { bindAddrs: [both, "tcp://0.0.0.0:0"] });
    await start(onA!, "only", { bindAddrs: [only] });
    const counts = await Promise.all([both, only].map((socket) => trap(onC!, socket)));
    await until(async () => (await listed(caller)).includes("only"));
    const outcome = await caller.run(async ({ furrow }) => {
      const dials = async (name: string): Promise<string[]> => {
        const { candidates } = await furrow.explainLookup(name);
        return candidates.flatMap(({ source, dials: all }) =>
          all.map(({ addr, outcome }) => `${source} ${addr.replace(/:\d+$/, "")} ${outcome}`),
        );
      };
      const found = await furrow.findActor("only");
      const instances = await furrow.findActor("both", { onlyFirst: false });
      const { length } = instances;
      await instances[Symbol.asyncDispose]();
      return { found, length, both: await dials("both"), only: await dials("only") };
    });
    const { host } = await onA!.run(({ furrow }) => furrow.currentActor().id);
    const foreign = (socket: string): string => `unix://${host}${socket.slice("unix://".length)}`;
    expect(outcome).toEqual({
      found: null,
      length: 1,
      both: [
        "mirror tcp://10.77.0.1 connected",
        "mirror tcp://127.0.0.1 skipped",
        `mirror ${foreign(both)} skipped`,
      ],
      only: [`mirror ${foreign(only)} skipped`],
    });
    expect(await Promise.all(counts.map((count) => count()))).toEqual([0, 0]);
  });
});
