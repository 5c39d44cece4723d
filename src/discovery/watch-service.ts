/**
 * A registrar's watches: those of its peers, and those of its own process. Loaded with the first of them.
 *
 * A watch begins with the whole state, not before that is reliable. Each change is sent before it is acknowledged to the
 * actor that made it, unless the state is still being sent: then right after that. Watches of this process get it at once.
 */
import type { Runtime } from "../actor/runtime.ts";
import { ActorNameError, LimitError } from "../errors.ts";
import type { Session } from "../rpc/session.ts";
import type { Kind, MessageOf } from "../wire/messages.ts";
import type { ActorChange, WatchListener, WatchSource } from "./actor-event.ts";
import type { Outgoing } from "./outgoing.ts";
import { OwnWatch } from "./own-watch.ts";
import { patternFault } from "./pattern.ts";
import { type PeerWatch, PeerWatches, type WatchHost } from "./peer-watches.ts";
import type { ServedTable } from "./registrar-api.ts";
import type { StoredRegistration } from "./stored-registration.ts";
import type { TableChange } from "./table-change.ts";
import { WatchIndex } from "./watch-index.ts";

export class WatchService {
  readonly #runtime: Runtime;
  readonly #registrar: ServedTable;
  readonly #outgoing: Outgoing;
  readonly #host: WatchHost;
  readonly #index = new WatchIndex<PeerWatch>();
  readonly #ownIndex = new WatchIndex<OwnWatch>();
  readonly #peers = new Map<Session, PeerWatches>();
  readonly #own = new Set<OwnWatch>();
  readonly #undelivered: TableChange[] = [];
  #isDelivering = false;

  /** `onPush` is called for each message that is pushed. */
  constructor(
    runtime: Runtime,
    registrar: ServedTable,
    outgoing: Outgoing,
    onPush: (session: Session) => void,
  ) {
    this.#runtime = runtime;
    this.#registrar = registrar;
    this.#outgoing = outgoing;
    const onOver = (watch: PeerWatch): void => this.#index.remove(watch.pattern, watch);
    const onBegun = (watch: PeerWatch): void => this.#index.add(watch.pattern, watch);
    const { limits } = runtime;
    this.#host = { id: runtime.id, table: registrar.table, limits, onPush, onBegun, onOver };
  }

  /** The number of watches that get changes. */
  get size(): number {
    return this.#index.size + this.#ownIndex.size;
  }

  /** The peers that have a watch. */
  get peers(): Iterable<Session> {
    return this.#peers.keys();
  }

  onWatch(session: Session, [, id, pattern]: MessageOf<typeof Kind.watch>): void {
    const fault = patternFault(pattern);
    if (fault !== undefined) return session.replyError(id, new ActorNameError(fault));
    this.onUnwatch(session, id); // a peer that uses an id again
    let watches = this.#peers.get(session);
    if (watches === undefined) this.#peers.set(session, (watches = new PeerWatches(session, this.#host)));
    const { maxCachedNames } = this.#runtime.limits;
    if (watches.size >= maxCachedNames * 2) {
      const text = `${watches.size} watches are as many as a peer may have: twice the registrar's maxCachedNames ${maxCachedNames}`;
      return session.replyError(id, new LimitError(text));
    }
    const watch = watches.add(id, pattern);
    const awaited = this.#registrar.awaited();
    if (awaited === undefined) this.#begin(watches, watch);
    else
      void awaited.then(() => this.#outgoing.answer(() => watches.has(watch) && this.#begin(watches, watch)));
  }

  onUnwatch(session: Session, id: number): void {
    const watches = this.#peers.get(session);
    if (watches !== undefined) this.#drop(watches, id);
  }

  /** Opens a watch of this process. */
  watch(pattern: string, listener: WatchListener): WatchSource {
    const { table } = this.#registrar;
    const watch = new OwnWatch(pattern, listener, table, this.#runtime.id.host, () => {
      this.#own.delete(watch);
      this.#ownIndex.remove(pattern, watch);
    });
    this.#own.add(watch);
    // not at once: the one who opens it has yet to get it
    void (this.#registrar.awaited() ?? Promise.resolve()).then(() => {
      if (!this.#own.has(watch)) return;
      this.#ownIndex.add(pattern, watch);
      watch.begin();
    });
    return watch;
  }

  /**
   * Passes a change of the table on. One that a watch of this process makes while it is told of another waits for its turn: all
   * get the changes in the order of their revisions.
   */
  push(type: ActorChange["type"], stored: StoredRegistration, revision: number): void {
    if (this.size === 0) return;
    this.#undelivered.push({ type, stored, revision, form: undefined });
    if (this.#isDelivering) return;
    this.#isDelivering = true;
    try {
      for (let next = this.#undelivered.shift(); next !== undefined; next = this.#undelivered.shift())
        this.#deliver(next);
    } finally {
      this.#isDelivering = false;
    }
  }

  /** Calls `visit` with the holder of each watch of the name, but for watches of all names. */
  visitHolders(name: string, visit: (holder: object) => void): void {
    for (const index of [this.#index, this.#ownIndex])
      index.visit(name, ({ pattern, holder }) => {
        if (pattern !== "*") visit(holder);
      });
  }

  /** Ends the watches of a peer that is gone. */
  leave(session: Session): void {
    const watches = this.#peers.get(session);
    this.#peers.delete(session);
    for (const watch of watches?.clear() ?? []) this.#index.remove(watch.pattern, watch);
  }

  /** Ends the watches of this process: it isn't the registrar any more. */
  stop(): void {
    for (const watch of this.#own) watch.end();
  }

  #deliver(change: TableChange): void {
    const { name } = change.stored;
    const found: ReadonlySet<PeerWatch>[] = [];
    this.#index.find(name, found);
    const [only, ...others] = found;
    if (only !== undefined) {
      const all = others.length === 0 ? only : eachOf(found);
      const count = found.reduce((sum, { size }) => sum + size, 0);
      this.#outgoing.push(count, all, (watch) => watch.onChange(change));
    }
    this.#ownIndex.visit(name, (watch) => watch.onChange(change));
  }

  #begin(watches: PeerWatches, watch: PeerWatch): void {
    try {
      this.#registrar.checkServing();
      watches.answer(watch);
    } catch (error) {
      this.#drop(watches, watch.id);
      watches.session.replyError(watch.id, error);
    }
  }

  #drop(watches: PeerWatches, id: number): void {
    const watch = watches.remove(id);
    if (watch !== undefined) this.#index.remove(watch.pattern, watch);
    if (watches.size === 0) this.#peers.delete(watches.session);
  }
}

function* eachOf<T>(sets: readonly ReadonlySet<T>[]): Generator<T> {
  for (const set of sets) yield* set;
}
