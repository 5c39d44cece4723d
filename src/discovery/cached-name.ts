/** What a cache keeps of one name. */
import { type Answered, type Found, type FoundRegistration, isDetailed, listOf } from "./registration.ts";
import type { Sequence } from "./sequence.ts";

/** A list with more is kept as a sequence, and made when it is asked for: with each change it would be copied. */
const mostCopied = 32;

/** Who waits for a request; called when it ends, synchronously. */
export interface Asker {
  /** With the last of those that were found. */
  found(last: FoundRegistration | undefined): void;
  /** `since`: when the request was made, by `performance.now()`. */
  failed(error: unknown, since: number): void;
}

/** A request that others may wait for, too. */
export interface Underway {
  readonly promise: Promise<Found>;
  join(asker: Asker): void;
}

/** A name that is kept current, or is being asked for. */
export class CachedName {
  readonly name: string;
  /** The list may lack some that a new registrar still waited for: whoever wants all has to ask again. */
  isPartial = false;
  /** The request for it, while it is underway. */
  asking: Underway | undefined;
  /** Used since the cache last looked for room; spares it once. */
  used = true;
  /** Called at the next change. */
  waiters: Set<() => void> | undefined;
  /** Its neighbours among those that may be evicted; see `NameCache`. */
  previous: CachedName | undefined;
  next: CachedName | undefined;
  /** Undefined until the registrar has answered, or while it has yet to be made of `#many`. */
  #known: Answered | undefined;
  #isDetailed = false;
  #many: Sequence<FoundRegistration, string> | undefined;

  constructor(name: string) {
    this.name = name;
  }

  get isKnown(): boolean {
    return this.#known !== undefined || this.#many !== undefined;
  }

  /**
   * The registrations, in the order of registration; undefined until the registrar has answered. An empty list is a known miss.
   * It never changes: a lookup in progress keeps the one it has.
   */
  get list(): Found | undefined {
    const known = this.#known;
    if (typeof known === "object") return known;
    if (known !== undefined) return (this.#known = listOf(this.name, known));
    return this.#many === undefined ? undefined : (this.#known = this.#many.toArray());
  }

  /** The last of them, however many there are; null for a known miss. */
  get last(): FoundRegistration | null | undefined {
    const known = this.#known;
    if (typeof known === "object") return known[known.length - 1] ?? null;
    return known === undefined ? this.#many?.last : this.list![0];
  }

  /** Takes the registrar's answer; undefined: the name isn't known any more. */
  set(answered: Answered | undefined): void {
    this.#known = answered;
    const isList = typeof answered === "object";
    this.#isDetailed = isList && isDetailed(answered);
    this.#many = isList && answered.length > mostCopied ? sequenceOf(answered) : undefined;
  }

  /** Whether there are registrations, all with their details. */
  get isDetailed(): boolean {
    return this.#isDetailed && this.last !== null;
  }

  /** Adds one, or replaces it; a new one comes before that of the uuid `before`, or last. */
  put(found: FoundRegistration, before: string | null | undefined): void {
    const { uuid } = found.id;
    if (this.#many !== undefined) {
      this.#isDetailed &&= isDetailed([found]);
      if (!this.#many.replace(uuid, found)) {
        if (typeof before === "string") this.#many.insertBefore(before, found);
        else this.#many.push(found);
      }
      this.#known = undefined;
      return;
    }
    const list = this.list ?? [];
    const at = indexOf(list, uuid);
    if (at >= 0) return this.set(list.with(at, found));
    const place = typeof before === "string" ? indexOf(list, before) : -1;
    this.set(place < 0 ? [...list, found] : list.toSpliced(place, 0, found));
  }

  remove(uuid: string): void {
    if (this.#many === undefined) {
      this.#known = this.list?.filter(({ id }) => id.uuid !== uuid);
      return;
    }
    if (!this.#many.delete(uuid)) return;
    if (this.#many.size > mostCopied / 2) this.#known = undefined;
    else this.set(this.#many.toArray());
  }
}

/** Most names have few instances: the file is loaded with the first that has many. */
function sequenceOf(list: Found): Sequence<FoundRegistration, string> {
  const { Sequence } = require("./sequence.ts") as typeof import("./sequence.ts");
  return new Sequence(uuidOf, list);
}

function uuidOf({ id }: FoundRegistration): string {
  return id.uuid;
}

function indexOf(list: Found, uuid: string): number {
  return list.findIndex(({ id }) => id.uuid === uuid);
}
