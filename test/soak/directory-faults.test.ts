/**
 * Three hosts publish and follow over three etcds, while servers are killed and frozen, hosts are cut off and die, and history
 * is compacted at random. When the faults end, everyone has everything, and nothing that ended has come back.
 */
import { expect, test } from "bun:test";

import type { Change, HostLease, RemoteAddition, RemoteChange } from "../../src/discovery/store.ts";
import { StoreUnavailableError } from "../../src/errors.ts";
import { EtcdDirectory, put, range, recordOf, remove } from "../support/directories.ts";
import { EtcdServers, lacksEtcd } from "../support/etcd-servers.ts";
import { Mirror } from "../support/mirror.ts";
import { announce, Chance, scaled, seed } from "../support/soak.ts";

const hosts = ["aaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbb", "cccccccccccccccc"];
const rounds = 40;
const ttlMs = 3_000;
/** How long everyone may take to have everything once the last fault has ended. */
const settleMs = 30_000;

/** A host that publishes its table as registrars do: what failed is repeated, and a lost lease begins anew. */
class Publisher {
  readonly host: string;
  /** What it wants the directory to have: the number of its last change by uuid. */
  readonly table = new Map<string, number>();
  /** The revisions at which actors were removed for good. */
  readonly ended = new Map<string, number>();
  leases = 0;
  readonly #directory: EtcdDirectory;
  readonly #chance: Chance;
  readonly #running: Promise<void>;
  #isOver = false;
  #isDead = false;
  #changes = 0;
  #version = 0;

  constructor(directory: EtcdDirectory, host: string, chance: Chance) {
    this.#directory = directory;
    this.host = host;
    this.#chance = chance;
    this.#running = this.#run();
  }

  /** Its process dies, and another one comes with another table. */
  die(): void {
    this.#isDead = true;
  }

  async end(): Promise<void> {
    this.#isOver = true;
    await this.#running;
  }

  async #run(): Promise<void> {
    let record = recordOf(this.host);
    let store = await this.#directory.store(this.host);
    while (!this.#isOver) {
      const lease = await retried(
        () => store.open(record, { ttlMs, timeoutMs: 1_000 }),
        () => this.#isOver,
      );
      if (lease === undefined) return;
      this.leases++;
      await this.#publish(lease);
      if (!this.#isDead) continue;
      this.#isDead = false;
      lease.abandon();
      this.table.clear();
      record = recordOf(this.host);
      store = await this.#directory.store(this.host);
    }
  }

  /** Until the lease is lost. The last table stays published. */
  async #publish(lease: HostLease): Promise<void> {
    let isLost = false;
    void lease.lost.then(() => (isLost = true));
    const stops = (): boolean => isLost || this.#isDead;
    const apply = (changes: readonly Change[]): Promise<number | undefined> =>
      retried(() => lease.apply(changes, { timeoutMs: 1_000 }), stops);
    await apply(Array.from(this.table, ([uuid, version]) => put(this.host, uuid, uuid, version)));
    await retried(() => lease.settle({ timeoutMs: 1_000 }), stops);
    // an end waits until all is published
    while (!stops() && !this.#isOver) {
      const changes = this.#next();
      const at = await apply(changes);
      if (at === undefined) return;
      for (const { type, uuid } of changes) if (type === "remove") this.ended.set(uuid, at);
      await Bun.sleep(this.#chance.below(20));
    }
  }

  #next(): Change[] {
    return range(1 + this.#chance.below(8)).map(() => {
      const known = Array.from(this.table.keys());
      const what = this.#chance.below(3);
      if (what > 0 && known.length > 5) {
        const uuid = this.#chance.pick(known);
        if (what === 1) {
          this.table.delete(uuid);
          return remove(uuid);
        }
        this.table.set(uuid, ++this.#version);
        return put(this.host, uuid, uuid, this.#version);
      }
      const uuid = `${this.host.slice(0, 4)}-${++this.#changes}`;
      this.table.set(uuid, ++this.#version);
      return put(this.host, uuid, uuid, this.#version);
    });
  }
}

/** Asks until it is answered, or undefined if `stops` says so before. */
async function retried<T>(work: () => Promise<T>, stops: () => boolean): Promise<T | undefined> {
  while (!stops()) {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof StoreUnavailableError)) throw error;
      await Bun.sleep(20);
    }
  }
  return undefined;
}

