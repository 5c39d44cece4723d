/**
 * A shared directory in the memory of one process: what a store of a cluster keeps, without a network in between. Several
 * `MemoryStore`s use one, each as if it were another host's.
 *
 * Its switches do what networks and servers do: a host is cut off, answers are lost, nobody is reachable, history is
 * compacted, the disk is wiped.
 */
import { startTimer } from "../deadline.ts";
import type { Revision } from "./remote-entry.ts";
import type { Change, Claim, Holder, RemoteHost } from "./store.ts";

/** A host's lease as the directory keeps it. */
export interface Grant {
  readonly id: number;
  readonly ttlMs: number;
  expiresAt: number;
}

interface Versioned {
  readonly created: Revision;
  readonly changed: Revision;
  readonly lease: number;
}

export interface StoredEntry extends Versioned {
  readonly host: string;
  readonly uuid: string;
  readonly value: Uint8Array;
}

export interface StoredHost extends Versioned {
  readonly host: string;
  readonly record: RemoteHost;
}

export interface StoredClaim extends Versioned {
  readonly name: string;
  readonly uuid: string;
  readonly host: string;
}

export type Stored =
  | { readonly kind: "entry"; readonly at: StoredEntry }
  | { readonly kind: "host"; readonly at: StoredHost }
  | { readonly kind: "claim"; readonly at: StoredClaim };

export interface Edit {
  readonly isRemoved: boolean;
  readonly stored: Stored;
}

export interface Step {
  readonly revision: Revision;
  readonly edits: readonly Edit[];
}

/** "answers": what is asked is done, and the answer doesn't arrive. */
export type Cut = "all" | "answers";

/** How many steps followers can catch up with. */
const maxHistory = 10_000;

export class MemoryDirectory implements Disposable {
  /** Which store this is: another one after `wipe`. */
  identity = 0;
  revision: Revision = 1;
  readonly entries: Map<string, StoredEntry> = new Map();
  readonly hosts: Map<string, StoredHost> = new Map();
  readonly claims: Map<string, StoredClaim> = new Map();
  readonly #grants = new Map<number, Grant>();
  readonly #cuts = new Map<string, Cut>();
  readonly #waiting = new Set<() => void>();
  #history: Step[] = [];
  #isStopped = false;
  #turn = 0;
  #lastGrant = 0;
  #timer: Timer | undefined;

  /** Cuts a host off: it is as if the network to it were gone. */
  cut(host: string, what: Cut = "all"): void {
    this.#cuts.set(host, what);
    this.#tell();
  }

  /** Undoes `cut`. */
  mend(host: string): void {
    this.#cuts.delete(host);
    this.#tell();
  }

  /** Nobody can reach it, and no lease lapses, as in a store without a majority. */
  stop(): void {
    this.#isStopped = true;
    this.#schedule();
    this.#tell();
  }

