/**
 * Three hosts with an etcd server on each, on which actors start, change and end at random, while cables are pulled,
 * switches drop everything, etcd servers are killed and frozen, registrars and whole hosts are killed. What is watched on
 * each host is compared with what has happened: the changes of a host come in their order, no actor comes back from the
 * dead, and once the faults are over everyone is found everywhere, as it is.
 */
import { describe, expect, setDefaultTimeout, test } from "bun:test";

import type { Registration } from "../../src/index.ts";
import { type Lived, Observer, type Seen, type Sight } from "../support/cluster-history.ts";
import { lacksEtcd } from "../support/etcd-servers.ts";
import { call, type MachineOptions, query, Stage } from "../support/machines.ts";
import { type Host, noHosts } from "../support/netns.ts";
import { announce, Chance, inFull, seed } from "../support/soak.ts";
import { type Program, until } from "../support/world.ts";

const faults = inFull ? 60 : 3;
/** After how many of them all is mended and compared. */
const together = 3;
const most = 3;
const mendedWithinMs = 60_000;
const module = new URL("../fixtures/marked.ts", import.meta.url).href;
const options: MachineOptions = {
  ttlMs: 2_000,
  timing: { pingIntervalMs: 300 },
  root: { limits: { dialTimeoutMs: 2_000, handshakeTimeoutMs: 2_000 } },
};

type Marked = typeof import("../fixtures/marked.ts");
setDefaultTimeout(inFull ? 1_800_000 : 90_000);

/** Watches all actors of the history; `take` returns what it has seen since the last time. */
async function observe(program: Program): Promise<void> {
  await program.run(({ furrow, keep }) => {
    const seen: Seen[] = [];
    keep["seen"] = seen;
    const sight = ({ id, metadata }: Registration): Sight => {
      const { n, change } = metadata as { n: number; change: number };
      return { uuid: id.uuid, n, change };
    };
    void (async () => {
      for await (const event of furrow.watchActors("x-*")) {
        const at = performance.timeOrigin + performance.now();
        if (event.type === "sync") seen.push({ type: "sync", at, actors: event.actors.map(sight) });
        else seen.push({ type: event.type, at, actor: sight(event.actor) });
      }
    })();
  });
}

async function take(program: Program): Promise<Seen[]> {
  return await program.run(({ keep }) => (keep["seen"] as Seen[]).splice(0));
}

/** One host: its registrar, a program that starts actors and watches, and what has become of them. */
class Site {
  readonly host: Host;
  readonly lived: Map<string, Lived>;
  readonly observer: Observer;
  readonly problems: string[] = [];
  registrar: Program;
  worker: Program;
  /** Changes up to this one may be seen in any order. */
  unordered = 0;
  isDown = false;
  #seq = 0;
  #change = 0;

  constructor(host: Host, lived: Map<string, Lived>, registrar: Program, worker: Program) {
    this.host = host;
    this.lived = lived;
    this.registrar = registrar;
    this.worker = worker;
    this.observer = new Observer(`on ${host.name}`, lived);
  }

  get alive(): Lived[] {
    return Array.from(this.lived.values()).filter(
      ({ host, endedAt }) => host === this.host.name && endedAt === undefined,
    );
  }

  /** Does something by itself, as long as its programs live. */
  async act(chance: Chance): Promise<void> {
    const { alive } = this;
    const draw = chance.next();
    if (alive.length === 0 || (draw < 0.3 && alive.length < most)) return await this.#start();
    const one = chance.pick(alive);
    if (draw < 0.45 && alive.length > 1) return await this.#end(one);
    if (draw < 0.8) return await this.#mark(one);
    const answer = await query(this.worker, one.name);
    // a registrar may be missing for a while; but an actor of this host is never unknown
    if (answer.startsWith("none"))
      this.problems.push(`on ${this.host.name}: ${one.name} is there and was not found`);
  }

