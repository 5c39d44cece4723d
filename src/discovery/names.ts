/**
 * What a registrar keeps by name: who is registered under it, and who hears of its changes. A lookup asks for both, so both are
 * in one map: with a million names each search in one takes longer than all else that the registrar does for a lookup
 * (`lookup.registrar.unix`).
 */
import type { Sequence } from "./sequence.ts";
import type { StoredRegistration } from "./stored-registration.ts";

/** A name that has more than one registration, or interests somebody. */
export class NameRecord {
  readonly name: string;
  /** The last registration. */
  last: StoredRegistration | undefined;
  /** All registrations, in the order of registration, if there are several. */
  several: Sequence<StoredRegistration> | undefined;
  /** The peer that is interested, or a map of several, each with its place; see `Interests`. */
  interested: unknown;
  /** The place of one that is alone. */
  place = 0;
  /** Those that want the details with each change; they aren't among the others. */
  detailed: Map<unknown, number> | undefined;
  /** Called at the next change. */
  watchers: Set<() => void> | undefined;

  constructor(name: string, last: StoredRegistration | undefined) {
    this.name = name;
    this.last = last;
  }

  /** Whether it says no more than its registration does. */
  get isPlain(): boolean {
    const { several, interested, detailed, watchers } = this;
    return (
      several === undefined && interested === undefined && detailed === undefined && watchers === undefined
    );
  }
}

export class Names {
  /** Most names have one registration and interest nobody: that stands for the record. */
  readonly #records = new Map<string, StoredRegistration | NameRecord>();

  find(name: string): StoredRegistration | NameRecord | undefined {
    return this.#records.get(name);
  }

  /** The record of the name, if it has one. */
  record(name: string): NameRecord | undefined {
    const found = this.#records.get(name);
    return found instanceof NameRecord ? found : undefined;
  }

  /** The record of the name, made if it has none. */
  need(name: string): NameRecord {
    const found = this.#records.get(name);
    if (found instanceof NameRecord) return found;
    const record = new NameRecord(name, found);
    this.#records.set(name, record);
    return record;
  }

  /** Makes it the only registration of a name without a record. */
  set(stored: StoredRegistration): void {
    this.#records.set(stored.name, stored);
  }

  delete(name: string): void {
    this.#records.delete(name);
  }

  /** Drops a record that isn't needed any more. */
  tidy(record: NameRecord): void {
    if (!record.isPlain) return;
    if (record.last === undefined) this.#records.delete(record.name);
    else this.#records.set(record.name, record.last);
  }

  /** All names, in no order that means anything. */
  values(): IterableIterator<StoredRegistration | NameRecord> {
    return this.#records.values();
  }
}