  /** Undoes `stop`. All leases begin anew. */
  start(): void {
    this.#isStopped = false;
    for (const grant of this.#grants.values()) grant.expiresAt = performance.now() + grant.ttlMs;
    this.#schedule();
    this.#tell();
  }

  /** Forgets the past: followers that are behind have to load. */
  compact(): void {
    this.#history = [];
  }

  /** Forgets everything, and begins at revision 1. */
  wipe(): void {
    this.identity++;
    this.revision = 1;
    this.#history = [];
    for (const map of [this.entries, this.hosts, this.claims, this.#grants]) map.clear();
    this.#schedule();
    this.#tell();
  }

  /** Why `host` gets no answer; undefined if it does. */
  cutOf(host: string): Cut | undefined {
    return this.#isStopped ? "all" : this.#cuts.get(host);
  }

  /** Resolves when there has been a step or a switch since `turn` was `from`, at an abort, or after `ms`. */
  async change(from: number, signal: AbortSignal, ms: number): Promise<void> {
    if (this.#turn !== from || signal.aborted) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = startTimer(ms, resolve)?.unref();
    const wake = (): void => resolve();
    this.#waiting.add(wake);
    signal.addEventListener("abort", wake, { once: true });
    await promise;
    clearTimeout(timer);
    this.#waiting.delete(wake);
    signal.removeEventListener("abort", wake);
  }

  /** Counts steps and switches. */
  get turn(): number {
    return this.#turn;
  }

  /** The steps after a revision; undefined if some of them are forgotten, or it is in the future. */
  since(revision: Revision): readonly Step[] | undefined {
    if (revision > this.revision) return undefined;
    const missed = this.revision - revision;
    return missed > this.#history.length ? undefined : this.#history.slice(this.#history.length - missed);
  }

  grant(ttlMs: number): Grant {
    const grant = { id: ++this.#lastGrant, ttlMs, expiresAt: performance.now() + ttlMs };
    this.#grants.set(grant.id, grant);
    this.#schedule();
    return grant;
  }

  isLive(lease: number): boolean {
    return this.#grants.has(lease);
  }

  /** Whether this lease still speaks for the host. */
  owns(lease: number, host: string): boolean {
    return this.isLive(lease) && this.hosts.get(host)?.lease === lease;
  }

  /** False if it's gone. */
  renew(lease: number): boolean {
    const grant = this.#grants.get(lease);
    if (grant !== undefined) grant.expiresAt = performance.now() + grant.ttlMs;
    this.#schedule();
    return grant !== undefined;
  }

  /** Ends a lease, and all that is under it, in one step: hosts last. */
  revoke(lease: number): void {
    if (!this.#grants.delete(lease)) return;
    this.#schedule();
    const ended: Stored[] = [];
    for (const [key, at] of this.entries)
      if (at.lease === lease && this.entries.delete(key)) ended.push({ kind: "entry", at });
    for (const [key, at] of this.claims)
      if (at.lease === lease && this.claims.delete(key)) ended.push({ kind: "claim", at });
    for (const [key, at] of this.hosts)
      if (at.lease === lease && this.hosts.delete(key)) ended.push({ kind: "host", at });
    if (ended.length > 0) this.#step(ended.map((stored) => ({ isRemoved: true, stored })));
  }

  putHost(record: RemoteHost, lease: number): Revision {
    const at = { host: record.host, record, ...this.#version(this.hosts.get(record.host), lease) };
    this.hosts.set(record.host, at);
    return this.#step([{ isRemoved: false, stored: { kind: "host", at } }]);
  }

  /** Makes all changes in one step; each of another actor. */
  apply(host: string, lease: number, changes: readonly Change[]): Revision {
    const edits: Edit[] = [];
    for (const change of changes) {
      const { uuid } = change;
      const key = `${host}/${uuid}`;
      const before = this.entries.get(key);
      if (change.type === "put") {
        const at = { host, uuid, value: change.value.slice(), ...this.#version(before, lease) };
        this.entries.set(key, at);
        edits.push({ isRemoved: false, stored: { kind: "entry", at } });
      } else if (before !== undefined) {
        this.entries.delete(key);
        edits.push({ isRemoved: true, stored: { kind: "entry", at: before } });
      }
    }
    return this.#step(edits);
  }

  claim(name: string, uuid: string, host: string, lease: number): Claim | Holder {
    const before = this.claims.get(name);
    if (before !== undefined && before.uuid !== uuid) return holderOf(before);
    if (before?.lease === lease) return { type: "granted", fence: before.created };
    const at = { name, uuid, host, ...this.#version(before, lease) };
    this.claims.set(name, at);
    this.#step([{ isRemoved: false, stored: { kind: "claim", at } }]);
    return { type: "granted", fence: at.created };
  }

  unclaim(name: string, uuid: string): void {
    const at = this.claims.get(name);
    if (at?.uuid !== uuid) return;
    this.claims.delete(name);
    this.#step([{ isRemoved: true, stored: { kind: "claim", at } }]);
  }

  /** Stops its timer. */
  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
    this.#grants.clear();
  }

  #version(before: Versioned | undefined, lease: number): Versioned {
    const changed = this.revision + 1;
    return { created: before?.created ?? changed, changed, lease };
  }

  #step(edits: readonly Edit[]): Revision {
    const revision = ++this.revision;
    this.#history.push({ revision, edits });
    if (this.#history.length > maxHistory) this.#history.splice(0, maxHistory / 2);
    this.#tell();
    return revision;
  }

  #tell(): void {
    this.#turn++;
    for (const wake of this.#waiting) wake();
  }

  #schedule(): void {
    clearTimeout(this.#timer);
    if (this.#isStopped || this.#grants.size === 0) return;
    const next = Math.min(...Array.from(this.#grants.values(), ({ expiresAt }) => expiresAt));
    this.#timer = setTimeout(() => this.#expire(), Math.max(0, next - performance.now()));
    this.#timer.unref();
  }

  #expire(): void {
    const now = performance.now();
    for (const { id, expiresAt } of Array.from(this.#grants.values())) if (expiresAt <= now) this.revoke(id);
    this.#schedule();
  }
}

export function holderOf({ uuid, host, created }: StoredClaim): Holder {
  return { type: "held", uuid, host, fence: created };
}
