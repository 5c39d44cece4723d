/**
 * What watchers were told, compared: the history of each registrar (an era), as all its watchers saw it. Pure.
 */

/** A registration, as far as histories are compared. */
export interface Known {
  readonly name: string;
  readonly uuid: string;
  readonly revision: number;
  readonly metadata: unknown;
  readonly state: string;
}

export interface Sync {
  readonly type: "sync";
  readonly revision: number;
  readonly actors: Known[];
}

export interface Change {
  readonly type: "up" | "changed" | "down";
  readonly revision: number;
  readonly actor: Known;
}

/** A line of a watcher's log. */
export type Entry = Sync | Change;

export type State = ReadonlyMap<string, Known>;

export function matches(pattern: string, name: string): boolean {
  return pattern.endsWith("*") ? name.startsWith(pattern.slice(0, -1)) : name === pattern;
}

/** A state as text, the same for equal ones. */
export function textOf(actors: Iterable<Known>): string {
  return Array.from(actors, (one) => JSON.stringify(one))
    .toSorted()
    .join("\n");
}

/** Takes the changes of one watcher in, and says what is wrong with them. */
export class Fold {
  readonly pattern: string;
  readonly state: Map<string, Known> = new Map();
  revision = 0;
  syncs = 0;
  /** All that went, for good: an actor that is started again has a new uuid. */
  readonly #gone = new Set<string>();

  constructor(pattern: string) {
    this.pattern = pattern;
  }

  take(entry: Entry): string[] {
    if (entry.type === "sync") return this.#takeSync(entry);
    const { type, revision, actor } = entry;
    const { uuid } = actor;
    const faults: string[] = [];
    if (this.syncs === 0) faults.push("comes before the first sync");
    if (revision <= this.revision) faults.push(`comes after revision ${this.revision}`);
    if (this.pattern === "*" && revision !== this.revision + 1) faults.push(`follows ${this.revision}`);
    if (!matches(this.pattern, actor.name)) faults.push("doesn't match");
    if (this.#gone.has(uuid)) faults.push("is of one that was down");
    if (this.state.has(uuid) === (type === "up")) faults.push(`is no step of ${this.#stateOf(uuid)}`);
    this.revision = revision;
    if (type === "down") {
      this.state.delete(uuid);
      this.#gone.add(uuid);
    } else this.state.set(uuid, actor);
    return faults;
  }

  #takeSync({ actors, revision }: Sync): string[] {
    this.syncs++;
    this.revision = revision;
    this.state.clear();
    for (const actor of actors) this.state.set(actor.uuid, actor);
    const back = actors.filter(({ uuid }) => this.#gone.has(uuid));
    const others = actors.filter(({ name }) => !matches(this.pattern, name));
    return [
      ...back.map(({ uuid }) => `names ${uuid}, which was down`),
      ...others.map(({ name }) => `names ${name}, which doesn't match`),
      ...(this.state.size === actors.length ? [] : ["names an actor twice"]),
    ];
  }

  #stateOf(uuid: string): string {
    return this.state.has(uuid) ? "one that is up" : "one that isn't";
  }
}

/** A part of a watcher's log that is of one era. */
export interface Segment {
  readonly who: string;
  readonly pattern: string;
  /** Undefined if it goes on with the segment before. */
  readonly sync: Sync | undefined;
  /** The revision up to which the watcher has been told everything before the first of `changes`. */
  readonly from: number;
  readonly changes: readonly Change[];
  /** The revision up to which it must have been told everything: undefined if its watcher or the era came to an end. */
  readonly until: number | undefined;
}

/** The history of one registrar. */
export class Era {
  readonly #changes = new Map<number, Change>();
  /** The earliest whole state. */
  #base: Sync | undefined;

  /** Compares the segments with what others were told, now or before, and returns what is wrong with them. */
  add(segments: readonly Segment[]): string[] {
    const whole = segments.filter(({ pattern }) => pattern === "*");
    const parts = segments.filter(({ pattern }) => pattern !== "*");
    const faults = whole.flatMap((one) => this.#learn(one));
    faults.push(...parts.flatMap((one) => this.#compare(one)));
    faults.push(...segments.flatMap((one) => [...this.#checkSync(one), ...this.#checkWhole(one)]));
    return faults;
  }

  #learn({ who, sync, changes }: Segment): string[] {
    if (sync !== undefined && sync.revision < (this.#base?.revision ?? Number.POSITIVE_INFINITY))
      this.#base = sync;
    return changes.flatMap((change) => {
      const other = this.#changes.get(change.revision);
      if (other === undefined) this.#changes.set(change.revision, change);
      return other === undefined || isSame(other, change) ? [] : [contradiction(who, change, other)];
    });
  }

  #compare({ who, changes }: Segment): string[] {
    return changes.flatMap((change) => {
      const other = this.#changes.get(change.revision);
      if (other === undefined)
        return this.#knows(change.revision) ? [`${who}: only it saw ${show(change)}`] : [];
      return isSame(other, change) ? [] : [contradiction(who, change, other)];
    });
  }

  /** Whether anyone who watches everything saw that revision: the last ones before an end may have got to others alone. */
  #knows(revision: number): boolean {
    return this.#base !== undefined && revision > this.#base.revision && revision <= this.last;
  }

  get last(): number {
    return Math.max(this.#base?.revision ?? 0, ...this.#changes.keys());
  }

  /** Whether none was left out. */
  #checkWhole({ who, pattern, from, changes, until }: Segment): string[] {
    const end = until ?? changes.at(-1)?.revision ?? from;
    const seen = new Set(changes.map(({ revision }) => revision));
    const missing: string[] = [];
    for (let revision = from + 1; revision <= end; revision++) {
      const change = this.#changes.get(revision);
      if (change !== undefined && matches(pattern, change.actor.name) && !seen.has(revision))
        missing.push(`${who}: was not told of ${show(change)}`);
    }
    return missing;
  }

  #checkSync({ who, pattern, sync }: Segment): string[] {
    const base = this.#base;
    if (sync === undefined || base === undefined || sync.revision < base.revision) return [];
    const state = new Map(base.actors.map((one) => [one.uuid, one]));
    for (let revision = base.revision + 1; revision <= sync.revision; revision++) {
      const change = this.#changes.get(revision);
      // the era ended before anyone who watches everything was told
      if (change === undefined) return [];
      if (change.type === "down") state.delete(change.actor.uuid);
      else state.set(change.actor.uuid, change.actor);
    }
    const expected = textOf(Array.from(state.values()).filter(({ name }) => matches(pattern, name)));
    const got = textOf(sync.actors);
    return expected === got
      ? []
      : [`${who}: the sync at ${sync.revision} names\n${got}\nin place of\n${expected}`];
  }
}

function isSame(one: Change, other: Change): boolean {
  return JSON.stringify(one) === JSON.stringify(other);
}

function show({ type, revision, actor }: Change): string {
  return `${revision} ${type} ${actor.name} ${actor.uuid} ${JSON.stringify(actor.metadata)} ${actor.state}`;
}

function contradiction(who: string, change: Change, other: Change): string {
  return `${who}: saw ${show(change)}, where another saw ${show(other)}`;
}
