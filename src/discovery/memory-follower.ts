/** Brings what a `MemoryDirectory` holds to one sink. */
import { holderOf, type MemoryDirectory, type Step, type Stored } from "./memory-directory.ts";
import { RemoteEntry, type Revision } from "./remote-entry.ts";
import type { RemoteAddition, RemoteChange, Sink } from "./store.ts";

const maxPage = 1_000;
/** Before a load because of a host's record that contradicts what was received. */
const reloadPauseMs = 100;

export class MemoryFollower {
  readonly #directory: MemoryDirectory;
  readonly #host: string;
  readonly #sink: Sink;
  readonly #signal: AbortSignal;
  /** What the sink has; undefined when it has to load. */
  #at: Revision | undefined;
  #identity = -1;
  #isStale = false;
  #reachedAt: number = performance.now();

  constructor(directory: MemoryDirectory, host: string, sink: Sink, signal: AbortSignal) {
    this.#directory = directory;
    this.#host = host;
    this.#sink = sink;
    this.#signal = signal;
  }

  /** Until the abort. @throws whatever the sink throws */
  async run(): Promise<void> {
    this.#beStale();
    while (!this.#signal.aborted) {
      const { turn } = this.#directory;
      if (this.#directory.cutOf(this.#host) !== undefined) this.#beStale();
      else await this.#catchUp();
      await this.#directory.change(turn, this.#signal, this.#at === undefined ? reloadPauseMs : Infinity);
    }
  }

  async #catchUp(): Promise<void> {
    if (this.#identity !== this.#directory.identity) this.#at = undefined;
    const steps = this.#at === undefined ? undefined : this.#directory.since(this.#at);
    if (steps === undefined) await this.#load();
    else for (const step of steps) if (this.#at !== undefined) this.#hand(step);
    this.#reachedAt = performance.now();
    if (this.#isStale && this.#at !== undefined) {
      this.#isStale = false;
      this.#sink.fresh();
    }
  }

  #hand(step: Step): void {
    const isRight = this.#sink.change(changesOf(step), step.revision);
    this.#at = isRight ? step.revision : undefined;
  }

  async #load(): Promise<void> {
    const { identity, revision, entries, hosts, claims } = this.#directory;
    const all = [
      ...Array.from(entries.values(), (at) => additionOf({ kind: "entry", at })),
      ...Array.from(hosts.values(), (at) => additionOf({ kind: "host", at })),
      ...Array.from(claims.values(), (at) => additionOf({ kind: "claim", at })),
    ];
    this.#identity = identity;
    await this.#sink.load(pagesOf(all), revision);
    this.#at = revision;
  }

  #beStale(): void {
    if (!this.#isStale) this.#sink.stale(this.#reachedAt);
    this.#isStale = true;
  }
}

async function* pagesOf(all: readonly RemoteAddition[]): AsyncIterable<readonly RemoteAddition[]> {
  for (let at = 0; at < all.length; at += maxPage) yield all.slice(at, at + maxPage);
}

function changesOf({ edits }: Step): RemoteChange[] {
  return edits.map(({ isRemoved, stored }) => (isRemoved ? removalOf(stored) : additionOf(stored)));
}

function additionOf(stored: Stored): RemoteAddition {
  if (stored.kind === "host") return { type: "host", host: stored.at.record };
  if (stored.kind === "claim") return { type: "claim", name: stored.at.name, holder: holderOf(stored.at) };
  const { host, uuid, value, created, changed } = stored.at;
  return { type: "put", entry: new RemoteEntry(host, uuid, value, created, changed) };
}

function removalOf(stored: Stored): RemoteChange {
  if (stored.kind === "host") return { type: "hostGone", host: stored.at.host };
  if (stored.kind === "claim") return { type: "unclaim", name: stored.at.name };
  return { type: "remove", host: stored.at.host, uuid: stored.at.uuid };
}
