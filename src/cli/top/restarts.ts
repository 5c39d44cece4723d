/** How often actors were restarted: their parents know. */
import type { Registration } from "../../discovery/registration.ts";
import type { Description } from "../../inspect/describe.ts";
import type { Portal } from "../../rpc/types.ts";
import type { ChildEvent } from "../../tree/child-events.ts";
import { connectTo } from "../actors.ts";

/** How long a parent may take to tell. */
const timeoutMs = 1_000;

export class Restarts {
  readonly #counts = new Map<string, number>();
  /** The uuids of the parents that are followed. */
  readonly #followed = new Set<string>();
  #asking = 0;

  /** Whether no answer is awaited. */
  get isSettled(): boolean {
    return this.#asking === 0;
  }

  /** Undefined while it isn't known: the parent is frozen, gone, or of another version. */
  of(uuid: string): number | undefined {
    return this.#counts.get(uuid);
  }

  /** Asks a parent, and again after each start of a child, until the signal fires or the parent is gone. */
  follow(parent: Registration, signal: AbortSignal): void {
    const { uuid } = parent.id;
    if (this.#followed.has(uuid)) return;
    this.#followed.add(uuid);
    this.#run(parent, signal).catch(() => {
      // another child of it may ask again
      this.#followed.delete(uuid);
    });
  }

  async #run(parent: Registration, signal: AbortSignal): Promise<void> {
    const asked = Promise.withResolvers<void>();
    this.#asking++;
    void asked.promise.then(() => this.#asking--);
    try {
      await using portal = await connectTo(parent, { signal, timeout: timeoutMs });
      const events = portal.with({ signal }).stream["furrow.events"]() as AsyncIterator<ChildEvent>;
      // before it is asked, so that no restart is missed in between
      let next = events.next();
      next.catch(() => {});
      await this.#ask(portal, signal);
      asked.resolve();
      for (let event = await next; event.done !== true; event = await next) {
        next = events.next();
        next.catch(() => {});
        const { type } = event.value;
        if (type === "started" || type === "restarted") await this.#ask(portal, signal);
      }
    } finally {
      asked.resolve();
    }
  }

  async #ask(portal: Portal<unknown>, signal: AbortSignal): Promise<void> {
    const { run } = portal.with({ signal, timeout: timeoutMs });
    const { children } = (await run["furrow.describe"]()) as Description;
    for (const { id, restarts } of children) this.#counts.set(id.uuid, restarts);
  }
}
