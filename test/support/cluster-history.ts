/** What observers on several hosts have seen of the actors of all hosts, compared with what has happened. */

/** An actor of the history. Its name has the host and the number: `x-a-12`. */
export interface Lived {
  readonly uuid: string;
  readonly name: string;
  readonly host: string;
  /** One more with each actor of its host, in the order of their registration. */
  readonly seq: number;
  /** How often its metadata has changed, and how often the registrar has certainly taken that. */
  n: number;
  acknowledged: number;
  /** When it had ended for certain, in milliseconds since 1970. */
  endedAt?: number;
}

/** An actor as a watch tells of it. */
export interface Sight {
  readonly uuid: string;
  readonly n: number;
  /** One more with each change of any actor of its host. */
  readonly change: number;
}

export type Seen =
  | { readonly type: "sync"; readonly at: number; readonly actors: readonly Sight[] }
  | { readonly type: "up" | "changed" | "down"; readonly at: number; readonly actor: Sight };

/** Reads what one observer has seen, and notes what can't be. */
export class Observer {
  readonly faults: string[] = [];
  readonly #who: string;
  readonly #lived: ReadonlyMap<string, Lived>;
  /** Those that are there now, by uuid, and how often they have changed. */
  #present = new Map<string, number>();
  /** The last that was seen of each. */
  readonly #last = new Map<string, number>();
  /**
   * Those that are gone for good: they had ended when they were seen to go, and the others of their host stayed. One that goes
   * with all others of its host goes with a lease, and then it may come once more: it was published again before it ended.
   */
  readonly #buried = new Set<string>();
  /** The downs of one host that came last: what comes next says whether anyone of that host has stayed. */
  #downs: { readonly uuid: string; readonly at: number }[] = [];
  /** The latest that has been seen of each host. */
  readonly #latest = new Map<string, { seq: number; change: number }>();
  events = 0;

  constructor(who: string, lived: ReadonlyMap<string, Lived>) {
    this.#who = who;
    this.#lived = lived;
  }

  /**
   * `unordered`: up to which change the actors of each host may come in any order, since another registrar has taken them
   * over.
   */
  take(seen: readonly Seen[], unordered: ReadonlyMap<string, number>): void {
    for (const event of seen) {
      this.events++;
      if (event.type === "down") {
        this.#down(event.actor.uuid, event.at);
        continue;
      }
      this.#bury();
      if (event.type === "sync") this.#sync(event.actors);
      else this.#up(event.actor, event.type, unordered);
    }
  }

  /** All observers agree on who is there: whoever isn't will not come back. */
  agreed(): void {
    this.#bury();
    for (const [uuid, { endedAt }] of this.#lived)
      if (endedAt !== undefined && !this.#present.has(uuid)) this.#buried.add(uuid);
  }

  /** The first state of a registrar that has just come up may lack what the directory has: only `down` says that one is gone. */
  #sync(actors: readonly Sight[]): void {
    this.#present = new Map();
    for (const actor of actors) this.#appear(actor, "sync");
    for (const actor of actors) this.#count(actor);
  }

  #up(actor: Sight, type: "up" | "changed", unordered: ReadonlyMap<string, number>): void {
    const { uuid, change } = actor;
    if (this.#present.has(uuid) !== (type === "changed")) this.#fault(uuid, `${type} of one that is not so`);
    const lived = this.#lived.get(uuid);
    const isNew = !this.#last.has(uuid);
    if (lived !== undefined && (isNew || type === "changed")) {
      const latest = this.#latest.get(lived.host);
      // a host publishes in the order of the last change; and everything again, after its lease, in the order of registration
      const isInOrder = latest === undefined || change >= latest.change || (isNew && lived.seq > latest.seq);
      if (!isInOrder && change > (unordered.get(lived.host) ?? 0))
        this.#fault(
          uuid,
          `${type} with change ${change} after change ${latest.change} of number ${latest.seq}`,
        );
    }
    this.#appear(actor, type);
    this.#count(actor);
  }

  #appear({ uuid, n }: Sight, type: string): void {
    if (this.#buried.has(uuid)) this.#fault(uuid, `${type} after its end`);
    const last = this.#last.get(uuid) ?? -1;
    if (n < last) this.#fault(uuid, `went back from ${last} to ${n}`);
    this.#last.set(uuid, n);
    this.#present.set(uuid, n);
  }

  #down(uuid: string, at: number): void {
    if (!this.#present.delete(uuid)) this.#fault(uuid, "down of one that is not there");
    const [former] = this.#downs;
    if (former !== undefined && this.#hostOf(former.uuid) !== this.#hostOf(uuid)) this.#bury();
    this.#downs.push({ uuid, at });
  }

  #bury(): void {
    const downs = this.#downs.splice(0);
    const [first] = downs;
    if (first === undefined) return;
    const host = this.#hostOf(first.uuid);
    const hasStayed = this.#present.keys().some((uuid) => this.#hostOf(uuid) === host);
    for (const { uuid, at } of hasStayed ? downs : []) {
      const { endedAt = Number.POSITIVE_INFINITY } = this.#lived.get(uuid) ?? {};
      if (at >= endedAt) this.#buried.add(uuid);
    }
  }

  #hostOf(uuid: string): string | undefined {
    return this.#lived.get(uuid)?.host;
  }

  #count({ uuid, change }: Sight): void {
    const lived = this.#lived.get(uuid);
    if (lived === undefined) return;
    const latest = this.#latest.get(lived.host) ?? { seq: 0, change: 0 };
    latest.seq = Math.max(latest.seq, lived.seq);
    latest.change = Math.max(latest.change, change);
    this.#latest.set(lived.host, latest);
  }

  #fault(uuid: string, what: string): void {
    this.faults.push(`${this.#who}: ${this.#lived.get(uuid)?.name ?? uuid}: ${what}`);
  }
}
