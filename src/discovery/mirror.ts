/**
 * What a shared directory says of the other hosts: their actors, and the names that they have claimed. It keeps the
 * registrar's table in step, a few milliseconds' work at a time, and notices when it can't be right. No I/O.
 *
 * An actor that is registered on several hosts, or here as well, stands in the table once: as it is registered here, else as
 * on the host from which it came first.
 */
import { asError } from "../errors.ts";
import { describeActor } from "../identity.ts";
import { logger } from "../log.ts";
import type { RemoteEntry, Revision } from "./remote-entry.ts";
import { Slices } from "../rpc/slices.ts";
import { SplitMap } from "./split-map.ts";
import type { Holder, RemoteAddition, RemoteChange, RemoteHost, Sink } from "./store.ts";
import { MirroredRegistration, type RemoteActor } from "./stored-registration.ts";

const log = logger("discovery");

/** What the mirror keeps in step. */
export interface MirrorTarget {
  /** The host whose entries the mirror passes over: this one. */
  readonly host: string;
  /** Whether an actor is registered here. */
  isRegistered(uuid: string): boolean;
  /** Takes an actor into the table, in place of its registration until now if that is given. */
  show(actor: RemoteActor, former: MirroredRegistration | undefined): MirroredRegistration;
  hide(stored: MirroredRegistration): void;
  /** The next change waits for that. */
  readonly idle?: Promise<void> | undefined;
  /** Who has claimed the name may have changed. */
  onClaim(name: string): void;
  /** The table may be behind, since then (`performance.now()`). */
  onStale(sinceMs: number): void;
  /** The table has everything; for the first time, or again. */
  onFresh(): void;
  /** The table had everything then (`performance.now()`). */
  onProven?(atMs: number): void;
}

/** By uuid. What is in the table is kept as its registration there. */
type Entries = Map<string, RemoteActor | MirroredRegistration>;

class MirroredHost {
  readonly id: string;
  record: RemoteHost | undefined;
  entries: Entries = new Map();
  /** Of all entries together. */
  digest = 0;
  /** While everything is loaded: what hasn't come yet. */
  unseen: Entries | undefined;
  /** What is here contradicts its record. */
  isDoubtful = false;

  constructor(id: string) {
    this.id = id;
  }

  get(uuid: string): RemoteActor | MirroredRegistration | undefined {
    return this.entries.get(uuid) ?? this.unseen?.get(uuid);
  }
}

export class Mirror implements Sink {
  readonly #target: MirrorTarget;
  readonly #slices: Slices;
  readonly #hosts = new Map<string, MirroredHost>();
  /** Those in the table, by uuid. */
  readonly #shown = new SplitMap<MirroredRegistration>();
  /** How many entries of an actor aren't in the table, because it has another one there. Those that can't be read don't count. */
  readonly #hidden = new Map<string, number>();
  #claims = new Map<string, Holder>();
  #unseenClaims: Map<string, Holder> | undefined;
  /** While everything is loaded, a host's record may be older than its entries. */
  #isLoading = false;
  /** The last change has brought a record that contradicts what is here. */
  #isWrong = false;
  /** The store has said that this has everything, when what it has yet to do is done. Each time it says so is another one. */
  #fresh: object | undefined;

  constructor(target: MirrorTarget) {
    this.#target = target;
    this.#slices = new Slices({ stepsPerLook: 16, pause: () => target.idle });
  }

  /** How many actors it has in the table. */
  get size(): number {
    return this.#shown.size;
  }

