/** Follows what an actor's nurseries tell of their children: how one died is known to its parent alone. */
import { sleep } from "../deadline.ts";
import type { Registration } from "../discovery/registration.ts";
import type { ChildEvent } from "../tree/child-events.ts";
import { connect } from "./probe.ts";
import type { Turns } from "./turns.ts";

const retryMs = 5_000;
const describeTimeoutMs = 5_000;

export class Children {
  readonly #ended = new AbortController();
  readonly #running: Promise<void>;

  constructor(parent: Registration, dials: Turns, onEvent: (event: ChildEvent) => void) {
    this.#running = this.#run(parent, dials, onEvent);
  }

  async end(): Promise<void> {
    this.#ended.abort();
    await this.#running;
  }

  async #run(parent: Registration, dials: Turns, onEvent: (event: ChildEvent) => void): Promise<void> {
    const { signal } = this.#ended;
    while (!signal.aborted) {
      try {
        await using portal = await connect(parent, signal, dials);
        const events = portal?.with({ signal }).stream["furrow.events"]();
        if (events !== undefined) for await (const event of events) onEvent(event);
      } catch {
        // the registry tells of ends as well, and the parent's own probe of its troubles
      }
      await sleep(retryMs, signal).catch(() => {});
    }
  }
}

/** How often a child was started again; undefined if its parent can't tell. */
export async function restartsOf(
  uuid: string,
  parent: Registration,
  dials: Turns,
  signal: AbortSignal,
): Promise<number | undefined> {
  try {
    await using portal = await connect(parent, signal, dials);
    const described = await portal?.with({ signal, timeout: describeTimeoutMs }).run["furrow.describe"]();
    return described?.children.find(({ id }) => id.uuid === uuid)?.restarts;
  } catch {
    return undefined; // it's frozen, say
  }
}
