/** What a cache keeps of one name. */
import { type Found, type FoundRegistration, isDetailed } from "./registration.ts";
import type { Sequence } from "./sequence.ts";

/** A list with more is kept as a sequence, and made when it is asked for: with each change it would be copied. */
const mostCopied = 32;

/** A name that is kept current, or is being asked for. */
export class CachedName {
  readonly name: string;
  /** The list may lack some that a new registrar still waited for: whoever wants all has to ask again. */
  isPartial = false;
  /** The registrar's answer, while it is pending. */
  asking: Promise<Found> | undefined;
  /** Used since the cache last looked for room; spares it once. */
  used = true;
  /** Called at the next change. */
  waiters: Set<() => void> | undefined;
  /** Its neighbours among those that may be evicted; see `NameCache`. */
  previous: CachedName | undefined;
  next: CachedName | undefined;
  /** Undefined until the registrar has answered, or while it has yet to be made of `#many`. */
  #list: Found | undefined;
  #isDetailed = false;
  #many: Sequence<FoundRegistration, string> | undefined;

  constructor(name: string) {
    this.name = name;
  }

  get isKnown(): boolean {
    return this.#list !== undefined || this.#many !== undefined;
  }

  /**
   * The registrations, in the order of registration; undefined until the registrar has answered. An empty list is a known miss.
   * It never changes: a lookup in progress keeps the one it has.
   */
  get list(): Found | undefined {
    return this.#list ?? (this.#many === undefined ? undefined : (this.#list = this.#many.toArray()));
  }

  /** The last of them, however many there are; null for a known miss. */
  get last(): FoundRegistration | null | undefined {
    const list = this.#list;
    if (list !== undefined) return list[list.length - 1] ?? null;
    return this.#many?.last;
  }

  /** Takes the registrar's answer; undefined: the name isn't known any more. */
  set(list: Found | undefined): void {
    this.#list = list;
    this.#isDetailed = list !== undefined && isDetailed(list);
    this.#many = list !== undefined && list.length > mostCopied ? sequenceOf(list) : undefined;
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
      this.#list = undefined;
      return;
    }
    const list = this.#list ?? [];
    const at = indexOf(list, uuid);
    if (at >= 0) return this.set(list.with(at, found));
    const place = typeof before === "string" ? indexOf(list, before) : -1;
    this.set(place < 0 ? [...list, found] : list.toSpliced(place, 0, found));
  }

  remove(uuid: string): void {
    if (this.#many === undefined) {
      this.#list = this.#list?.filter(({ id }) => id.uuid !== uuid);
      return;
    }
    if (!this.#many.delete(uuid)) return;
    if (this.#many.size > mostCopied / 2) this.#list = undefined;
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
