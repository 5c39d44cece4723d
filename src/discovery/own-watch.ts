/** A watch in the registrar's own process: it reads the table itself. */
import type { WatchListener, WatchSource } from "./actor-event.ts";
import { type Registration, registrationOf } from "./registration.ts";
import type { RegistryTable } from "./table.ts";
import { matching, type TableChange, type Watcher } from "./table-change.ts";

export class OwnWatch implements WatchSource, Watcher {
  isReady = false;
  readonly pattern: string;
  readonly #listener: WatchListener;
  readonly #table: RegistryTable;
  readonly #host: string;
  readonly #onClose: () => void;

  constructor(
    pattern: string,
    listener: WatchListener,
    table: RegistryTable,
    host: string,
    onClose: () => void,
  ) {
    this.pattern = pattern;
    this.#listener = listener;
    this.#table = table;
    this.#host = host;
    this.#onClose = onClose;
  }

  /** All of this process watch its table. */
  get holder(): object {
    return this.#table;
  }

  get revision(): number {
    return this.#table.revision;
  }

  *actors(): IterableIterator<Registration> {
    for (const stored of matching(this.#table, this.pattern)) yield registrationOf(stored, this.#host);
  }

  find(uuid: string): Registration | undefined {
    for (const actor of this.actors()) if (actor.id.uuid === uuid) return actor;
    return undefined;
  }

  /** The table is reliable. */
  begin(): void {
    this.isReady = true;
    this.#listener.onSync();
  }

  onChange({ type, stored, revision }: TableChange): void {
    const actor = { ...registrationOf(stored, this.#host), revision };
    this.#listener.onChange({ type, actor, revision });
  }

  /** This actor isn't the registrar any more. */
  end(): void {
    this.#onClose();
    this.#listener.onEnd();
  }

  close(): void {
    this.#onClose();
  }
}
