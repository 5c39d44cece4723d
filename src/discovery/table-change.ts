/** A change of the registrar's table, on its way to the watchers. */
import type { ActorChange } from "./actor-event.ts";
import { readPattern } from "./pattern.ts";
import type { StoredRegistration } from "./stored-registration.ts";
import type { RegistryTable } from "./table.ts";

export interface TableChange {
  readonly type: ActorChange["type"];
  readonly stored: StoredRegistration;
  readonly revision: number;
  /** The registration as it is sent, once a peer needs it. */
  form: unknown[] | undefined;
}

export interface Watcher {
  readonly pattern: string;
  /** Whose watch it is: the same for all of one actor. */
  readonly holder: object;
  onChange(change: TableChange): void;
}

/** The registrations that match a valid pattern: name by name, in the order of registration; draining ones come last. */
export function matching(table: RegistryTable, pattern: string): readonly StoredRegistration[] {
  const { text, isPrefix } = readPattern(pattern);
  if (!isPrefix) return [...table.all(text), ...table.draining(text)];
  const all = table.entries();
  return text === "" ? all : all.filter(({ name }) => name.startsWith(text));
}