  async #start(): Promise<void> {
    const seq = ++this.#seq;
    const name = `x-${this.host.name}-${seq}`;
    const uuid = await this.worker.run(
      async ({ furrow, keep, args: [wanted, file, data] }) => {
        const nursery = keep["nursery"] as Awaited<ReturnType<typeof furrow.openNursery>>;
        const portal = await nursery.startActor(String(wanted), {
          module: String(file),
          metadata: data as { n: number; change: number },
          timeout: 20_000,
        });
        return portal.id.uuid;
      },
      name,
      module,
      { n: 0, change: ++this.#change },
    );
    this.lived.set(uuid, { uuid, name, host: this.host.name, seq, n: 0, acknowledged: 0 });
  }

  async #mark(one: Lived): Promise<void> {
    const n = ++one.n;
    const isDone = await this.worker.run(
      async ({ furrow, args: [name, value] }) => {
        try {
          await using portal = await furrow.findActor<Marked>(String(name), { raiseOnNone: true });
          await portal.run.mark(value as { n: number; change: number });
          return true;
        } catch {
          return false; // there is no registrar just now
        }
      },
      one.name,
      { n, change: ++this.#change },
    );
    if (isDone) one.acknowledged = n;
  }

  async #end(one: Lived): Promise<void> {
    await this.worker.run(async ({ furrow, args: [name] }) => {
      await using portal = await furrow.findActor(String(name), { raiseOnNone: true });
      await portal.cancelActor();
      await portal.closed;
    }, one.name);
    one.endedAt = performance.timeOrigin + performance.now();
  }

  /** Sets what every actor of this host says of itself to something that all have acknowledged. */
  async settle(): Promise<void> {
    for (const one of this.alive)
      await until(async () => (await this.#mark(one), one.acknowledged === one.n), 20_000);
  }

  async read(unordered: ReadonlyMap<string, number>): Promise<void> {
    // a registrar that has just come up reads the whole directory, in no order
    const isNew = this.unordered === Number.POSITIVE_INFINITY;
    const all = new Map(Array.from(unordered, ([host, change]) => [host, isNew ? this.unordered : change]));
    this.observer.take(await take(this.worker), all);
  }

  /** All that runs on the host is gone. */
  die(): void {
    for (const one of this.alive) one.endedAt = performance.timeOrigin + performance.now();
  }

  /** Another registrar takes over: until all is mended, in whatever order they come back. */
  changeRegistrar(): void {
    this.unordered = Number.POSITIVE_INFINITY;
  }

  /** From now on in order. */
  mended(): void {
    if (this.unordered > this.#change) this.unordered = this.#change;
  }
}

class History {
  readonly stage: Stage;
  readonly sites: readonly Site[];
  readonly chance: Chance;
  readonly lived: Map<string, Lived>;
  actions = 0;
  readonly #mends: (() => Promise<void>)[] = [];
  readonly done: string[] = [];

  private constructor(stage: Stage, sites: readonly Site[], lived: Map<string, Lived>) {
    this.stage = stage;
    this.sites = sites;
    this.lived = lived;
    this.chance = new Chance(seed);
  }

  static async open(stage: Stage): Promise<History> {
    const lived = new Map<string, Lived>();
    const sites = await Promise.all(
      stage.all.map(async (host, at) => {
        const worker = await stage.boot(host, `${host.name}-worker`);
        await observe(worker);
        return new Site(host, lived, stage.programs[at]!, worker);
      }),
    );
    return new History(stage, sites, lived);
  }

  get #unordered(): ReadonlyMap<string, number> {
    return new Map(this.sites.map(({ host, unordered }) => [host.name, unordered]));
  }

  /** Acts on all hosts that are up, for so long. */
  async run(ms: number): Promise<void> {
    const end = performance.now() + ms;
    await Promise.all(
      this.sites
        .filter(({ isDown }) => !isDown)
        .map(async (site) => {
          while (performance.now() < end) {
            await site.act(this.chance);
            this.actions++;
            await Bun.sleep(this.chance.below(30));
          }
        }),
    );
  }

  /** Causes a fault, which `mend` ends. */
  async fault(): Promise<void> {
    const site = this.chance.pick(this.sites.filter(({ isDown }) => !isDown));
    const { host } = site;
    const kind = this.chance.pick([
      "cable",
      "silence",
      "etcd killed",
      "etcd frozen",
      "registrar",
      "host",
    ] as const);
    this.done.push(`${kind} ${host.name}`);
    const { etcd } = this.stage;
    switch (kind) {
      case "cable":
        host.cutCable();
        this.#mends.push(async () => host.plug());
        return;
      case "silence":
        host.blackhole();
        this.#mends.push(async () => host.clear());
        return;
      case "etcd killed":
        await etcd.kill(host);
        this.#mends.push(async () => etcd.restart(host));
        return;
      case "etcd frozen":
        etcd.freeze(host);
        this.#mends.push(async () => etcd.thaw(host));
        return;
      case "registrar":
        site.changeRegistrar();
        await site.registrar.kill();
        site.registrar = await this.stage.boot(host, `${host.name}-root`);
        return;
      case "host":
        await site.read(this.#unordered);
        site.isDown = true;
        site.changeRegistrar();
        await host.kill();
        site.die();
        this.#mends.push(async () => {
          host.clear();
          etcd.restart(host);
          site.registrar = await this.stage.boot(host, `${host.name}-root`);
          site.worker = await this.stage.boot(host, `${host.name}-worker`);
          await observe(site.worker);
          site.isDown = false;
        });
    }
  }

  /** Ends all faults, waits until all hosts agree on what is there, and compares that with what has happened. */
  async mend(): Promise<number> {
    // cables first: what is started again needs the others
    for (const mend of this.#mends.splice(0)) await mend();
    const since = performance.now();
    for (const site of this.sites) await site.settle();
    const wanted = this.sites
      .flatMap(({ alive }) => alive)
      .map(({ uuid, n }) => `${uuid} ${n}`)
      .toSorted();
    let seen: string[][] = [];
    const isAgreed = async (): Promise<boolean> => {
      seen = await Promise.all(this.sites.map(({ worker }) => present(worker)));
      return seen.every((list) => list.join() === wanted.join());
    };
    await until(isAgreed, mendedWithinMs).catch((error: unknown) => {
      const missing = seen.map((list) => wanted.filter((one) => !list.includes(one)));
      const more = seen.map((list) => list.filter((one) => !wanted.includes(one)));
      throw new Error(`after ${this.done.join(", ")}: ${JSON.stringify({ missing, more })}`, {
        cause: error,
      });
    });
    const took = performance.now() - since;
    for (const site of this.sites) await site.read(this.#unordered);
    for (const site of this.sites) {
      site.observer.agreed();
      site.mended();
    }
    for (const { alive } of this.sites)
      for (const { name } of alive) {
        const from = this.chance.pick(this.sites).worker;
        // all is there already, and each host knows that a little later
        await until(async () => (await query(from, name)) === "found", 20_000);
        expect([name, await call(from, name)]).toEqual([name, 3]);
      }
    const wrong = this.sites.flatMap(({ problems, observer }) => [...problems, ...observer.faults]);
    expect(wrong, `after ${this.done.join(", ")}`).toEqual([]);
    return took;
  }
}

/** The actors of the history that a registrar lists, and how often they have changed. */
async function present(program: Program): Promise<string[]> {
  return await program.run(async ({ furrow }) => {
    await using registry = await furrow.getRegistry();
    return (await registry.run.listActors())
      .filter(({ id }) => id.name.startsWith("x-"))
      .map(({ id, metadata }) => `${id.uuid} ${String((metadata as { n: number }).n)}`)
      .toSorted();
  });
}

describe.skipIf(noHosts !== undefined || lacksEtcd !== undefined)(
  "three hosts, over which everything goes wrong",
  () => {
    test("see each other's changes in order, none come back from the dead, and agree once the faults are over", async () => {
      announce(`${faults} faults of three hosts`);
      await using stage = await Stage.open(options);
      const history = await History.open(stage);
      await history.run(500);
      const times: number[] = [];
      for (let at = 1; at <= faults; at++) {
        await history.fault();
        await history.run(300 + history.chance.below(inFull ? 3_000 : 1_000));
        if (at % together === 0 || at === faults) times.push(await history.mend());
      }
      const events = history.sites.map(({ observer }) => observer.events).reduce((sum, one) => sum + one, 0);
      const slowest = Math.round(Math.max(...times));
      console.log(
        `${history.actions} actions, ${history.lived.size} actors, ${events} events; faults: ${history.done.join(", ")}; agreed within ${slowest} ms of their end`,
      );
    });
  },
);
