/** What a follower of a directory has: a sink that keeps everything, and a log of what it was told. */
import type { RemoteEntry } from "../../src/discovery/remote-entry.ts";
import type {
  DirectoryStore,
  Holder,
  RemoteAddition,
  RemoteChange,
  RemoteHost,
  Revision,
  Sink,
} from "../../src/discovery/store.ts";

export class Mirror implements Sink, AsyncDisposable {
  readonly entries: Map<string, RemoteEntry> = new Map();
  readonly hosts: Map<string, RemoteHost> = new Map();
  readonly claims: Map<string, Holder> = new Map();
  /** All batches of changes since the beginning, loads left out. */
  readonly batches: (readonly RemoteChange[])[] = [];
  /** Calls other than `change`, in order. */
  readonly told: string[] = [];
  loads = 0;
  at: Revision = 0;
  isFresh = false;
  /** How long before it was called stale the last proof was, each time. */
  readonly staleForMs: number[] = [];
  readonly following: Promise<void>;
  readonly #ended = new AbortController();
  readonly #waiting = new Set<() => void>();

  constructor(store: DirectoryStore) {
    this.following = store.follow(this, this.#ended.signal);
    // the test hears of it when the mirror is disposed
    this.following.catch(() => {});
  }

  async load(pages: AsyncIterable<readonly RemoteAddition[]>, at: Revision): Promise<void> {
    const seen = new Set<string>();
    for await (const page of pages) for (const addition of page) seen.add(this.#put(addition));
    for (const [map, kind] of [
      [this.entries, "a"],
      [this.hosts, "h"],
      [this.claims, "u"],
    ] as const)
      for (const key of map.keys()) if (!seen.has(`${kind}/${key}`)) map.delete(key);
    this.loads++;
    this.told.push("load");
    this.at = at;
    this.#wake();
  }

  change(batch: readonly RemoteChange[], at: Revision): boolean {
    if (at < this.at) throw new Error(`revision ${at} after ${this.at}`);
    this.at = at;
    this.batches.push(batch);
    let isRight = true;
    for (const change of batch) {
      if (change.type === "remove") this.entries.delete(`${change.host}/${change.uuid}`);
      else if (change.type === "hostGone") this.hosts.delete(change.host);
      else if (change.type === "unclaim") this.claims.delete(change.name);
      else this.#put(change);
      if (change.type === "host") isRight &&= this.#agreesWith(change.host);
    }
    this.#wake();
    return isRight;
  }

  stale(sinceMs: number): void {
    this.isFresh = false;
    this.staleForMs.push(performance.now() - sinceMs);
    this.told.push("stale");
    this.#wake();
  }

  fresh(): void {
    this.isFresh = true;
    this.told.push("fresh");
    this.#wake();
  }

  /** Resolves as soon as the condition holds. */
  async until(
    condition: () => boolean,
    what: string = condition.toString(),
    withinMs = 12_000,
  ): Promise<void> {
    const end = performance.now() + withinMs;
    while (!condition()) {
      const left = end - performance.now();
      if (left <= 0) throw new Error(`not within ${withinMs} ms: ${what}; was told ${this.told.join()}`);
      const { promise, resolve } = Promise.withResolvers<void>();
      const timer = setTimeout(resolve, left);
      this.#waiting.add(resolve);
      await promise;
      this.#waiting.delete(resolve);
      clearTimeout(timer);
    }
  }

  /** The uuids of a host's entries, sorted. */
  of(host: string): string[] {
    return Array.from(this.entries.values())
      .filter((entry) => entry.host === host)
      .map(({ uuid }) => uuid)
      .toSorted();
  }

  /** The changes of a host's entries, as `+uuid` and `-uuid`. */
  history(host: string): string[] {
    return this.batches.flat().flatMap((change) => {
      if (change.type === "put" && change.entry.host === host) return [`+${change.entry.uuid}`];
      if (change.type === "remove" && change.host === host) return [`-${change.uuid}`];
      return [];
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ended.abort();
    await this.following;
  }

  #put(addition: RemoteAddition): string {
    if (addition.type === "put") {
      const key = `${addition.entry.host}/${addition.entry.uuid}`;
      this.entries.set(key, addition.entry);
      return `a/${key}`;
    }
    if (addition.type === "host") {
      this.hosts.set(addition.host.host, addition.host);
      return `h/${addition.host.host}`;
    }
    this.claims.set(addition.name, addition.holder);
    return `u/${addition.name}`;
  }

  #agreesWith({ host, content }: RemoteHost): boolean {
    if (content === null) return true;
    const own = Array.from(this.entries.values()).filter((entry) => entry.host === host);
    const digest = own.reduce((all, entry) => (all ^ entry.digest) >>> 0, 0);
    return own.length === content.count && digest === content.digest;
  }

  #wake(): void {
    for (const wake of this.#waiting) wake();
  }
}
