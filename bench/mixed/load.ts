/** What the processes of the mixed load share: their plan, what they tell, and loops that go on until the end. */
import type { Address } from "../../src/index.ts";

/** Each process gets this as JSON in its argument. */
export interface LoadPlan {
  readonly folder: string;
  readonly registry: Address;
  /** How many names only the registrar's table knows. */
  readonly coldNames: number;
}

/** What a process tells when it is asked. */
export interface LoadState {
  /** Bytes of live objects, after a collection. */
  readonly heap: number;
  /** How much of what it has done so far. */
  readonly done: Readonly<Record<string, number>>;
  /** How often something failed, by the name of the error: actors are killed all the time. */
  readonly failed: Readonly<Record<string, number>>;
  /** The root tells this of a worker that isn't killed. */
  readonly worker?: { readonly pid: number; readonly heap: number };
}

/** Loops that run side by side, and count. */
export class Load {
  readonly done: Record<string, number> = {};
  readonly failed: Record<string, number> = {};
  readonly #over = new AbortController();
  readonly #lanes: Promise<void>[] = [];

  /** Aborted when the load ends. */
  get signal(): AbortSignal {
    return this.#over.signal;
  }

  /** Does `work` again and again, with a pause after each. */
  repeat(what: string, pauseMs: number, work: () => Promise<unknown>): void {
    this.#lanes.push(this.#lane(what, pauseMs, work));
  }

  note(what: string, count = 1): void {
    this.done[what] = (this.done[what] ?? 0) + count;
  }

  /** Resolves when each loop has ended its round. */
  async end(): Promise<void> {
    this.#over.abort();
    await Promise.all(this.#lanes);
  }

  async #lane(what: string, pauseMs: number, work: () => Promise<unknown>): Promise<void> {
    while (!this.signal.aborted) {
      try {
        await work();
        this.note(what);
      } catch (error) {
        const name = error instanceof Error ? error.name : String(error);
        if (!this.signal.aborted) this.failed[name] = (this.failed[name] ?? 0) + 1;
      }
      await Bun.sleep(pauseMs);
    }
  }
}