  /** The other hosts that publish. */
  *hosts(): IterableIterator<RemoteHost> {
    for (const { record } of this.#hosts.values()) if (record !== undefined) yield record;
  }

  /** Who holds a name on another host. */
  holder(name: string): Holder | undefined {
    return this.#claims.get(name) ?? this.#unseenClaims?.get(name);
  }

  async load(pages: AsyncIterable<readonly RemoteAddition[]>, _: Revision): Promise<void> {
    this.#isLoading = true;
    // what has yet to be done is in the pages, too
    this.#slices.clear();
    this.#begin();
    for await (const page of pages) {
      // decoding the page has taken its part of this turn
      await nextTurn();
      this.#apply(page);
      await this.#slices.idle;
    }
    this.#sweep();
    await this.#slices.idle;
    this.#isLoading = false;
    // this may have been dropped, too
    this.#beFresh(this.#fresh);
  }

  change(batch: readonly RemoteChange[], _: Revision): boolean {
    this.#apply(batch);
    return this.#isRight();
  }

  /** At once, whatever has yet to be done: a load drops that. */
  stale(sinceMs: number): void {
    this.#fresh = undefined;
    this.#target.onStale(sinceMs);
  }

  fresh(): void {
    const fresh = (this.#fresh = {});
    this.#once(() => this.#beFresh(fresh));
  }

  proven(atMs: number): void {
    this.#once(() => this.#target.onProven?.(atMs));
  }

  /** Drops what has yet to be taken into the table. */
  close(): void {
    this.#slices.clear();
  }

  /**
   * An actor registers here: gives up its registration in the table as an actor of another host, if it has one. It comes
   * back with `standIn`.
   */
  yield(uuid: string): MirroredRegistration | undefined {
    const shown = this.#shown.get(uuid);
    if (shown === undefined) return undefined;
    this.#shown.delete(uuid);
    this.#countHidden(uuid, 1);
    const hidden = plain(shown);
    for (const { entries, unseen } of this.#hosts.values())
      for (const some of [entries, unseen]) if (some?.get(uuid) === shown) some.set(uuid, hidden);
    return shown;
  }

  /** An actor's registration has ended here or on a host: puts another one of it in its place, if there is one. */
  standIn(
    uuid: string,
    show: (actor: RemoteActor) => MirroredRegistration,
  ): MirroredRegistration | undefined {
    if (!this.#hidden.has(uuid)) return undefined;
    for (const host of this.#hosts.values()) {
      const entry = host.get(uuid);
      // one that can't be read has no name
      if (entry === undefined || entry.name === "") continue;
      this.#countHidden(uuid, -1);
      const shown = show(entry);
      this.#shown.set(uuid, shown);
      (host.entries.has(uuid) ? host.entries : host.unseen)?.set(uuid, shown);
      return shown;
    }
    return undefined;
  }

  /** `fresh`: the time that the store said so, unless it has said otherwise since. */
  #beFresh(fresh: object | undefined): void {
    if (fresh === undefined || fresh !== this.#fresh) return;
    this.#fresh = undefined;
    this.#target.onFresh();
  }

  #isRight(): boolean {
    const isRight = !this.#isWrong;
    this.#isWrong = false;
    return isRight;
  }

  #begin(): void {
    this.#isWrong = false;
    for (const host of this.#hosts.values()) {
      const { entries, unseen = new Map() as Entries } = host;
      // a load that was cut short has left some behind: they may still be there
      for (const [uuid, entry] of unseen.size > 0 ? entries : []) unseen.set(uuid, entry);
      host.unseen = unseen.size > 0 ? unseen : entries;
      host.entries = new Map();
      host.digest = 0;
      host.record = undefined;
    }
    this.#unseenClaims = new Map([...(this.#unseenClaims ?? []), ...this.#claims]);
    this.#claims = new Map();
  }

  /** When all that came before is done. */
  #once(work: () => void): void {
    this.#slices.add(() => {
      work();
      return false;
    });
  }

  #apply(batch: readonly RemoteChange[]): void {
    let at = 0;
    this.#slices.add(() => {
      const change = batch[at++];
      try {
        if (change !== undefined) this.#applyOne(change);
      } catch (error) {
        // the others can't help it
        log.error?.(`cannot take in what a host has published: ${asError(error).stack}`);
      }
      return at < batch.length;
    });
  }

  #applyOne(change: RemoteChange): void {
    switch (change.type) {
      case "put":
        if (change.entry.host !== this.#target.host) this.#put(this.#host(change.entry.host), change.entry);
        return;
      case "remove":
        return this.#remove(change.host, change.uuid);
      case "host":
        if (change.host.host !== this.#target.host) this.#record(this.#host(change.host.host), change.host);
        return;
      case "hostGone":
        return this.#forget(change.host);
      case "claim":
        return this.#claim(change.name, change.holder);
      case "unclaim":
        this.#claims.delete(change.name);
        // it may have been this host's
        this.#target.onClaim(change.name);
    }
  }

  /** After a load: what hasn't come is gone. */
  #sweep(): void {
    for (const host of Array.from(this.#hosts.values())) {
      this.#slices.each(host.unseen?.keys() ?? [], (uuid) => {
        const entry = host.unseen?.get(uuid);
        host.unseen?.delete(uuid);
        if (entry !== undefined) this.#gone(entry);
      });
      this.#once(() => {
        host.unseen = undefined;
        if (host.record === undefined) this.#forget(host.id);
      });
    }
    const claims = this.#unseenClaims?.keys() ?? [];
    this.#once(() => (this.#unseenClaims = undefined));
    this.#slices.each(claims, (name) => {
      if (!this.#claims.has(name)) this.#target.onClaim(name);
    });
  }

  #host(id: string): MirroredHost {
    let host = this.#hosts.get(id);
    if (host === undefined) this.#hosts.set(id, (host = new MirroredHost(id)));
    return host;
  }

  #record(host: MirroredHost, record: RemoteHost): void {
    if (host.record === undefined && host.unseen === undefined)
      log.info?.(`host ${host.id} is there: its registrar is ${describeActor(record.registrar)}`);
    host.record = record;
    // it is checked when it next comes as a change
    if (!this.#isLoading) this.#check(host, record);
  }

  #check(host: MirroredHost, { content }: RemoteHost): void {
    const { id, entries, digest, isDoubtful } = host;
    host.isDoubtful = content !== null && (content.count !== entries.size || content.digest !== digest >>> 0);
    if (!host.isDoubtful) return;
    this.#isWrong = true;
    // not each time, if loading doesn't help
    if (isDoubtful) return;
    const what = entries.size === content!.count ? "others" : String(entries.size);
    log.warn?.(`host ${id} has ${content!.count} actors, and here are ${what}: loading the directory again`);
  }

  /** The host's record is gone. Its entries may stay for a while, or come before the next one. */
  #forget(id: string): void {
    const host = this.#hosts.get(id);
    if (host === undefined) return;
    if (host.record !== undefined) log.info?.(`host ${id} is gone`);
    host.record = undefined;
    if (host.entries.size === 0 && host.unseen === undefined) this.#hosts.delete(id);
  }

  #put(host: MirroredHost, entry: RemoteEntry): void {
    const { uuid } = entry;
    const known = host.entries.get(uuid);
    const former = known ?? host.unseen?.get(uuid);
    host.digest ^= entry.digest ^ (known?.digest ?? 0);
    host.unseen?.delete(uuid);
    if (former !== undefined && isSame(former, entry)) {
      former.digest = entry.digest;
      host.entries.set(uuid, former);
      return;
    }
    // one copy of the host's id for all of its actors
    if (entry.actorHost === host.id) entry.actorHost = host.id;
    const shown = former instanceof MirroredRegistration ? former : undefined;
    if (former !== undefined && shown === undefined) this.#noteHidden(former, -1);
    if (entry.fault === undefined && (shown !== undefined || !this.#isElsewhere(uuid))) {
      const next = this.#target.show(entry, shown);
      this.#shown.set(uuid, next);
      host.entries.set(uuid, next);
      return;
    }
    if (entry.fault !== undefined)
      log.warn?.(`cannot read the entry of ${uuid} on host ${host.id} in the directory: ${entry.fault}`);
    this.#noteHidden(entry, 1);
    host.entries.set(uuid, plain(entry));
    if (shown !== undefined) this.#gone(shown);
  }

  /** Whether the actor is in the table already: registered here, or by another host. */
  #isElsewhere(uuid: string): boolean {
    return this.#shown.has(uuid) || this.#target.isRegistered(uuid);
  }

  #remove(id: string, uuid: string): void {
    const host = this.#hosts.get(id);
    const entry = host?.entries.get(uuid);
    if (host === undefined || entry === undefined) return;
    host.entries.delete(uuid);
    host.digest ^= entry.digest;
    this.#gone(entry);
    if (host.entries.size === 0 && host.record === undefined) this.#hosts.delete(id);
  }

  #gone(entry: RemoteActor | MirroredRegistration): void {
    if (!(entry instanceof MirroredRegistration)) {
      this.#noteHidden(entry, -1);
      return;
    }
    const { uuid } = entry;
    this.#shown.delete(uuid);
    const other = this.standIn(uuid, (actor) => this.#target.show(actor, entry));
    if (other === undefined) this.#target.hide(entry);
  }

  #noteHidden({ name, uuid }: RemoteActor, by: 1 | -1): void {
    // one that can't be read has no name, and can't stand in for another
    if (name !== "") this.#countHidden(uuid, by);
  }

  #countHidden(uuid: string, by: 1 | -1): void {
    const count = (this.#hidden.get(uuid) ?? 0) + by;
    if (count > 0) this.#hidden.set(uuid, count);
    else this.#hidden.delete(uuid);
  }

  #claim(name: string, holder: Holder): void {
    const before = this.holder(name);
    this.#unseenClaims?.delete(name);
    if (holder.host !== this.#target.host) this.#claims.set(name, holder);
    else if (!this.#claims.delete(name) && before === undefined) return;
    if (before?.uuid !== holder.uuid) this.#target.onClaim(name);
  }
}

/** Whether nothing has changed: a host's next registrar numbers the actors anew, which says nothing of those that are known. */
function isSame(former: RemoteActor, entry: RemoteEntry): boolean {
  if (former.created !== entry.created) return false;
  if (former.digest === entry.digest) return true;
  return (
    former.pid === entry.pid &&
    former.isDraining === entry.isDraining &&
    former.addrs.join() === entry.addrs.join() &&
    Buffer.compare(former.encodedDetails, entry.encodedDetails) === 0
  );
}

function plain(actor: RemoteActor): RemoteActor {
  const { name, uuid, pid, actorHost, addrs, isDraining, encodedDetails, created, order, digest } = actor;
  return { name, uuid, pid, actorHost, addrs, isDraining, encodedDetails, created, order, digest };
}

function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
