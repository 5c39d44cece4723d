/** The functions that a registrar offers to its peers and to itself. */
import { LongList } from "../rpc/long-list.ts";
import { currentTask, leaveUnattended } from "../rpc/task.ts";
import { checkActorName } from "../wire/actor-name.ts";
import { type Registration, registrationOf } from "./registration.ts";
import type { Staleness } from "./staleness.ts";
import type { StoredRegistration } from "./stored-registration.ts";
import type { RegistryTable } from "./table.ts";

/** What a registrar offers on `portal.run`. */
export interface RegistrarApi {
  /** The last registered actor of that name. */
  findActor(name: string): Registration | null;
  /** All actors of that name, in the order of registration. */
  findActors(name: string): Registration[];
  /** The first registered actor of that name, as soon as there is one. */
  waitForActor(name: string): Registration;
  listActors(): Registration[];
  /**
   * For each of up to 1,000 names, how many actors and clients hear of its changes: because they have looked it up, or watch it.
   * Those that watch all names aren't counted.
   *
   * @throws {RangeError} when there are more
   */
  countInterested(names: readonly string[]): number[];
}

/** The most names of one question. */
const maxCounted = 1_000;

/** What these functions need of the registrar that serves them. */
export interface ServedTable {
  readonly table: RegistryTable;
  /** Undefined when the table's answer for the name is reliable; else resolves when it is. Without a name: for all names. */
  awaited(name?: string): Promise<void> | undefined;
  /** Calls `onChange` once, at the next change of the name; returns the function that calls it off. */
  watch(name: string, onChange: () => void): () => void;
  /** How many actors hear of the name's changes, but for those that watch all names. */
  interestedIn(name: string): number;
  /** @throws {RegistryUnavailableError} when this actor has stopped being the registrar */
  checkServing(): void;
  /** Since when what is known of other hosts may be behind; undefined if it isn't. */
  readonly staleness: Staleness | undefined;
}

/** The functions as the dispatcher serves them: arguments come from peers, unchecked. */
export function registrarApi(
  registrar: ServedTable,
): Record<keyof RegistrarApi, (given: unknown) => unknown> {
  const { table } = registrar;
  return {
    findActor: (name) => {
      const known = checkName(name);
      return whenReliable(registrar, registrar.awaited(known), () => {
        const last = table.last(known);
        if (last === undefined) checkMiss(registrar, known);
        return show(last);
      });
    },
    findActors: (name) => {
      const known = checkName(name);
      return whenReliable(registrar, registrar.awaited(), () => {
        if (table.last(known) === undefined) checkMiss(registrar, known);
        return listOf(() => table.all(known));
      });
    },
    listActors: () => whenReliable(registrar, registrar.awaited(), () => listOf(() => table.entries())),
    waitForActor: (name) => waitFor(registrar, checkName(name)),
    countInterested: (given) => {
      const names = checkNames(given);
      return LongList.of(
        () => names,
        (name) => registrar.interestedIn(name),
      );
    },
  };
}

/** Answers at once, unless an actor that belongs to the answer may still be on its way back. */
function whenReliable<T>(
  registrar: ServedTable,
  awaited: Promise<void> | undefined,
  answer: () => T,
): T | Promise<T> {
  if (awaited === undefined) return answer();
  return awaited.then(() => {
    // if another process took the addresses meanwhile, the table was never filled
    registrar.checkServing();
    return answer();
  });
}

/** @throws {RegistryUnavailableError} when an actor on another host may have the name */
function checkMiss({ staleness }: ServedTable, name: string): void {
  if (staleness === undefined) return;
  const { unknownNow } = require("./staleness.ts") as typeof import("./staleness.ts");
  throw unknownNow(name, staleness);
}

async function waitFor(registrar: ServedTable, name: string): Promise<Registration> {
  const { signal } = currentTask();
  leaveUnattended();
  for (;;) {
    const stored = registrar.table.first(name);
    if (stored !== undefined) return show(stored);
    registrar.checkServing();
    signal.throwIfAborted();
    const changed = Promise.withResolvers<void>();
    const unwatch = registrar.watch(name, changed.resolve);
    const onAbort = (): void => changed.reject(signal.reason);
    signal.addEventListener("abort", onAbort, { once: true });
    try {
      await changed.promise;
    } finally {
      signal.removeEventListener("abort", onAbort);
      unwatch();
    }
  }
}

/** Stored registrations as the caller's host sees them. */
function listOf(all: () => readonly StoredRegistration[]): LongList {
  const { host } = currentTask().caller;
  return LongList.of(all, (stored) => registrationOf(stored, host));
}

/** A stored registration as the caller's host sees it. */
function show(stored: StoredRegistration): Registration;
function show(stored: StoredRegistration | undefined): Registration | null;
function show(stored: StoredRegistration | undefined): Registration | null {
  return stored === undefined ? null : registrationOf(stored, currentTask().caller.host);
}

function checkName(name: unknown): string {
  checkActorName(name);
  return name;
}

function checkNames(names: unknown): readonly string[] {
  const given: readonly unknown[] = Array.isArray(names) ? names : [];
  if (given.length <= maxCounted) return given.map(checkName);
  throw new RangeError(`countInterested takes up to ${maxCounted} names, got ${given.length}`);
}