/** A mirror that notices what comes back after its end, or goes back in time. */
class Witness extends Mirror {
  readonly faults: string[] = [];
  publishers: readonly Publisher[] = [];

  override change(batch: readonly RemoteChange[], at: number): boolean {
    for (const change of batch) if (change.type === "put") this.#check(change);
    return super.change(batch, at);
  }

  #check({ entry }: Extract<RemoteAddition, { type: "put" }>): void {
    const { host, uuid, changed, order } = entry;
    const ended = this.publishers.find((one) => one.host === host)?.ended.get(uuid);
    if (ended !== undefined && ended < changed)
      this.faults.push(`${uuid} ended at ${ended} and is back at ${changed}`);
    const before = this.entries.get(`${host}/${uuid}`);
    if (before !== undefined && before.order > order)
      this.faults.push(`${uuid} went back from ${before.order} to ${order}`);
  }
}

/** One fault, begun and ended. */
async function fault(
  directory: EtcdDirectory,
  publishers: readonly Publisher[],
  chance: Chance,
): Promise<string> {
  const { servers } = directory;
  const index = chance.pick(servers.all);
  const host = chance.pick(hosts);
  const forMs = chance.below(2 * ttlMs);
  switch (chance.below(6)) {
    case 0:
      await servers.kill(index);
      await Bun.sleep(forMs);
      await servers.up(index);
      return `server ${index} killed for ${forMs} ms`;
    case 1:
      servers.freeze(index);
      await Bun.sleep(forMs);
      servers.thaw(index);
      return `server ${index} frozen for ${forMs} ms`;
    case 2:
      directory.cut(host);
      await Bun.sleep(forMs);
      directory.mend(host);
      return `host ${host} cut off for ${forMs} ms`;
    case 3:
      directory.cut(host, "answers");
      await Bun.sleep(forMs);
      directory.mend(host);
      return `host ${host} deaf for ${forMs} ms`;
    case 4:
      publishers.find((one) => one.host === host)!.die();
      return `host ${host} died`;
    default:
      directory.cut(host);
      await Bun.sleep(forMs);
      await servers.compact(index);
      directory.mend(host);
      return `history compacted while ${host} was cut off for ${forMs} ms`;
  }
}

function missing(publishers: readonly Publisher[], mirror: Mirror): string[] {
  return publishers.flatMap(({ host, table }) => {
    const found = new Set(mirror.of(host));
    const lacks = Array.from(table)
      .filter(([uuid, version]) => mirror.entries.get(`${host}/${uuid}`)?.order !== version)
      .map(([uuid]) => `lacks ${uuid}`);
    return [
      ...lacks,
      ...Array.from(found)
        .filter((uuid) => !table.has(uuid))
        .map((uuid) => `still has ${uuid}`),
    ];
  });
}

test.skipIf(lacksEtcd !== undefined)(
  "nothing is lost and nothing false is seen, whatever fails",
  async () => {
    announce("faults of a directory");
    const chance = new Chance(seed);
    await using servers = await EtcdServers.start(3);
    await using directory = new EtcdDirectory(servers);
    const stores = await Promise.all(hosts.map((host) => directory.store(host)));
    const publishers = hosts.map((host) => new Publisher(directory, host, new Chance(chance.below(2 ** 31))));
    await using stack = new AsyncDisposableStack();
    const mirrors = stores.map((store) => stack.use(new Witness(store)));
    for (const mirror of mirrors) mirror.publishers = publishers;
    for (const _ of range(scaled(rounds))) console.log(await fault(directory, publishers, chance));
    const ended = performance.now();
    await Promise.all(mirrors.map((mirror) => mirror.until(() => mirror.isFresh, "fresh", settleMs)));
    await Bun.sleep(ttlMs + 1_000);
    await Promise.all(publishers.map((one) => one.end()));
    for (const mirror of mirrors) {
      await mirror
        .until(() => missing(publishers, mirror).length === 0, "everything", settleMs)
        .catch(() => {});
      expect([missing(publishers, mirror), mirror.faults]).toEqual([[], []]);
    }
    const changes = mirrors.reduce((all, { batches }) => all + batches.length, 0);
    console.log(
      `all had everything within ${Math.round(performance.now() - ended)} ms: ${changes} batches, ` +
        `${publishers.reduce((all, { leases }) => all + leases, 0)} leases, ${mirrors.map(({ loads }) => loads).join("+")} loads`,
    );
  },
  900_000,
);
