/** What a nursery told of its children, as lines to assert on. */
import type { ChildEvent, Nursery } from "../../src/index.ts";

/** Reads a nursery's events from its creation on. */
export class Events {
  readonly all: ChildEvent[] = [];
  /** Resolves when the events have ended; rejects with their error. */
  readonly ended: Promise<void>;
  #more = Promise.withResolvers<void>();

  constructor(nursery: Nursery) {
    const events = nursery.events();
    this.ended = this.#read(events);
    this.ended.catch(() => {});
  }

  /** Type and name of each, such as `died b`. */
  get lines(): string[] {
    return this.all.map(({ type, id }) => `${type} ${id.name}`);
  }

  /** Waits until the lines from `from` on include all of these, in any order; returns the events of those lines. */
  async until(lines: readonly string[], from = 0): Promise<ChildEvent[]> {
    for (;;) {
      const left = [...lines];
      const found = this.all.slice(from).filter(({ type, id }) => {
        const at = left.indexOf(`${type} ${id.name}`);
        if (at >= 0) left.splice(at, 1);
        return at >= 0;
      });
      if (left.length === 0) return found;
      await this.#more.promise;
    }
  }

  async #read(events: AsyncIterable<ChildEvent>): Promise<void> {
    for await (const event of events) {
      this.all.push(event);
      const { resolve } = this.#more;
      this.#more = Promise.withResolvers<void>();
      resolve();
    }
  }
}
